//! What is remembered of a binary, and when it is not believed.

use std::fs::{self, FileTimes, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::digest::Sha256;
use crate::install::stamp::{Remembered, Stamp, settled};

/// A file that was last changed long enough ago, and what is remembered of it.
fn remembered() -> (tempfile::TempDir, PathBuf, Remembered) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app");
    fs::write(&path, "what was verified").unwrap();
    let (remembered, deadline) = (Remembered::default(), Instant::now() + Duration::from_secs(30));
    while !is_known(&remembered, &path) {
        assert!(Instant::now() < deadline, "never remembered");
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(digest(&remembered, &path), Sha256::of(b"what was verified"));
    }
    (directory, path, remembered)
}

fn digest(remembered: &Remembered, path: &Path) -> Sha256 {
    remembered.look(path).unwrap().unwrap().sha256
}

fn is_known(remembered: &Remembered, path: &Path) -> bool {
    remembered.known(&Stamp::of(path).unwrap()).is_some()
}

/// Writes other bytes of the same number into `path`, and sets its time of modification to what it was.
fn tamper(path: &Path) {
    let before = fs::metadata(path).unwrap();
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all(b"WHAT was verified").unwrap();
    file.set_times(FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
    drop(file);
    let after = fs::metadata(path).unwrap();
    let seen = |meta: &fs::Metadata| (meta.ino(), meta.len(), meta.modified().unwrap());
    assert_eq!(seen(&after), seen(&before));
}

#[test]
fn a_file_changed_in_place_is_hashed_again_though_its_time_of_modification_was_set_back() {
    let (_directory, path, remembered) = remembered();
    tamper(&path);
    assert!(!is_known(&remembered, &path));
    assert_eq!(digest(&remembered, &path), Sha256::of(b"WHAT was verified"));
}

#[test]
fn a_file_that_was_changed_a_moment_ago_is_not_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app");
    let remembered = Remembered::default();
    fs::write(&path, "what was verified").unwrap();
    let written = Instant::now();
    digest(&remembered, &path);
    let known = is_known(&remembered, &path);
    // A machine that stands still for two seconds here may remember it.
    assert!(!known || written.elapsed() > Duration::from_secs(2));
}

#[test]
fn another_file_in_its_place_is_hashed() {
    let (directory, path, remembered) = remembered();
    let other = directory.path().join("other");
    fs::write(&other, "what was VERIFIED").unwrap();
    let times = FileTimes::new().set_modified(fs::metadata(&path).unwrap().modified().unwrap());
    OpenOptions::new().write(true).open(&other).unwrap().set_times(times).unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(digest(&remembered, &path), Sha256::of(b"what was VERIFIED"));
    fs::remove_file(&path).unwrap();
    assert_eq!(remembered.look(&path).unwrap(), None);
}

#[test]
fn a_change_is_settled_two_seconds_later_and_never_in_the_future() {
    let now = UNIX_EPOCH + Duration::new(1_000_000, 5);
    for changed in [(0, 0), (999_998, 4), (999_998, 5)] {
        assert!(settled(changed, now), "{changed:?}");
    }
    for changed in [(999_998, 6), (1_000_000, 5), (1_000_060, 0), (i64::MAX, 0), (-1, 0), (0, -1)] {
        assert!(!settled(changed, now), "{changed:?}");
    }
    assert!(!Stamp::of(&std::env::temp_dir()).unwrap().is_settled(SystemTime::UNIX_EPOCH));
}
