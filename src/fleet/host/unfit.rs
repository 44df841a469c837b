//! What is bad before it was begun.

use super::memory::Begun;
use super::{Host, Switched};
use crate::fleet::evidence::Code;

impl Host {
    /// The release is bad on this host, and nothing was begun with it: it is not what was signed, or failed its smoke run.
    /// The fleet hears of it, and the host does not try it again. `false`: the rollout that it knows is of another release.
    pub fn unfit(&mut self, code: Code) -> bool {
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
            starts: 0,
        }));
        self.finish(Switched::RolledBack(code));
        self.known = None;
        true
    }
}
