//! A disk that fails, or loses its power, at a chosen call: for the tests of everything that writes.
//!
//! It keeps count of what has not been synced. A loss of power takes it back: names that were made,
//! changed or removed in a directory that was not synced since, and half of the bytes of a file that
//! was not. Only calls of this thread count, so tests run side by side.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, and changes nothing.
    Error,
    /// The power goes just before it. What was not synced is there all the same.
    CutKeeping,
    /// The power goes just before it. Names are as they were changed, unsynced files lack their second half.
    CutTearing,
    /// The power goes just before it. Nothing that was not synced is there.
    CutLosing,
}

impl Fault {
    pub(crate) const ALL: [Fault; 4] = [Fault::Error, Fault::CutKeeping, Fault::CutTearing, Fault::CutLosing];
}

/// How a run with a fault ended.
#[derive(Debug)]
pub(crate) struct Ran<T> {
    /// What it returned; `None`: the power went.
    pub(crate) value: Option<T>,
    /// Whether the chosen call was reached at all. If not, the power went just after the end.
    pub(crate) reached: bool,
}

/// Runs `change` with `fault` at the call number `at`, from 0. `beside` is a directory on the same
/// file system that nothing else uses.
pub(crate) fn with_fault<T>(at: usize, fault: Fault, beside: &Path, change: impl FnOnce() -> T) -> Ran<T> {
    let aside = tempfile::tempdir_in(beside).unwrap();
    let sim = Sim { at, fault, calls: 0, off: false, kept: 0, files: Vec::new(), names: Vec::new(), aside };
    SIM.set(Some(sim));
    let outcome = catch_unwind(AssertUnwindSafe(change));
    let mut sim = SIM.take().unwrap();
    let reached = sim.calls > at;
    let value = match outcome {
        Ok(value) => Some(value),
        Err(cause) if cause.is::<PowerCut>() => None,
        Err(cause) => resume_unwind(cause),
    };
    if value.is_none() || !reached {
        sim.lose();
    }
    Ran { value, reached }
}

struct PowerCut;

thread_local! {
    static SIM: RefCell<Option<Sim>> = const { RefCell::new(None) };
}

struct Sim {
    at: usize,
    fault: Fault,
    calls: usize,
    off: bool,
    kept: usize,
    files: Vec<File>,
    names: Vec<Name>,
    aside: tempfile::TempDir,
}

/// A change of names that is not durable yet.
enum Name {
    Made(PathBuf),
    /// `arrived`: the new name is durable, the disappearance of the old one is not.
    Renamed {
        from: PathBuf,
        to: PathBuf,
        replaced: Option<PathBuf>,
        arrived: bool,
    },
    Removed {
        path: PathBuf,
        removed: Option<PathBuf>,
    },
}

impl Sim {
    /// Takes back what was not synced, newest first.
    fn lose(&mut self) {
        if matches!(self.fault, Fault::CutTearing | Fault::CutLosing) {
            for file in &self.files {
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
        }
        if self.fault != Fault::CutLosing {
            return;
        }
        for name in self.names.drain(..).rev() {
            match name {
                Name::Made(path) => {
                    let _ = fs::remove_file(path);
                }
                Name::Renamed { from, to, arrived: true, .. } => {
                    let _ = fs::hard_link(to, from);
                }
                Name::Renamed { from, to, replaced, .. } => {
                    fs::rename(&to, from).unwrap();
                    if let Some(replaced) = replaced {
                        fs::rename(replaced, to).unwrap();
                    }
                }
                Name::Removed { path, removed } => {
                    if let Some(removed) = removed {
                        fs::rename(removed, path).unwrap();
                    }
                }
            }
        }
    }
}

fn with_sim<T>(act: impl FnOnce(&mut Sim) -> T) -> Option<T> {
    SIM.with_borrow_mut(|sim| sim.as_mut().map(act))
}

/// A call is about to be made.
pub(super) fn reach() -> io::Result<()> {
    let fault = with_sim(|sim| {
        let now = sim.calls == sim.at;
        sim.calls += 1;
        sim.off |= now && sim.fault != Fault::Error;
        now.then_some(sim.fault)
    });
    match fault.flatten() {
        None => Ok(()),
        Some(Fault::Error) => Err(io::Error::from_raw_os_error(libc::EIO)),
        Some(_) => resume_unwind(Box::new(PowerCut)),
    }
}

/// Whether the power is gone.
pub(super) fn is_off() -> bool {
    with_sim(|sim| sim.off).unwrap_or(false)
}

pub(super) fn made(path: &Path) {
    with_sim(|sim| sim.names.push(Name::Made(path.to_owned())));
}

pub(super) fn written(file: &File) {
    with_sim(|sim| sim.files.push(file.try_clone().unwrap()));
}

pub(super) fn synced(file: &File) {
    let number = |file: &File| file.metadata().unwrap().ino();
    with_sim(|sim| sim.files.retain(|other| number(other) != number(file)));
}

/// Keeps what is at `path`, in case its replacement or removal is lost.
pub(super) fn keep(path: &Path) -> Option<PathBuf> {
    with_sim(|sim| {
        sim.kept += 1;
        let kept = sim.aside.path().join(sim.kept.to_string());
        fs::hard_link(path, &kept).is_ok().then_some(kept)
    })?
}

pub(super) fn renamed(from: &Path, to: &Path, replaced: Option<PathBuf>) {
    let (from, to) = (from.to_owned(), to.to_owned());
    // Two names of one file: nothing happened.
    if from.symlink_metadata().is_err() {
        with_sim(|sim| sim.names.push(Name::Renamed { from, to, replaced, arrived: false }));
    }
}

pub(super) fn removed(path: &Path, removed: Option<PathBuf>) {
    with_sim(|sim| sim.names.push(Name::Removed { path: path.to_owned(), removed }));
}

pub(super) fn synced_dir(dir: &Path) {
    let here = |path: &Path| path.parent() == Some(dir);
    with_sim(|sim| {
        sim.names.retain_mut(|name| match name {
            Name::Made(path) | Name::Removed { path, .. } => !here(path),
            Name::Renamed { from, to, arrived, .. } => {
                *arrived |= here(to);
                !(*arrived && here(from))
            }
        });
    });
}
