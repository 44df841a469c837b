//! The one durable primitive: what it reports as done survives a loss of power.
//!
//! Every change of a name follows the same order: a temporary name in the same directory, the
//! bytes, fsync of the file, rename, fsync of the directory. A reader sees the old file or the
//! new one, never a part of either. An fsync that fails is an error, because the kernel may
//! already have dropped the pages it could not write.

use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
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
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&temporary.path).map_err(at(Step::Create))?;
    fill(&mut file).map_err(at(Step::Write))?;
    // The mode given at creation is cut by the umask, this one is not.
    file.set_permissions(Permissions::from_mode(mode)).map_err(at(Step::Permissions))?;
    file.sync_all().map_err(at(Step::Sync))?;
    drop(file);
    temporary.place(path)
}

/// Renames `from` to `to`, replacing what is there, and syncs both directories.
pub fn rename(from: &Path, to: &Path) -> Result<(), DurableError> {
    fs::rename(from, to).map_err(|source| DurableError { path: to.to_owned(), step: Step::Rename, source })?;
    sync_dir(parent(to))?;
    if parent(from) != parent(to) {
        sync_dir(parent(from))?;
    }
    Ok(())
}

/// Makes `link` a second name of the file `existing`, replacing what was at `link`. A symlink at
/// `existing` is linked itself, not what it points at.
pub fn hard_link(existing: &Path, link: &Path) -> Result<(), DurableError> {
    let temporary = Temporary::beside(link)?;
    fs::hard_link(existing, &temporary.path).map_err(|source| DurableError {
        path: link.to_owned(),
        step: Step::Link,
        source,
    })?;
    temporary.place(link)
}

/// Makes `link` a symlink to `target`, atomically replacing what was at `link`.
pub fn symlink(target: &Path, link: &Path) -> Result<(), DurableError> {
    let temporary = Temporary::beside(link)?;
    std::os::unix::fs::symlink(target, &temporary.path).map_err(|source| DurableError {
        path: link.to_owned(),
        step: Step::Link,
        source,
    })?;
    temporary.place(link)
}

/// Removes the file at `path` durably; `false` if there was none.
pub fn remove(path: &Path) -> Result<bool, DurableError> {
    match fs::remove_file(path) {
        Ok(()) => sync_dir(parent(path)).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(DurableError { path: path.to_owned(), step: Step::Remove, source }),
    }
}

/// Makes the names in `dir` durable.
pub fn sync_dir(dir: &Path) -> Result<(), DurableError> {
    let sync = || {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY).open(dir)?.sync_all()
    };
    sync().map_err(|source| DurableError { path: dir.to_owned(), step: Step::SyncDirectory, source })
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
            fs::remove_file(entry.path()).map_err(at(Step::Sweep))?;
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
        fs::rename(&self.path, path).map_err(|source| DurableError {
            path: path.to_owned(),
            step: Step::Rename,
            source,
        })?;
        sync_dir(parent(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Needed after a success too: renaming one hard link of a file over another keeps both names.
        let _ = fs::remove_file(&self.path);
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
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn write_replaces_the_file_and_sets_the_exact_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        write(&path, 0o640, b"one").unwrap();
        write(&path, 0o777, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o777);
        assert_eq!(names(dir.path()), ["state"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        write(&path, 0o600, b"old").unwrap();
        let full = |file: &mut File| {
            file.write_all(b"half")?;
            Err(io::Error::from_raw_os_error(libc::ENOSPC))
        };
        let error = write_with(&path, 0o600, full).unwrap_err();
        assert_eq!((error.step(), error.code(), error.exit()), (Step::Write, "disk.full", Exit::Install));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["state"]);
    }

    #[test]
    fn a_rename_that_cannot_happen_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("occupied");
        fs::create_dir(&path).unwrap();
        assert_eq!(write(&path, 0o600, b"x").unwrap_err().step(), Step::Rename);
        assert_eq!(names(dir.path()), ["occupied"]);
    }

    #[test]
    fn write_replaces_a_symlink_and_leaves_its_pointee() {
        let dir = tempfile::tempdir().unwrap();
        let (pointee, link) = (dir.path().join("pointee"), dir.path().join("link"));
        fs::write(&pointee, "untouched").unwrap();
        symlink(&pointee, &link).unwrap();
        write(&link, 0o600, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        assert_eq!(fs::read(&pointee).unwrap(), b"untouched");
    }

    #[test]
    fn links_are_replaced_even_by_another_link_to_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, link) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("link"));
        fs::write(&a, "a").unwrap();
        fs::write(&b, "b").unwrap();
        hard_link(&a, &link).unwrap();
        hard_link(&b, &link).unwrap();
        hard_link(&b, &link).unwrap();
        assert_eq!(fs::metadata(&link).unwrap().ino(), fs::metadata(&b).unwrap().ino());
        symlink(Path::new("a"), &link).unwrap();
        symlink(Path::new("b"), &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("b"));
        assert_eq!(names(dir.path()), ["a", "b", "link"]);
    }

    #[test]
    fn rename_and_remove_across_directories() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (one.path().join("x"), two.path().join("y"));
        fs::write(&from, "x").unwrap();
        rename(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"x");
        assert!(remove(&to).unwrap());
        assert!(!remove(&to).unwrap());
        assert_eq!(rename(&from, &to).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn sweep_takes_leftovers_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".fetchd-00ff.tmp"), "half").unwrap();
        fs::write(dir.path().join("state.json"), "{}").unwrap();
        fs::create_dir(dir.path().join(".fetchd")).unwrap();
        assert_eq!(sweep(dir.path()).unwrap(), 1);
        assert_eq!(names(dir.path()), [".fetchd", "state.json"]);
    }
}
