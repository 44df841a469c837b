//! What fetchd remembers: one record, one history, one lock.
//!
//! The state directory holds `lock`, `state.json`, `last.bundle` and `history.jsonl`. Whoever may
//! write there decides what runs next, so the directory and every file in it must belong to the
//! user fetchd runs as and be writable by nobody else. A record that cannot be read stops updates
//! and is left as it is: guessing a floor would open the door it closes.

mod error;
mod files;
mod history;
mod keys;
mod record;
mod store;

pub use error::StateError;
pub use history::{Event, History};
pub use record::{Confirmed, Hold, Journal, JournalStep, Quarantined, Record, Revocation, SCHEMA};
pub use store::{Snapshot, Store};

#[cfg(test)]
mod tests;
