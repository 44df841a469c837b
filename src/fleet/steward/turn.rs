//! When a steward works beside the host that it runs on.

use crate::clock::Timestamp;

/// A turn of a steward, between two polls of its host: it works while the host has nothing to do, and carries one request out
/// whatever the host has.
///
/// A host that polls every second has something due again before its steward has begun, where a request takes that long:
/// nobody would count, and a rollout would wait for a roll-up that never comes (`a_steward_counts_beside_a_host_that_always_polls`).
#[derive(Debug, Default)]
pub struct Turn {
    begun: bool,
}

impl Turn {
    /// Whether it may take another step at `now`, where the host has something to do from `due` on.
    pub fn goes_on(&mut self, now: Timestamp, due: Timestamp) -> bool {
        !std::mem::replace(&mut self.begun, true) || now < due
    }
}
