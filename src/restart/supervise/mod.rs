//! The built-in driver: the supervisor holds the sockets, overlaps the generations, and watches.
//!
//! [`Supervisor`] lives on the main thread of the process, which is the only one that makes
//! service processes: the kernel's parent-death signal follows the *thread* that forked. The agent
//! runs on a thread of its own and drives it through [`Supervise`], a channel and a pipe.

mod carried;
mod crash;
mod driver;
#[cfg(all(debug_assertions, feature = "cli", feature = "http"))]
pub(crate) mod fuzz;
mod generation;
mod notify;
mod options;
pub(in crate::restart) mod probe;
mod sockets;
mod supervisor;
mod systemd;
mod tail;
pub(in crate::restart) mod watch;

pub use carried::Carried;
pub use crash::CrashRule;
pub use driver::{Command, Supervise, Waker};
pub use options::{Health, Options, Ready};
pub use sockets::{Address, Listen, ListenError, Listener};
pub use supervisor::{GenerationStatus, News, Status, Supervisor};
