//! `fetchd fleet hosts` and `explain`: what became of hosts, and why.

use clap::ArgMatches;
use serde::Serialize;

use super::change::host;
use super::open::Opened;
use crate::cli::Out;
use crate::failure::{Exit, Reported};
use crate::rollout::explain::{self, Explained};
use crate::rollout::hosts::{self, Host};

pub(super) fn hosts(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let mut opened = Opened::new(matches, false)?;
    let mut desk = opened.desk();
    let head = desk.needed_head()?.head;
    let mut all = hosts::hosts(&mut desk, &head)?;
    if let Some(state) = matches.get_one::<String>("state") {
        all.retain(|host| host.state.word() == state);
    }
    let limit = matches.get_one("limit").copied().unwrap_or(usize::MAX);
    let total = all.len();
    all.truncate(limit);
    hosts::name(&mut desk, &head, &mut all, limit)?;
    if out.json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            rollout: &'a str,
            release: &'a str,
            attempt: u16,
            total: usize,
            hosts: &'a [Host],
        }
        let (rollout, release) = (&head.rollout, &head.release);
        out.object(&Answer { rollout, release, attempt: head.attempt, total, hosts: &all });
        return Ok(Exit::Done);
    }
    for host in &all {
        let place = host.place.map_or("-".to_owned(), |place| {
            let ring = head.rings.get(usize::from(place.ring)).map_or("?", |ring| &ring.name);
            format!("{ring}/{}", u16::from(place.step) + 1)
        });
        let name = host.name.as_deref().unwrap_or("-");
        let code = host.code.as_ref().map(|code| code.as_str()).unwrap_or_default();
        let line = format!("{:<8}  {}  {:<16}  {place:<10}  {}  {code}", host.state.word(), host.host, name, host.at);
        out.line(line.trim_end());
    }
    out.line(match total - all.len() {
        0 => format!("{total} hosts"),
        more => format!("{total} hosts, {more} of them not shown"),
    });
    Ok(Exit::Done)
}

pub(super) fn explain(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let mut opened = Opened::new(matches, false)?;
    let mut desk = opened.desk();
    let head = desk.needed_head()?.head;
    let told = explain::explain(&mut desk, &head, &host(matches))?;
    if out.json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            rollout: &'a str,
            release: &'a str,
            #[serde(flatten)]
            told: &'a Explained,
        }
        out.object(&Answer { rollout: &head.rollout, release: &head.release, told: &told });
        return Ok(Exit::Done);
    }
    let Explained { host, name, inventory, seen, near, ring, step, position, within, earliest, said, blocks } = told;
    out.line(format!("{}  {} of {}", name.as_deref().unwrap_or("(no name)"), head.release, head.rollout));
    out.line(format!("  id        {host}"));
    if !seen {
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        out.line(format!("  seen      NEVER: no host of this name or id has said anything here{near}"));
    } else if !inventory {
        out.line("  labels    not known: it has sent no inventory");
    }
    match (ring, step) {
        (Some(ring), Some(step)) => out.line(format!("  place     ring {ring}, step {step}")),
        _ => out.line("  place     none"),
    }
    out.line(format!("  position  {position:.4} of the fleet, {:.4} of its step", within.unwrap_or_default()));
    out.line(format!("  earliest  {}", earliest.map_or("not known".to_owned(), |at| at.to_string())));
    let said = said.map_or("nothing yet".to_owned(), |said| {
        let code = said.code.map(|code| format!(" ({})", code.as_str())).unwrap_or_default();
        format!("{}{code} at {}", said.state.word(), said.at)
    });
    out.line(format!("  said      {said}"));
    if blocks.is_empty() {
        out.line("  now       nothing that is seen from here keeps it from starting");
    }
    for block in blocks {
        out.line(format!("  now       {}: {}", block.what, block.why));
    }
    Ok(Exit::Done)
}
