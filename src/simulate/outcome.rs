//! What came of a case.

use serde::Serialize;

use super::being::{Fate, Line};
use super::case::Case;
use super::cost::{self, Cost};
use super::spread::{self, Spread};
use super::tally::{Prefix, Requests};
use super::world::World;
use crate::clock::Timestamp;
use crate::fleet::rollup::Rollup;
use crate::fleet::rule;

use super::script;

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// Every host that was on came to its end.
    Done,
    /// It was stopped.
    Halted,
    /// It went on to nobody, and nothing had stopped it.
    Held,
}

/// What came of a case with one seed. Times are seconds after the beginning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// How it ended.
    pub ended: Ended,
    /// When half of the hosts ran the release.
    pub half_s: Option<u64>,
    /// When 95 % did.
    pub most_s: Option<u64>,
    /// When the last host had come to its end.
    pub all_s: Option<u64>,
    /// Hosts that started before the halt.
    pub started: u64,
    /// Hosts that started after it.
    pub started_after: u64,
    /// Of all that started those that ended badly, or were never heard of again.
    pub failed: u64,
    /// When the latch was made.
    pub halted_s: Option<u64>,
    /// How long that was after the reports in the bucket were enough for it.
    pub latency_s: Option<u64>,
    /// Requests from the beginning to the end.
    pub requests: Requests,
    /// The most requests of one second, by prefix.
    pub peaks: Vec<(Prefix, u32)>,
    /// The most bytes of one second, artifacts left out, and the most of artifacts in the mean of a minute.
    pub bytes_peak: u64,
    /// The same of artifacts.
    pub artifact_peak: u64,
    /// What it cost, and what the formula says.
    pub cost: Cost,
    /// Of each step how its hosts were spread over the ramp.
    pub spread: Vec<Spread>,
    /// Two hosts that had one slot at the same time.
    pub overcommitted: u64,
    /// Latches that were made beyond the first.
    pub latches: u64,
    /// Machines that did not come to rest.
    pub spun: u64,
    /// The curves for a report.
    #[serde(skip)]
    pub curves: Curves,
}

/// Curves over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curves {
    /// The share of hosts that have started.
    pub started: Vec<(f64, f64)>,
    /// Requests per second: the mean of a part of the time.
    pub requests: Vec<(f64, f64)>,
}

/// How many points a curve has.
const POINTS: u64 = 240;

/// Runs a case with a seed.
pub fn run(case: &Case, seed: u64) -> Outcome {
    let mut world = World::new(case, seed);
    world.run();
    Outcome::of(&world, seed)
}

impl Outcome {
    fn of(world: &World<'_>, seed: u64) -> Outcome {
        let after = |at: u64| at.saturating_sub(script::T0.0);
        let halted_s = world.tally.halted.map(|at| after(at.0));
        let lines = &world.lines;
        let began = |line: &&Line| line.fate != Fate::Old;
        let before = |line: &&Line| halted_s.is_none_or(|halted| u64::from(line.started) <= halted);
        let started = lines.iter().filter(began).filter(before).count() as u64;
        let all_started = lines.iter().filter(began).count() as u64;
        let failed = lines.iter().filter(|line| matches!(line.fate, Fate::Bad | Fate::Silent)).count() as u64;
        let finished = lines.iter().filter(|line| !matches!(line.fate, Fate::Old | Fate::Switches)).count();
        let all = finished == lines.len();
        let ended = match (halted_s, all) {
            (Some(_), _) => Ended::Halted,
            (None, true) => Ended::Done,
            (None, false) => Ended::Held,
        };
        let mut times: Vec<u32> = lines.iter().filter(|line| line.fate == Fate::Well).map(|line| line.ended).collect();
        times.sort_unstable();
        let when = |share: f64| {
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "hosts"
            )]
            let needed = (lines.len() as f64 * share).ceil() as usize;
            times.get(needed.saturating_sub(1)).map(|at| u64::from(*at))
        };
        let (from, to) = (script::T0, Timestamp(world.now.max(script::T0.0 + 1)));
        // What is paid for begins when it is published.
        let published = Timestamp(from.0 - world.case.notice_s());
        let requests = world.tally.total(published, to);
        let peaks = Prefix::ALL.into_iter().zip(world.tally.peaks(from, to)).collect();
        let (bytes_peak, artifact_peak) = world.tally.heaviest(from, to);
        Outcome {
            seed,
            ended,
            half_s: when(0.5),
            most_s: when(0.95),
            all_s: all.then(|| lines.iter().map(|line| u64::from(line.ended)).max().unwrap_or(0)),
            started,
            started_after: all_started - started,
            failed,
            halted_s,
            latency_s: halted_s.zip(world.watch.true_at).map(|(halted, at)| halted.saturating_sub(after(at))),
            requests,
            peaks,
            bytes_peak,
            artifact_peak,
            cost: cost::of(
                world.case,
                &requests,
                world.tally.heads(Timestamp(published.0 - cost::IDLE), published),
                to.since(published).as_secs(),
                (all_started, late(world)),
            ),
            // Where it stops, a step has a part of its hosts: nothing to compare.
            spread: if all && halted_s.is_none() { spread::of(world, rollup(world).as_ref()) } else { Vec::new() },
            overcommitted: world.overcommitted,
            latches: world.tally.latches.saturating_sub(1),
            spun: world.spun,
            curves: curves(world, from, to),
        }
    }
}

/// How long hosts waited for steps that opened later than they could have, all together, in seconds.
fn late(world: &World<'_>) -> u64 {
    let (head, rollup) = (&world.head, rollup(world));
    let late = |place| {
        let opened = rule::opens(head, rollup.as_ref(), place)?;
        let hosts = world.lines.iter().filter(|line| line.fate != Fate::Old && line.place == Some(place)).count();
        Some(opened.since(rule::floor(head, usize::from(place.ring), usize::from(place.step))).as_secs() * hosts as u64)
    };
    rule::places(head).filter_map(late).sum()
}

/// The roll-up as it stands in the bucket.
fn rollup(world: &World<'_>) -> Option<Rollup> {
    let body = world.tally.store().peek(&world.tally.names().rollup(script::ROLLOUT))?;
    Rollup::read(&body).ok()
}

#[allow(clippy::cast_precision_loss, reason = "hosts and hours")]
fn curves(world: &World<'_>, from: Timestamp, to: Timestamp) -> Curves {
    let hours = |seconds: u64| seconds as f64 / 3600.0;
    let mut starts: Vec<u32> =
        world.lines.iter().filter(|line| line.fate != Fate::Old).map(|line| line.started).collect();
    starts.sort_unstable();
    let length = to.since(from).as_secs().max(1);
    let started = |point: u64| {
        let at = length * point / POINTS;
        let count = starts.partition_point(|start| u64::from(*start) <= at);
        (hours(at), count as f64 / world.lines.len().max(1) as f64)
    };
    let rate = world.tally.rate(from, to, POINTS).into_iter().map(|(at, mean, _)| (hours(at), mean));
    Curves { started: (0..=POINTS).map(started).collect(), requests: rate.collect() }
}
