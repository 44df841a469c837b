//! A steward: reads the evidence of a rollout and writes what it comes to. Several at once do no harm, none at all stops
//! the rollout: nobody goes on without a roll-up of the last minutes.
//!
//! The machine does no input or output, as that of a [`Host`](super::Host): [`next`](Steward::next) says what it wants,
//! [`replied`](Steward::replied) takes the answer. What a steward knows is lost with it, and read again by the next.

mod count;
mod post;
mod round;
#[cfg(test)]
mod tests;
mod turn;

use std::fmt;
use std::sync::Arc;

use super::cohort::HostId;
use super::evidence::Code;
use super::head::Head;
use super::host::Documents;
use super::lease::Slot;
use super::names::Names;
use super::rollup::Rollup;
use super::store::{Reply, Request, Tag};
use super::times::Clock;
use crate::clock::Timestamp;
use count::Shard;
pub use turn::Turn;

/// How many stewards there are at a time.
pub const POSTS: u32 = 3;

/// How long a steward has its post without renewing it, in seconds.
pub const TERM: u64 = 120;

/// How often it counts while a step is open, in seconds, where hosts do not poll more often.
pub const OPEN: u64 = 60;

/// How often it counts while none is, in seconds.
pub const CLOSED: u64 = 900;

/// How often it asks for the head while none is, in seconds: until somebody counts, a rollout that has begun is not
/// stopped by anything that its hosts report.
pub const LOOKS: u64 = 120;

/// What a steward wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Carry it to the store, then call [`Steward::replied`].
    Ask(Request),
    /// Nothing is to be done before `until`, by its own clock.
    Sleep {
        /// Until then.
        until: Timestamp,
    },
    /// One that was to count once has: [`Steward::outcome`] says how it went.
    Done,
}

/// The machine.
pub struct Steward {
    names: Names,
    id: HostId,
    /// Told apart from another with the same id.
    boot: String,
    /// It counts once, without a post.
    once: bool,
    done: bool,
    ahead: Option<i64>,
    seen: Timestamp,
    head: Option<Arc<Head>>,
    tag: Option<Tag>,
    /// The highest state that was verified.
    seq: u64,
    shards: Vec<Shard>,
    /// Until then nobody was heard, as far as it knows, by the store's clock.
    heard: Timestamp,
    /// The newest of the roll-ups that it has written, by the store's clock.
    counted: Timestamp,
    /// The roll-up as it was read or written last.
    rollup: Option<Arc<Rollup>>,
    rollup_tag: Option<Tag>,
    /// What is about to be written.
    written: Option<Arc<Rollup>>,
    post: Option<Post>,
    looked: Option<Post>,
    tries: u32,
    /// How often in a row somebody else was faster.
    conflicts: u8,
    stage: Stage,
    asked: bool,
    wake: Timestamp,
    failures: u8,
    count: u32,
    /// The latch of this state is known to be there.
    latched: bool,
    trouble: Option<Code>,
}

impl fmt::Debug for Steward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steward").field("id", &self.id).field("stage", &self.stage).field("wake", &self.wake).finish()
    }
}

/// A post that a steward has, or is about to take.
#[derive(Debug)]
struct Post {
    number: u32,
    slot: Slot,
    tag: Option<Tag>,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Rest,
    Head,
    /// Read a post.
    Look(u32),
    /// Take or renew the post that was read.
    Take(u32),
    Rollup,
    /// A page of this shard.
    List(usize),
    Write,
    Halt(super::rule::Halt),
}

/// How counting went.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The roll-up as it stands now; `None` = there is no rollout, or it could not be read.
    pub rollup: Option<Arc<Rollup>>,
    /// The rollout has stopped.
    pub halted: bool,
    /// What went wrong last.
    pub trouble: Option<Code>,
}

impl Steward {
    /// One that goes on as long as it is asked. `boot` differs from start to start.
    pub fn new(names: Names, id: HostId, boot: &str, now: Timestamp) -> Steward {
        let mut steward = Steward {
            names,
            id,
            boot: boot.to_owned(),
            once: false,
            done: false,
            ahead: None,
            seen: now,
            head: None,
            tag: None,
            seq: 0,
            shards: Vec::new(),
            heard: Timestamp(0),
            counted: Timestamp(0),
            rollup: None,
            rollup_tag: None,
            written: None,
            post: None,
            looked: None,
            tries: 0,
            conflicts: 0,
            stage: Stage::Rest,
            asked: false,
            wake: now,
            failures: 0,
            count: 0,
            latched: false,
            trouble: None,
        };
        steward.wake = steward.in_up_to(OPEN);
        steward
    }

    /// One that counts once, at once and without a post: `fetchd fleet steward --once`.
    pub fn once(names: Names, id: HostId, boot: &str, now: Timestamp) -> Steward {
        Steward { once: true, wake: now, ..Steward::new(names, id, boot, now) }
    }

    /// The same, beginning within `seconds`: no later than the host polls that it runs on.
    #[must_use]
    pub fn within(mut self, seconds: u64) -> Steward {
        self.wake = self.in_up_to(OPEN.min(seconds));
        self
    }

    /// What to do at `now`, by its own clock. The same until it was done.
    pub fn next(&mut self, now: Timestamp) -> Step {
        self.turn_clock(now);
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

    /// How counting went.
    pub fn outcome(&self) -> Outcome {
        Outcome { rollup: self.rollup.clone(), halted: self.latched, trouble: self.trouble.clone() }
    }

    /// Whether it has one of the posts at `now`, by its own clock.
    pub fn serves(&self, now: Timestamp) -> bool {
        let later = Clock { local: now, ahead: self.ahead }.later();
        self.post.as_ref().is_some_and(|post| later < post.slot.until)
    }

    fn clock(&self) -> Clock {
        Clock { local: self.seen, ahead: self.ahead }
    }
}
