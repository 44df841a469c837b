//! Why this machine does not let a release be installed.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::durable::DurableError;
use crate::failure::{Exit, Failure};
use crate::state::StateError;

/// This machine is in the way. The program path is as it was, unless the message says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The path cannot hold a program that fetchd replaces.
    #[error("program path `{}` {what}", path.display())]
    Path {
        /// The path, or the part of it that is wrong.
        path: PathBuf,
        /// What is wrong, as the end of a sentence that begins with the path.
        what: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// A directory of ours, or what lies in it, belongs to somebody else.
    #[error("`{}` belongs to user {uid} with mode {mode:04o}, fetchd runs as user {own}", path.display())]
    Foreign {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
        /// Who fetchd runs as.
        own: u32,
    },
    /// Anybody could replace what is in this directory.
    #[error("directory `{}` is writable by everybody (mode {mode:04o}) and has no sticky bit", path.display())]
    WorldWritable {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// In owner mode: somebody else than root or our user could put other bytes there.
    #[error("`{}` (owner {uid}, mode {mode:04o}) can be changed by others than root and user {own}", path.display())]
    Exposed {
        /// The file, directory or symlink.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
        /// Who fetchd runs as.
        own: u32,
    },
    /// The file system has too little room for the release and the reserve.
    #[error("`{}` has {} free, {} are needed", path.display(), mib(*free), mib(*needed))]
    Space {
        /// A directory on the file system.
        path: PathBuf,
        /// Bytes that are needed, the reserve included.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// An attribute of the current binary cannot be given to the new one.
    #[error("{attribute} of `{}` cannot be carried over to the new binary", path.display())]
    Metadata {
        /// The current binary.
        path: PathBuf,
        /// Owner, mode, or the name of an extended attribute.
        attribute: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file that was verified is not the file that is there.
    #[error("`{}` is not the file that was verified", path.display())]
    Swapped {
        /// The file.
        path: PathBuf,
    },
    /// The binary to go back to is not what was confirmed.
    #[error("previous binary `{}` is not the one that was confirmed: expected sha256 {expected}, found {}",
        path.display(), found.map_or_else(|| "no such file".to_owned(), |found| found.to_string()))]
    PreviousChanged {
        /// Where it should lie.
        path: PathBuf,
        /// The digest it was confirmed with.
        expected: Sha256,
        /// The digest it has, where it exists.
        found: Option<Sha256>,
    },
    /// A release is installed that has neither been confirmed nor rolled back.
    #[error("`{}` holds a release that is neither confirmed nor rolled back", path.display())]
    Unsettled {
        /// The program path.
        path: PathBuf,
    },
    /// The journal says that a change was in progress, and the path holds neither the old nor the new binary.
    #[error("`{}` holds {}, which is neither the new release ({to}) nor the one before it ({})", path.display(),
        found.map_or_else(|| "no file".to_owned(), |found| format!("sha256 {found}")),
        from.map_or_else(|| "none".to_owned(), |from| from.to_string()))]
    UnknownBinary {
        /// The program path.
        path: PathBuf,
        /// The digest of what is there.
        found: Option<Sha256>,
        /// The digest of what was there.
        from: Option<Sha256>,
        /// The digest of what was to be there.
        to: Sha256,
    },
    /// The kernel refused.
    #[error("{action} `{}` failed", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done to it.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused in the middle of a durable change.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The journal could not be written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl InstallError {
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> InstallError {
        move |source| InstallError::Io { path: path.to_owned(), action, source }
    }

    pub(super) fn path(path: &Path, what: &'static str, hint: &'static str) -> InstallError {
        InstallError::Path { path: path.to_owned(), what, hint }
    }

    /// The path and what the kernel said about it, where it was the kernel.
    fn kernel(&self) -> Option<(&Path, io::ErrorKind)> {
        match self {
            InstallError::Io { path, source, .. } => Some((path, source.kind())),
            InstallError::Durable(source) => Some((source.path(), source.kind())),
            _ => None,
        }
    }
}

impl Failure for InstallError {
    fn code(&self) -> &'static str {
        match self {
            InstallError::Path { .. } => "install.path",
            InstallError::Foreign { .. } => "install.foreign",
            InstallError::WorldWritable { .. } => "install.world_writable",
            InstallError::Exposed { .. } => "trust.owner",
            InstallError::Space { .. } => "install.space",
            InstallError::Metadata { .. } => "install.metadata",
            InstallError::Swapped { .. } => "install.swapped",
            InstallError::PreviousChanged { .. } => "install.previous_changed",
            InstallError::Unsettled { .. } => "install.unsettled",
            InstallError::UnknownBinary { .. } => "state.unknown_binary",
            InstallError::State(source) => source.code(),
            InstallError::Io { .. } | InstallError::Durable(_) => match self.kernel().map(|(_, kind)| kind) {
                Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => "install.space",
                Some(io::ErrorKind::PermissionDenied) => "install.permission",
                Some(io::ErrorKind::ReadOnlyFilesystem) => "install.readonly",
                _ => "install.io",
            },
        }
    }

    fn exit(&self) -> Exit {
        match self {
            InstallError::Exposed { .. } => Exit::Trust,
            InstallError::UnknownBinary { .. } => Exit::State,
            InstallError::State(source) => source.exit(),
            _ => Exit::Install,
        }
    }

    fn hint(&self) -> Option<String> {
        let own = || rustix::process::geteuid().as_raw();
        Some(match self {
            InstallError::Path { hint, .. } => (*hint).to_owned(),
            InstallError::Foreign { path, .. } => {
                format!("look at what is in `{}`, then give it to user {} or remove it", path.display(), own())
            }
            InstallError::WorldWritable { path, .. } => format!("`chmod o-w {}`", path.display()),
            InstallError::Exposed { path, .. } => {
                format!("`chown root {0}` and `chmod go-w {0}`, or sign the releases", path.display())
            }
            InstallError::Space { needed, free, .. } => {
                format!("make room for {} more, or lower the reserve", mib(needed.saturating_sub(*free)))
            }
            InstallError::Metadata { .. } => {
                "run fetchd as root or as the owner of the binary, or set `metadata = \"best-effort\"`".to_owned()
            }
            InstallError::Swapped { path } => format!("find out who else writes to `{}`", path.display()),
            InstallError::PreviousChanged { .. } => {
                "it will not be started; install a release by hand, or publish a new one".to_owned()
            }
            InstallError::Unsettled { .. } => "confirm it or roll back first".to_owned(),
            InstallError::UnknownBinary { path, .. } => format!(
                "somebody else replaced `{}`; it is left as it is. If it is the one you want, run `fetchd state repair`",
                path.display()
            ),
            InstallError::State(source) => return source.hint(),
            InstallError::Io { .. } | InstallError::Durable(_) => {
                let (path, _) = self.kernel()?;
                match self.code() {
                    "install.space" => format!("make room on the file system of `{}`", path.display()),
                    "install.permission" => format!(
                        "user {} must be able to write `{}` and the directory it lies in (look at `lsattr` too)",
                        own(),
                        path.display()
                    ),
                    "install.readonly" => {
                        format!("remount the file system of `{}` read-write, or move the program", path.display())
                    }
                    _ => return None,
                }
            }
        })
    }
}

/// Bytes as people read them.
fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
