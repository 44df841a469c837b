//! The one durable primitive: what it reports as done survives a loss of power.
//!
//! Every change of a name follows the same order: a temporary name in the same directory, the
//! bytes, fsync of the file, rename, fsync of the directory. A reader sees the old file or the
//! new one, never a part of either. An fsync that fails is an error, because the kernel may
//! already have dropped the pages it could not write.
//!
//! Everything here goes through `disk`, a layer that does what the kernel does. In the unit tests it
//! can fail at each call, or lose what was not synced as a loss of power would: `power_loss` in the
//! tests of `state` and of `install` cuts at each of them.

mod disk;
#[cfg(test)]
pub(crate) mod power;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};

/// Replaces the file at `path` by `bytes` with exactly the permissions `mode`, or leaves it as it
/// was. A symlink at `path` is replaced, not followed.
pub fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), DurableError> {
    write_with(path, mode, |file| file.write_all(bytes))
}

/// Like [`write()`], with bytes that `fill` writes into the temporary file.
pub fn write_with(path: &Path, mode: u32, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), DurableError> {
    let temporary = Temporary::beside(path)?;
    let at = |step| move |source| DurableError { path: path.to_owned(), step, source };
    let mut file = disk::create(&temporary.path).map_err(at(Step::Create))?;
    disk::fill(&mut file, fill).map_err(at(Step::Write))?;
    disk::set_mode(&file, mode).map_err(at(Step::Permissions))?;
    disk::sync(&file).map_err(at(Step::Sync))?;
    drop(file);
    temporary.place(path)
}

/// Renames `from` to `to`, replacing what is there, and syncs both directories.
pub fn rename(from: &Path, to: &Path) -> Result<(), DurableError> {
    rename_unsynced(from, to)?;
    sync_dir(parent(to))?;
    if parent(from) != parent(to) {
        sync_dir(parent(from))?;
    }
    Ok(())
}

/// Renames `from` to `to` and leaves it to the caller to sync the directories: for what has to happen
/// between the two.
pub fn rename_unsynced(from: &Path, to: &Path) -> Result<(), DurableError> {
    disk::rename(from, to).map_err(|source| DurableError { path: to.to_owned(), step: Step::Rename, source })
}

/// Syncs the bytes of a file that lies at `path`.
pub fn sync(file: &File, path: &Path) -> Result<(), DurableError> {
    disk::sync(file).map_err(|source| DurableError { path: path.to_owned(), step: Step::Sync, source })
}

/// Gives what lies at `path` the name `aside` in the same directory, which must be free, so that
/// something else can take its place without a moment in between. What cannot have two names, a
/// directory, is renamed.
///
/// `true`: it still lies at `path` too.
pub fn set_aside(path: &Path, aside: &Path) -> Result<bool, DurableError> {
    let linked = disk::hard_link(path, aside);
    if linked.is_err() {
        rename_unsynced(path, aside)?;
    }
    sync_dir(parent(path))?;
    Ok(linked.is_ok())
}

/// Makes `link` a second name of the file `existing`, replacing what was at `link`. A symlink at
/// `existing` is linked itself, not what it points at.
pub fn hard_link(existing: &Path, link: &Path) -> Result<(), DurableError> {
    let temporary = Temporary::beside(link)?;
    disk::hard_link(existing, &temporary.path).map_err(|source| DurableError {
        path: link.to_owned(),
        step: Step::Link,
        source,
    })?;
    temporary.place(link)
}

/// Makes `link` a symlink to `target`, atomically replacing what was at `link`.
pub fn symlink(target: &Path, link: &Path) -> Result<(), DurableError> {
    let temporary = Temporary::beside(link)?;
    disk::symlink(target, &temporary.path).map_err(|source| DurableError {
        path: link.to_owned(),
        step: Step::Link,
        source,
    })?;
    temporary.place(link)
}

