//! What an operator does with a rollout, and what it looks like.
//!
//! ```text
//! Desk (store, names, keys) ──▶ Proposal (before, after, effect) ──▶ a person says yes ──▶ Proposal::write
//! ```
//!
//! A change is made of the state that was read, shown, and written only over that state: of two operators one is told
//! that he was too late.

mod change;
mod desk;
pub mod doctor;
mod effect;
mod error;
pub mod explain;
pub mod gc;
pub mod hosts;
pub mod list;
pub mod metrics;
pub mod page;
mod plain;
pub mod profile;
mod proposal;
pub mod releases;
pub mod seen;
#[cfg(feature = "hyper")]
pub mod serve;
mod start;
pub mod text;
pub mod view;

#[cfg(test)]
mod tests;

pub use change::{Change, open_place};
pub use desk::{Described, Desk, Found, GOOD_FOR, Halted};
pub use effect::Effect;
pub use error::RolloutError;
pub use profile::Plan;
pub use proposal::{Done, Proposal};
pub use start::Start;
pub use view::View;
