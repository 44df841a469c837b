//! What became of the hosts of a rollout, one by one.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Desk, RolloutError};
use crate::clock::Timestamp;
use crate::fleet::cohort::HostId;
use crate::fleet::evidence::{Code, Evidence, Place, State};
use crate::fleet::head::Head;

/// A host, as its evidence tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Which.
    pub host: HostId,
    /// What its operator calls it, where its inventory was read.
    pub name: Option<String>,
    /// How far it is.
    pub state: Word,
    /// Where it started.
    pub place: Option<Place>,
    /// Why it is bad or declined.
    pub code: Option<Code>,
    /// In which try.
    pub attempt: u16,
    /// When it said so.
    pub at: Timestamp,
}

/// How far a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Its operator stops the rollout.
    Stop,
    /// It was rolled back, or is unhealthy.
    Bad,
    /// It started, and has said nothing for longer than the deadline.
    Overdue,
    /// It has started.
    Started,
    /// The release serves well.
    Ok,
    /// It takes the release not.
    Declined,
}

impl Word {
    /// All of them.
    pub const ALL: [Word; 6] = [Word::Bad, Word::Overdue, Word::Started, Word::Ok, Word::Declined, Word::Stop];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Word::Stop => "stop",
            Word::Bad => "bad",
            Word::Overdue => "overdue",
            Word::Started => "started",
            Word::Ok => "ok",
            Word::Declined => "declined",
        }
    }
}

/// The hosts that have said anything in a rollout, worst first. Of each what counts: the newest try, and in it what
/// outweighs the rest.
pub fn hosts(desk: &mut Desk<'_>, head: &Head) -> Result<Vec<Host>, RolloutError> {
    let evidence = desk.evidence(&head.rollout, head.shards)?;
    let now = desk.now();
    Ok(join(&evidence, head.gate.deadline_s, now))
}

/// The same of one host; `None` if it has said nothing.
pub fn host(desk: &mut Desk<'_>, head: &Head, host: HostId) -> Result<Option<Host>, RolloutError> {
    let evidence = desk.evidence_of(head, host)?;
    let now = desk.now();
    Ok(join(&evidence, head.gate.deadline_s, now).pop())
}

fn join(evidence: &[Evidence], deadline_s: u64, now: Timestamp) -> Vec<Host> {
    let mut last: BTreeMap<HostId, &Evidence> = BTreeMap::new();
    let mut places: BTreeMap<(HostId, u16), Place> = BTreeMap::new();
    let rank = |evidence: &Evidence| (evidence.report.attempt, evidence.report.state.rank());
    for one in evidence {
        if let State::Started(place) = one.report.state {
            places.insert((one.host, one.report.attempt), place);
        }
        let kept = last.entry(one.host).or_insert(one);
        if rank(one) > rank(kept) {
            *kept = one;
        }
    }
    let host = |one: &Evidence| {
        let (state, code) = match &one.report.state {
            State::Started(_) if now.since(one.at).as_secs() > deadline_s => (Word::Overdue, None),
            State::Started(_) => (Word::Started, None),
            State::Ok => (Word::Ok, None),
            State::Bad(code) => (Word::Bad, Some(code.clone())),
            State::Declined(code) => (Word::Declined, Some(code.clone())),
            State::Stop(code) => (Word::Stop, Some(code.clone())),
        };
        let attempt = one.report.attempt;
        let place = places.get(&(one.host, attempt)).copied();
        Host { host: one.host, name: None, state, place, code, attempt, at: one.at }
    };
    let mut hosts: Vec<Host> = last.into_values().map(host).collect();
    hosts.sort_by_key(|host| (host.state, host.at, host.host));
    hosts
}

/// Looks up what the first `most` of them are called.
pub fn name(desk: &mut Desk<'_>, head: &Head, hosts: &mut [Host], most: usize) -> Result<(), RolloutError> {
    for host in hosts.iter_mut().take(most) {
        let key = desk.names.inventory(&host.host.shard(head.shards), host.host);
        let said = desk.inventory(&key)?;
        host.name = said.and_then(|said| said["name"].as_str().map(str::to_owned));
    }
    Ok(())
}
