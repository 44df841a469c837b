//! A restart that is the program's own business.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::restart::{Handoff, HandoffError, Launch, RestartDriver};

/// What the program makes of a release that has just been installed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartDecision {
    /// Another process runs the release and serves, as after a direct handoff. The release is confirmed.
    Restarted,
    /// It stays at the program path, and whoever starts the program next gets it. The release is confirmed.
    Later,
    /// This process ends with this code as soon as the release is recorded, as by [`std::process::exit`]: whoever looks
    /// after it starts the new one.
    Exit(u8),
    /// The new process did not take over, for this reason: one lower-case sentence. The previous binary is put back, and
    /// this release is not tried again.
    Failed(String),
}

type Decide = dyn FnMut(&Launch) -> RestartDecision + Send;

/// Asks the program.
pub(super) struct Asking {
    decide: Box<Decide>,
    exit: Arc<OnceLock<u8>>,
    /// What was decided and is not recorded yet.
    wants: Option<u8>,
}

impl Asking {
    /// `exit` gets the code with which to end, once that is to happen.
    pub(super) fn new(
        decide: impl FnMut(&Launch) -> RestartDecision + Send + 'static,
        exit: Arc<OnceLock<u8>>,
    ) -> Asking {
        Asking { decide: Box::new(decide), exit, wants: None }
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

impl RestartDriver for Asking {
    fn name(&self) -> &'static str {
        "program"
    }

    fn handoff(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        let begun = Instant::now();
        self.wants = None;
        match (self.decide)(to) {
            RestartDecision::Restarted | RestartDecision::Later => {}
            RestartDecision::Exit(code) => self.wants = Some(code),
            RestartDecision::Failed(reason) => return Err(HandoffError::Rejected { reason }),
        }
        Ok(Handoff { generation: 0, took: begun.elapsed() })
    }

    fn watch(&mut self) -> Result<(), HandoffError> {
        Ok(())
    }

    fn confirm(&mut self) {
        if let Some(code) = self.wants.take() {
            // Once only: the first code is the one the process ends with.
            let _ = self.exit.set(code);
        }
    }

    fn abort(&mut self) {
        self.wants = None;
    }

    fn roll_back(&mut self, _: &Launch) -> Result<Handoff, HandoffError> {
        Ok(Handoff { generation: 0, took: Duration::ZERO })
    }

    fn give_up(&mut self) {}
}
