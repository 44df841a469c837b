//! The child side: what a server needs in order to be replaced without losing a request.
//!
//! A service is handed its listening sockets by name, says when it can take requests, and is
//! told when to leave. All of it is systemd's socket activation and `sd_notify` plus one
//! control descriptor, so a program that uses this module runs the same under fetchd, under
//! systemd and by hand.
//!
//! ```no_run
//! use fetchd::service::Inherited;
//!
//! // First thing in `main`, before any thread exists.
//! let mut inherited = Inherited::take()?;
//! let listeners = inherited.listen_or_bind("web", "127.0.0.1:8080")?;
//! // … load the configuration, warm the caches; do not accept yet …
//! inherited.notify().ready()?;
//! # drop(listeners);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The module imports nothing else of the crate and has no asynchronous runtime, TLS or HTTP
//! below it. [`blocking`] is an accept loop for threads, and the feature `signals` its SIGTERM;
//! [`Connections`] is for protocols of one's own. The feature `hyper` adds `http`, the drain for
//! hyper and axum servers, and `http2` the same for clients that speak HTTP/2.

pub mod blocking;
mod connections;
mod control;
mod environment;
#[cfg(all(debug_assertions, feature = "cli", feature = "http"))]
pub(crate) mod fuzz;
#[cfg(feature = "hyper")]
pub mod http;
mod inherit;
mod listener;
mod notify;
mod relay;

pub use connections::{Connection, Connections, Next};
pub use control::{Control, Message, OnSupervisorDeath};
pub use environment::Environment;
pub use inherit::{InheritError, Inherited};
pub use listener::{Address, BACKLOG, ListenError, Listener, Socket};
pub use notify::{Notify, NotifyError};
pub use relay::Relay;
