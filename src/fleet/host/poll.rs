//! When a host asks for the head, and what it makes of it.

use std::sync::Arc;

use super::memory::File;
use super::{Documents, Fresh, Host, LocalPin, Stage, Step, Word};
use crate::clock::Timestamp;
use crate::failure::Failure as _;
use crate::fleet::evidence::Code;
use crate::fleet::head::{self, Head};
use crate::fleet::plan::is_host;
use crate::fleet::rollup;
use crate::fleet::rule;
use crate::fleet::store::{Request, Tag, Trouble, What};
use crate::fleet::times::part;

/// The longest time between two tries while the store does not answer, in seconds.
const LONGEST_BACKOFF: u64 = 3600;

/// The longest that a store may put a host off, in seconds.
const LONGEST_RETRY_AFTER: u64 = 86_400;

/// By how much the number of a state may be higher than that of the last one that was seen.
const LONGEST_JUMP: u64 = 1 << 32;

/// How old the time of the last poll may be where it is kept, in seconds.
const SAVED_READ: u64 = 600;

impl Host {
    /// The first poll is anywhere within an interval: a fleet that boots at once does not ask at once.
    pub(super) fn begin(&mut self) {
        // The id is a digest already; what is mixed in differs from boot to boot.
        self.count =
            self.me.boot.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let within = if self.memory.begun.is_some() { self.me.poll_s.min(60) } else { self.me.poll_s };
        self.poll_at = self.in_up_to(within);
        let soon = self.me.poll_s.saturating_mul(2).min(self.me.inventory_s);
        let due = self.memory.inventoried.map_or(0, |at| at.0.saturating_add(self.me.inventory_s));
        self.inventory_at = Timestamp(due).max(self.in_up_to(soon));
    }

    /// Follows its own clock. One that was set back takes everything that is planned with it.
    pub(super) fn turn_clock(&mut self, now: Timestamp) {
        let back = self.seen.0.saturating_sub(now.0);
        if back > 0 {
            let earlier = |at: Timestamp| Timestamp(at.0.saturating_sub(back));
            self.poll_at = earlier(self.poll_at);
            self.send_at = earlier(self.send_at);
            self.inventory_at = earlier(self.inventory_at);
            self.event_at = self.event_at.map(earlier);
            self.ahead = self.ahead.map(|ahead| ahead.saturating_add_unsigned(back));
            self.fresh = Fresh::default();
        }
        self.seen = now;
    }

    /// Opens the head that it remembers.
    pub(super) fn open_kept(&mut self, documents: &dyn Documents) {
        if self.head.is_some() {
            return;
        }
        let Some(file) = &self.memory.file else { return };
        match documents.open(&file.0) {
            Ok(head) => self.adopt(head),
            // The keys have changed since: what was seen stays seen (`seq`), and nothing is started by it.
            Err(refused) => {
                self.trouble = Some(Code::new(refused.code()));
                self.memory.file = None;
                self.changed = true;
            }
        }
    }

    /// When there is something to do next, by its own clock.
    pub(super) fn wakes(&self) -> Timestamp {
        let mut at = self.poll_at.min(self.event_at.unwrap_or(self.poll_at));
        if self.owes() {
            at = at.min(self.send_at);
        }
        if self.me.inventory_s > 0 && self.head.is_some() {
            at = at.min(self.inventory_at);
        }
        at
    }

    /// What the time has come for.
    fn rouse(&self) -> Option<Stage> {
        let due = |at: Timestamp| at <= self.seen;
        if due(self.send_at) && !self.memory.unsent.is_empty() {
            return Some(Stage::Send);
        }
        if due(self.send_at) && self.owes() {
            return Some(Stage::Settle);
        }
        if due(self.poll_at) || self.event_at.is_some_and(due) {
            return Some(Stage::Head);
        }
        let inventory = self.me.inventory_s > 0 && self.head.is_some() && due(self.inventory_at);
        inventory.then_some(Stage::Inventory)
    }

    /// The step for what is being done.
    pub(super) fn step(&mut self) -> Step {
        loop {
            if self.stage == Stage::Rest {
                let Some(stage) = self.rouse() else {
                    return Step::Sleep { until: self.wakes().max(Timestamp(self.seen.0.saturating_add(1))) };
                };
                self.stage = stage;
            }
            let is_fresh = self.is_fresh();
            match self.stage {
                Stage::Learn => return Step::Learn { release: self.wanted().unwrap_or_default().to_owned() },
                Stage::Prefetch => return Step::Prefetch { release: self.target().unwrap_or_default().to_owned() },
                Stage::Switch => match &mut self.memory.begun {
                    Some(begun) if is_fresh => {
                        // Known on the disk before it happens: what kills the machine leaves no other trace.
                        if !std::mem::replace(&mut self.fresh.begun, true) {
                            begun.starts = begun.starts.saturating_add(1);
                            self.changed = true;
                        }
                        return Step::Switch { release: begun.release.clone(), attempt: begun.attempt };
                    }
                    // What was checked is too old: from the head once more.
                    _ => self.stage = Stage::Head,
                },
                _ => {}
            }
            if let Some(request) = self.request() {
                self.asked = true;
                return Step::Ask(request);
            }
            // What was to be done has lost its reason meanwhile; the head says what comes instead.
            self.pause();
            self.poll_at = self.poll_at.max(Timestamp(self.seen.0.saturating_add(1)));
        }
    }

