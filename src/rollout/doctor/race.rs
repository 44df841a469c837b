//! Experiments with several writers at the same time: some stores look at a condition first and write later.

use futures_util::future::join_all;

use super::Check;
use super::probe::{Probe, RACES, lacks, ok};
use crate::fleet::store::{Request, What};
use crate::trust::Refused;

/// How many create one object at once.
const CREATORS: usize = 16;

/// How often.
const ROUNDS: usize = 5;

/// How many add to one object at once.
const WRITERS: usize = 6;

/// How many lines each of them adds.
const LINES: usize = 5;

/// How often one of them tries to add a line before it is given up.
const TRIES: usize = 200;

pub(super) async fn create(probe: &Probe<'_>) -> Result<Check, Refused> {
    let mut won = Vec::new();
    for round in 0..ROUNDS {
        let key = probe.key(&format!("race-{round}"));
        let racers = (0..CREATORS).map(|_| {
            let request = Request::Create { key: key.clone(), body: probe.body() };
            async { probe.carrier.carry(request).await.what }
        });
        let answers = join_all(racers).await;
        won.push(answers.iter().filter(|what| matches!(what, What::Written(_))).count());
    }
    let said = format!("{} of {CREATORS} won", listed(&won));
    Ok(if won.iter().all(|won| *won == 1) {
        ok(RACES.0, said, "a slot has one holder, and a halt one cause")
    } else {
        lacks(RACES.0, said, "two hosts would hold the same slot: no leases")
    })
}

pub(super) async fn replace(probe: &Probe<'_>) -> Result<Check, Refused> {
    let key = probe.key("lines");
    probe.ask(Request::Put { key: key.clone(), body: b"begin\n".to_vec() }).await?;
    let writers = (0..WRITERS).map(|writer| add_lines(probe, &key, writer));
    let told: usize = join_all(writers).await.into_iter().sum();
    let there = probe.read(&key).await.ok().flatten().map(|(body, _)| body).unwrap_or_default();
    let kept = String::from_utf8_lossy(&there).lines().count().saturating_sub(1);
    let said = format!("{kept} of {told} lines are there");
    Ok(if told == WRITERS * LINES && kept == told {
        ok(RACES.1, said, "no state of a rollout is lost")
    } else {
        lacks(RACES.1, said, "operators overwrite each other: one only; no leases")
    })
}

/// How many lines the store says it has taken from this writer.
async fn add_lines(probe: &Probe<'_>, key: &str, writer: usize) -> usize {
    let mut told = 0;
    for line in 0..LINES {
        for _ in 0..TRIES {
            // A store that breaks down in a race is judged by what it has kept.
            let Ok(Some((body, tag))) = probe.read(key).await else { return told };
            let line = format!("{writer}.{line}\n");
            let lines = String::from_utf8_lossy(&body).into_owned();
            // Ours, from a request whose answer was lost.
            let there = lines.split_inclusive('\n').any(|there| there == line);
            let request = Request::Replace { key: key.to_owned(), body: format!("{lines}{line}").into_bytes(), tag };
            if there || matches!(probe.carrier.carry(request).await.what, What::Written(_)) {
                told += 1;
                break;
            }
        }
    }
    told
}

fn listed(numbers: &[usize]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
