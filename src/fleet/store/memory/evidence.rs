//! Evidence in the order of its keys, without the keys.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::PAGE;
use crate::clock::Timestamp;
use crate::fleet::cohort::HostId;
use crate::fleet::evidence::{Evidence, Report, State};
use crate::fleet::names::Names;

/// The shards of all rollouts, by `<rollout>/<shard>/`: in this form their order is that of the keys.
#[derive(Default)]
pub(super) struct Shelves(BTreeMap<String, Shelf>);

/// One shard of a rollout.
#[derive(Default)]
pub(super) struct Shelf {
    lines: BTreeMap<Line, Timestamp>,
    /// Few have one in a simulation.
    bodies: BTreeMap<Line, Box<[u8]>>,
}

/// A host's report.
#[derive(Clone, PartialEq, Eq)]
struct Line(HostId, Report);

impl Ord for Line {
    /// The order of `<host>/<report>` as text.
    fn cmp(&self, other: &Line) -> Ordering {
        let attempts = |one: u16, two: u16| {
            // "10-o" comes before "2-o", and "1-o" before "10-o": `-` comes before every digit.
            if one == two { Ordering::Equal } else { one.to_string().cmp(&two.to_string()) }
        };
        self.0
            .cmp(&other.0)
            .then_with(|| attempts(self.1.attempt, other.1.attempt))
            .then_with(|| self.1.state.letter().cmp(&other.1.state.letter()))
            .then_with(|| match (&self.1.state, &other.1.state) {
                (State::Ok, State::Ok) => Ordering::Equal,
                (State::Started(_), State::Started(_)) if self.1 == other.1 => Ordering::Equal,
                _ => self.1.to_string().cmp(&other.1.to_string()),
            })
    }
}

impl PartialOrd for Line {
    fn partial_cmp(&self, other: &Line) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Shelves {
    pub(super) fn shelf(&mut self, rollout: &str, shard: &str) -> &mut Shelf {
        self.at(format!("{rollout}/{shard}/"))
    }

    pub(super) fn at(&mut self, shelf: String) -> &mut Shelf {
        self.0.entry(shelf).or_default()
    }

    pub(super) fn get(&self, shelf: &str) -> Option<&Shelf> {
        self.0.get(shelf)
    }

    /// A page of a shard, from after `after`, which is what this gave as the next.
    pub(super) fn page(&self, rollout: &str, shard: &str, after: Option<&str>) -> (Vec<Evidence>, Option<String>) {
        let Some(shelf) = self.get(&format!("{rollout}/{shard}/")) else { return (Vec::new(), None) };
        let from = match after.and_then(Names::read_evidence) {
            Some((host, report)) => Bound::Excluded(Line(host, report)),
            None => Bound::Unbounded,
        };
        let mut lines = shelf.lines.range((from, Bound::Unbounded));
        let one =
            |(Line(host, report), at): (&Line, &Timestamp)| Evidence { host: *host, report: report.clone(), at: *at };
        // A simulation reads some billions of them: a list that grows step by step is an eighth of what that takes.
        let mut found = Vec::with_capacity(PAGE.min(shelf.lines.len()));
        found.extend(lines.by_ref().take(PAGE).map(one));
        let more = lines.next().is_some();
        let next = found.last().filter(|_| more).map(|last| format!("{}/{}", last.host, last.report));
        (found, next)
    }

    /// Every key, below `root`, in order.
    pub(super) fn keys(&self, root: &str) -> impl Iterator<Item = (String, Timestamp)> {
        self.0.iter().flat_map(move |(name, shelf)| {
            shelf.lines.iter().map(move |(Line(host, report), at)| (format!("{root}{name}{host}/{report}"), *at))
        })
    }
}

impl Shelf {
    /// Whether it is new, or `over` what is there it may be written.
    pub(super) fn add(&mut self, host: HostId, report: Report, body: &[u8], at: Timestamp, over: bool) -> bool {
        let line = Line(host, report);
        if !over && self.lines.contains_key(&line) {
            return false;
        }
        if body.is_empty() {
            self.bodies.remove(&line);
        } else {
            self.bodies.insert(line.clone(), body.into());
        }
        self.lines.insert(line, at);
        true
    }

    pub(super) fn body(&self, host: HostId, report: &Report) -> Option<Vec<u8>> {
        let line = Line(host, report.clone());
        self.lines.get(&line)?;
        Some(self.bodies.get(&line).map(|body| body.to_vec()).unwrap_or_default())
    }

    pub(super) fn remove(&mut self, host: HostId, report: &Report) {
        let line = Line(host, report.clone());
        self.lines.remove(&line);
        self.bodies.remove(&line);
    }
}
