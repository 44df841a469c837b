//! A load generator for handoffs: clients that notice every request that is lost.
//!
//! ```no_run
//! use std::time::Duration;
//! use fetchd::load::{Load, LoadPlan, Target};
//!
//! let plan = LoadPlan { fresh: 8, keep_alive: 8, ..LoadPlan::new(Target::Tcp("127.0.0.1:8080".parse()?)) };
//! let load = Load::start(plan)?;
//! load.mark("handoff");
//! load.wait_for_version("2.0.0", Duration::from_secs(10))?;
//! let report = load.stop();
//! assert_eq!(report.totals.failed.total(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It talks to this machine only, and has an upper limit for clients and for time.

mod client;
mod histogram;
mod stats;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use histogram::Histogram;
pub use stats::{Failure, Failures, Report, Totals, VersionSeen, Window};
use stats::{Seen, Stats};

/// Where the requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

/// What to do to a server.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Where.
    pub target: Target,
    /// Clients that open a connection for each request.
    pub fresh: usize,
    /// Clients that keep their connection until the server says `Connection: close`, and send without
    /// looking whether it is still there.
    pub keep_alive: usize,
    /// The pause of a client between two requests.
    pub think: Duration,
    /// What a request may take, from connect to the last byte.
    pub timeout: Duration,
    /// When to stop even if nobody says so; at most [`LONGEST`].
    pub lifetime: Duration,
}

impl LoadPlan {
    /// Eight clients of either kind, a think time of 5 ms, a timeout of 10 s, ten minutes at most.
    pub fn new(target: Target) -> LoadPlan {
        LoadPlan {
            target,
            fresh: 8,
            keep_alive: 8,
            think: Duration::from_millis(5),
            timeout: Duration::from_secs(10),
            lifetime: Duration::from_secs(600),
        }
    }
}

/// The most clients of both kinds together.
pub const MOST_CLIENTS: usize = 512;

/// The longest a load runs.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// Why a load could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The target is another machine.
    #[error("`{0}` is not a loopback address")]
    NotLoopback(SocketAddr),
    /// More than [`MOST_CLIENTS`] or [`LONGEST`].
    #[error("a load has at most {MOST_CLIENTS} clients and {} s", LONGEST.as_secs())]
    TooMuch,
    /// No thread or runtime.
    #[error("the load cannot be started")]
    Start(#[source] io::Error),
}

/// What was waited for did not come.
#[derive(Debug, thiserror::Error)]
#[error("no answer of version `{version}` within {} ms", waited.as_millis())]
pub struct NotSeen {
    /// The version.
    pub version: String,
    /// How long it was waited for.
    pub waited: Duration,
}

/// A running load. It stops when it is dropped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the clients and the owner of the load share.
#[derive(Debug)]
struct Shared {
    plan: LoadPlan,
    stats: Stats,
    stop: watch::Sender<bool>,
    slow: tokio::sync::mpsc::UnboundedSender<Slow>,
}

/// An ordered slow request.
#[derive(Debug)]
struct Slow {
    path: String,
    answer: mpsc::Sender<Result<Answer, Failure>>,
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The version in the answer, empty if it had none.
    pub version: String,
    /// The process in the answer, 0 if it had none.
    pub pid: u32,
    /// From connect to the last byte.
    pub took: Duration,
}

/// A slow request on its way.
#[derive(Debug)]
pub struct SlowRequest {
    answer: mpsc::Receiver<Result<Answer, Failure>>,
}

impl SlowRequest {
    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// How the request was lost; [`Failure::Eof`] also when the load was stopped meanwhile.
    pub fn wait(self) -> Result<Answer, Failure> {
        self.answer.recv().unwrap_or(Err(Failure::Eof))
    }
}

impl Load {
    /// Starts the clients of `plan` on a thread of their own.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; no request has been sent then.
    pub fn start(plan: LoadPlan) -> Result<Load, LoadError> {
        if let Target::Tcp(address) = plan.target
            && !address.ip().is_loopback()
        {
            return Err(LoadError::NotLoopback(address));
        }
        if plan.fresh.saturating_add(plan.keep_alive) > MOST_CLIENTS || plan.lifetime > LONGEST {
            return Err(LoadError::TooMuch);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LoadError::Start)?;
        let (slow, ordered) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared { plan, stats: Stats::new(), stop: watch::Sender::new(false), slow });
        let clients = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fetchd-load".to_owned())
            .spawn(move || runtime.block_on(client::run(clients, ordered)))
            .map_err(LoadError::Start)?;
        Ok(Load { shared, thread: Some(thread) })
    }

    /// The numbers up to now.
    pub fn snapshot(&self) -> Report {
        self.shared.stats.report()
    }

    /// Ends the current window and begins one called `label`, so that a handoff can be compared
    /// with what was before.
    pub fn mark(&self, label: &str) {
        self.shared.stats.mark(label);
    }

    /// Sends one request to `/slow` that takes `time` to answer. It counts in the totals and not in the
    /// latencies.
    pub fn slow_request(&self, time: Duration) -> SlowRequest {
        let (answer, receiver) = mpsc::channel();
        // Without clients the sender is dropped, which the receiver notices.
        let _ = self.shared.slow.send(Slow { path: format!("/slow?ms={}", time.as_millis()), answer });
        SlowRequest { answer: receiver }
    }

    /// Waits until `version` answers a request sent after this call; returns how long that took.
    ///
    /// # Errors
    ///
    /// [`NotSeen`] after `within`.
    pub fn wait_for_version(&self, version: &str, within: Duration) -> Result<Duration, NotSeen> {
        let begun = Instant::now();
        self.shared
            .stats
            .wait(begun + within, |seen: &Seen| seen.answered_since(version, begun))
            .ok_or_else(|| NotSeen { version: version.to_owned(), waited: begun.elapsed() })
            .map(|()| begun.elapsed())
    }

    /// Lets requests on their way finish, and stops.
    pub fn stop(mut self) -> Report {
        self.end();
        self.shared.stats.report()
    }

    fn end(&mut self) {
        self.shared.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed by it.
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
