//! A directory that any file or web server can show, as a place.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::files::{Lock, copy_once, create_once, found, replace, sync_dir};
use super::place::{Artifact, Begun, Looked, Place};
use super::{PublishError, PublishOptions, Published, publish};
use crate::digest::Sha256;
use crate::trust::Format;

/// Writes the artifacts, then the pointer to them.
///
/// An artifact is written once and never changed: the same bytes are fine, others are
/// [`PublishError::Exists`]. The pointer is replaced at the very end, atomically and durably, and only
/// by one that [`trust::read`](crate::trust::read()) accepts; whatever fails before leaves the old one, and
/// publishing again picks up where it was. Proved by
/// `an_interrupted_publish_leaves_the_channel_and_can_be_repeated`.
pub fn publish_to_dir(options: &PublishOptions<'_>) -> Result<Published, PublishError> {
    publish(options)
}

/// A pointer that nobody else can replace as long as this is there.
#[derive(Debug)]
pub struct LockedPointer {
    path: PathBuf,
    _lock: Lock,
}

/// A directory, made when something is first published to it. One publisher at a time: the lock is held from
/// reading the pointer to its replacement, so nobody is ever in between.
impl Place for Path {
    type Location = PathBuf;
    type Tag = LockedPointer;

    fn locate(&self, name: &str) -> PathBuf {
        self.join(name)
    }

    fn show(&self, name: &str) -> String {
        self.join(name).display().to_string()
    }

    fn peek(&self, pointer: &str) -> Result<Option<Vec<u8>>, PublishError> {
        let path = self.join(pointer);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(PublishError::io("read", &path)(e)),
        }
    }

    fn begin(&self, pointer: &str) -> Result<Begun<LockedPointer>, PublishError> {
        let lock = Lock::take(self)?;
        let bytes = self.peek(pointer)?;
        Ok(Begun { bytes, tag: LockedPointer { path: self.join(pointer), _lock: lock } })
    }

    fn look(&self, artifact: &Artifact<'_>) -> Result<Looked, PublishError> {
        found(&self.join(artifact.name), artifact.sha256)
    }

    fn put(&self, _: &LockedPointer, artifact: &Artifact<'_>) -> Result<(), PublishError> {
        let mode = if artifact.format == Some(Format::Raw) { 0o755 } else { 0o644 };
        copy_once(&self.join(artifact.name), mode, artifact)
    }

    fn fetch(&self, name: &str, limit: u64, to: &mut File) -> Result<bool, PublishError> {
        let path = self.join(name);
        let from = match File::open(&path) {
            Ok(from) => from,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(PublishError::io("open", &path)(e)),
        };
        let copied = io::copy(&mut from.take(limit.saturating_add(1)), to).map_err(PublishError::io("read", &path))?;
        if copied > limit { Err(PublishError::Changed(path)) } else { Ok(true) }
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Looked, PublishError> {
        let path = self.join(name);
        let dir = path.parent().unwrap_or(self);
        let _lock = Lock::take(dir)?;
        let looked = found(&path, Sha256::of(bytes))?;
        create_once(&path, 0o644, bytes)?;
        // The directory may be as new as the file.
        sync_dir(self)?;
        Ok(looked)
    }

    fn identity(&self) -> String {
        let absolute = || std::path::absolute(self).unwrap_or_else(|_| self.to_owned());
        fs::canonicalize(self).unwrap_or_else(|_| absolute()).display().to_string()
    }

    fn replace(&self, tag: LockedPointer, bytes: &[u8]) -> Result<(), PublishError> {
        replace(&tag.path, 0o644, bytes)
    }
}
