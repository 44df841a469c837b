//! Files that appear whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use tempfile::{Builder, NamedTempFile};

use super::PublishError;
use super::place::{Artifact, Looked};
use crate::digest::Sha256;

/// What the names of unfinished files begin with.
const UNFINISHED: &str = ".fetchd-publish-";

/// Keeps other publishers out of `dir` until it is dropped, and removes what an interrupted one left.
#[derive(Debug)]
pub(super) struct Lock {
    _dir: File,
}

impl Lock {
    pub(super) fn take(dir: &Path) -> Result<Lock, PublishError> {
        fs::create_dir_all(dir).map_err(PublishError::io("create", dir))?;
        let handle = File::open(dir).map_err(PublishError::io("open", dir))?;
        flock(&handle, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            rustix::io::Errno::WOULDBLOCK => PublishError::Locked(dir.to_owned()),
            errno => PublishError::io("lock", dir)(errno.into()),
        })?;
        for entry in fs::read_dir(dir).map_err(PublishError::io("list", dir))? {
            let entry = entry.map_err(PublishError::io("list", dir))?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(entry.path()).map_err(PublishError::io("remove", &entry.path()))?;
            }
        }
        Ok(Lock { _dir: handle })
    }
}

/// Writes `path` once. That it is there with the same bytes is as good; other bytes are an error.
pub(super) fn create_once(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), PublishError> {
    let (temp, (sha256, _)) = fill(path, mode, &mut &*bytes, &|_| {})?;
    keep(temp, path, sha256)
}

/// The same for an artifact, of which only the bytes that were measured are written.
pub(super) fn copy_once(path: &Path, mode: u32, artifact: &Artifact<'_>) -> Result<(), PublishError> {
    let mut from = File::open(artifact.path).map_err(PublishError::io("open", artifact.path))?;
    let (temp, written) = fill(path, mode, &mut from, artifact.sent)?;
    if written != (artifact.sha256, artifact.size) {
        return Err(PublishError::Changed(artifact.path.to_owned()));
    }
    keep(temp, path, artifact.sha256)
}

fn keep(temp: NamedTempFile, path: &Path, sha256: Sha256) -> Result<(), PublishError> {
    match temp.persist_noclobber(path) {
        Ok(_) => sync_dir(parent(path)),
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => found(path, sha256).map(|_| ()),
        Err(e) => Err(PublishError::io("create", path)(e.error)),
    }
}

/// Whether `path` is there with the bytes of this digest; with others it is an error.
pub(super) fn found(path: &Path, sha256: Sha256) -> Result<Looked, PublishError> {
    match File::open(path) {
        Ok(mut there) => {
            let (found, _) = Sha256::of_reader(&mut there).map_err(PublishError::io("read", path))?;
            if found == sha256 { Ok(Looked::Same) } else { Err(PublishError::Exists(path.display().to_string())) }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Looked::Nothing),
        Err(e) => Err(PublishError::io("open", path)(e)),
    }
}

/// Writes `path`, whatever was there. A reader sees the old bytes or the new ones; after this returns
/// the new ones are on the disk.
pub(super) fn replace(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), PublishError> {
    let (temp, _) = fill(path, mode, &mut &*bytes, &|_| {})?;
    temp.persist(path).map_err(|e| PublishError::io("replace", path)(e.error))?;
    sync_dir(parent(path))
}

fn fill(
    path: &Path,
    mode: u32,
    from: &mut dyn Read,
    sent: &dyn Fn(u64),
) -> Result<(NamedTempFile, (Sha256, u64)), PublishError> {
    let mut temp = Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(parent(path))
        .map_err(PublishError::io("create a file beside", path))?;
    let mut tee = Tee { from, to: temp.as_file_mut(), done: 0, sent };
    let written = Sha256::of_reader(&mut tee).map_err(PublishError::io("write", path))?;
    temp.as_file_mut().flush().map_err(PublishError::io("write", path))?;
    temp.as_file().sync_all().map_err(PublishError::io("sync", path))?;
    Ok((temp, written))
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), PublishError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(PublishError::io("sync", dir))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Hashes what is written, not what a second look at the source might show.
struct Tee<'a> {
    from: &'a mut dyn Read,
    to: &'a mut File,
    done: u64,
    sent: &'a dyn Fn(u64),
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.to.write_all(&buffer[..read])?;
        self.done += read as u64;
        (self.sent)(self.done);
        Ok(read)
    }
}
