//! Why a job of the worker failed, as it crosses the socket.

mod archive;
mod delta;
mod worker;

use std::io;
use std::path::Path;
use std::time::Duration;

use fetchd_fetchers::{ConfigError, FetchError, Kind, Retry};
use serde::{Deserialize, Serialize};

pub use self::archive::ArchiveFault;
pub use self::delta::DeltaFault;
pub use self::worker::WorkerFault;
use crate::digest::Sha256;
use crate::failure::{self, Exit, Failure};

/// A job that brought nothing back. The next one starts afresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FetchFailure {
    /// The source could not be read.
    #[error("{message}")]
    Source {
        /// What a caller can do next.
        kind: Kind,
        /// The fetcher's own words, redacted, with what lay underneath.
        message: String,
        /// How long the source asked us to stay away.
        retry_after: Option<Duration>,
    },
    /// The release is there, one of its files is not (yet).
    #[error("the release shows no `{asset}` yet")]
    NotReady {
        /// The file that is missing.
        asset: String,
    },
    /// A file that need not be there may not be looked at, so nobody can tell whether it is.
    #[error("whether there is a `{name}` cannot be told: {message}")]
    SiblingDenied {
        /// The file, relative to the directory of what was polled.
        name: String,
        /// The fetcher's own words, redacted.
        message: String,
    },
    /// Several assets of the release could be the one for this machine.
    #[error("several assets could be meant: {}", listed(.names))]
    Ambiguous {
        /// Their names, at most ten.
        names: Vec<String>,
    },
    /// The source contradicts itself.
    #[error("`{sums}` says that `{asset}` has the digest {written}, and the source says {claimed}")]
    Contradiction {
        /// The artifact.
        asset: String,
        /// The checksum file.
        sums: String,
        /// What it says.
        written: Sha256,
        /// What the source says.
        claimed: Sha256,
    },
    /// The artifact's bytes, or what the source says of them, are not what it said before.
    #[error("the artifact has the digest {found}, the source announced {expected}")]
    Claim {
        /// What the source announced.
        expected: Sha256,
        /// The digest of what came.
        found: Sha256,
    },
    /// The poll did not end in time.
    #[error("the poll took longer than {limit:?}")]
    PollDeadline {
        /// The limit.
        limit: Duration,
    },
    /// A manifest or a list of checksums is larger than any honest one.
    #[error("`{name}` is larger than {limit} bytes")]
    DocumentTooLarge {
        /// The file.
        name: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A signature file is larger than any that could be read.
    #[error("the signature `{name}` is larger than {limit} bytes")]
    SignatureTooLarge {
        /// The file.
        name: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// No byte arrived for a while.
    #[error("no byte arrived for {after:?}")]
    Stalled {
        /// The limit.
        after: Duration,
    },
    /// Bytes arrive, too few.
    #[error("only {bytes} bytes arrived within {window:?}, at least {least} are asked")]
    TooSlow {
        /// What arrived within the window.
        bytes: u64,
        /// What should have.
        least: u64,
        /// The window.
        window: Duration,
    },
    /// The whole download took too long.
    #[error("the download took longer than {limit:?}")]
    DownloadDeadline {
        /// The limit.
        limit: Duration,
    },
    /// An artifact whose size nobody signed is larger than the configuration allows.
    #[error("the artifact is larger than the {limit} bytes that the configuration allows")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The artifact is not as long as was signed or announced.
    #[error("the artifact has {found} bytes, expected are {expected}")]
    Size {
        /// The signed size, or where nothing is signed the announced one.
        expected: u64,
        /// What came or was announced; one more than expected where the body did not end.
        found: u64,
    },
    /// The artifact's bytes are not those that were signed.
    #[error("the artifact has the digest {found}, expected is {expected}")]
    Digest {
        /// The signed digest.
        expected: Sha256,
        /// The digest of what came.
        found: Sha256,
    },
    /// The file system of the staging directory is full, or would be.
    #[error("{needed} bytes are needed in staging and {free} are free")]
    DiskFull {
        /// What is needed, with the configured reserve.
        needed: u64,
        /// What is free.
        free: u64,
    },
    /// A file in staging could not be used.
    #[error("cannot {action} `{path}`: {message}")]
    Staging {
        /// What was tried.
        action: String,
        /// The file.
        path: String,
        /// What the system said.
        message: String,
    },
    /// A place named in a manifest cannot be used.
    #[error("the manifest names `{url}`, {why}")]
    Location {
        /// What the manifest says, redacted.
        url: String,
        /// Why it cannot be used.
        why: String,
    },
    /// The packed artifact is not what it should be.
    #[error(transparent)]
    Archive(#[from] ArchiveFault),
    /// The delta is not what it should be, or not for this binary.
    #[error(transparent)]
    Delta(#[from] DeltaFault),
    /// The worker itself failed.
    #[error(transparent)]
    Worker(#[from] WorkerFault),
    /// The caller asked to stop.
    #[error("stopped on request")]
    Stopped,
}

impl FetchFailure {
    /// Whether and when the same job makes sense again.
    ///
    /// `Soon` means after the caller's own backoff. Content that no signature can save is
    /// `Never`: the same release will not get better, the next poll may find another one.
    pub fn retry(&self) -> Retry {
        match self {
            FetchFailure::Source { kind: Kind::Misconfigured, .. } | FetchFailure::Ambiguous { .. } => Retry::Never,
            FetchFailure::Source { retry_after: Some(wait), .. } => Retry::After(*wait),
            _ if matches!(self.exit(), Exit::Content | Exit::Trust) => Retry::Never,
            _ => Retry::Soon,
        }
    }

    /// Whether a part of the artifact that is on disk can still be carried on with.
    pub(crate) fn keeps_partial(&self) -> bool {
        matches!(
            self,
            FetchFailure::Source { .. }
                | FetchFailure::NotReady { .. }
                | FetchFailure::Stalled { .. }
                | FetchFailure::TooSlow { .. }
                | FetchFailure::DownloadDeadline { .. }
                | FetchFailure::Location { .. }
                | FetchFailure::Stopped
        )
    }

    /// Whether another location of the same artifact could do better.
    pub(crate) fn worth_another_location(&self) -> bool {
        !matches!(
            self,
            FetchFailure::DownloadDeadline { .. }
                | FetchFailure::DiskFull { .. }
                | FetchFailure::Staging { .. }
                | FetchFailure::Worker(_)
                | FetchFailure::Stopped
        )
    }

    /// The failure of a file operation in staging; a full disk becomes [`FetchFailure::DiskFull`].
    pub(crate) fn staging(action: &str, path: &Path, error: &io::Error) -> FetchFailure {
        let full = [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT];
        if error.raw_os_error().is_some_and(|code| full.iter().any(|errno| errno.raw_os_error() == code)) {
            return FetchFailure::DiskFull { needed: 1, free: 0 };
        }
        let path = path.display().to_string();
        FetchFailure::Staging { action: action.to_owned(), path, message: error.to_string() }
    }
}

impl From<FetchError> for FetchFailure {
    fn from(error: FetchError) -> FetchFailure {
        let retry_after = match error.retry() {
            Retry::After(wait) => Some(wait),
            Retry::Soon | Retry::Never => None,
        };
        FetchFailure::Source { kind: error.kind(), message: failure::chain(&error), retry_after }
    }
}

impl From<ConfigError> for FetchFailure {
    fn from(error: ConfigError) -> FetchFailure {
        let message = match error.hint {
            Some(hint) => format!("{}; {hint}", error.message),
            None => error.message,
        };
        FetchFailure::Source { kind: Kind::Misconfigured, message, retry_after: None }
    }
}

impl Failure for FetchFailure {
    fn code(&self) -> &'static str {
        match self {
            FetchFailure::Source { kind, .. } => kind.code(),
            FetchFailure::NotReady { .. } => "source.not_ready",
            FetchFailure::SiblingDenied { .. } => "source.denied",
            FetchFailure::Ambiguous { .. } => "source.ambiguous",
            FetchFailure::Contradiction { .. } => "source.contradiction",
            FetchFailure::Claim { .. } => "download.claim",
            FetchFailure::PollDeadline { .. } => "source.deadline",
            FetchFailure::DocumentTooLarge { .. } => "source.document_too_large",
            FetchFailure::SignatureTooLarge { .. } => "signature.malformed",
            FetchFailure::Stalled { .. } => "download.stalled",
            FetchFailure::TooSlow { .. } => "download.too_slow",
            FetchFailure::DownloadDeadline { .. } => "download.deadline",
            FetchFailure::TooLarge { .. } => "download.too_large",
            FetchFailure::Size { .. } => "download.size",
            FetchFailure::Digest { .. } => "download.digest",
            FetchFailure::DiskFull { .. } => "download.disk_full",
            FetchFailure::Staging { .. } => "download.staging",
            FetchFailure::Location { .. } => "download.location",
            FetchFailure::Archive(fault) => fault.code(),
            FetchFailure::Delta(fault) => fault.code(),
            FetchFailure::Worker(fault) => fault.code(),
            FetchFailure::Stopped => "worker.stopped",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            FetchFailure::Source { kind: Kind::Throttled, .. } => Exit::Throttled,
            FetchFailure::SignatureTooLarge { .. } => Exit::Trust,
            FetchFailure::Source { kind: Kind::TooLarge, .. } => Exit::Content,
            FetchFailure::Source { kind: Kind::Misconfigured, .. }
            | FetchFailure::Ambiguous { .. }
            | FetchFailure::Worker(WorkerFault::Hardening { .. }) => Exit::Usage,
            FetchFailure::Source { .. }
            | FetchFailure::NotReady { .. }
            | FetchFailure::SiblingDenied { .. }
            | FetchFailure::PollDeadline { .. }
            | FetchFailure::Stalled { .. }
            | FetchFailure::TooSlow { .. }
            | FetchFailure::DownloadDeadline { .. }
            | FetchFailure::Stopped => Exit::Unreachable,
            FetchFailure::DocumentTooLarge { .. }
            | FetchFailure::Contradiction { .. }
            | FetchFailure::Claim { .. }
            | FetchFailure::TooLarge { .. }
            | FetchFailure::Size { .. }
            | FetchFailure::Digest { .. }
            | FetchFailure::Location { .. }
            | FetchFailure::Archive(_)
            | FetchFailure::Delta(_) => Exit::Content,
            FetchFailure::DiskFull { .. }
            | FetchFailure::Staging { .. }
            | FetchFailure::Worker(WorkerFault::Spawn { .. }) => Exit::Install,
            FetchFailure::Worker(_) => Exit::Unreachable,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            FetchFailure::Source { kind: Kind::NotFound, .. } => "check the source's URL, and that the release is out",
            FetchFailure::Source { kind: Kind::Denied, .. } => {
                "check the credentials that are configured for the source"
            }
            FetchFailure::SiblingDenied { .. } => {
                "hosts have to be told that a file is missing: in S3 they need `s3:ListBucket` for the prefix, else a \
                 missing object is answered with 403; elsewhere the answer has to be 404"
            }
            FetchFailure::Source { kind: Kind::Misconfigured, .. } => "correct `--source`, or `source` in the file",
            FetchFailure::Source { kind: Kind::Throttled, .. } => "poll less often, or configure credentials",
            FetchFailure::NotReady { .. } => {
                "upload artifacts and signatures before what names them; fetchd asks again"
            }
            FetchFailure::Ambiguous { .. } => {
                "say what its name looks like: `--asset PATTERN`, for example `--asset 'app-{target}.tar.gz'`"
            }
            FetchFailure::Contradiction { .. } | FetchFailure::Claim { .. } => {
                "the release was changed after it was made, or is still being made; publish it again"
            }
            FetchFailure::TooSlow { .. } => "lower `min_rate` if the line is really that slow",
            FetchFailure::DownloadDeadline { .. } => "raise the download's deadline; the next attempt resumes",
            FetchFailure::TooLarge { .. } => "raise `max_size` if the release is really that large",
            FetchFailure::Digest { .. } | FetchFailure::Size { .. } => {
                "the file at the source is not the one that was signed; publish it again"
            }
            FetchFailure::DiskFull { .. } => "free space in the file system of the program's directory",
            FetchFailure::Archive(ArchiveFault::Ambiguous { entry: None } | ArchiveFault::Missing { .. }) => {
                "name the archive's entry when publishing"
            }
            FetchFailure::Archive(ArchiveFault::Unsupported { .. }) => "build fetchd with the feature `archives`",
            FetchFailure::Worker(WorkerFault::Hardening { .. }) => {
                "run it on a kernel with Landlock and seccomp, or set `worker.hardening = \"auto\"`"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
