//! `fetchd fleet simulate`: what a plan does with good and bad releases, before any host sees one.

use std::fs;
use std::path::PathBuf;

use clap::ArgMatches;

use crate::cli::{Failed, Out};
use crate::failure::{Exit, Reported};
use crate::simulate::{Badness, Case, Plan, Row, grid, report};

pub(super) fn simulate(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let number = |name: &str| matches.get_one::<u64>(name).copied();
    let (seeds, first) = (number("seeds").unwrap_or(1), number("seed").unwrap_or(0));
    let mut rows = Vec::new();
    for mut case in cases(matches) {
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

fn cases(matches: &ArgMatches) -> Vec<Case> {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    let hosts = matches.get_one::<u32>("hosts").copied().unwrap_or(1000);
    if let Some(plan) = Plan::ALL.into_iter().find(|plan| plan.name() == text("plan")) {
        let bad = match text("fails") {
            "late" => Badness::Late,
            "silent" => Badness::Silent,
            "zone" => Badness::Zone,
            _ => Badness::Instant,
        };
        let share = matches.get_one::<f64>("bad").copied().unwrap_or(0.0);
        let name =
            if share > 0.0 { format!("bad {share} %, {}", plan.name()) } else { format!("good, {}", plan.name()) };
        return vec![Case::new(&name, hosts).plan(plan).bad(bad, share / 100.0)];
    }
    match text("cases") {
        _ if matches.get_flag("grid") => grid::all(hosts),
        "trouble" => grid::trouble(hosts),
        "both" => grid::both(hosts),
        _ => grid::first(hosts),
    }
}
