//! A host of a fleet: what it asks of the bucket, and when it switches.
//!
//! The machine does no input or output and has no clock: a driver asks it for the [`next`](Host::next) step, carries that
//! out and tells what came of it. An answer of the store is a claim. Only what [`Documents`] opens (the online key) and
//! what the driver has verified with the offline keys ([`Learned`]) moves a host on; everything else can only hold it.
//!
//! ```text
//! rest ─▶ head ─▶ learn ─▶ prefetch ─▶ rest until its turn
//!           └──────────────▶ roll-up ─▶ audit ─▶ latch ─▶ slot ─▶ evidence ─▶ switch
//! ```
//!
//! Everything from `head` to `switch` on the second line happens without a pause: whatever takes time sends the host back to the head.

mod again;
mod already;
mod decide;
mod gate;
mod memory;
mod poll;
mod send;
mod shown;
mod slot;
mod still;
#[cfg(test)]
mod tests;
mod unfit;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use semver::Version;

pub use gate::{AUDITED, OLDEST_ROLLUP};
pub use memory::{Begun, Denied, Fate, File, Held, Memory, Unsent, Words};
pub(crate) use poll::nonsense;
pub use shown::{Shown, Word};

use super::cohort::HostId;
use super::evidence::Code;
use super::head::{Head, OpenHead};
use super::lease::Slot;
use super::names::Names;
use super::rollup::Rollup;
use super::rule::Turn;
use super::store::{Reply, Request, Tag};
use super::times::Clock;
use crate::clock::Timestamp;
use crate::trust::Refused;
use crate::trust::manifest::Bounds;

/// Who a host is, and what its own settings say.
#[derive(Debug, Clone)]
pub struct Me {
    /// Its id.
    pub id: HostId,
    /// What its operator calls it.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where its fleet's objects are.
    pub names: Names,
    /// Differs from boot to boot.
    pub boot: String,
    /// It volunteers as a steward; said in its inventory.
    pub volunteers: bool,
    /// Within so many seconds before its turn it fetches the release.
    pub prefetch_s: u64,
    /// The longest a switch takes, its watch included, in seconds.
    pub max_switch_s: u64,
    /// How often it polls while it has no head, in seconds; the head says it otherwise.
    pub poll_s: u64,
    /// How often it sends its inventory, in seconds; 0 = never.
    pub inventory_s: u64,
    /// What its operator has said on the host itself.
    pub pin: Option<LocalPin>,
}

impl Me {
    /// A host with the usual settings: a poll every 15 min, an hour for fetching, 10 min for a switch, one inventory a day.
    pub fn new(id: HostId, names: Names) -> Me {
        Me {
            id,
            name: None,
            labels: BTreeMap::new(),
            names,
            boot: String::new(),
            volunteers: false,
            prefetch_s: 3600,
            max_switch_s: 600,
            poll_s: 900,
            inventory_s: 86_400,
            pin: None,
        }
    }
}

/// What the operator of a host has said on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalPin {
    /// It keeps what it has.
    Hold,
    /// It takes this release and no other.
    Release(String),
}

/// Opens what the store hands out. A simulation of many hosts remembers what it has opened.
pub trait Documents: OpenHead {
    /// The roll-up in `file`. Fails as [`Rollup::read`] does.
    fn rollup(&self, file: &[u8]) -> Result<Arc<Rollup>, Refused>;

    /// The file of a head, to be kept.
    fn keep(&self, file: Vec<u8>) -> Arc<[u8]> {
        file.into()
    }
}

impl Documents for super::head::Rollouts {
    fn rollup(&self, file: &[u8]) -> Result<Arc<Rollup>, Refused> {
        Rollup::read(file).map(Arc::new)
    }
}

/// What a host wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Carry it to the store, then call [`Host::replied`].
    Ask(Request),
    /// Nothing is to be done before `until`, by the host's own clock, unless [`Host::poll_now`] is called.
    Sleep {
        /// Until then.
        until: Timestamp,
    },
    /// Read `rel/<release>/manifest.json` and verify it with the offline keys, then call [`Host::learned`].
    Learn {
        /// The release.
        release: String,
    },
    /// Download and verify it, without switching, then call [`Host::prefetched`].
    Prefetch {
        /// The release.
        release: String,
    },
    /// Everything was checked a moment ago: switch now, watch, then call [`Host::switched`].
    Switch {
        /// The release.
        release: String,
        /// The try.
        attempt: u16,
    },
}

/// What the signed manifest of a release says, seen from this host.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Its version.
    pub version: Version,
    /// How fast it may go to a fleet; `None` = not at all.
    pub bounds: Option<Bounds>,
    /// It is what runs here, for good: switched to and watched.
    pub runs: bool,
    /// The host may come to it from what it runs (`min_from` and the like).
    pub from_ok: bool,
    /// What runs here; `None` = nothing.
    pub running: Option<Running>,
}

/// What runs on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The release, where the host came to it through a fleet.
    pub release: Option<String>,
    /// Its version.
    pub version: Version,
    /// The versions its bounds let a host go back to, as the offline keys have signed them.
    pub rollback_to: Vec<Version>,
}

/// How a switch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switched {
    /// The release serves and was watched.
    Well,
    /// It was bad, and the host runs what it ran before.
    RolledBack(Code),
    /// It was not begun, for a reason that stays.
    Declined(Code),
    /// Nobody knows: the supervisor was stopped meanwhile. The host learns what runs, and goes on from there.
    Interrupted,
}

