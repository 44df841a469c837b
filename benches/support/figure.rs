//! Results that a report can be made of: one JSON object per line, in the file that `BENCH_RESULTS` names.
//!
//! Without the variable nothing is kept; what a benchmark prints says the same.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A line of results.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Entry {
    Curve(Curve),
    Figure(Figure),
    Missing(Missing),
}

/// What was measured of fetchd and of a named peer in the same run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) bench: String,
    pub(crate) what: String,
    pub(crate) unit: String,
    /// Another program, or a physical part of the work; `None` where only the goal is something to compare with.
    pub(crate) peer: Option<String>,
    /// One number per round.
    pub(crate) ours: Vec<f64>,
    /// The peer's, of the same rounds.
    pub(crate) peers: Vec<f64>,
    pub(crate) goal: Option<Goal>,
}

/// What the middle of the ratio must be, or of the figure itself where it has no peer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// How something grows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Curve {
    pub(crate) bench: String,
    pub(crate) what: String,
    pub(crate) unit: String,
    /// What it grows with.
    pub(crate) along: String,
    /// How much of that, and one number per round.
    pub(crate) points: Vec<(f64, Vec<f64>)>,
    /// The largest exponent of the upper half of the curve: 1 is in proportion.
    pub(crate) exponent: f64,
    /// How often the first number the last may be at most; for what should not grow at all.
    pub(crate) times: Option<f64>,
}

/// What could not be measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Missing {
    pub(crate) bench: String,
    pub(crate) missing: String,
    pub(crate) why: String,
}

impl Figure {
    pub(crate) fn new(bench: &str, what: &str, unit: &str, ours: Vec<f64>) -> Figure {
        let text = str::to_owned;
        let (bench, what, unit) = (text(bench), text(what), text(unit));
        Figure { bench, what, unit, peer: None, ours, peers: Vec::new(), goal: None }
    }

    /// Measured in the same run.
    pub(crate) fn against(mut self, peer: &str, peers: Vec<f64>) -> Figure {
        self.peer = Some(peer.to_owned());
        self.peers = peers;
        self
    }

    pub(crate) fn at_most(mut self, bound: f64) -> Figure {
        self.goal = Some(Goal::AtMost(bound));
        self
    }

    pub(crate) fn at_least(mut self, bound: f64) -> Figure {
        self.goal = Some(Goal::AtLeast(bound));
        self
    }

    pub(crate) fn record(self) {
        keep(&Entry::Figure(self));
    }
}

impl Curve {
    pub(crate) fn record(self) {
        keep(&Entry::Curve(self));
    }
}

/// Says that `missing` was not measured.
pub(crate) fn missing(bench: &str, missing: &str, why: &str) {
    println!("not measured: {missing}: {why}");
    let text = str::to_owned;
    keep(&Entry::Missing(Missing { bench: text(bench), missing: text(missing), why: text(why) }));
}

pub(crate) fn seconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(Duration::as_secs_f64).collect()
}

pub(crate) fn millis(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1e3).collect()
}

fn keep(entry: &Entry) {
    let Some(path) = std::env::var_os("BENCH_RESULTS") else { return };
    let mut line = serde_json::to_vec(entry).unwrap();
    line.push(b'\n');
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(&line).unwrap();
}
