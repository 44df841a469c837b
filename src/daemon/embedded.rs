//! What a program adds that has the supervisor inside.

use std::error::Error;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Signal;
use semver::Version;

use crate::agent::{Line, Observer, UpdateEvent};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::chain;
use crate::restart::{Handoff, HandoffError, Launch, RestartDriver};
use crate::state::Confirmed;
use crate::verify::{Check, Verified};

/// When the service is restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Restarts {
    /// As soon as a release is verified, and whenever somebody asks.
    #[default]
    AtOnce,
    /// Only when somebody asks; a verified release waits for that.
    WhenAsked,
    /// By whoever looks after the supervisor: releases are installed, and a restart that is asked for is an end in order.
    ByOthers,
}

/// What a program adds.
#[derive(Debug)]
pub struct Embedded {
    /// What it adds to the line.
    pub outfit: Outfit,
    /// Who hears of what happens.
    pub observer: Option<Observer>,
    /// When it is restarted.
    pub restarts: Restarts,
    /// `HUP`, `USR1` or `USR2`: the signal that asks for a restart. The other two are passed on to the service.
    pub restart_signal: Signal,
}

impl Default for Embedded {
    fn default() -> Embedded {
        Embedded {
            outfit: Outfit::default(),
            observer: None,
            restarts: Restarts::default(),
            restart_signal: Signal::USR2,
        }
    }
}

type Consent = dyn FnMut(&Verified) -> Result<(), Box<dyn Error + Send + Sync>> + Send;

/// What is added to the line, each time that one is made.
#[derive(Clone, Default)]
pub struct Outfit {
    /// What else must hold of a candidate.
    pub checks: Vec<Arc<dyn Check>>,
    /// Asked before each installation.
    pub consent: Option<Arc<Mutex<Consent>>>,
    /// Who hears of an installation before it is made.
    pub observer: Option<Observer>,
    /// Whether a verified release waits until somebody asks for a restart.
    pub on_restart: bool,
    /// The version of this very program, so that it need not be run to be asked.
    pub version: Option<Version>,
}

impl fmt::Debug for Outfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outfit")
            .field("checks", &self.checks)
            .field("on_restart", &self.on_restart)
            .finish_non_exhaustive()
    }
}

impl Outfit {
    /// `line` with what is added.
    pub fn fitted(&self, mut line: Line) -> Line {
        line.verifier.checks.extend(self.checks.iter().map(|check| Box::new(Arc::clone(check)) as Box<dyn Check>));
        line.installing.on_restart = self.on_restart;
        self.introduce(&mut line);
        let (observer, consent) = (self.observer.clone(), self.consent.clone());
        if observer.is_some() || consent.is_some() {
            line.installing.consent = Some(Box::new(move |verified: &Verified| {
                if let Some(consent) = &consent {
                    (consent.lock().unwrap_or_else(PoisonError::into_inner))(verified)?;
                }
                if let Some(observer) = &observer {
                    let (version, sha256) = (verified.version().cloned(), verified.sha256());
                    observer.tell(&UpdateEvent::Installing { version, sha256 });
                }
                Ok(())
            }));
        }
        line
    }
}

impl Outfit {
    /// Records the version of what lies at the program path, where that is this program and nothing is known of it yet.
    /// What it prints may begin with another.
    fn introduce(&self, line: &mut Line) {
        let Some(version) = &self.version else { return };
        // A path that cannot be read is for whoever starts what lies there.
        let Ok(Some(started)) = line.install.startable(line.store.record()) else { return };
        if started.version().is_some() || !is_this_program(started.program()) {
            return;
        }
        let confirmed = Confirmed { version: Some(version.clone()), sha256: *started.sha256(), at: Timestamp::now() };
        if let Err(e) = line.store.update(|record| record.confirmed = Some(confirmed)) {
            tracing::warn!(event = "state.unwritable", error = chain(&e), "cannot record the version that runs");
        }
    }
}

/// Whether this process runs the file at `path`.
pub(crate) fn is_this_program(path: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    id(path).is_some() && id(path) == id(Path::new("/proc/self/exe"))
}

/// Installs without a handoff. What was installed is started after the next crash, and when somebody asks for a restart.
#[derive(Debug)]
pub(super) struct FilesOnly {
    service: Box<dyn RestartDriver>,
    at_path: Option<Sha256>,
    /// Whether the handoff at hand is one.
    real: bool,
}

impl FilesOnly {
    /// `service` runs the processes; `at_path` is what lies at the program path.
    pub(super) fn new(service: Box<dyn RestartDriver>, at_path: Option<Sha256>) -> FilesOnly {
        FilesOnly { service, at_path, real: false }
    }
}

impl RestartDriver for FilesOnly {
    fn name(&self) -> &'static str {
        self.service.name()
    }

    fn handoff(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        // Without anything at the path nothing runs yet. What lies there already is a restart.
        self.real = self.at_path.is_none() || to.sha256 == self.at_path;
        self.at_path = to.sha256;
        if self.real { self.service.handoff(to) } else { crate::restart::none::None.handoff(to) }
    }

    fn watch(&mut self) -> Result<(), HandoffError> {
        if self.real { self.service.watch() } else { Ok(()) }
    }

    fn confirm(&mut self) {
        if self.real {
            self.service.confirm();
        }
    }

    fn abort(&mut self) {
        self.service.abort();
    }

    fn roll_back(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        self.at_path = to.sha256;
        self.service.roll_back(to)
    }

    fn give_up(&mut self) {
        self.service.give_up();
    }
}
