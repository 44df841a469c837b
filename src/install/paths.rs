//! Where the program is, and the directories of ours beside it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::process::{Gid, Uid};

use super::InstallError;
use crate::durable;

/// `program` as it was typed, made absolute. Symlinks in it are left alone.
pub(super) fn absolute(program: &Path) -> Result<PathBuf, InstallError> {
    std::path::absolute(program).map_err(InstallError::io(program, "resolving"))
}

/// The directory and the file name that `program` leads to: a regular file, or nothing yet. A
/// symlink is followed through the whole chain, each link relative to its own directory.
pub(super) fn resolve(program: &Path) -> Result<(PathBuf, OsString), InstallError> {
    let mut path = program.to_owned();
    for hop in 0..=LINKS {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(InstallError::path(program, "does not name a file", NAME_THE_FILE));
        };
        let parent = match parent.canonicalize() {
            Ok(parent) => parent,
            Err(e) if e.kind() == io::ErrorKind::NotFound && hop > 0 => return Err(dangling(program)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(InstallError::path(
                    program,
                    "is in a directory that does not exist",
                    "create the directory",
                ));
            }
            Err(e) => return Err(InstallError::io(parent, "resolving")(e)),
        };
        let real = parent.join(name);
        match fs::symlink_metadata(&real) {
            Ok(meta) if meta.is_symlink() => {
                let target = fs::read_link(&real).map_err(InstallError::io(&real, "reading the link"))?;
                path = parent.join(target);
            }
            Ok(meta) if meta.is_file() => return Ok((parent, name.to_owned())),
            Ok(_) => return Err(InstallError::path(program, "is not a regular file", NAME_THE_FILE)),
            Err(e) if e.kind() == io::ErrorKind::NotFound && hop == 0 => return Ok((parent, name.to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(dangling(program)),
            Err(e) => return Err(InstallError::io(&real, "reading")(e)),
        }
    }
    Err(InstallError::path(program, "is a symlink that leads back to itself", "point the link at the program"))
}

fn dangling(program: &Path) -> InstallError {
    InstallError::path(program, "is a symlink to something that does not exist", "remove the link, or put a file there")
}

/// Refuses a directory in which anybody could replace our files.
pub(super) fn guarded(dir: &Path) -> Result<(), InstallError> {
    let mode = fs::metadata(dir).map_err(InstallError::io(dir, "reading"))?.mode() & 0o7777;
    if mode & 0o1002 == 0o0002 {
        return Err(InstallError::WorldWritable { path: dir.to_owned(), mode });
    }
    Ok(())
}

/// Refuses a directory in which we could not rename over `file`.
pub(super) fn writable(dir: &Path, file: &Path) -> Result<(), InstallError> {
    let may = |path: &Path, access| rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS).map_err(io::Error::from);
    may(dir, Access::WRITE_OK | Access::EXEC_OK).map_err(InstallError::io(dir, "writing to"))?;
    let own = rustix::process::geteuid().as_raw();
    let (Ok(above), Ok(meta)) = (fs::metadata(dir), fs::symlink_metadata(file)) else { return Ok(()) };
    let denied = |errno| Err(InstallError::io(file, "replacing")(io::Error::from_raw_os_error(errno)));
    if own != 0 && above.mode() & 0o1000 != 0 && above.uid() != own && meta.uid() != own {
        return denied(libc::EPERM);
    }
    // Not EACCES: a file of mode 0555 can be replaced. EPERM is what an immutable one says.
    match may(file, Access::WRITE_OK) {
        Err(e) if meta.is_file() && e.raw_os_error() == Some(libc::EPERM) => denied(libc::EPERM),
        _ => Ok(()),
    }
}

/// Bytes that an unprivileged process may still write in the file system of `dir`.
pub(super) fn free(dir: &Path) -> Result<u64, InstallError> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| InstallError::io(dir, "reading the free space of")(e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The directories only we may enter.
#[derive(Debug)]
pub(super) struct Private {
    /// Holds the other two and what is kept.
    pub(super) root: PathBuf,
    /// The worker writes here.
    pub(super) staging: PathBuf,
    /// Only we write here.
    pub(super) custody: PathBuf,
}

impl Private {
    /// `.fetchd/<name>/` in `dir`, created if missing.
    pub(super) fn beside(dir: &Path, name: &OsStr) -> Result<Private, InstallError> {
        let ours = dir.join(".fetchd");
        private(&ours)?;
        Private::at(&ours.join(name))
    }

    /// The directories in `root`, created if missing.
    pub(super) fn at(root: &Path) -> Result<Private, InstallError> {
        let private_dirs =
            Private { root: root.to_owned(), staging: root.join("staging"), custody: root.join("custody") };
        private(&private_dirs.root)?;
        given(&private_dirs.staging)?;
        private(&private_dirs.custody)?;
        Ok(private_dirs)
    }

    /// A file of ours.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Refuses to work if `dir` is on another file system: nothing could be renamed into it.
    pub(super) fn same_file_system(&self, dir: &Path) -> Result<(), InstallError> {
        let dev = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).map_err(InstallError::io(path, "reading"));
        if dev(&self.custody)? == dev(dir)? && dev(&self.staging)? == dev(dir)? {
            return Ok(());
        }
        Err(InstallError::path(dir, "is on another file system than its `.fetchd` directory", "unmount the latter"))
    }

    /// Removes what nobody will ask for again: everything but partial downloads, which the next attempt resumes.
    pub(super) fn sweep(&self) -> Result<(), InstallError> {
        durable::sweep(&self.root)?;
        clear(&self.custody, |_| false)?;
        clear(&self.staging, |name| Path::new(name).extension().is_some_and(|e| KEPT.iter().any(|kept| e == *kept)))
    }
}