/// Removes the file at `path` durably; `false` if there was none.
pub fn remove(path: &Path) -> Result<bool, DurableError> {
    match disk::remove(path) {
        Ok(()) => sync_dir(parent(path)).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(DurableError { path: path.to_owned(), step: Step::Remove, source }),
    }
}

/// Makes the names in `dir` durable.
pub fn sync_dir(dir: &Path) -> Result<(), DurableError> {
    disk::sync_dir(dir).map_err(|source| DurableError { path: dir.to_owned(), step: Step::SyncDirectory, source })
}

/// Removes what a crash in the middle of this module left in `dir`. Only for the one process that
/// writes there.
pub fn sweep(dir: &Path) -> Result<usize, DurableError> {
    let at = |step| move |source| DurableError { path: dir.to_owned(), step, source };
    let mut swept = 0;
    for entry in fs::read_dir(dir).map_err(at(Step::Sweep))? {
        let entry = entry.map_err(at(Step::Sweep))?;
        let name = entry.file_name();
        let temporary = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if temporary && entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            disk::remove(&entry.path()).map_err(at(Step::Sweep))?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// A durable change that could not be made: which path, and at which step.
#[derive(Debug, thiserror::Error)]
#[error("{step} `{}` failed", path.display())]
pub struct DurableError {
    path: PathBuf,
    step: Step,
    source: io::Error,
}

impl DurableError {
    /// The path that was to change.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far it came.
    pub fn step(&self) -> Step {
        self.step
    }

    /// What the kernel said.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl Failure for DurableError {
    fn code(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk.full",
            io::ErrorKind::PermissionDenied => "disk.denied",
            io::ErrorKind::ReadOnlyFilesystem => "disk.read_only",
            _ => "disk.failed",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Install
    }

    fn hint(&self) -> Option<String> {
        let directory = parent(&self.path).display();
        match self.code() {
            "disk.full" => Some(format!("make room on the file system of `{directory}`")),
            "disk.denied" => Some(format!("`{directory}` must be writable by the user fetchd runs as")),
            "disk.read_only" => Some(format!("the file system of `{directory}` is mounted read-only")),
            _ => None,
        }
    }
}

/// The steps of a durable change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The temporary file could not be created.
    Create,
    /// Its bytes could not be written.
    Write,
    /// Its permissions could not be set.
    Permissions,
    /// Its bytes could not be made durable.
    Sync,
    /// The link could not be made.
    Link,
    /// The temporary name could not become the real one.
    Rename,
    /// The name could not be removed.
    Remove,
    /// The name is changed, but could not be made durable.
    SyncDirectory,
    /// Leftovers could not be removed.
    Sweep,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Create => "creating a temporary file beside",
            Step::Write => "writing",
            Step::Permissions => "setting the permissions of",
            Step::Sync => "syncing",
            Step::Link => "linking",
            Step::Rename => "renaming to",
            Step::Remove => "removing",
            Step::SyncDirectory => "syncing the directory",
            Step::Sweep => "clearing leftovers in",
        })
    }
}

/// A name in the destination's directory that goes away unless it is placed.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn beside(path: &Path) -> Result<Temporary, DurableError> {
        // Nobody may guess the name and put a file there first: that would only fail, but it would fail for ever.
        let random = getrandom::u64().map_err(|e| DurableError {
            path: path.to_owned(),
            step: Step::Create,
            source: io::Error::other(e),
        })?;
        Ok(Temporary { path: parent(path).join(format!("{PREFIX}{random:016x}{SUFFIX}")) })
    }

    fn place(self, path: &Path) -> Result<(), DurableError> {
        rename_unsynced(&self.path, path)?;
        sync_dir(parent(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Needed after a success too: renaming one hard link of a file over another keeps both names.
        disk::discard(&self.path);
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

const PREFIX: &str = ".fetchd-";
const SUFFIX: &str = ".tmp";

#[cfg(test)]
mod tests;
