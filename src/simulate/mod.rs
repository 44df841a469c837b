//! Rollouts in virtual time: the state machines of hosts and stewards ([`crate::fleet`]) over a bucket in memory.
//!
//! What is simulated is everything around them: downloads, switches, failures, clocks, power, and faults of the bucket.
//! A case with a seed gives the same result each time. `docs/fleet-simulation.md` has the results.

mod being;
mod case;
mod cost;
mod dice;
mod documents;
pub mod grid;
mod outcome;
pub mod report;
mod row;
mod script;
mod spread;
mod stewards;
mod tally;
#[cfg(test)]
mod tests;
mod watch;
mod world;

pub use case::{Badness, Bucket, Case, Clocks, Plan, Polls, Stewards};
pub use cost::Cost;
pub use documents::Remembered;
pub use outcome::{Curves, Ended, Outcome, run};
pub use row::{Row, Summary};
pub use spread::{Spread, fairness};
pub use tally::{Prefix, Requests};
