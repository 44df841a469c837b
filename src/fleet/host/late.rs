//! What was well and is not any more.

use super::memory::Begun;
use super::{Host, Switched};
use crate::fleet::evidence::Code;

impl Host {
    /// What the host had switched to, watched and reported as well has failed after all, and it runs again what it ran
    /// before. It says so, and does not try the release again. `false`: the rollout that it knows is of another release.
    pub fn failed_late(&mut self, code: Code) -> bool {
        let (Some(head), Some(turn), Some(target)) = (self.head.clone(), self.turn, self.target().map(str::to_owned))
        else {
            return false;
        };
        if self.memory.begun.is_some() || target != head.release {
            return false;
        }
        self.memory.begun = Some(Box::new(Begun {
            rollout: head.rollout.clone(),
            release: target,
            attempt: head.attempt,
            place: turn.place,
            shards: head.shards,
            ok_sample: 1000,
            hold_on_failure: false,
        }));
        self.finish(Switched::RolledBack(code));
        self.known = None;
        true
    }
}
