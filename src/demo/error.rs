//! Why a demonstration ended early.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::control::ControlError;
use crate::failure::{Exit, Failure};
use crate::load::LoadError;
use crate::publish::PublishError;

/// A demonstration that could not be carried on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A file, a directory or a process.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was to be done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The temporary directory is mounted `noexec`.
    #[error("programs in `{}` cannot be run", dir.display())]
    NoExec {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A release could not be published.
    #[error("the release could not be published")]
    Publish(#[from] PublishError),
    /// The clients could not be started.
    #[error("the clients could not be started")]
    Load(#[from] LoadError),
    /// The supervisor could not be asked.
    #[error("the supervisor could not be asked")]
    Control(#[from] ControlError),
    /// Something that had to happen did not.
    #[error("{what}: not within {} s", waited.as_secs())]
    Never {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
    },
    /// Something else happened.
    #[error("{0}")]
    Unexpected(String),
    /// Requests were lost.
    #[error("{lost} of {requests} requests failed")]
    Lost {
        /// How many.
        lost: u64,
        /// Of how many.
        requests: u64,
    },
    /// Somebody pressed Ctrl-C, or nobody reads any more.
    #[error("interrupted")]
    Interrupted,
}

impl DemoError {
    /// For [`Result::map_err`].
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> DemoError {
        let path = path.into();
        move |source| DemoError::Io { doing, path, source }
    }
}

impl Failure for DemoError {
    fn code(&self) -> &'static str {
        match self {
            DemoError::Io { .. } => "demo.io",
            DemoError::NoExec { .. } => "demo.noexec",
            DemoError::Publish(_) => "demo.publish",
            DemoError::Load(_) => "demo.load",
            DemoError::Control(_) => "demo.control",
            DemoError::Never { .. } => "demo.never",
            DemoError::Unexpected(_) => "demo.unexpected",
            DemoError::Lost { .. } => "demo.lost_requests",
            DemoError::Interrupted => "demo.interrupted",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            DemoError::Io { .. } | DemoError::NoExec { .. } | DemoError::Publish(_) | DemoError::Load(_) => {
                Exit::Install
            }
            _ => Exit::Handoff,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            DemoError::NoExec { .. } => "it may be mounted `noexec`; set TMPDIR to a directory that is not",
            DemoError::Io { .. } => {
                "the demo writes some 25 copies of fetchd into a temporary directory; TMPDIR names another place for it"
            }
            DemoError::Never { .. } | DemoError::Unexpected(_) | DemoError::Lost { .. } => {
                "`fetchd demo --keep` leaves the directory behind, with the supervisor's whole log"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
