//! Direct handoff: a server replaces itself by its own successor, without a supervisor.
//!
//! The running process starts the new one with its listening sockets, waits until it is ready, stops
//! accepting, lets it accept, keeps watching it, and drains:
//!
//! ```no_run
//! use fetchd::Upgrader;
//! use fetchd::service::{Message, Socket};
//!
//! // First thing in `main`, before any thread exists.
//! let upgrader = Upgrader::builder().listen("web", "127.0.0.1:8080").pid_file("/run/app.pid").start()?;
//! let listeners = upgrader.listeners("web")?;
//! let control = upgrader.control().expect("taken once");
//! // … load the configuration, warm the caches; do not accept yet …
//! upgrader.ready()?; // in a successor: returns when the parent has handed over
//! // … accept on `listeners`, on threads of your own …
//! loop {
//!     match control.next(None)? {
//!         Some(Message::Pause) => { /* stop accepting, keep serving */ }
//!         Some(Message::Resume) => { /* accept again: the successor died */ }
//!         Some(Message::Drain(_)) | Some(Message::SupervisorGone) => break,
//!         _ => {}
//!     }
//! }
//! // … finish what is in flight, and return …
//! # drop(listeners);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `SIGUSR2`, or [`Upgrader::upgrade`], begins an upgrade. For hyper and axum, `http` (feature `hyper`) obeys the
//! messages; `examples/direct-handoff.rs` is a whole server on plain threads. `docs/upgrader.md` says what happens when,
//! and when `fetchd run` is the better choice.
//!
//! Proved in `tests/upgrader`.

mod ancestors;
mod builder;
mod channel;
mod error;
mod handoff;
#[cfg(feature = "hyper")]
pub mod http;
mod kept;
mod phase;
mod pid_file;
mod program;
mod signals;
mod successor;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ancestors::Ancestors;
pub use builder::{Builder, Trigger};
pub use error::{ReadyError, Refusal, StartError, UpgradeError};
use kept::Kept;
use phase::Stage;
use program::Program;
use successor::Parent;

use crate::service::{Control, Environment, ListenError, Listener, Notify};

/// A server's way to its successor. Cheap to clone.
///
/// Keep one for as long as the process serves: with the last one, the [control descriptor](Upgrader::control) ends.
#[derive(Debug, Clone)]
pub struct Upgrader {
    shared: Arc<Shared>,
}

/// A successor that has taken over and stayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upgraded {
    /// Its process.
    pub pid: u32,
    /// Its generation: this process's and one.
    pub generation: u64,
    /// From the start of the upgrade until it was ready.
    pub ready_after: Duration,
}

impl Upgrader {
    /// The settings to start with.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The listeners called `name`, as copies to accept from after [`ready`](Upgrader::ready). The upgrader keeps
    /// the originals for the successor.
    ///
    /// # Errors
    ///
    /// [`ListenError::NotPassed`] if no listener has that name, [`ListenError::Copy`] without a descriptor to spare.
    pub fn listeners(&self, name: &str) -> Result<Vec<Listener>, ListenError> {
        self.shared.kept().listeners(name, &self.shared.elsewhere)
    }

    /// A copy of the descriptor called `name`: one of [`Builder::descriptor`], of [`hand_on`](Upgrader::hand_on), or,
    /// until [`ready`](Upgrader::ready), anything that the parent handed on.
    ///
    /// # Errors
    ///
    /// `NotFound`, or that there is no descriptor to spare.
    pub fn descriptor(&self, name: &str) -> io::Result<OwnedFd> {
        self.shared.kept().descriptor(name)
    }

    /// Hands `descriptor` on to the successor as `name`, instead of one of that name.
    ///
    /// # Errors
    ///
    /// [`StartError::Name`].
    pub fn hand_on(&self, name: &str, descriptor: OwnedFd) -> Result<(), StartError> {
        builder::check_name(name)?;
        self.shared.kept().hand_on(name, descriptor);
        Ok(())
    }

