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

const KEYS: &str = "keys";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;
    use crate::failure::Failure as _;

    #[test]
    fn what_is_kept_is_there_for_the_next_process_and_for_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        assert_eq!(Store::kept_keys(&state, 2).unwrap(), None);
        let mut store = Store::open(&state).unwrap();
        assert_eq!(Store::kept_keys(&state, 2).unwrap(), None);
        store.keep_keys(2, b"two").unwrap();
        store.keep_keys(3, b"other").unwrap();
        store.keep_keys(3, b"three").unwrap();
        drop(store);
        let kept = |version| Store::kept_keys(&state, version).unwrap();
        assert_eq!((kept(2).unwrap(), kept(3).unwrap(), kept(4)), (b"two".to_vec(), b"three".to_vec(), None));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&state.join("keys")), mode(&Store::keys_path(&state, 2))), (0o700, 0o600));
    }

    #[test]
    fn what_others_could_have_put_there_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        Store::open(&state).unwrap().keep_keys(2, b"two").unwrap();
        let code = |version| Store::kept_keys(&state, version).unwrap_err().code();
        symlink(Store::keys_path(&state, 2), Store::keys_path(&state, 3)).unwrap();
        assert_eq!(code(3), "state.damaged");
        fs::write(Store::keys_path(&state, 4), vec![b' '; TrustedKeys::MAX_FILE + 1]).unwrap();
        assert_eq!(code(4), "state.damaged");
        fs::set_permissions(state.join("keys"), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(code(2), "state.unsafe");
        fs::remove_dir_all(state.join("keys")).unwrap();
        symlink(dir.path(), state.join("keys")).unwrap();
        assert_eq!(code(2), "state.unsafe");
    }
}
