//! fetchd inside a program: the supervisor with [`Service`], the loop alone with [`Updater`], one update of a
//! command-line tool with [`SelfUpdate`].
//!
//! All three take the settings of the configuration file by the same names and the same rules. `docs/embedding.md` has a
//! whole program for each.
//!
//! Network and archives are the business of a second process of the same program, started with `FETCHD_ROLE=worker`. So
//! the first thing in `main` is to ask which process this is: [`Service::run`] does it by itself, the other two want the
//! [`Process`] that says so.

mod alone;
mod check;
mod context;
mod draining;
mod driver;
mod log;
mod process;
mod replace;
pub(crate) mod self_update;
mod service;
mod settings;
mod source_check;
mod updater;

pub use check::{Checking, check};
pub use context::ServiceContext;
pub use draining::Draining;
pub use driver::RestartDecision;
pub use process::Process;
pub use self_update::SelfUpdate;
pub use service::Service;
pub use updater::{Updater, Updating};

#[cfg(all(doctest, feature = "hyper"))]
#[doc = include_str!("../../docs/embedding.md")]
mod embedding {}
