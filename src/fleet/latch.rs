//! The latch: the object whose being there stops a rollout. Anybody can make it, once; nobody unmakes it.

use serde::{Deserialize, Serialize};

use super::head::Head;
use super::rollup::{Count, Rollup};
use super::rule::Halt;
use crate::clock::Timestamp;

/// The largest latch that is read, in bytes.
pub const MAX_FILE: usize = 16 * 1024;

/// What is in it, for people: the evidence as whoever made it saw it. Only its being there counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latch {
    /// The layout, 1.
    pub v: u8,
    /// The rollout.
    pub rollout: String,
    /// The try.
    pub attempt: u16,
    /// The signed state that was current.
    pub seq: u64,
    /// The rule that stopped it; `None` = an operator did.
    pub why: Option<Halt>,
    /// Everything that was counted.
    pub total: Count,
    /// When the evidence was read, by the store's clock.
    pub as_of: Timestamp,
    /// Who made it: a host's id, or what an operator calls himself.
    pub by: String,
    /// When, by the store's clock as far as it was known.
    pub at: Timestamp,
    /// New with every latch.
    pub nonce: String,
}

/// Who makes a latch, and when.
pub(super) struct Maker {
    pub(super) by: String,
    pub(super) at: Timestamp,
    pub(super) nonce: String,
}

impl Latch {
    /// The bytes of the latch that stops the state `head` by the rule `why`, with what `rollup` shows.
    pub(super) fn body(head: &Head, rollup: &Rollup, why: Halt, maker: Maker) -> Option<Vec<u8>> {
        let Maker { by, at, nonce } = maker;
        let latch = Latch {
            v: 1,
            rollout: head.rollout.clone(),
            attempt: head.attempt,
            seq: head.seq,
            why: Some(why),
            total: rollup.total(),
            as_of: rollup.as_of,
            by,
            at,
            nonce,
        };
        serde_json::to_vec(&latch).ok()
    }
}
