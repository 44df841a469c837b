//! `fetchd fleet steward --once`: what the hosts have reported, counted.

use std::time::{Duration, Instant};

use clap::ArgMatches;
use serde::Serialize;

use super::open::Opened;
use crate::cli::Out;
use crate::clock::Timestamp;
use crate::failure::{Exit, Reported};
use crate::fleet::HostId;
use crate::fleet::head::Rollouts;
use crate::fleet::rollup::Rollup;
use crate::fleet::steward::{Step, Steward};
use crate::fleet::store::Store as _;
use crate::fleet::why::told;
use crate::rollout::RolloutError;

/// The longest that it takes.
const LONGEST: Duration = Duration::from_secs(300);

pub(super) fn steward(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let mut opened = Opened::new(matches, false)?;
    let documents = Rollouts { keys: opened.online.clone(), names: opened.names.clone() };
    let boot = format!("operator-{}", std::process::id());
    let mut steward = Steward::once(opened.names.clone(), HostId::named(&boot), &boot, Timestamp::now());
    let began = Instant::now();
    while began.elapsed() < LONGEST {
        match steward.next(Timestamp::now()) {
            Step::Ask(request) => {
                let reply = opened.store.ask(request);
                steward.replied(reply, Timestamp::now(), &documents);
            }
            Step::Sleep { until } => {
                let wait = until.since(Timestamp::now()).min(LONGEST.saturating_sub(began.elapsed()));
                std::thread::sleep(wait.max(Duration::from_millis(100)));
            }
            Step::Done => break,
        }
    }
    let outcome = steward.outcome();
    let Some(rollup) = outcome.rollup else {
        let why = match outcome.trouble {
            // The same is said of it everywhere.
            Some(code) if code.as_str() == "head.absent" => {
                return Err(RolloutError::NoRollout { key: opened.names.head() }.into());
            }
            Some(code) => told(code.as_str()),
            None => "what was read makes no roll-up".to_owned(),
        };
        return Err(Reported {
            code: "fleet.not_counted".to_owned(),
            exit: Exit::Unreachable,
            message: format!("nothing was counted: {why}"),
            hint: Some("`fetchd fleet status` shows what is there".to_owned()),
        });
    };
    let total = rollup.total();
    if out.json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            halted: bool,
            trouble: Option<&'a str>,
            rollup: &'a Rollup,
        }
        let trouble = outcome.trouble.as_ref().map(|code| code.as_str());
        out.object(&Answer { halted: outcome.halted, trouble, rollup: &rollup });
        return Ok(Exit::Done);
    }
    out.line(format!(
        "{}: {} started, {} ok, {} bad, {} overdue, as of {}",
        rollup.rollout, total.started, total.ok, total.bad, total.overdue, rollup.as_of
    ));
    if outcome.halted {
        out.line("the rollout has halted");
    }
    if let Some(trouble) = &outcome.trouble {
        out.line(format!("and then: {}", told(trouble.as_str())));
    }
    Ok(Exit::Done)
}
