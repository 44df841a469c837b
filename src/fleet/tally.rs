//! What evidence comes to: per host what counts of all that it has said. Any order, any number of times, the same result.

use std::collections::HashMap;

use super::cohort::HostId;
use super::evidence::{Code, Evidence, Place, State};
use super::rollup::Shard;
use crate::clock::Timestamp;

/// The hosts of a shard.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    hosts: HashMap<HostId, Said>,
}

/// What a host has said in the newest of its tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Which try.
    pub attempt: u16,
    /// Where it started, and when that was taken by the store.
    pub started: Option<(Place, Timestamp)>,
    /// When the store first took anything that says it has started: `s`, `o` or `b`.
    pub first: Option<Timestamp>,
    /// It is well.
    pub ok: bool,
    /// It is bad: why, and since when.
    pub bad: Option<Box<(Code, Timestamp)>>,
    /// It will not take it.
    pub declined: bool,
    /// Its operator stops the rollout, and since when.
    pub stop: Option<Timestamp>,
    /// It says that it started from two places: two machines with one id.
    pub twice: bool,
}

impl Said {
    fn nothing(attempt: u16) -> Said {
        Said { attempt, started: None, first: None, ok: false, bad: None, declined: false, stop: None, twice: false }
    }

    /// Whether it has nothing more to say.
    pub fn is_final(&self) -> bool {
        self.ok || self.bad.is_some() || self.declined
    }

    /// Whether it counts as started: whoever says how it went has started, and one that declined has not.
    pub fn has_started(&self) -> bool {
        self.bad.is_some() || self.ok || (self.started.is_some() && !self.declined)
    }

    /// Whether it has been silent for longer than `deadline_s` at `now`, of the time after `heard`: from then on whoever
    /// had something to say could.
    pub fn is_overdue(&self, deadline_s: u64, now: Timestamp, heard: Timestamp) -> bool {
        let since = |(_, at): (Place, Timestamp)| now.0.saturating_sub(at.max(heard).0) > deadline_s;
        !self.is_final() && self.started.is_some_and(since)
    }
}

impl Tally {
    /// Takes a piece of evidence in.
    pub fn add(&mut self, evidence: &Evidence) {
        let attempt = evidence.report.attempt;
        let said = self.hosts.entry(evidence.host).or_insert_with(|| Said::nothing(attempt));
        if attempt < said.attempt {
            return;
        }
        if attempt > said.attempt {
            // A stop is not undone by another try.
            *said = Said { stop: said.stop, ..Said::nothing(attempt) };
        }
        if matches!(evidence.report.state, State::Started(_) | State::Ok | State::Bad(_)) {
            said.first = Some(said.first.map_or(evidence.at, |first| first.min(evidence.at)));
        }
        match &evidence.report.state {
            State::Started(place) => match &mut said.started {
                None => said.started = Some((*place, evidence.at)),
                Some((known, at)) => {
                    said.twice |= known != place;
                    // Whatever comes first: the smaller place and the earlier time, in any order.
                    *known = (*known).min(*place);
                    *at = (*at).min(evidence.at);
                }
            },
            State::Ok => said.ok = true,
            State::Bad(code) => {
                let new = (code.clone(), evidence.at);
                if said.bad.as_deref().is_none_or(|old| (new.1, new.0.as_str()) < (old.1, old.0.as_str())) {
                    said.bad = Some(Box::new(new));
                }
            }
            State::Declined(_) => said.declined = true,
            State::Stop(_) => {
                said.stop = Some(said.stop.map_or(evidence.at, |at| at.min(evidence.at)));
            }
        }
    }

    /// Every host, in no order.
    pub fn hosts(&self) -> impl Iterator<Item = (&HostId, &Said)> {
        self.hosts.iter()
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// How many have started and how many are bad, of what was said before `until`; without those in `exclude`.
    pub fn shard(&self, exclude: &[HostId], until: Timestamp) -> Shard {
        let mut shard = Shard { started: 0, bad: 0, as_of: until };
        for (_, said) in self.hosts.iter().filter(|(host, _)| !exclude.contains(host)) {
            shard.started += u64::from(said.has_started() && said.first.is_some_and(|first| first < until));
            shard.bad += u64::from(said.bad.as_ref().is_some_and(|bad| bad.1 < until));
        }
        shard
    }

    /// How many have ever said that they started: also those that declined afterwards.
    pub fn ever_started(&self, exclude: &[HostId]) -> u64 {
        self.hosts.iter().filter(|(host, said)| said.first.is_some() && !exclude.contains(host)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(host: &str, report: &str, at: u64) -> Evidence {
        Evidence { host: HostId::named(host), report: report.parse().unwrap(), at: Timestamp(at) }
    }

    #[test]
    fn evidence_comes_to_the_same_in_any_order_and_any_number_of_times() {
        let all = [
            evidence("a", "1-s-r0k0", 10),
            evidence("a", "1-o", 20),
            evidence("a", "1-b-handoff.exited", 30),
            evidence("b", "1-s-r0k1", 11),
            evidence("b", "1-b-x", 12),
            evidence("b", "2-s-r0k1", 40),
            evidence("c", "1-s-r0k0", 5),
            evidence("c", "1-s-r0k1", 6),
            evidence("d", "1-d-pinned", 6),
        ];
        let tally = |order: &[usize]| {
            let mut tally = Tally::default();
            order.iter().for_each(|n| tally.add(&all[*n]));
            let mut hosts: Vec<(HostId, Said)> = tally.hosts().map(|(host, said)| (*host, said.clone())).collect();
            hosts.sort_by_key(|(host, _)| *host);
            hosts
        };
        let forth = tally(&[0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(tally(&[8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 4, 8]), forth);
        assert_eq!(tally(&[5, 0, 4, 2, 7, 1, 3, 6, 8, 5]), forth);
        let mut tally = Tally::default();
        all.iter().for_each(|one| tally.add(one));
        let until = |at| tally.shard(&[], Timestamp(at));
        assert_eq!((until(41).started, until(41).bad, until(30).bad, until(6).started), (3, 1, 0, 1));
        assert_eq!(tally.shard(&[HostId::named("a")], Timestamp(99)).bad, 0, "excluded");
        assert_eq!(tally.hosts().filter(|(_, said)| said.twice).count(), 1);
        let silent = |now| tally.hosts().filter(|(_, said)| said.is_overdue(30, Timestamp(now), Timestamp(0))).count();
        assert_eq!((silent(36), silent(71)), (1, 2));
        assert!(
            tally.hosts().all(|(_, said)| !said.is_overdue(30, Timestamp(99), Timestamp(70))),
            "the store was away"
        );
    }
}
