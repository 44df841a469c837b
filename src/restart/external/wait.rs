//! One deadline over everything that a restart waits for.

use std::time::{Duration, Instant};

use crate::restart::{HandoffError, Stop};

/// A wait of a driver's: it ends with what was waited for, at its deadline, or when fetchd is told to stop.
#[derive(Debug, Clone)]
pub struct Wait {
    driver: &'static str,
    given: Duration,
    until: Instant,
    stop: Stop,
}

impl Wait {
    /// For `given` from now on, or until `stop` is asked for.
    pub fn new(driver: &'static str, given: Duration, stop: &Stop) -> Wait {
        Wait { driver, given, until: Instant::now() + given, stop: stop.clone() }
    }

    /// For `given` from now on, whatever happens: for a way back, which is never left half done.
    pub fn to_the_end(driver: &'static str, given: Duration) -> Wait {
        Wait::new(driver, given, &Stop::default())
    }

    /// The same deadline, whatever fetchd is told: for what must not be left half done.
    pub fn to_its_end(&self) -> Wait {
        Wait { stop: Stop::default(), ..self.clone() }
    }

    /// When it is over.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Looks again and again until `look` finds something. `lacks` says what has not happened if it never does.
    ///
    /// Fails with what `look` fails with, with [`HandoffError::Deadline`], or with [`HandoffError::Stopping`].
    pub fn find<T>(
        &self,
        lacks: &str,
        mut look: impl FnMut() -> Result<Option<T>, HandoffError>,
    ) -> Result<T, HandoffError> {
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() >= self.until {
                return Err(self.late(lacks));
            }
            if self.stop.wait(TICK) {
                return Err(HandoffError::Stopping);
            }
        }
    }

    /// The failure of what was not there in time.
    pub fn late(&self, lacks: &str) -> HandoffError {
        HandoffError::Deadline { driver: self.driver, waited: self.given, lacks: lacks.to_owned() }
    }

    /// The failure of what said no.
    pub fn failed(&self, reason: impl Into<String>) -> HandoffError {
        HandoffError::Failed { driver: self.driver, reason: reason.into() }
    }

    /// The failure of what is not there.
    pub fn unreachable(&self, reason: impl Into<String>) -> HandoffError {
        HandoffError::Unreachable { driver: self.driver, reason: reason.into() }
    }
}

/// Between two looks. PID files and the states of other programs cannot be waited for in another way.
pub(super) const TICK: Duration = Duration::from_millis(20);
