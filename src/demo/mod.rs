//! What `fetchd demo` runs: a small HTTP service with faults to order, the way to make releases
//! of it, and the scenario that updates it under load.
//!
//! A release of the demo is a copy of an executable with a few lines behind its end. It has a
//! version and a digest of its own and needs no compiler.

#[cfg(feature = "upgrade")]
mod direct;
#[cfg(feature = "cli")]
mod error;
#[cfg(feature = "cli")]
mod origin;
#[cfg(feature = "cli")]
mod plan;
#[cfg(feature = "cli")]
mod report;
mod routes;
#[cfg(feature = "cli")]
mod scenario;
pub mod service;
#[cfg(feature = "cli")]
pub mod show;
#[cfg(feature = "cli")]
mod site;
pub mod trailer;

#[cfg(feature = "cli")]
pub use error::DemoError;
#[cfg(feature = "cli")]
pub use report::{News, Report, Step, Watcher};
#[cfg(feature = "cli")]
pub use scenario::Demo;
pub use trailer::{Fault, Trailer};
