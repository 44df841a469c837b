use std::os::unix::fs::MetadataExt as _;

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
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
