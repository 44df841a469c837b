//! An HTTP server that can leave without cutting anybody off.
//!
//! ```no_run
//! # async fn example(app: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
//! use fetchd::service::{Inherited, http::{self, Server}};
//! use hyper_util::service::TowerToHyperService;
//!
//! // `Inherited::take()` belongs before the runtime is built; see its documentation.
//! let mut inherited = Inherited::take()?;
//! let server = Server::new(inherited.listen_or_bind("web", "127.0.0.1:8080")?);
//! let summary = http::run_until_drained(inherited, server, TowerToHyperService::new(app)).await?;
//! assert_eq!(summary.aborted, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # The drain
//!
//! 1. Listeners close at once. With a supervisor the queue is shared, so nothing waiting in it is
//!    lost; a queue that is ours alone is emptied first.
//! 2. Every response from now on carries `Connection: close`. Clients that are active leave by
//!    themselves, having been answered.
//! 3. For the lame-duck period (2 s) a connection that is silent is left alone: its
//!    first byte may be on the way. Hyper's own graceful shutdown closes such a
//!    connection at once, and with it the request.
//! 4. Then connections that have been idle for the whole period are closed, each on its own clock.
//! 5. What is in flight finishes, or is cut at the deadline.
//!
//! One race stays: the kernel may receive a request in the microseconds between the last look and
//! the close of an idle connection. No server can remove it; after the lame-duck period
//! it concerns only clients that sent nothing for that long.
//!
//! HTTP/2 (feature `http2`, recognised by a connection's first bytes) needs no such patience: GOAWAY and a
//! PING tell the client at once, what it had opened before it answers is served, and nothing is
//! lost to a race.
//!
//! A connection that was upgraded (a WebSocket) belongs to the program from then on, and the drain waits
//! until its socket is dropped: [`Handle::draining`] says when it is time.
//!
//! This is proved in `tests/service.rs` and in `src/service/http/tests.rs`.

mod accept;
mod answer;
mod connection;
mod control;
mod drain;
#[cfg(feature = "http2")]
mod http2;
mod run;
mod server;
mod serves;
mod stream;
#[cfg(test)]
mod tests;

pub use super::OnSupervisorDeath;
pub use control::ControlStream;
pub use drain::{Handle, Phase};
#[cfg(feature = "upgrade")]
pub(crate) use run::{News, Orders, run};
pub use run::{run_until_drained, run_until_drained_with};
pub use server::{Server, Summary};
pub use serves::{Content, Serves};
