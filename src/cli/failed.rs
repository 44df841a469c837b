//! What can go wrong in the command line itself.

use std::io;
use std::path::PathBuf;

use crate::failure::{Exit, Failure};

/// A failure of the command line, not of a stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// Arguments that no command takes.
    #[error("{message}")]
    Usage {
        /// What is wrong with them.
        message: String,
        /// What is meant, probably.
        hint: String,
    },
    /// A command that this build does not carry out.
    #[error("this fetchd was built without `{command}`")]
    NotBuiltIn {
        /// Its name.
        command: String,
    },
    /// A file that would be overwritten.
    #[error("`{}` exists already", path.display())]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// A file that was named and cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("`{}` cannot be written", path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output cannot be written, for another reason than a reader that has gone away.
    #[error("the output cannot be written")]
    Output {
        /// What the system said.
        source: io::Error,
    },
}

impl Failure for Failed {
    fn code(&self) -> &'static str {
        match self {
            Failed::Usage { .. } => "usage.arguments",
            Failed::NotBuiltIn { .. } => "usage.not_built_in",
            Failed::Exists { .. } => "usage.exists",
            Failed::Unreadable { .. } => "usage.unreadable",
            Failed::Write { .. } => "io.write",
            Failed::Output { .. } => "io.output",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Failed::Usage { .. } | Failed::NotBuiltIn { .. } | Failed::Exists { .. } | Failed::Unreadable { .. } => {
                Exit::Usage
            }
            Failed::Write { .. } | Failed::Output { .. } => Exit::Install,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Failed::Usage { hint, .. } => Some(hint.clone()),
            Failed::Exists { .. } => Some("`--force` replaces it".to_owned()),
            Failed::Unreadable { .. } => Some("it must be a file that this user can read".to_owned()),
            Failed::NotBuiltIn { .. } | Failed::Write { .. } | Failed::Output { .. } => None,
        }
    }
}