    /// The request for what is being done; `None` if there is no reason for it any more.
    fn request(&mut self) -> Option<Request> {
        let names = &self.me.names;
        Some(match self.stage {
            Stage::Head => {
                let unless = self.head.as_ref().and(self.tag.clone());
                Request::Get { key: names.head(), unless, limit: head::MAX_FILE as u64 }
            }
            Stage::Rollup => {
                let unless = self.rollup.as_ref().and(self.rollup_tag.clone());
                let key = names.rollup(&self.head.as_ref()?.rollout);
                Request::Get { key, unless, limit: rollup::MAX_FILE as u64 }
            }
            Stage::Latch => Request::Head { key: self.latch()? },
            Stage::Halt(halt) => Request::Create { key: self.latch()?, body: self.latch_body(halt)? },
            Stage::Audit => self.audit()?,
            Stage::Look(number) => self.look(number)?,
            Stage::Take(number) => self.taking(number)?,
            Stage::Evidence => self.evidence()?,
            Stage::Send => self.sending()?,
            Stage::Settle => self.settling()?,
            Stage::Inventory => self.inventory()?,
            Stage::Rest | Stage::Learn | Stage::Prefetch | Stage::Switch => return None,
        })
    }

    /// What the store said.
    pub(super) fn take(&mut self, what: What, documents: &dyn Documents) {
        match self.stage {
            Stage::Head => self.take_head(what, documents),
            Stage::Rollup => self.take_rollup(what, documents),
            Stage::Latch => self.take_latch(what),
            Stage::Halt(_) => self.take_halt(what),
            Stage::Audit => self.take_audit(what),
            Stage::Look(number) => self.take_look(number, what),
            Stage::Take(number) => self.take_slot(number, what),
            Stage::Evidence => self.take_evidence(what),
            Stage::Send => self.take_sent(what),
            Stage::Settle => self.take_settled(what),
            Stage::Inventory => self.take_inventory(what),
            Stage::Rest | Stage::Learn | Stage::Prefetch | Stage::Switch => {}
        }
    }

    fn take_head(&mut self, what: What, documents: &dyn Documents) {
        match what {
            What::Object { body, tag } => match documents.open(&body) {
                Ok(head) => self.admit(head, body, tag, documents),
                Err(refused) => self.alarm(refused.code()),
            },
            What::Unchanged if self.head.is_some() && self.tag.is_some() => self.has_read(),
            // Nobody has begun a rollout yet.
            What::Absent if self.memory.seq == 0 => self.rest(Word::Starting, Some("fleet.no_rollout")),
            What::Absent => self.alarm("head.absent"),
            What::Failed(trouble) => self.failed(&trouble),
            _ => self.nonsense(),
        }
    }

    /// A head whose signature held: is it old, or another by the same number?
    fn admit(&mut self, head: Arc<Head>, body: Vec<u8>, tag: Tag, documents: &dyn Documents) {
        if head.seq < self.memory.seq {
            return self.alarm("head.rollback");
        }
        // Nothing comes after the highest number: whoever has the online key for a minute must not use them up for ever.
        if self.memory.seq > 0 && head.seq > self.memory.seq.saturating_add(LONGEST_JUMP) {
            return self.alarm("head.seq_jump");
        }
        if let Some(mine) = self.head.as_ref().filter(|mine| mine.seq == head.seq)
            && **mine != *head
        {
            return self.alarm("head.equivocation");
        }
        // What was seen of one rollout says nothing of another, whatever it calls itself: another release under the same
        // name and an earlier beginning are another rollout too, and so is whatever follows a state that no longer opens.
        let another =
            |mine: &Arc<Head>| mine.rollout != head.rollout || mine.release != head.release || head.t0 < mine.t0;
        if self.head.as_ref().map_or(self.memory.seq > 0, another) {
            self.memory.before = self.memory.read.or(self.memory.before);
            self.changed = true;
        }
        if head.seq > self.memory.seq || self.memory.file.is_none() {
            self.memory.seq = head.seq;
            self.memory.file = Some(File(documents.keep(body)));
            self.changed = true;
        }
        self.tag = Some(tag);
        self.adopt(head);
        self.has_read();
    }

