//! What can be wrong with the state directory.

use std::io;
use std::path::{Path, PathBuf};

use crate::durable::DurableError;
use crate::failure::{Exit, Failure};

/// The state cannot be used. The service runs on; updates stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another fetchd has this service.
    #[error("another fetchd{} has the state directory `{}`", holder(*.pid), path.display())]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// The process that holds the lock, where it is known.
        pid: Option<u32>,
    },
    /// A file is there and cannot be believed. It is left as it is.
    #[error("`{}` {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence that begins with the path.
        what: String,
    },
    /// Somebody else could change the state directory.
    #[error("state directory `{}` {what}", path.display())]
    Unsafe {
        /// The state directory.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence that begins with the path.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The kernel refused to read or create something.
    #[error("{step} `{}` failed", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done to it.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something could not be written down. What was there before still counts.
    #[error("the state could not be written")]
    Write(#[from] DurableError),
}

impl StateError {
    pub(super) fn io(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> StateError {
        move |source| StateError::Io { path: path.to_owned(), step, source }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> StateError {
        StateError::Damaged { path: path.to_owned(), what: what.into() }
    }
}

impl Failure for StateError {
    fn code(&self) -> &'static str {
        match self {
            StateError::Locked { .. } => "state.locked",
            StateError::Damaged { .. } => "state.damaged",
            StateError::Unsafe { .. } => "state.unsafe",
            StateError::Io { .. } => "state.unreadable",
            StateError::Write(source) => source.code(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            StateError::Locked { .. } => Exit::Locked,
            StateError::Write(source) => source.exit(),
            _ => Exit::State,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            StateError::Locked { pid: Some(pid), .. } => {
                Some(format!("process {pid} looks after this service; talk to it instead of starting a second one"))
            }
            StateError::Locked { pid: None, .. } => Some("stop it, or wait until it is done".to_owned()),
            StateError::Damaged { path, .. } => Some(format!(
                "the service runs on, updates are stopped and the file is untouched; restore `{}` from a backup, or \
                 run `fetchd state repair`",
                path.display()
            )),
            StateError::Unsafe { hint, .. } => Some(hint.clone()),
            StateError::Io { .. } => None,
            StateError::Write(source) => source.hint(),
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}