    /// Takes the descriptor on which this program is told to pause, to resume and to drain, as
    /// by a supervisor. `None` on a second call.
    pub fn control(&self) -> Option<Control> {
        lock(&self.shared.control).take()
    }

    /// 1 for the first process, counting up.
    pub fn generation(&self) -> u64 {
        self.shared.generation
    }

    /// What the parent, or fetchd, told this process about itself.
    pub fn environment(&self) -> &Environment {
        &self.shared.environment
    }

    /// The line to systemd, for `STATUS=` and the like. `READY=1` and `STOPPING=1` are the upgrader's.
    pub fn notify(&self) -> &Notify {
        &self.shared.notify
    }

    /// Why this process would refuse to upgrade, if it would.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.shared.refusal.as_ref()
    }

    /// Whether a successor accepts connections now, so that this process does not.
    pub fn has_handed_over(&self) -> bool {
        // Under fetchd the flag says that fetchd holds the sockets too, and nothing about successors.
        self.shared.orders.is_some() && self.shared.elsewhere.load(Ordering::SeqCst)
    }

    /// Says that this process can serve. Accept connections when it has returned, not before.
    ///
    /// In a successor it waits until the parent has stopped accepting and said `go`, which takes a moment, at most
    /// the ready deadline. Then the PID file is this process's, and systemd is told `READY=1`: by the first process at once,
    /// by a successor when the parent has made it the main process.
    ///
    /// # Errors
    ///
    /// [`ReadyError`]: this process does not serve and should exit.
    pub fn ready(&self) -> Result<(), ReadyError> {
        self.shared.take_over()
    }

    /// Says, instead of ready, that this process cannot take over. The upgrade ends, and this process is
    /// ended; in a process that is no successor nothing happens.
    pub fn reject(&self, reason: &str) {
        self.shared.reject(reason);
    }

    /// Hands over to a new process of the program, and returns when that has been accepting connections through the whole
    /// pause. After that this process drains, and [`control`](Upgrader::control) says so; it has at most the drain
    /// deadline, and is ended then.
    ///
    /// Blocks; may be called from any thread. In an asynchronous program: from `spawn_blocking`.
    ///
    /// # Errors
    ///
    /// [`UpgradeError`]; this process goes on as before (test
    /// `whatever_is_wrong_with_a_successor_the_old_process_serves_and_the_next_upgrade_works`).
    pub fn upgrade(&self) -> Result<Upgraded, UpgradeError> {
        self.shared.upgrade()
    }

    /// Begins to leave for good: no upgrade from now on, one that runs is given up, systemd is told
    /// `STOPPING=1` unless a successor serves, and [`control`](Upgrader::control) says `drain`. To be called when the program was told
    /// to stop, by SIGTERM for example; again, nothing happens.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

type Before = Box<dyn Fn() -> Result<(), String> + Send + Sync>;
type After = Box<dyn Fn(&Result<Upgraded, UpgradeError>) + Send + Sync>;

/// What was decided before the start.
struct Options {
    ready_deadline: Duration,
    drain_deadline: Duration,
    pause: Duration,
    pid_file: Option<PathBuf>,
    before: Option<Before>,
    after: Option<After>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("ready_deadline", &self.ready_deadline)
            .field("drain_deadline", &self.drain_deadline)
            .field("pause", &self.pause)
            .field("pid_file", &self.pid_file)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared {
    options: Options,
    program: Program,
    environment: Environment,
    generation: u64,
    refusal: Option<Refusal>,
    notify: Notify,
    kept: Mutex<Kept>,
    /// Whether another process accepts, or will when this one has ended. The listeners of this process know it by the same flag.
    elsewhere: Arc<AtomicBool>,
    /// The program's end of its control descriptor.
    control: Mutex<Option<Control>>,
    /// The other end; none where fetchd supervises.
    orders: Option<OwnedFd>,
    stage: Stage,
    parent: Mutex<Option<Parent>>,
    ancestors: Mutex<Ancestors>,
    signals: Mutex<Option<signals::Signals>>,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

/// No state behind these locks is ever half changed when a thread panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
