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