/// The machine.
pub struct Host {
    me: Me,
    memory: Memory,
    /// By how much the store's clock is ahead.
    ahead: Option<i64>,
    /// The last time it was asked anything, by its own clock.
    seen: Timestamp,
    head: Option<Arc<Head>>,
    tag: Option<Tag>,
    rollup: Option<Arc<Rollup>>,
    rollup_tag: Option<Tag>,
    known: Option<Box<Known>>,
    /// The release that was fetched.
    fetched: bool,
    /// Which of the head's pins is this host's.
    pinned: Option<usize>,
    turn: Option<Turn>,
    /// Its turn is near: it polls more often.
    near: bool,
    earliest: Option<Timestamp>,
    /// The nonce of a slot that was written, and nobody knows whether.
    tried: Option<Box<str>>,
    /// The slot that was read.
    looked: Option<Box<Looked>>,
    stage: Stage,
    /// What is to be said of the switch that ends.
    words: Option<Box<Words>>,
    /// A request is on its way.
    asked: bool,
    /// When each of the things was read that a switch depends on, since the last pause.
    fresh: Fresh,
    poll_at: Timestamp,
    event_at: Option<Timestamp>,
    send_at: Timestamp,
    inventory_at: Timestamp,
    failures: u8,
    send_failures: u8,
    slot_failures: u8,
    /// Rises with every use of chance, and with every nonce.
    count: u32,
    word: Word,
    code: Option<Code>,
    trouble: Option<Code>,
    alarm: bool,
    changed: bool,
    /// When the head was last read, as far as that is kept.
    saved_read: Option<Timestamp>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("id", &self.me.id).field("stage", &self.stage).field("word", &self.word).finish()
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Rest,
    Head,
    Learn,
    Prefetch,
    Rollup,
    Audit,
    Latch,
    Halt(super::rule::Halt),
    /// Read the slot.
    Look(u32),
    /// Take the slot that was read.
    Take(u32),
    Evidence,
    Switch,
    /// Send what has not been sent.
    Send,
    /// Write what is to become of the slot.
    Settle,
    Inventory,
}

/// What has been read or done since the last pause.
#[derive(Debug, Clone, Copy, Default)]
struct Fresh {
    head: Option<Timestamp>,
    rollup: bool,
    /// The roll-up that was read agrees with itself.
    consistent: bool,
    audited: bool,
    latch: bool,
    evidence: bool,
    /// The switch was handed out.
    begun: bool,
    /// Slots that were tried, renewals included.
    slots: u8,
}

/// What is known of the release in `release`.
#[derive(Debug)]
struct Known {
    release: String,
    what: Result<Learned, Code>,
}

/// What was read of a slot that is to be taken.
#[derive(Debug)]
struct Looked {
    slot: Slot,
    /// `None` = there is no such object yet.
    tag: Option<Tag>,
    /// As it was written, or will be.
    taken: Slot,
}

impl Host {
    /// A host that begins, or goes on with what it remembers. `now` is its own clock's time.
    pub fn new(me: Me, memory: Memory, now: Timestamp) -> Host {
        let mut host = Host {
            me,
            saved_read: memory.read,
            memory,
            ahead: None,
            seen: now,
            head: None,
            tag: None,
            rollup: None,
            rollup_tag: None,
            known: None,
            fetched: false,
            pinned: None,
            turn: None,
            near: false,
            earliest: None,
            tried: None,
            looked: None,
            words: None,
            stage: Stage::Rest,
            asked: false,
            fresh: Fresh::default(),
            poll_at: now,
            event_at: None,
            send_at: now,
            inventory_at: now,
            failures: 0,
            send_failures: 0,
            slot_failures: 0,
            count: 0,
            word: Word::Starting,
            code: None,
            trouble: None,
            alarm: false,
            changed: false,
        };
        host.begin();
        host
    }

    /// What to do at `now`, by the host's own clock. The same until it was done.
    pub fn next(&mut self, now: Timestamp, documents: &dyn Documents) -> Step {
        self.turn_clock(now);
        self.open_kept(documents);
        self.step()
    }

    /// What the store said to the request of the last step.
    pub fn replied(&mut self, reply: Reply, now: Timestamp, documents: &dyn Documents) {
        self.turn_clock(now);
        if !std::mem::take(&mut self.asked) {
            return;
        }
        if let Some(ahead) = Clock::local(now).told(reply.date).ahead {
            self.ahead = Some(ahead);
        }
        self.take(reply.what, documents);
    }

    /// What the release's manifest says; a code where it cannot be had or is not believed.
    pub fn learned(&mut self, learned: Result<Learned, Code>) {
        if self.stage == Stage::Learn {
            self.after_learning(learned);
        }
    }

    /// Whether the release was fetched.
    pub fn prefetched(&mut self, done: Result<(), Code>) {
        if self.stage == Stage::Prefetch {
            self.after_fetching(done);
        }
    }

    /// How the switch ended.
    pub fn switched(&mut self, how: Switched) {
        self.after_switching(how);
    }

    /// The release that was switched to last did not hold, though it was watched: the host runs what it ran before. It is
    /// reported as bad, and not tried again.
    pub fn failed_later(&mut self, code: Code) {
        self.say_bad(code);
    }

    /// Somebody on the host asked: it polls at once.
    pub fn poll_now(&mut self) {
        self.poll_at = Timestamp(0);
        self.failures = 0;
    }

    /// What must survive.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Whether that has changed since this was asked last. It is to be written durably *before* the next step is carried out.
    pub fn changed(&mut self) -> bool {
        let changed = std::mem::take(&mut self.changed);
        if changed {
            self.saved_read = self.memory.read;
        }
        changed
    }

    /// Its own clock beside the store's.
    fn clock(&self) -> Clock {
        Clock { local: self.seen, ahead: self.ahead }
    }
}
