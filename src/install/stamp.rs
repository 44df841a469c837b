//! Noticing cheaply that a file is no longer the one that was looked at.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

/// What changes when a file is replaced or written to. An equal stamp means the same bytes, as
/// far as nobody sets the machine's clock back; an unequal one means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of what `path` leads to, symlinks followed.
    pub fn of(path: &Path) -> io::Result<Stamp> {
        Ok(Stamp::from(&std::fs::metadata(path)?))
    }

    /// Whether both are of the same inode.
    pub fn same_file(&self, other: &Stamp) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }

    /// Whether both are of the same inode with the same bytes. A new link or a new name changes neither.
    pub fn same_bytes(&self, other: &Stamp) -> bool {
        self.same_file(other) && (self.size, self.modified) == (other.size, other.modified)
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether whatever is written at `now` or later gets another time than the last change.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        settled(self.changed, now)
    }
}

/// The same of a file that was changed at `changed`, in seconds and nanoseconds.
pub(super) fn settled((seconds, nanos): (i64, i64), now: SystemTime) -> bool {
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else { return false };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    seconds.checked_add(SETTLED).is_some_and(|seconds| Duration::new(seconds, nanos) <= now)
}

/// In seconds: the coarsest clock of a file system, that of FAT.
const SETTLED: u64 = 2;

impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Stamp {
        Stamp {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// A binary on disk: what its bytes are, and how to notice that they are no longer that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// Its stamp.
    pub stamp: Stamp,
}

/// What one file was when it was last hashed, so that a restart need not wait until it was read once more.
///
/// The digest counts for as long as device, inode, size, time of modification and time of change are what they were. No
/// system call sets the time of change: whoever writes to the file, replaces it, or sets its time of modification back, is
/// noticed. It is remembered only if the file had last been changed [`SETTLED`] before it was read: two changes within one
/// tick of a clock can have the same time.
///
/// Not noticed is who writes to the disk underneath or sets the machine's clock to a nanosecond of the past, which root can;
/// and what is written through a mapping that was there before the file was hashed, which needs the right to write to
/// the file: its first write has changed the time, and those that follow may not. The kernel grants such a mapping of no file
/// that runs as a program, and runs none of which there is one.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Option<Current>>);

impl Remembered {
    /// The regular file at `path`, hashed unless that is remembered; `None` as [`read`] has it.
    pub(super) fn look(&self, path: &Path) -> io::Result<Option<Current>> {
        let Some(mut file) = open(path)? else { return Ok(None) };
        // Of the open file: opening it is what makes a network file system ask its server.
        let stamp = Stamp::from(&file.metadata()?);
        if let Some(known) = self.known(&stamp) {
            return Ok(Some(known));
        }
        let begun = SystemTime::now();
        let current = hash(&mut file, stamp)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stamp.is_settled(begun).then_some(current);
        Ok(Some(current))
    }

    /// Hashes the file at `path` if that will be remembered and is not yet.
    pub(super) fn look_ahead(&self, path: &Path) -> io::Result<()> {
        let stamp = Stamp::of(path)?;
        if self.known(&stamp).is_none() && stamp.is_settled(SystemTime::now()) {
            self.look(path)?;
        }
        Ok(())
    }

    /// What is remembered, if it is of this very stamp.
    pub(super) fn known(&self, stamp: &Stamp) -> Option<Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).filter(|known| known.stamp == *stamp)
    }
}

/// The regular file at `path`, opened and hashed; `None` if there is no file, or not a regular one.
pub(super) fn read(path: &Path) -> io::Result<Option<(File, Current)>> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    let stamp = Stamp::from(&file.metadata()?);
    let current = hash(&mut file, stamp)?;
    Ok(Some((file, current)))
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match std::fs::metadata(path) {
        // Never opened: a FIFO would wait for ever.
        Ok(meta) if !meta.is_file() => Ok(None),
        Ok(_) => File::open(path).map(Some),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

fn hash(file: &mut File, stamp: Stamp) -> io::Result<Current> {
    let (sha256, size) = Sha256::of_reader(file)?;
    Ok(Current { sha256, size, stamp })
}
