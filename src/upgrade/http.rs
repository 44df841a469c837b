//! An HTTP server that hands over to its successor.
//!
//! ```no_run
//! # async fn example(app: axum::Router, upgrader: fetchd::Upgrader) -> Result<(), Box<dyn std::error::Error>> {
//! use fetchd::service::http::Server;
//! use hyper_util::service::TowerToHyperService;
//!
//! // `upgrader` was started before the runtime was built; see `Builder::start`.
//! let server = Server::new(upgrader.listeners("web")?);
//! fetchd::upgrade::http::run_until_drained(upgrader, server, TowerToHyperService::new(app)).await?;
//! # Ok(())
//! # }
//! ```

use std::io;

use super::Upgrader;
use crate::service::http::{Content, News, OnSupervisorDeath, Orders, Server, Serves, Summary, run};

/// Calls [`Upgrader::ready`], serves, and obeys: `SIGTERM` and `SIGINT` [stop](Upgrader::stop) and drain, an upgrade pauses,
/// resumes and drains, a second `SIGINT` cuts the drain short. The drain is that of [`service::http`](crate::service::http).
///
/// Call it when the program is able to answer requests. The caller exits with success afterwards, whatever the summary says.
///
/// # Errors
///
/// [`ReadyError`](super::ReadyError), as the inner error; or signals, the control descriptor or a listener could not be
/// registered with the runtime.
pub async fn run_until_drained<S, B>(upgrader: Upgrader, server: Server, service: S) -> io::Result<Summary>
where
    S: Serves<B>,
    B: Content,
{
    let orders = Orders::new(upgrader.control(), upgrader.environment(), OnSupervisorDeath::default())?;
    let waiting = upgrader.clone();
    let ready = async || {
        let ready = tokio::task::spawn_blocking(move || waiting.ready());
        ready.await.map_err(io::Error::other)?.map_err(io::Error::other)
    };
    let deadline = Some(upgrader.shared.options.drain_deadline);
    run(orders, deadline, server, service, ready, |news| match news {
        News::Leaving => upgrader.stop(),
        // The successor says it from now on.
        News::Alive if upgrader.has_handed_over() => {}
        News::Alive => upgrader.shared.told(upgrader.notify().watchdog()),
    })
    .await
}
