//! The time that applying may take.

use std::time::Instant;

use crate::ApplyError;

/// Steps between two looks at the clock.
const STEPS: u32 = 1 << 14;

/// Looks at the clock now and then.
#[derive(Debug)]
pub(super) struct Clock {
    until: Option<Instant>,
    steps: u32,
}

impl Clock {
    pub(super) fn new(until: Option<Instant>) -> Clock {
        Clock { until, steps: 0 }
    }

    /// One step of work that takes less than some microseconds.
    pub(super) fn tick(&mut self) -> Result<(), ApplyError> {
        self.steps += 1;
        if self.steps >= STEPS { self.look() } else { Ok(()) }
    }

    /// Before work that takes longer.
    pub(super) fn look(&mut self) -> Result<(), ApplyError> {
        self.steps = 0;
        match self.until {
            Some(until) if Instant::now() >= until => Err(ApplyError::TooSlow),
            _ => Ok(()),
        }
    }
}
