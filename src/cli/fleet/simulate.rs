//! `fetchd fleet simulate`: what a plan does with good and bad releases, before any host sees one.

use std::fs;
use std::path::PathBuf;

use clap::ArgMatches;

use crate::cli::{Failed, Out, out};
use crate::failure::{Exit, Reported};
use crate::rollout;
use crate::simulate::{Badness, Case, Plan, Row, grid, report};

pub(super) fn simulate(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let number = |name: &str| matches.get_one::<u64>(name).copied();
    let (seeds, first) = (number("seeds").unwrap_or(1), number("seed").unwrap_or(0));
    let mut rows = Vec::new();
    for mut case in cases(matches)? {
        if let Some(poll_s) = number("poll") {
            (case.poll_s, case.open_s) = (poll_s, poll_s);
        }
        let row = Row::run(&case, first, seeds);
        if out.json() {
            out.object(&row);
        }
        rows.push(row);
        if out.closed() {
            break;
        }
    }
    if !out.json() {
        out.bytes(report::table(&rows).as_bytes());
    }
    for (name, write) in [("html", report::html as fn(&[Row]) -> String), ("svg", report::svg)] {
        if let Some(path) = matches.get_one::<PathBuf>(name) {
            fs::write(path, write(&rows)).map_err(|source| Failed::Write { path: path.clone(), source })?;
        }
    }
    Ok(Exit::Done)
}

fn cases(matches: &ArgMatches) -> Result<Vec<Case>, Reported> {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    let hosts = matches.get_one::<u32>("hosts").copied().unwrap_or(1000);
    if let Some(asked) = matches.get_one::<String>("plan") {
        let bad = match text("fails") {
            "late" => Badness::Late,
            "silent" => Badness::Silent,
            "zone" => Badness::Zone,
            _ => Badness::Instant,
        };
        let share = matches.get_one::<f64>("bad").copied().unwrap_or(0.0);
        let name = if share > 0.0 { format!("bad {share} %, {asked}") } else { format!("good, {asked}") };
        let case = Case::new(&name, hosts).bad(bad, share / 100.0);
        let named = Plan::ALL.into_iter().find(|plan| plan.name() == asked);
        return Ok(vec![match named {
            Some(plan) => case.plan(plan),
            None => own(case, asked)?,
        }]);
    }
    Ok(match text("cases") {
        _ if matches.get_flag("grid") => grid::all(hosts),
        "trouble" => grid::trouble(hosts),
        "both" => grid::both(hosts),
        _ => grid::first(hosts),
    })
}

/// The case with the plan that lies in a file.
fn own(case: Case, file: &str) -> Result<Case, Reported> {
    let plan = rollout::Plan::open(file)?;
    let left_out = [
        ("rings", !plan.rings.is_empty()),
        ("windows", !plan.windows.is_empty()),
        ("its lease", plan.lease.is_some()),
        ("`not_before`", plan.steps.iter().any(|step| step.not_before.is_some())),
        ("`manual`", plan.steps.iter().any(|step| step.manual)),
    ];
    let left_out: Vec<&str> = left_out.iter().filter(|(_, is)| *is).map(|(what, _)| *what).collect();
    if !left_out.is_empty() {
        out::say(&format!("note: not simulated of `{file}`: {}", left_out.join(", ")));
    }
    let case = Case { ok_sample: plan.ok_sample, ..case };
    let gate = plan.gate_for(u64::from(case.hosts));
    let case = case.own(file, &plan.steps, gate, plan.poll_s);
    match case.nonsense() {
        None => Ok(case),
        Some(why) => {
            let hint = "`docs/fleet.md` says what a plan is made of".to_owned();
            Err(Failed::Usage { message: format!("the plan `{file}` makes no sense: {why}"), hint }.into())
        }
    }
}
