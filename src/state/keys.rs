//! The key sets that were accepted, each as the bytes it came as.
//!
//! They lie on a disk: whoever reads them checks them again, step by step.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{StateError, Store, files};
use crate::durable;
use crate::trust::TrustedKeys;

impl Store {
    /// Keeps a key set that was accepted, durably before it returns. One that is there is replaced.
    pub fn keep_keys(&mut self, version: u64, bytes: &[u8]) -> Result<(), StateError> {
        let dir = self.dir().join(KEYS);
        files::prepare_dir(&dir)?;
        durable::sweep(&dir)?;
        Ok(durable::write(&dir.join(version.to_string()), 0o600, bytes)?)
    }

    /// The key set of this version, if it was kept in the state directory `dir`. No lock is needed and nothing changes.
    ///
    /// Fails if others could have put it there, and if it is too long to be one.
    pub fn kept_keys(dir: &Path, version: u64) -> Result<Option<Vec<u8>>, StateError> {
        let (keys, path) = (dir.join(KEYS), Store::keys_path(dir, version));
        match fs::symlink_metadata(&keys) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            _ => {}
        }
        let owner = files::check_dir(dir)?.uid();
        if files::check_dir(&keys)?.uid() != owner {
            return Err(StateError::damaged(&keys, "belongs to another user than the directory around it"));
        }
        let limit = u64::try_from(TrustedKeys::MAX_FILE).unwrap_or(u64::MAX);
        files::read(&path, owner, limit)
    }

    /// Where the key set of this version is kept in the state directory `dir`.
    pub fn keys_path(dir: &Path, version: u64) -> PathBuf {
        dir.join(KEYS).join(version.to_string())
    }
}

pub(super) const KEYS: &str = "keys";

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
