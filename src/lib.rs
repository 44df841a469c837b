//! fetchd keeps a running server on its newest verified release and never drops a request
//! doing it.
//!
//! A source *offers* a release. Its manifest is believed once the signature holds. The artifact
//! becomes a candidate when it is on disk, verified when every check has passed, installed when it
//! is at the program path, and confirmed when the process that runs it has served through its
//! watch. Each word is a type, each arrow one function, and each type can be made only by the stage
//! that earns it:
//!
//! ```text
//! Release ──▶ Manifest ──▶ Candidate ──▶ Verified ──▶ Installed ──▶ Serving ──▶ Confirmed
//!   fetch       trust        fetch         verify       install       restart      agent
//! ```
//!
//! [`agent::Line::pass`] is that sentence as code. `docs/concepts.md` explains the words,
//! `docs/handoff.md` the contract with the service.

#[cfg(feature = "agent")]
pub mod agent;
#[cfg(all(feature = "cli", feature = "fleet"))]
pub mod chart;
#[cfg(feature = "agent")]
pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "agent")]
pub mod clock;
#[cfg(feature = "embed")]
pub mod config;
#[cfg(feature = "agent")]
pub mod control;
#[cfg(feature = "embed")]
pub mod daemon;
#[cfg(feature = "hyper")]
pub mod demo;
#[cfg(feature = "agent")]
pub mod digest;
#[cfg(feature = "agent")]
pub mod durable;
#[cfg(feature = "embed")]
pub mod embed;
#[cfg(feature = "embed")]
pub mod exposition;
#[cfg(feature = "agent")]
pub mod failure;
#[cfg(feature = "agent")]
pub mod fetch;
#[cfg(feature = "fleet")]
pub mod fleet;
#[cfg(all(debug_assertions, feature = "cli", feature = "http"))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "agent")]
pub mod install;
#[cfg(feature = "cli")]
pub mod load;
#[cfg(feature = "cli")]
pub mod publish;
#[cfg(feature = "agent")]
pub mod restart;
#[cfg(all(feature = "cli", feature = "fleet"))]
pub mod rollout;
#[cfg(feature = "service")]
pub mod service;
#[cfg(all(feature = "fleet", feature = "cli"))]
pub mod simulate;
#[cfg(any(feature = "agent", feature = "upgrade"))]
pub mod spawn;
#[cfg(feature = "agent")]
pub mod state;
#[cfg(feature = "agent")]
pub mod trust;
#[cfg(feature = "agent")]
pub mod units;
#[cfg(feature = "upgrade")]
pub mod upgrade;
#[cfg(feature = "agent")]
pub mod verify;

#[cfg(feature = "embed")]
pub use embed::{Process, RestartDecision, SelfUpdate, Service, ServiceContext, Updater};
#[cfg(feature = "upgrade")]
pub use upgrade::Upgrader;
