//! A poll that is known to find nothing new: for a simulation, in which most of them do.

use super::{Documents, Host, Stage};
use crate::clock::Timestamp;
use crate::fleet::store::{Reply, What};

impl Host {
    /// Does what [`Host::next`], a read of the head that is answered with "unchanged", and [`Host::replied`] do, without
    /// the request: `now` by the host's own clock, `date` by the store's. `false`, and nothing is done, where the time has
    /// come for something else, or where a head would be read whole.
    pub fn polled_unchanged(&mut self, now: Timestamp, date: Timestamp, documents: &dyn Documents) -> bool {
        let due = self.poll_at <= now || self.event_at.is_some_and(|at| at <= now);
        let reads = self.stage == Stage::Rest && self.head.is_some() && self.tag.is_some();
        if !due || !reads || self.owes() || self.me.inventory_s > 0 {
            return false;
        }
        self.turn_clock(now);
        self.stage = Stage::Head;
        self.asked = true;
        self.replied(Reply { what: What::Unchanged, date: Some(date) }, now, documents);
        true
    }
}
