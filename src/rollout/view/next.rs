//! What happens next, in one sentence.

use super::steps::Seen;
use super::{Next, Ring, Standing, Step, Word};
use crate::clock::Timestamp;
use crate::fleet::rule::Halt;

/// What happens to a rollout that stands like that, and when.
pub(super) fn next(seen: Seen<'_>, standing: Standing, rings: &[Ring]) -> Next {
    let plain = |text: &str| Next { text: text.to_owned(), at: None };
    match standing {
        Standing::Halted => plain(
            "Nothing starts. Hosts that have it keep it. `fetchd fleet resume --ack` lets it go on, \
             `fetchd fleet rollback` goes back.",
        ),
        Standing::Paused => plain("Nothing starts until `fetchd fleet resume`."),
        Standing::Aborted => plain("Nothing starts any more: it was aborted."),
        Standing::Expired => Next {
            text: "Nothing starts until an operator signs the state anew: it was valid until".to_owned(),
            at: Some(seen.head.valid_until),
        },
        Standing::Held => plain("Nothing starts until a steward has counted: the figures are too old."),
        Standing::Done => plain("Every host may have it, now and later."),
        Standing::Running => step(rings),
    }
}

/// What the first step does that has not passed.
fn step(rings: &[Ring]) -> Next {
    let steps = || rings.iter().flat_map(|ring| ring.steps.iter().map(move |step| (ring, step)));
    let Some((ring, step)) = steps().find(|(_, step)| step.state != Word::Passed) else {
        return Next { text: "Every step has passed: every host may have it.".to_owned(), at: None };
    };
    let name = name(rings, ring, step);
    let with = |text: String, at: Option<Timestamp>| Next { text, at };
    let waits = step.waits.as_deref().unwrap_or("something");
    match step.state {
        Word::Opens => with(format!("{name} opens at"), step.opens),
        Word::Filling => with(format!("{name} is filling: the last of its hosts may start at"), step.full),
        Word::Baking => with(format!("{name} is watched, and may pass at"), step.bakes_until),
        Word::Closed => with(format!("{name} is closed: {waits}."), None),
        Word::Waiting | Word::Passed => with(format!("{name} waits: {waits}."), None),
    }
}

fn name(rings: &[Ring], ring: &Ring, step: &Step) -> String {
    let (number, pct) = (step.number, step.pct);
    if rings.len() > 1 {
        format!("Step {number} of {} ({pct} %)", ring.name)
    } else {
        format!("Step {number} ({pct} %)")
    }
}

/// Why a rollout stopped.
pub(super) fn halted(rule: Option<Halt>) -> String {
    match rule {
        Some(Halt::Share { bad, started }) => {
            format!("{bad} of {started} started hosts are bad or silent: more than the plan allows")
        }
        Some(Halt::Many { bad }) => format!("{bad} hosts are bad or silent: more than any share allows"),
        Some(Halt::Canary { bad: 1 }) => "a canary is bad or silent".to_owned(),
        Some(Halt::Canary { bad }) => format!("{bad} canaries are bad or silent"),
        Some(Halt::Stop) => "the operator of a host said stop".to_owned(),
        None => "somebody stopped it".to_owned(),
    }
}
