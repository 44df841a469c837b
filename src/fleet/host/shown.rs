//! What a host says of itself, for `status`, `explain` and its inventory.

use serde::{Deserialize, Serialize};

use super::Host;
use crate::clock::Timestamp;
use crate::fleet::evidence::{Code, Place};

/// Why a host does what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It has not read the head yet.
    Starting,
    /// It runs what it should.
    UpToDate,
    /// Its turn has not come.
    Waiting,
    /// Its turn has come, and the step before has not passed yet.
    WaitsForStep,
    /// No window is open.
    WaitsForWindow,
    /// Others of its group have every slot.
    WaitsForSlot,
    /// The bucket does not answer.
    WaitsForStore,
    /// It reads, fetches or asks.
    Preparing,
    /// It switches.
    Switching,
    /// It starts nothing; [`Shown::code`] says why.
    Held,
    /// The rollout has stopped.
    Halted,
}

/// One look at a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// What it does.
    pub word: Word,
    /// Why it is held, or what it waits for.
    pub code: Option<Code>,
    /// The rollout of the head it knows.
    pub rollout: Option<String>,
    /// The release that is meant for it.
    pub release: Option<String>,
    /// The state it knows.
    pub seq: u64,
    /// Its ring and step.
    pub place: Option<Place>,
    /// Its position, from 0 to 1.
    pub position: Option<f64>,
    /// Before this it does not start; by the signed schedule alone while the step before has not passed.
    pub earliest: Option<Timestamp>,
    /// When it will do something next, by its own clock.
    pub next: Timestamp,
    /// How far the store's clock is ahead of its own, in seconds.
    pub clock_ahead_s: Option<i64>,
    /// The two are so far apart that somebody should look.
    pub clock_is_off: bool,
    /// What went wrong last.
    pub trouble: Option<Code>,
    /// Somebody should look at [`Shown::trouble`]: it is no mere interruption.
    pub alarm: bool,
    /// Evidence that is not sent yet.
    pub unsent: usize,
    /// The slot it has.
    pub slot: Option<String>,
}

impl Host {
    /// What the host does, and why.
    pub fn shown(&self) -> Shown {
        let head = self.head.as_deref();
        Shown {
            word: self.word,
            code: self.code.clone(),
            rollout: head.map(|head| head.rollout.clone()),
            release: self.target().map(str::to_owned),
            seq: self.memory.seq,
            place: self.turn.map(|turn| turn.place),
            position: head.map(|head| self.me.id.position(&head.salt)),
            earliest: self.earliest,
            next: self.wakes(),
            clock_ahead_s: self.ahead,
            clock_is_off: self.clock().is_off(),
            trouble: self.trouble.clone(),
            alarm: self.alarm,
            unsent: self.memory.unsent.len(),
            slot: self.memory.held.as_ref().map(|held| format!("{}/{}", held.group, held.number)),
        }
    }
}