    /// Works out once what a head means for this host.
    fn adopt(&mut self, head: Arc<Head>) {
        if self.head.as_ref().is_none_or(|mine| mine.rollout != head.rollout) {
            (self.rollup, self.rollup_tag, self.slot_failures) = (None, None, 0);
        }
        let (id, name) = (self.me.id, self.me.name.as_deref());
        let before = self.target().map(str::to_owned);
        self.pinned = head.pins.iter().position(|pin| is_host(&pin.host, id, name));
        self.turn = rule::turn(&head, id, name, &self.me.labels);
        self.earliest = None;
        self.head = Some(head);
        if self.target() != before.as_deref() {
            self.fetched = false;
        }
    }

    fn has_read(&mut self) {
        self.failures = 0;
        (self.trouble, self.alarm) = (None, false);
        self.memory.read = Some(self.seen);
        // A rollout cannot be dated back before this, after a restart either.
        if self.saved_read.is_none_or(|saved| saved.0.abs_diff(self.seen.0) >= SAVED_READ) {
            self.changed = true;
        }
        self.fresh = Fresh { head: Some(self.seen), ..Fresh::default() };
        if self.known.as_ref().is_some_and(|known| known.what.is_err()) {
            self.known = None;
        }
        self.decide();
    }

    /// The release that is meant for this host, by the head and by its own operator.
    pub(super) fn target(&self) -> Option<&str> {
        let head = self.head.as_ref()?;
        let release = match self.pinned.and_then(|pin| head.pins.get(pin)) {
            Some(pin) => pin.release.as_deref()?,
            None => head.release.as_str(),
        };
        match &self.me.pin {
            None => Some(release),
            Some(LocalPin::Hold) => None,
            Some(LocalPin::Release(only)) => (only == release).then_some(release),
        }
    }

    /// Whether what a switch depends on was read a moment ago.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh.head.is_some_and(|at| self.seen.0.saturating_sub(at.0) <= super::gate::LONGEST_CHAIN)
    }

    /// Nothing more for now; the next poll is an interval away.
    pub(super) fn rest(&mut self, word: Word, code: Option<&str>) {
        self.pause();
        (self.word, self.code) = (word, code.map(Code::new));
        let hint = self.head.as_ref().map(|head| head.poll_s);
        let interval =
            hint.map_or(self.me.poll_s, |hint| if self.near { hint.open } else { hint.idle }).min(rule::LONGEST_POLL);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds"
        )]
        let interval = (interval as f64 * (0.9 + 0.2 * self.chance())) as u64;
        self.poll_at = Timestamp(self.seen.0.saturating_add(interval.max(1)));
    }

    /// Goes back to rest. What was read is not fresh any more.
    pub(super) fn pause(&mut self) {
        self.stage = Stage::Rest;
        self.event_at = None;
        self.fresh = Fresh::default();
        self.looked = None;
    }

    /// Something that no store says by mistake: the host holds, and somebody should look.
    pub(super) fn alarm(&mut self, code: &str) {
        self.rest(Word::Held, Some(code));
        (self.trouble, self.alarm) = (Some(Code::new(code)), true);
    }

    /// The store did not answer: later, and later each time.
    pub(super) fn failed(&mut self, trouble: &Trouble) {
        self.pause();
        (self.word, self.code) = (Word::WaitsForStore, None);
        self.trouble = Some(Code::new(&trouble.code));
        self.failures = self.failures.saturating_add(1);
        self.poll_at = self.after_failure(self.failures, trouble);
    }

    pub(super) fn nonsense(&mut self) {
        self.failed(&nonsense());
    }

    /// Full jitter: anywhere up to a limit that doubles; later where the store has said so.
    pub(super) fn after_failure(&mut self, failures: u8, trouble: &Trouble) -> Timestamp {
        let limit = 30_u64.saturating_mul(1 << failures.min(16)).min(LONGEST_BACKOFF);
        let told = trouble.retry_after_s.unwrap_or(0).min(LONGEST_RETRY_AFTER);
        Timestamp(self.in_up_to(limit).0.saturating_add(told.max(1)))
    }

    /// A time from now up to `seconds` later.
    pub(super) fn in_up_to(&mut self, seconds: u64) -> Timestamp {
        let wait = part(self.chance(), seconds);
        Timestamp(self.seen.0.saturating_add(wait))
    }

    /// A number from 0 to below 1, another each time, the same in each run of a simulation.
    pub(super) fn chance(&mut self) -> f64 {
        self.count = self.count.wrapping_add(1);
        self.lot(u64::from(self.count))
    }

    /// A number from 0 to below 1 that depends on the host and on `what`.
    pub(super) fn lot(&self, what: u64) -> f64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.me.id.0[..8]);
        // splitmix64: the id is a digest, so no more is needed, and a poll costs no hash.
        let mut mixed = u64::from_be_bytes(first).wrapping_add(what.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        let lot = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        lot
    }
}

/// An answer that is none to what was asked.
pub(crate) fn nonsense() -> Trouble {
    Trouble {
        code: "store.nonsense".to_owned(),
        message: "the answer is none to what was asked".to_owned(),
        retry_after_s: None,
        passes: true,
    }
}
