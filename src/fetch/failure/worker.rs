//! How a worker failed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a worker failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkerFault {
    /// It could not be started.
    #[error("the worker `{program}` could not be started: {message}")]
    Spawn {
        /// The program.
        program: String,
        /// What the system said.
        message: String,
    },
    /// It ended in the middle of a job.
    #[error("the worker ended in the middle of a job with {how}")]
    Died {
        /// Its exit status or signal, in words.
        how: String,
    },
    /// A job panicked; the worker said so itself.
    #[error("the worker panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// It gave no sign of life.
    #[error("the worker gave no sign of life for {after:?}")]
    Silent {
        /// The limit.
        after: Duration,
    },
    /// The job's hard deadline passed.
    #[error("the worker did not end its job within {limit:?}")]
    Deadline {
        /// The limit.
        limit: Duration,
    },
    /// It lacks hardening that the configuration requires, and was given no job.
    #[error("the worker lacks what `worker.hardening = \"require\"` asks for: {missing}")]
    Hardening {
        /// What, and why.
        missing: String,
    },
    /// It spoke out of turn or in no known words.
    #[error("the worker broke the protocol: {what}")]
    Protocol {
        /// How.
        what: String,
    },
}

impl WorkerFault {
    pub(super) fn code(&self) -> &'static str {
        match self {
            WorkerFault::Spawn { .. } => "worker.spawn",
            WorkerFault::Died { .. } => "worker.died",
            WorkerFault::Panicked { .. } => "worker.panicked",
            WorkerFault::Silent { .. } => "worker.silent",
            WorkerFault::Deadline { .. } => "worker.deadline",
            WorkerFault::Hardening { .. } => "worker.hardening",
            WorkerFault::Protocol { .. } => "worker.protocol",
        }
    }
}
