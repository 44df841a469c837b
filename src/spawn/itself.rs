//! This process with another program: what stays open over an `execve`, and what arrives by it.
//!
//! The process keeps its id, its children and every signal that is pending; all its other threads end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::Signal;

use super::image;

/// The descriptors that stay open over an `execve`, under their numbers.
#[derive(Debug, Default)]
pub struct Keep<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Keep<'a> {
    /// Keeps `descriptor`, and says its number.
    pub fn add(&mut self, descriptor: BorrowedFd<'a>) -> RawFd {
        self.0.push(descriptor);
        descriptor.as_raw_fd()
    }

    /// Keeps those of `other`, too.
    pub fn append(&mut self, mut other: Keep<'a>) {
        self.0.append(&mut other.0);
    }

    /// The numbers of all of them.
    pub fn numbers(&self) -> Vec<RawFd> {
        self.0.iter().map(|descriptor| descriptor.as_raw_fd()).collect()
    }
}

/// The program that this process is to become.
pub struct Successor<'a> {
    /// Its path: never searched for.
    pub program: PathBuf,
    /// Its arguments, the zeroth included.
    pub argv: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// What stays open beside 0, 1 and 2.
    pub keep: Keep<'a>,
}

impl std::fmt::Debug for Successor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values of an environment are where secrets live.
        f.debug_struct("Successor").field("program", &self.program).field("keep", &self.keep).finish_non_exhaustive()
    }
}

impl Successor<'_> {
    /// Becomes it. Returns only if that failed, with everything as it was before.
    ///
    /// To be called on the main thread: the children of any other thread would get their parent-death signal.
    pub fn take_over(self) -> io::Error {
        let mut changed = Vec::new();
        let opened = self.keep.0.iter().try_for_each(|descriptor| {
            let flags = fcntl_getfd(descriptor)?;
            fcntl_setfd(descriptor, flags.difference(FdFlags::CLOEXEC))?;
            changed.push((descriptor, flags));
            Ok::<(), rustix::io::Errno>(())
        });
        let error = match opened {
            Ok(()) => image::exec(&self.program, &self.argv, &self.env),
            Err(errno) => errno.into(),
        };
        for (descriptor, flags) in changed {
            // It was open a moment ago, and this process alone can close it.
            let _ = fcntl_setfd(descriptor, flags);
        }
        error
    }
}

/// The descriptors that arrived over an `execve`, held until whoever resumes has copies of what it needs.
#[derive(Debug)]
pub struct Held(BTreeMap<RawFd, OwnedFd>);

impl Held {
    /// Becomes the owner of `numbers`. Once, and before this process has opened anything of its own under one of them:
    /// they must have been open when its program began.
    pub fn adopt(numbers: &[RawFd]) -> io::Result<Held> {
        let owned = image::adopt(numbers)?;
        Ok(Held(owned.into_iter().map(|descriptor| (descriptor.as_raw_fd(), descriptor)).collect()))
    }

    /// A copy of one of them.
    pub fn copy(&self, number: RawFd) -> io::Result<OwnedFd> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("descriptor {number} was not handed over"));
        self.0.get(&number).ok_or_else(unknown)?.try_clone()
    }

    /// All of them, to be handed on.
    pub fn keep(&self) -> Keep<'_> {
        Keep(self.0.values().map(|descriptor| descriptor.as_fd()).collect())
    }
}

/// Blocks `signals` in this thread and in those that it starts from now on, with the dispositions that they have by
/// default, and returns a descriptor that reads them. What is sent meanwhile is kept by the kernel, over an `execve` too.
pub fn hold_signals(signals: &[Signal]) -> io::Result<OwnedFd> {
    image::hold(signals)
}

/// For a program whose parent held its signals: blocks none.
pub fn hold_no_signals() {
    image::hold_none();
}
