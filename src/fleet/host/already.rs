//! A host that runs the release of a rollout before its turn has come.

use super::Host;
use super::memory::Unsent;
use crate::clock::Timestamp;
use crate::fleet::evidence::{Report, State};
use crate::fleet::head::Head;
use crate::fleet::plan::Phase;
use crate::fleet::rule;
use crate::fleet::times::part;

impl Host {
    /// Says, once its turn has come, that it has started and is well. Where most hosts run a release already, as on the way
    /// back from one that halted, nobody would start otherwise, and the few that wait for the next step would wait for
    /// ever. `Some`: it is to look again then.
    pub(super) fn has_it_already(&mut self, head: &Head) -> Option<Timestamp> {
        let turn = self.turn?;
        let told = |of: &(String, u16)| of.0 == head.rollout && of.1 == head.attempt;
        let switched = self.memory.well.as_ref().is_some_and(|well| well.rollout == head.rollout);
        let meant = self.target() == Some(head.release.as_str());
        if head.state != Phase::Running || !meant || switched || self.memory.told.as_ref().is_some_and(told) {
            return None;
        }
        let (ring, step) = (usize::from(turn.place.ring), usize::from(turn.place.step));
        let mut at = rule::floor(head, ring, step);
        let ramp = head.steps_of(ring)[step].ramp_s;
        at.0 = at.0.saturating_add(part(turn.within, ramp));
        if self.clock().earlier() < at {
            return Some(at);
        }
        let well = self.me.id.says_ok(&head.rollout, head.attempt, head.ok_sample);
        let mut say = |state| {
            let report = Report { attempt: head.attempt, state };
            let (rollout, shards) = (head.rollout.clone(), head.shards);
            self.queue(Unsent { rollout, shards, report, at: self.seen, words: None });
        };
        say(State::Started(turn.place));
        if well {
            say(State::Ok);
        }
        self.memory.told = Some((head.rollout.clone(), head.attempt));
        None
    }
}
