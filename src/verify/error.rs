//! Why a candidate does not become verified.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::failure::{Exit, Failure};
use crate::spawn::SpawnError;
use crate::trust::Refused;

/// A candidate was refused, or could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes were received and are bad.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    /// The kernel refused something; the candidate is not to blame.
    #[error("{step} `{}` failed", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done to it.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// This machine could not start the candidate; the candidate is not to blame.
    #[error("the candidate `{}` could not be started for its smoke run", path.display())]
    Start {
        /// The candidate.
        path: PathBuf,
        /// How far the start came.
        source: SpawnError,
    },
    /// A check could not be made; the candidate is neither trusted nor blamed.
    #[error("check `{name}` could not be made")]
    Check {
        /// The name of the check.
        name: String,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file that was checked is no longer the one at its path.
    #[error("`{}` changed while it was being verified", path.display())]
    Changed {
        /// The candidate.
        path: PathBuf,
    },
}

/// A refusal, and what has to be remembered about it.
#[derive(Debug, thiserror::Error)]
#[error("{refused}")]
pub struct Refusal {
    refused: Refused,
    blamed: Option<Sha256>,
    output: Option<String>,
}

impl VerifyError {
    /// Whether the digest of the candidate belongs in quarantine: its bytes were received and
    /// vouched for, and then failed. A digest that was only claimed never does, or whoever can
    /// serve one bad copy could block a good release.
    pub fn quarantine(&self) -> bool {
        self.sha256().is_some()
    }

    /// The digest that belongs in quarantine.
    pub fn sha256(&self) -> Option<Sha256> {
        match self {
            VerifyError::Refused(refusal) => refusal.blamed,
            _ => None,
        }
    }

    /// The end of what the candidate printed in its smoke run.
    pub fn output(&self) -> Option<&str> {
        match self {
            VerifyError::Refused(refusal) => refusal.output.as_deref(),
            _ => None,
        }
    }

    pub(super) fn io(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> VerifyError {
        move |source| VerifyError::Io { path: path.to_owned(), step, source }
    }

    /// Bytes that are not the ones that were signed.
    pub(super) fn content(code: &'static str, message: String) -> VerifyError {
        Refused::new(code, Exit::Content, message).into()
    }

    /// The signed bytes themselves are bad.
    pub(super) fn blame(sha256: Sha256, refused: Refused) -> VerifyError {
        VerifyError::Refused(Box::new(Refusal { refused, blamed: Some(sha256), output: None }))
    }

    pub(super) fn with_output(mut self, text: String) -> VerifyError {
        if let VerifyError::Refused(refusal) = &mut self
            && !text.is_empty()
        {
            refusal.output = Some(text);
        }
        self
    }
}

impl From<Refused> for VerifyError {
    fn from(refused: Refused) -> VerifyError {
        VerifyError::Refused(Box::new(Refusal { refused, blamed: None, output: None }))
    }
}

impl Failure for VerifyError {
    fn code(&self) -> &'static str {
        match self {
            VerifyError::Refused(refusal) => refusal.refused.code(),
            VerifyError::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk.full",
                io::ErrorKind::PermissionDenied => "disk.denied",
                io::ErrorKind::ReadOnlyFilesystem => "disk.read_only",
                _ => "disk.failed",
            },
            VerifyError::Start { .. } => "smoke.start",
            VerifyError::Check { .. } => "check.failed",
            VerifyError::Changed { .. } => "candidate.changed",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            VerifyError::Refused(refusal) => refusal.refused.exit(),
            _ => Exit::Install,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            VerifyError::Refused(refusal) => Failure::hint(&refusal.refused),
            VerifyError::Start { source, .. } => match source.errno() {
                libc::EACCES => {
                    Some("is the file system mounted `noexec`, or does a security policy forbid it?".into())
                }
                libc::ETXTBSY => Some("another process keeps the candidate open for writing".into()),
                _ => None,
            },
            VerifyError::Changed { .. } => Some("no other program may write to fetchd's directory".into()),
            _ => None,
        }
    }
}
