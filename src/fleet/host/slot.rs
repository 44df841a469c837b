//! A slot of the host's group: found, taken, renewed, given back, or kept by a host that is broken.

use super::decide::Next;
use super::memory::{Fate, Held};
use super::poll::nonsense;
use super::{Host, Looked, Stage, Word};
use crate::clock::Timestamp;
use crate::fleet::head::Head;
use crate::fleet::lease::{self, Slot};
use crate::fleet::store::{Request, What};

/// How many slots are looked at before the host waits.
const TRIES: u8 = 4;

/// The longest wait for a slot, in seconds.
const LONGEST_WAIT: u64 = 600;

/// For how long a broken host keeps its slot, in seconds: 30 days, after which its evidence is gone as well.
const KEPT: u64 = 30 * 86_400;

impl Host {
    /// What is to be done for a slot; `None` if none is needed, or there is one for long enough.
    pub(super) fn slot(&mut self, head: &Head) -> Option<Next> {
        let plan = head.lease.as_ref()?;
        let Some(group) = lease::group(&plan.group, &self.me.labels) else {
            return Some(Next::Wait(Word::Held, Some("fleet.bad_group"), None));
        };
        if let Some(held) = &mut self.memory.held {
            if held.group != group || held.number >= plan.slots {
                held.fate = Fate::Free;
                self.changed = true;
                // Not before that can be tried again.
                let at = Timestamp(self.send_at.max(self.seen).0.saturating_add(5));
                return Some(Next::Wait(Word::WaitsForSlot, None, Some(at)));
            }
            // Another try of a host that was broken: it still has its slot.
            held.fate = Fate::Used;
            let until = held.slot.until.0;
            // By the clock that `until` was written with: by another it might never be long enough.
            let ends = self.clock().store().0.saturating_add(self.me.max_switch_s);
            let number = self.memory.held.as_ref().map(|held| held.number)?;
            if ends < until {
                return None;
            }
            if self.fresh.slots >= TRIES {
                let at = Timestamp(self.seen.0.saturating_add(60));
                return Some(Next::Wait(Word::WaitsForSlot, None, Some(at)));
            }
            self.fresh.slots += 1;
            return Some(Next::Go(Stage::Look(number)));
        }
        if self.fresh.slots >= TRIES || u32::from(self.fresh.slots) >= plan.slots {
            self.slot_failures = self.slot_failures.saturating_add(1);
            let limit = 30_u64.saturating_mul(1 << self.slot_failures.min(10)).min(LONGEST_WAIT);
            let at = Timestamp(self.in_up_to(limit).0.saturating_add(5));
            return Some(Next::Wait(Word::WaitsForSlot, None, Some(at)));
        }
        let first = self.fresh.head.map_or(0, |at| at.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of slots")]
        let first = (self.lot(first ^ 0x510E5) * f64::from(plan.slots)) as u32;
        Some(Next::Go(Stage::Look((first + u32::from(self.fresh.slots)) % plan.slots)))
    }

    fn group(&self) -> Option<String> {
        lease::group(&self.head.as_ref()?.lease.as_ref()?.group, &self.me.labels)
    }

    pub(super) fn look(&self, number: u32) -> Option<Request> {
        let key = self.me.names.lease(&self.group()?, number);
        Some(Request::Get { key, unless: None, limit: lease::MAX_FILE as u64 })
    }

    pub(super) fn take_look(&mut self, number: u32, what: What) {
        let (slot, tag) = match what {
            What::Object { body, tag } => (Slot::read(&body), Some(tag)),
            What::Absent => (Slot::read(&[]), None),
            What::Failed(trouble) => return self.failed(&trouble),
            _ => return self.nonsense(),
        };
        // A slot with this host's id in it is its own only if it is the one it has written: a clone has the same id.
        let written = self.memory.held.as_ref().is_some_and(|held| held.slot.nonce == slot.nonce);
        let mine = written || self.tried.as_deref() == Some(slot.nonce.as_str());
        let stranger = crate::fleet::HostId([0; 16]);
        if !mine && !slot.is_free_for(stranger, self.clock().earlier()) && !slot.is_nonsense(self.clock().later()) {
            return self.next_slot();
        }
        let ends = self.me.max_switch_s.saturating_mul(2).saturating_add(120);
        let until = Timestamp(self.clock().store().0.saturating_add(ends));
        let taken = slot.taken(self.me.id, until, self.nonce("lease"));
        self.looked = Some(Box::new(Looked { slot, tag, taken }));
        self.stage = Stage::Take(number);
    }

    fn next_slot(&mut self) {
        self.forget_slot();
        self.fresh.slots = self.fresh.slots.saturating_add(1);
        self.decide();
    }

    fn forget_slot(&mut self) {
        if self.memory.held.take().is_some() {
            self.changed = true;
        }
    }

    pub(super) fn taking(&self, number: u32) -> Option<Request> {
        let looked = self.looked.as_deref()?;
        let (key, body) = (self.me.names.lease(&self.group()?, number), looked.taken.to_body());
        Some(match &looked.tag {
            None => Request::Create { key, body },
            Some(tag) => Request::Replace { key, body, tag: tag.clone() },
        })
    }

    pub(super) fn take_slot(&mut self, number: u32, what: What) {
        let tag = match what {
            What::Written(tag) => tag,
            // Somebody was faster.
            What::Conflict | What::Absent => return self.next_slot(),
            What::Failed(trouble) => {
                // It may have been written all the same.
                self.tried = self.looked.take().map(|looked| looked.taken.nonce.into());
                return self.failed(&trouble);
            }
            _ => return self.nonsense(),
        };
        let (Some(looked), Some(group), Some(head)) = (self.looked.take(), self.group(), &self.head) else {
            return self.nonsense();
        };
        debug_assert!(looked.taken.seq > looked.slot.seq || looked.slot.seq == u64::MAX);
        let rollout = head.rollout.clone();
        self.memory.held = Some(Box::new(Held { rollout, group, number, slot: looked.taken, tag, fate: Fate::Used }));
        self.slot_failures = 0;
        self.changed = true;
        self.decide();
    }

    /// Whether something is still to be written: evidence, or what becomes of a slot.
    pub(super) fn owes(&self) -> bool {
        let settles = |held: &Held| matches!(held.fate, Fate::Free | Fate::Keep);
        !self.memory.unsent.is_empty() || self.memory.held.as_deref().is_some_and(settles)
    }

    pub(super) fn settling(&mut self) -> Option<Request> {
        let nonce = self.nonce("lease");
        let until = Timestamp(self.clock().store().0.saturating_add(KEPT));
        let held = self.memory.held.as_deref()?;
        let key = self.me.names.lease(&held.group, held.number);
        let Some(tag) = held.tag.clone() else {
            return Some(Request::Get { key, unless: None, limit: lease::MAX_FILE as u64 });
        };
        let slot = match held.fate {
            Fate::Free => held.slot.freed(nonce),
            Fate::Keep => held.slot.taken(self.me.id, until, nonce),
            Fate::Used | Fate::Kept => return None,
        };
        let body = slot.to_body();
        self.looked = Some(Box::new(Looked { slot: held.slot.clone(), tag: Some(tag.clone()), taken: slot }));
        Some(Request::Replace { key, body, tag })
    }

    pub(super) fn take_settled(&mut self, what: What) {
        self.stage = Stage::Rest;
        let written = self.looked.take();
        let Some(held) = &mut self.memory.held else { return };
        match what {
            What::Object { body, tag } if Slot::read(&body).nonce == held.slot.nonce => held.tag = Some(tag),
            // Somebody else has it by now.
            What::Object { .. } | What::Absent | What::Conflict => self.forget_slot(),
            What::Written(tag) => match (held.fate, written) {
                (Fate::Keep, Some(written)) => {
                    (held.slot, held.tag, held.fate) = (written.taken, tag, Fate::Kept);
                    self.changed = true;
                }
                _ => self.forget_slot(),
            },
            What::Failed(trouble) => self.send_later(&trouble),
            _ => self.send_later(&nonsense()),
        }
    }
}
