//! Noticing cheaply that a file is no longer the one that was looked at.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

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
}

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

/// The regular file at `path`, opened and hashed; `None` if there is no file, or not a regular one.
pub(super) fn read(path: &Path) -> io::Result<Option<(File, Current)>> {
    match std::fs::metadata(path) {
        // Never opened: a FIFO would wait for ever.
        Ok(meta) if !meta.is_file() => return Ok(None),
        Ok(_) => {}
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(e),
    }
    let mut file = File::open(path)?;
    let stamp = Stamp::from(&file.metadata()?);
    let (sha256, size) = Sha256::of_reader(&mut file)?;
    Ok(Some((file, Current { sha256, size, stamp })))
}
