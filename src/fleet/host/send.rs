//! What a host says of itself: evidence that waits until it can be sent, and the inventory.

use super::memory::{Begun, Denied, Fate, Unsent, Words};
use super::poll::nonsense;
use super::{Host, Stage, Switched};
use crate::fleet::evidence::{Code, Report, State};
use crate::fleet::inventory::Inventory;
use crate::fleet::store::{Request, Trouble, What};

/// The most evidence that is kept, and the most releases that are not tried again: a host has one rollout at a time.
const MOST: usize = 64;

/// The longest that a store may put evidence off, in seconds.
const LONGEST_SILENCE: u64 = 240;

impl Host {
    /// What the driver has to say about the end of a switch that it tells next, for people: a sentence, and after a line
    /// feed the end of what the program wrote.
    pub fn remark(&mut self, text: &str) {
        self.words = Some(Box::new(Words::of(text)));
    }

    /// Remembers how a switch ended, and what is to be said of it.
    pub(super) fn finish(&mut self, how: Switched) {
        let Some(begun) = self.memory.begun.take() else { return };
        self.changed = true;
        let mut fate = Fate::Free;
        match how {
            Switched::Well => {
                self.now_runs(&begun);
                self.memory.well = Some(begun.clone());
                if self.me.id.says_ok(&begun.rollout, begun.attempt, f64::from(begun.ok_sample) / 1000.0) {
                    self.owe(&begun, State::Ok);
                }
            }
            Switched::RolledBack(code) => {
                self.deny(&begun, &code);
                self.owe(&begun, State::Bad(code));
                if begun.hold_on_failure {
                    fate = Fate::Keep;
                }
            }
            Switched::Declined(code) => {
                self.deny(&begun, &code);
                self.owe(&begun, State::Declined(code));
            }
            Switched::Interrupted => {
                // Somebody is left to tell: it killed neither the supervisor nor the machine.
                let starts = begun.starts.saturating_sub(1);
                let begun = Box::new(Begun { starts, ..*begun });
                // What runs now is asked, and until then nothing else is known.
                self.memory.begun = Some(begun);
                self.known = None;
                return;
            }
        }
        if let Some(held) = &mut self.memory.held {
            held.fate = fate;
        }
    }

    /// What it came to last was well, and then did not hold: `b` outweighs the `o` that was said of it.
    pub(super) fn say_bad(&mut self, code: Code) {
        let Some(begun) = self.memory.well.take() else { return };
        self.deny(&begun, &code);
        self.owe(&begun, State::Bad(code));
        self.known = None;
        self.changed = true;
    }

    fn now_runs(&mut self, begun: &Begun) {
        let known = self.known.as_deref_mut().filter(|known| known.release == begun.release);
        match known.map(|known| &mut known.what) {
            Some(Ok(learned)) => {
                learned.runs = true;
                learned.running = None;
            }
            _ => self.known = None,
        }
    }

    fn deny(&mut self, begun: &Begun, code: &Code) {
        let (release, attempt) = (begun.release.clone(), begun.attempt);
        self.memory.denied.retain(|denied| denied.release != release);
        self.memory.denied.push(Denied { release, attempt, code: code.clone() });
        let many = self.memory.denied.len().saturating_sub(MOST);
        self.memory.denied.drain(..many);
    }

    fn owe(&mut self, begun: &Begun, state: State) {
        let report = Report { attempt: begun.attempt, state };
        let words = self.words.take();
        self.queue(Unsent { rollout: begun.rollout.clone(), shards: begun.shards, report, at: self.seen, words });
    }

    pub(super) fn queue(&mut self, unsent: Unsent) {
        self.memory.unsent.push(unsent);
        let many = self.memory.unsent.len().saturating_sub(MOST);
        self.memory.unsent.drain(..many);
        self.send_at = self.seen;
        self.changed = true;
    }

    /// The operator of this host stops the rollout, for everybody. `false` if it knows of none.
    pub fn stop(&mut self, code: Code) -> bool {
        let Some(head) = self.head.clone() else { return false };
        let report = Report { attempt: head.attempt, state: State::Stop(code) };
        let (rollout, shards) = (head.rollout.clone(), head.shards);
        self.queue(Unsent { rollout, shards, report, at: self.seen, words: None });
        true
    }

    pub(super) fn sending(&self) -> Option<Request> {
        let unsent = self.memory.unsent.first()?;
        Some(Request::Report {
            rollout: unsent.rollout.clone(),
            shard: self.me.id.shard(unsent.shards),
            host: self.me.id,
            report: unsent.report.clone(),
            body: self.body(unsent.at, unsent.words.as_deref()),
        })
    }

    pub(super) fn take_sent(&mut self, what: What) {
        self.stage = Stage::Rest;
        match what {
            What::Written(_) | What::Conflict => {
                if !self.memory.unsent.is_empty() {
                    self.memory.unsent.remove(0);
                }
                self.send_failures = 0;
                self.changed = true;
            }
            What::Failed(trouble) => self.send_later(&trouble),
            _ => self.send_later(&nonsense()),
        }
    }

    /// Again soon, in four minutes at most: who is silent for long counts as bad.
    pub(super) fn send_later(&mut self, trouble: &Trouble) {
        self.send_failures = self.send_failures.saturating_add(1);
        let retry_after_s = trouble.retry_after_s.map(|told| told.min(LONGEST_SILENCE));
        self.send_at = self.after_failure(self.send_failures.min(3), &Trouble { retry_after_s, ..trouble.clone() });
        self.trouble = Some(Code::new(&trouble.code));
    }

    pub(super) fn inventory(&self) -> Option<Request> {
        let head = self.head.as_ref()?;
        let learned = self.known.as_ref().and_then(|known| known.what.as_ref().ok());
        let runs = learned.filter(|learned| learned.runs).map(|learned| learned.version.to_string());
        let before = learned.and_then(|learned| learned.running.as_ref()).map(|running| running.version.to_string());
        let inventory = Inventory {
            v: 1,
            host: self.me.id,
            name: self.me.name.clone(),
            labels: self.me.labels.clone(),
            version: runs.or(before),
            boot: self.me.boot.clone(),
            steward: self.me.volunteers,
            at: self.clock().store(),
            shown: self.shown(),
        };
        let key = self.me.names.inventory(&self.me.id.shard(head.shards), self.me.id);
        Some(Request::Put { key, body: serde_json::to_vec(&inventory).ok()? })
    }

    pub(super) fn take_inventory(&mut self, what: What) {
        self.stage = Stage::Rest;
        // Nobody waits for it: one that was lost comes again with the next.
        if matches!(what, What::Written(_)) {
            self.memory.inventoried = Some(self.seen);
        }
        let period = self.me.inventory_s.max(1);
        self.inventory_at = self.in_up_to(period / 5);
        self.inventory_at.0 = self.inventory_at.0.saturating_add(period - period / 10);
    }
}
