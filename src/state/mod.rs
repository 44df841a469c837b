//! What fetchd remembers: one record, one history, one lock.
//!
//! The state directory holds `lock`, `state.json`, `last.bundle`, `fleet.json` and `history.jsonl`. Whoever may
//! write there decides what runs next, so the directory and every file in it must belong to the
//! user fetchd runs as and be writable by nobody else. A record that cannot be read stops updates
//! and is left as it is: guessing a floor would open the door it closes. [`Repair`] is what an operator
//! asks for: it sets aside what is damaged, and keeps what can be proved.

mod error;
mod examine;
mod files;
mod history;
mod keys;
mod record;
mod repair;
mod store;

pub use error::StateError;
pub use examine::{Examined, Fault, Holder, examine};
pub use history::{Event, History};
pub use record::{
    BadDelta, Confirmed, Hold, Journal, JournalStep, Quarantined, Record, Revocation, SCHEMA, TrustState,
};
pub use repair::{Moved, Remains, Repair, must_be_free, remains};
pub use store::{Snapshot, Store};

#[cfg(test)]
mod tests;
