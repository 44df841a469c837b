//! The roll-up: what the evidence of a rollout comes to, as stewards write it and hosts read it at the gate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cohort::{HostId, Shards};
use super::evidence::{Code, Place};
use crate::clock::Timestamp;
use crate::failure::Exit;
use crate::trust::{Refused, strict_json};

/// The largest roll-up that is read, in bytes.
pub const MAX_FILE: usize = 512 * 1024;

/// The most bad hosts that are listed.
pub const MOST_BAD: usize = 50;

/// What is known of a rollout. Two of the same rollout can be merged; the order does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollup {
    /// The layout, 1.
    pub v: u8,
    /// The rollout.
    pub rollout: String,
    /// The attempt that is counted; hosts of earlier ones count as they were.
    pub attempt: u16,
    /// Rises with every write.
    pub seq: u64,
    /// New with every write.
    pub nonce: String,
    /// When the evidence was read, by the store's clock: the oldest of its shards.
    pub as_of: Timestamp,
    /// The rings, each with its steps.
    pub rings: Vec<Vec<Count>>,
    /// By shard: how many hosts of it have started, and how many are bad.
    pub shards: BTreeMap<String, Shard>,
    /// Bad hosts, at most [`MOST_BAD`].
    #[serde(default)]
    pub bad: Vec<Bad>,
    /// Hosts seen with two boots at once: clones of one image.
    #[serde(default)]
    pub clones: u64,
    /// A host's operator stops the rollout.
    #[serde(default)]
    pub stops: u64,
}

/// The hosts of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Started, whatever became of them.
    pub started: u64,
    /// Of these: well. Where only a sample says so, the others are taken to be as well as those.
    pub ok: u64,
    /// Of these: bad.
    pub bad: u64,
    /// Of these: silent for longer than the deadline.
    pub overdue: u64,
    /// Will not take it.
    #[serde(default)]
    pub declined: u64,
    /// When the step had passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_at: Option<Timestamp>,
}

/// What a shard's evidence comes to, for whoever compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Hosts that have started.
    pub started: u64,
    /// Hosts that are bad.
    pub bad: u64,
    /// When it was read.
    pub as_of: Timestamp,
}

/// A bad host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// Which.
    pub host: HostId,
    /// Where it started.
    pub place: Option<Place>,
    /// Why, in the code of the failure; `silent` for one that is overdue.
    pub code: Code,
    /// When it was reported.
    pub at: Timestamp,
}

impl Count {
    /// Bad and overdue.
    pub fn failed(&self) -> u64 {
        // Nobody signs a roll-up: its figures may be anything.
        self.bad.saturating_add(self.overdue)
    }

    /// Well, and not said to be anything else.
    pub fn well(&self) -> u64 {
        self.ok.min(self.started.saturating_sub(self.failed()))
    }

    /// The two together.
    #[must_use]
    pub fn plus(&self, other: &Count) -> Count {
        Count {
            started: self.started.saturating_add(other.started),
            ok: self.ok.saturating_add(other.ok),
            bad: self.bad.saturating_add(other.bad),
            overdue: self.overdue.saturating_add(other.overdue),
            declined: self.declined.saturating_add(other.declined),
            passed_at: None,
        }
    }
}

impl Rollup {
    /// Reads a roll-up. Nobody signs it, so all of it is a claim: it can delay a rollout, and hasten it no further than
    /// the signed schedule. Fails with `rollup.malformed`.
    pub fn read(file: &[u8]) -> Result<Rollup, Refused> {
        let malformed =
            |why: &str| Refused::new("rollup.malformed", Exit::Content, format!("the roll-up is malformed: {why}"));
        if file.len() > MAX_FILE {
            return Err(malformed(&format!("it is {} bytes long, the limit is {MAX_FILE}", file.len())));
        }
        let value = strict_json(file, 6).map_err(|why| malformed(&why))?;
        let rollup = Rollup::deserialize(value).map_err(|error| malformed(&error.to_string()))?;
        if rollup.v != 1 {
            return Err(malformed("only layout 1 is known"));
        }
        Ok(rollup)
    }

    /// One that knows nothing yet.
    pub fn empty(rollout: &str, attempt: u16, nonce: String, as_of: Timestamp, steps: &[usize]) -> Rollup {
        Rollup {
            v: 1,
            rollout: rollout.to_owned(),
            attempt,
            seq: 0,
            nonce,
            as_of,
            rings: steps.iter().map(|steps| vec![Count::default(); *steps]).collect(),
            shards: BTreeMap::new(),
            bad: Vec::new(),
            clones: 0,
            stops: 0,
        }
    }

    /// Whether its figures are those of its shards together, and each of `shards` was read at `as_of` or later.
    ///
    /// Every host asks before it starts, so no name of a shard is written out for it.
    pub fn is_consistent(&self, shards: Shards) -> bool {
        let (mut started, mut bad, mut read) = (0_u64, 0_u64, 0);
        for (name, shard) in &self.shards {
            started = started.saturating_add(shard.started);
            bad = bad.saturating_add(shard.bad);
            // One that was read before 1970 would make every look at the evidence agree.
            read += u32::from(shards.has(name) && shard.as_of >= self.as_of);
        }
        let total = self.total();
        (total.started, total.bad, read) == (started, bad, u32::from(shards.count()))
    }

    /// A ring, all of its steps together.
    pub fn ring(&self, ring: usize) -> Count {
        self.rings
            .get(ring)
            .map_or_else(Count::default, |steps| steps.iter().fold(Count::default(), |all, step| all.plus(step)))
    }

    /// Everything.
    pub fn total(&self) -> Count {
        (0..self.rings.len()).fold(Count::default(), |all, ring| all.plus(&self.ring(ring)))
    }

    /// What is known of a step.
    pub fn step(&self, place: Place) -> Option<&Count> {
        self.rings.get(usize::from(place.ring))?.get(usize::from(place.step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roll_up_agrees_with_itself_or_nobody_goes_by_it() {
        let shards = Shards::try_from(16).unwrap();
        let mut good = Rollup::empty("r-1", 1, String::new(), Timestamp(100), &[2]);
        good.rings[0] =
            vec![Count { started: 10, bad: 1, ..Count::default() }, Count { started: 22, bad: 0, ..Count::default() }];
        good.shards = shards.all().map(|name| (name, Shard { started: 2, bad: 0, as_of: Timestamp(100) })).collect();
        good.shards.get_mut("0").unwrap().bad = 1;
        assert!(good.is_consistent(shards));
        let with = |change: fn(&mut Rollup)| {
            let mut rollup = good.clone();
            change(&mut rollup);
            rollup.is_consistent(shards)
        };
        assert!(!with(|rollup| rollup.rings[0][0].started = 9), "fewer than in the shards");
        assert!(!with(|rollup| rollup.rings[0][1].bad = 1), "more");
        assert!(!with(|rollup| rollup.shards.get_mut("f").unwrap().as_of = Timestamp(99)), "one is older than it says");
        let renamed = |rollup: &mut Rollup| {
            let shard = rollup.shards.remove("a").unwrap();
            rollup.shards.insert("aa".to_owned(), shard);
        };
        assert!(!with(renamed), "one is missing");
        assert!(!good.is_consistent(Shards::try_from(256).unwrap()));
    }
}
