//! A staged rollout over a bucket, as documents and rules: what hosts, stewards and operators agree on.
//!
//! Nothing here does input or output. The two state machines ([`host`], [`steward`]) say what they want to ask of
//! the bucket as a [`store::Request`] and are told the [`store::Reply`]; who carries it there is somebody else's
//! business: a worker process on a real host, a table in memory in a simulation. So both run the same code.
//!
//! ```text
//! names, cohort, evidence ──▶ head (signed plan) ──▶ rollup ──▶ rule ──▶ host, steward
//! ```
//!
//! `docs/fleet.md` says what it is for, `docs/design/0006-fleet.md` why it is so.

pub mod bounds;
pub mod caps;
pub mod cohort;
#[cfg(test)]
pub(crate) mod drive;
pub mod evidence;
pub mod head;
pub mod host;
pub mod inventory;
pub mod latch;
pub mod lease;
pub mod names;
pub mod plan;
pub mod rollup;
pub mod rule;
#[cfg(test)]
pub(crate) mod sample;
pub mod steward;
pub mod store;
pub mod tally;
pub mod times;
pub mod why;

pub use caps::{Caps, Feature};
pub use cohort::HostId;
pub use evidence::{Evidence, Place, Report};
pub use head::{Head, OpenHead};
pub use host::{Documents, Host, Me};
pub use names::Names;
pub use steward::Steward;
pub use times::Clock;
