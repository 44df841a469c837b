//! The driver that restarts nothing: files change, processes are somebody else's.

use std::time::Duration;

use super::registry::{Known, Setup, SetupError};
use super::{Handoff, HandoffError, Launch, RestartDriver};

/// Restarts nothing. What is installed is confirmed at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct None;

pub(super) fn make(setup: Setup) -> Result<Box<dyn RestartDriver>, SetupError> {
    Known::check("none", &setup.options, &[])?;
    Ok(Box::new(None))
}

impl RestartDriver for None {
    fn name(&self) -> &'static str {
        "none"
    }

    fn handoff(&mut self, _: &Launch) -> Result<Handoff, HandoffError> {
        Ok(Handoff { generation: 0, took: Duration::ZERO })
    }

    fn watch(&mut self) -> Result<(), HandoffError> {
        Ok(())
    }

    fn confirm(&mut self) {}

    fn abort(&mut self) {}

    fn roll_back(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        self.handoff(to)
    }

    fn give_up(&mut self) {}
}
