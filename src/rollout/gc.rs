//! Removing what old rollouts have left.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::desk::failed;
use super::{Desk, RolloutError};
use crate::clock::Timestamp;
use crate::fleet::store::{Request, What};

/// The most keys of a kind that are looked at in one go.
const MOST: usize = 200_000;

/// What can be removed of one rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Old {
    /// The rollout.
    pub rollout: String,
    /// When the newest of it was written.
    pub last: Timestamp,
    /// The keys: evidence, roll-ups, latches. Plans stay: they are small, and say what happened.
    #[serde(skip)]
    pub keys: Vec<String>,
    /// How many keys there are.
    pub objects: usize,
}

/// What rollouts other than the current one have left, of which nothing was written for `older`.
pub fn old(desk: &mut Desk<'_>, older: Duration) -> Result<Vec<Old>, RolloutError> {
    let current = current(desk)?;
    let now = desk.now();
    let mut all: BTreeMap<String, Old> = BTreeMap::new();
    let rollouts = desk.names.rollouts();
    let of = |kind: &str| format!("{}{kind}", rollouts.strip_suffix("ro/").unwrap_or_default());
    for prefix in ["ev/", "agg/", "latch/"].map(of) {
        for (key, at) in desk.keys(&prefix, MOST)? {
            let Some((rollout, _)) = key[prefix.len()..].split_once('/') else { continue };
            let entry = all.entry(rollout.to_owned()).or_insert_with(|| Old {
                rollout: rollout.to_owned(),
                last: at,
                keys: Vec::new(),
                objects: 0,
            });
            entry.last = entry.last.max(at);
            entry.keys.push(key);
            entry.objects += 1;
        }
    }
    let done = |old: &Old| !current.contains(&old.rollout) && now.since(old.last) > older;
    Ok(all.into_values().filter(done).collect())
}

/// The rollouts that go on, of all products and channels: evidence does not say whose it is. Who signed a head is not
/// asked: what it names is kept.
fn current(desk: &mut Desk<'_>) -> Result<Vec<String>, RolloutError> {
    let prefix = desk.names.rollouts();
    let prefix = format!("{}head/", prefix.strip_suffix("ro/").unwrap_or_default());
    let mut rollouts = Vec::new();
    for (key, _) in desk.keys(&prefix, MOST)? {
        let head = desk.inventory(&key)?;
        rollouts.extend(head.and_then(|head| head["rollout"].as_str().map(str::to_owned)));
    }
    Ok(rollouts)
}

/// Removes them, and says how many objects are gone. What is gone already is as good.
pub fn remove(desk: &mut Desk<'_>, old: &[Old]) -> Result<usize, RolloutError> {
    let mut gone = 0;
    for key in old.iter().flat_map(|old| &old.keys) {
        let Some((_, tag)) = desk.get(key, 1024 * 1024)? else { continue };
        match desk.ask(Request::Delete { key: key.clone(), tag }) {
            What::Gone | What::Absent => gone += 1,
            // Somebody writes to it: it is not as old as it seemed.
            What::Conflict => {}
            what => return Err(failed("removed", key, what)),
        }
    }
    Ok(gone)
}