/// What a download is carried on with: its part, the note about it, what arrived before its turn, and the whole of it. The
/// worker looks at their digests, and removes those of other artifacts.
const KEPT: [&str; 4] = ["part", "json", "ahead", "artifact"];

fn clear(dir: &Path, keep: impl Fn(&OsStr) -> bool) -> Result<(), InstallError> {
    for entry in fs::read_dir(dir).map_err(InstallError::io(dir, "listing"))? {
        let entry = entry.map_err(InstallError::io(dir, "listing"))?;
        let path = entry.path();
        let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if directory {
            fs::remove_dir_all(&path).map_err(InstallError::io(&path, "removing"))?;
        } else if !keep(&entry.file_name()) {
            fs::remove_file(&path).map_err(InstallError::io(&path, "removing"))?;
        }
    }
    Ok(())
}

/// As [`private`], but where we are root the directory may have been given to a worker's user: only root can have done
/// that below a directory of root's own.
fn given(dir: &Path) -> Result<(), InstallError> {
    match private(dir) {
        Err(InstallError::Foreign { mode: 0o700, own: 0, .. }) => Ok(()),
        other => other,
    }
}

/// Gives staging to `user` and its group, or takes it back. What lies there goes, where it belonged to another one.
pub(super) fn give(private: &Private, user: Option<(u32, u32)>) -> Result<(), InstallError> {
    let own = rustix::process::geteuid().as_raw();
    let wanted = user.map_or(own, |(uid, _)| uid);
    let staging = &private.staging;
    let owner = fs::symlink_metadata(staging).map_err(InstallError::io(staging, "reading"))?.uid();
    if owner != wanted {
        clear(staging, |_| false)?;
    }
    let Some((uid, gid)) = user else {
        return if owner == own { Ok(()) } else { chown(staging, own, None, 0o700) };
    };
    chown(staging, uid, Some(gid), 0o700)?;
    // Its group may pass through, and see nothing: custody stays closed, and so does whatever set-user-ID program is kept.
    let mut above = Some(private.root.as_path());
    while let Some(dir) = above.filter(|dir| dir.ends_with(".fetchd") || *dir == private.root) {
        chown(dir, own, Some(gid), 0o710)?;
        above = dir.parent();
    }
    Ok(())
}

fn chown(dir: &Path, uid: u32, gid: Option<u32>, mode: u32) -> Result<(), InstallError> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let failed = |e: rustix::io::Errno| InstallError::io(dir, "giving away")(e.into());
    let opened = rustix::fs::open(dir, flags, Mode::empty()).map_err(failed)?;
    rustix::fs::fchown(&opened, Some(Uid::from_raw(uid)), gid.map(Gid::from_raw)).map_err(failed)?;
    rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode)).map_err(failed)
}

/// Makes `dir` a directory of mode 0700 that belongs to us, or says why it is none.
pub(super) fn private(dir: &Path) -> Result<(), InstallError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => durable::sync_dir(dir.parent().unwrap_or(dir))?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(InstallError::io(dir, "creating the directory")(e)),
    }
    let meta = fs::symlink_metadata(dir).map_err(InstallError::io(dir, "reading"))?;
    if !meta.is_dir() {
        return Err(InstallError::path(dir, "is not a directory", "move it away; fetchd keeps its own files there"));
    }
    let (own, mode) = (rustix::process::geteuid().as_raw(), meta.mode() & 0o7777);
    if meta.uid() != own || mode & 0o022 != 0 {
        return Err(InstallError::Foreign { path: dir.to_owned(), uid: meta.uid(), mode, own });
    }
    if mode & 0o077 != 0 {
        // Others could read, never write: nothing in it can be theirs.
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(InstallError::io(dir, "closing"))?;
    }
    Ok(())
}

/// As many as the kernel follows.
const LINKS: usize = 40;
const NAME_THE_FILE: &str = "give the path of the program file itself";
