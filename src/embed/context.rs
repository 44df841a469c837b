//! What a service is told about itself, and what it can say.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::draining::Draining;
use super::process::Process;
use crate::service::{Inherited, Listener, Notify, NotifyError};

/// A running service: its sockets, what it is, and the way to its supervisor.
///
/// Nothing may be accepted before [`ready`](ServiceContext::ready): a process that does not become ready is replaced, and
/// what it has accepted would be lost.
#[derive(Debug)]
pub struct ServiceContext {
    inherited: Inherited,
    listeners: Vec<Option<Listener>>,
    version: Option<String>,
    program: PathBuf,
    started_at: SystemTime,
    draining: Option<Draining>,
}

impl ServiceContext {
    pub(super) fn new(mut inherited: Inherited, process: &Process, version: Option<&str>) -> ServiceContext {
        let listeners = std::iter::from_fn(|| inherited.at(0)).map(Some).collect();
        let environment = inherited.environment();
        let own = || process.program().map(Path::to_owned).unwrap_or_default();
        ServiceContext {
            version: environment.version.clone().or(version.map(str::to_owned)),
            program: environment.program.clone().unwrap_or_else(own),
            started_at: SystemTime::now(),
            draining: None,
            listeners,
            inherited,
        }
    }

    /// Whether there is a supervisor. If not, this process is all there is: nothing restarts or updates it.
    pub fn is_supervised(&self) -> bool {
        self.inherited.environment().role.is_some()
    }

    /// The names of the sockets, in the order in which they are configured; those that were taken are among them as `None`.
    pub fn names(&self) -> Vec<Option<&str>> {
        self.listeners.iter().map(|listener| listener.as_ref().map(Listener::name)).collect()
    }

    /// Takes the socket called `name`; `None` if there is none, or if it was taken.
    pub fn listener(&mut self, name: &str) -> Option<Listener> {
        let found = self.listeners.iter_mut().find(|listener| listener.as_ref().is_some_and(|l| l.name() == name));
        found.and_then(Option::take)
    }

    /// Takes the socket at `index`, in the order in which they are configured; `None` if there is none, or if it was taken.
    pub fn listener_at(&mut self, index: usize) -> Option<Listener> {
        self.listeners.get_mut(index).and_then(Option::take)
    }

    /// Takes all sockets that were not taken.
    pub fn listeners(&mut self) -> Vec<Listener> {
        self.listeners.iter_mut().filter_map(Option::take).collect()
    }

    /// Counts the processes of this service since its supervisor was started, from 1; `None` without one.
    pub fn generation(&self) -> Option<u64> {
        self.inherited.environment().generation
    }

    /// The version of the release that runs, else the one that the program gave itself.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The sha256 of the binary that runs, in hexadecimal; `None` where nobody has read it.
    pub fn digest(&self) -> Option<&str> {
        self.inherited.environment().digest.as_deref()
    }

    /// When this process was started.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// The program's path as it was started or configured. Another release may lie there by now.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// How long a drain may take; `None` without a supervisor.
    pub fn drain_within(&self) -> Option<Duration> {
        self.inherited.environment().drain_within
    }

    /// This process can serve; the one before it is told to leave.
    ///
    /// # Errors
    ///
    /// As those of [`Notify`], like every function below that says something.
    pub fn ready(&self) -> Result<(), NotifyError> {
        self.notify().ready()
    }

    /// One line for people, shown by `fetchd status`.
    pub fn status(&self, text: &str) -> Result<(), NotifyError> {
        self.notify().status(text)
    }

    /// Asks for a graceful restart of this service, on the newest release that is installed or waits.
    pub fn restart(&self) -> Result<(), NotifyError> {
        self.notify().restart()
    }

    /// The deadline at hand, of readiness or of the drain, is to be `by` from now: at most ten times what is configured.
    pub fn extend(&self, by: Duration) -> Result<(), NotifyError> {
        self.notify().extend(by)
    }

    /// This process cannot take over; the handoff is undone, and the release is not tried again.
    pub fn reject(&self, reason: &str) -> Result<(), NotifyError> {
        self.notify().reject(reason)
    }

    /// Everything else that can be said, from anywhere in the program: it is cheap to clone.
    pub fn notify(&self) -> &Notify {
        self.inherited.notify()
    }

    /// When to leave. **Call it before [`ready`](ServiceContext::ready)**: until it is called SIGTERM ends the process at
    /// once. A program that serves HTTP by `fetchd::service::http` does not need it.
    ///
    /// # Errors
    ///
    /// The signals could not be registered.
    pub fn draining(&mut self) -> io::Result<Draining> {
        match &self.draining {
            Some(draining) => Ok(draining.clone()),
            None => Ok(self.draining.insert(Draining::listen(self.inherited.control())?).clone()),
        }
    }

    /// What `fetchd::service::http` needs, without the sockets.
    ///
    /// ```no_run
    /// # async fn example(mut context: fetchd::ServiceContext, app: axum::Router) -> std::io::Result<()> {
    /// use fetchd::service::http::{Server, run_until_drained};
    /// use hyper_util::service::TowerToHyperService;
    ///
    /// let server = Server::new(context.listeners());
    /// run_until_drained(context.into_inherited(), server, TowerToHyperService::new(app)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_inherited(self) -> Inherited {
        self.inherited
    }
}
