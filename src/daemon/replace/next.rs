//! What is executed next.

use std::fs::File;
use std::os::fd::{AsFd as _, RawFd};
use std::path::{Path, PathBuf};

use super::ReplaceError;
use crate::digest::Sha256;
use crate::install::Stamp;
use crate::restart::Launch;
use crate::spawn::Keep;

/// What a supervisor becomes when it replaces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// What lies at its own path, when somebody asks: fetchd.
    OwnPath,
    /// The release that serves, which is the same program: a program with its supervisor inside.
    Release {
        /// As soon as one is confirmed, and not only when somebody asks.
        at_once: bool,
    },
}

/// A program that this process may become.
#[derive(Debug)]
pub(super) enum Next {
    /// What lies there at that moment.
    At(PathBuf),
    /// This file, whatever happens to its path.
    Opened(Opened),
}

/// The file of a release, as it was verified.
#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    file: File,
    stamp: Stamp,
    pub(super) sha256: Sha256,
}

impl Next {
    /// The release that serves. `sourced`: there is a source of releases, so nothing counts that was not verified.
    pub(super) fn release(launch: Option<&Launch>, sourced: bool) -> Result<Next, ReplaceError> {
        let Some(launch) = launch else { return Err(ReplaceError::Unverified { program: None }) };
        let program = || launch.program.clone();
        match (launch.sha256, launch.stamp) {
            (Some(sha256), Some(stamp)) => {
                let failed = |source| ReplaceError::Exec { program: program(), source };
                let file = File::open(&launch.program).map_err(failed)?;
                let opened = Opened { path: program(), file, stamp, sha256 };
                opened.unchanged()?;
                Ok(Next::Opened(opened))
            }
            _ if sourced => Err(ReplaceError::Unverified { program: Some(program()) }),
            // Its owner replaces it, and has asked.
            _ => Ok(Next::At(program())),
        }
    }

    /// Its path, for people.
    pub(super) fn path(&self) -> &Path {
        match self {
            Next::At(path) => path,
            Next::Opened(opened) => &opened.path,
        }
    }

    /// The digest of its bytes, where they were verified.
    pub(super) fn sha256(&self) -> Option<Sha256> {
        match self {
            Next::At(_) => None,
            Next::Opened(opened) => Some(opened.sha256),
        }
    }

    /// What this process is to execute, with what has to stay open for it.
    pub(super) fn kept<'a>(&'a self, keep: &mut Keep<'a>) -> Result<PathBuf, ReplaceError> {
        match self {
            Next::At(path) => Ok(path.clone()),
            Next::Opened(opened) => {
                opened.unchanged()?;
                Ok(descriptor(keep.add(opened.file.as_fd())))
            }
        }
    }

    /// What a child is to execute, and what it is to have at `number` for that.
    pub(super) fn passed(&self, number: RawFd) -> Result<(PathBuf, Option<File>), ReplaceError> {
        match self {
            Next::At(path) => Ok((path.clone(), None)),
            Next::Opened(opened) => {
                let copy = opened.file.try_clone().map_err(|source| ReplaceError::State { source })?;
                Ok((descriptor(number), Some(copy)))
            }
        }
    }
}

impl Opened {
    fn unchanged(&self) -> Result<(), ReplaceError> {
        let failed = |source| ReplaceError::Exec { program: self.path.clone(), source };
        let found = Stamp::from(&self.file.metadata().map_err(failed)?);
        if found.same_bytes(&self.stamp) {
            return Ok(());
        }
        Err(ReplaceError::Unverified { program: Some(self.path.clone()) })
    }
}

/// An open file, as the kernel executes it: nobody can put another in its place.
fn descriptor(number: RawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{number}"))
}
