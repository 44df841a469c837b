//! What happens, told to a program that has the agent inside.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use semver::Version;

use super::outcome::{Outcome, PassFailure};
use crate::digest::Sha256;
use crate::failure::Reported;
use crate::restart::{Handoff, HandoffError, Launch, RestartDriver};

/// Something that happened on the line, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateEvent {
    /// A pass begins: the source is asked.
    Polling,
    /// A release has passed every check and is about to be put at the program path.
    Installing {
        /// Its version, where known.
        version: Option<Version>,
        /// The digest of its binary.
        sha256: Sha256,
    },
    /// A binary has taken over and is watched from now on.
    HandedOff {
        /// Its version, where known.
        version: Option<Version>,
        /// Its digest, where known.
        sha256: Option<Sha256>,
        /// The generation that serves; 0 where the driver has none.
        generation: u64,
    },
    /// A release did not take over or did not stay; the one before is at the program path again.
    RolledBack,
    /// A pass came to its end; [`Outcome::Updated`]: the new release is confirmed.
    Finished(Outcome),
    /// What the source offers is not believed, or is bad. It is not installed.
    Refused(Reported),
    /// A pass broke off for another reason. What ran before runs.
    Failed(Reported),
}

impl UpdateEvent {
    /// How a pass ended. `None`: it was broken off for something more urgent.
    pub(super) fn of(result: &Result<Outcome, PassFailure>) -> Option<UpdateEvent> {
        match result {
            Ok(outcome) => Some(UpdateEvent::Finished(outcome.clone())),
            Err(failure) if failure.was_interrupted() => None,
            Err(failure @ (PassFailure::Refused(_) | PassFailure::Verify(_))) => {
                Some(UpdateEvent::Refused(Reported::of(failure)))
            }
            Err(failure) => Some(UpdateEvent::Failed(Reported::of(failure))),
        }
    }
}

type Tell = dyn FnMut(&UpdateEvent) + Send;

/// Hears every [`UpdateEvent`], on the agent's thread: as long as it thinks, nothing else is done. A panic in it is logged
/// and changes nothing.
#[derive(Clone)]
pub struct Observer(Arc<Mutex<Box<Tell>>>);

impl Observer {
    /// `tell` is called for each event.
    pub fn new(tell: impl FnMut(&UpdateEvent) + Send + 'static) -> Observer {
        Observer(Arc::new(Mutex::new(Box::new(tell))))
    }

    /// Tells it.
    pub fn tell(&self, event: &UpdateEvent) {
        let mut tell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if catch_unwind(AssertUnwindSafe(|| tell(event))).is_err() {
            tracing::error!(event = "hook.panicked", "a hook of the program panicked at {event:?}");
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// A driver whose doings an [`Observer`] hears of.
#[derive(Debug)]
pub struct Observed {
    driver: Box<dyn RestartDriver>,
    observer: Observer,
}

impl Observed {
    /// `driver`, with `observer` told.
    pub fn new(driver: Box<dyn RestartDriver>, observer: Observer) -> Observed {
        Observed { driver, observer }
    }
}

impl RestartDriver for Observed {
    fn name(&self) -> &'static str {
        self.driver.name()
    }

    fn handoff(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        let handoff = self.driver.handoff(to)?;
        let (version, sha256) = (to.version.clone(), to.sha256);
        self.observer.tell(&UpdateEvent::HandedOff { version, sha256, generation: handoff.generation });
        Ok(handoff)
    }

    fn watch(&mut self) -> Result<(), HandoffError> {
        self.driver.watch()
    }

    fn confirm(&mut self) {
        self.driver.confirm();
    }

    fn abort(&mut self) {
        self.driver.abort();
        self.observer.tell(&UpdateEvent::RolledBack);
    }

    fn roll_back(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        let handoff = self.driver.roll_back(to)?;
        self.observer.tell(&UpdateEvent::RolledBack);
        Ok(handoff)
    }

    fn give_up(&mut self) {
        self.driver.give_up();
    }
}
