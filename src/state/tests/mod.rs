mod power_loss;
mod repair;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use semver::Version;

use super::*;
use crate::clock::Timestamp;
use crate::failure::{Exit, Failure as _, Reported};

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("state/app");
    (base, dir)
}

fn refused_with(dir: &Path, code: &str, exit: Exit) -> StateError {
    let error = Store::open(dir).unwrap_err();
    assert_eq!((error.code(), error.exit()), (code, exit), "{error}");
    error
}

#[test]
fn a_new_state_is_private_and_written_at_once() {
    let (_base, dir) = fresh();
    let store = Store::open(&dir).unwrap();
    assert!(store.is_new());
    assert_eq!(store.record(), &Record::default());
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(dir.join("state.json")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn what_is_updated_is_there_after_a_restart() {
    let (_base, dir) = fresh();
    let mut store = Store::open(&dir).unwrap();
    let before = store.update(|record| std::mem::replace(&mut record.seq, 7)).unwrap();
    store.keep_bundle(b"{ raw }").unwrap();
    drop(store);
    let store = Store::open(&dir).unwrap();
    assert_eq!((before, store.record().seq, store.is_new()), (0, 7, false));
    assert_eq!(store.last_bundle().unwrap().as_deref(), Some(&b"{ raw }"[..]));
}

#[test]
fn an_update_that_changes_nothing_writes_nothing() {
    let (_base, dir) = fresh();
    let mut store = Store::open(&dir).unwrap();
    let inode = || fs::metadata(dir.join("state.json")).unwrap().ino();
    let before = inode();
    store.update(|record| record.seq = 0).unwrap();
    assert_eq!(inode(), before);
    store.update(|record| record.seq = 1).unwrap();
    assert_ne!(inode(), before);
}

#[test]
fn an_update_that_cannot_be_written_leaves_the_record_as_it_was() {
    let (_base, dir) = fresh();
    let mut store = Store::open(&dir).unwrap();
    fs::remove_file(dir.join("state.json")).unwrap();
    fs::create_dir(dir.join("state.json")).unwrap();
    assert_eq!(store.update(|record| record.seq = 9).unwrap_err().exit(), Exit::Install);
    assert_eq!(store.record().seq, 0);
    fs::remove_dir(dir.join("state.json")).unwrap();
    store.update(|_| ()).unwrap();
    assert_eq!(Store::read_only(&dir).unwrap().record(), store.record());
}

#[test]
fn a_second_fetchd_finds_it_locked_and_learns_by_whom() {
    let (_base, dir) = fresh();
    let store = Store::open(&dir).unwrap();
    let error = refused_with(&dir, "state.locked", Exit::Locked);
    assert!(error.hint().unwrap().contains(&std::process::id().to_string()));
    assert_eq!(Store::read_only(&dir).unwrap().holder(), Some(std::process::id()));
    drop(store);
    assert_eq!(Store::read_only(&dir).unwrap().holder(), None);
    Store::open(&dir).unwrap();
}

#[test]
fn a_program_started_meanwhile_does_not_keep_the_lock() {
    let (_base, dir) = fresh();
    let store = Store::open(&dir).unwrap();
    let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    drop(store);
    let opened = Store::open(&dir);
    drop(child.stdin.take());
    child.wait().unwrap();
    opened.unwrap();
}

#[test]
fn a_damaged_record_stops_updates_and_is_left_alone() {
    let cases: [(&str, &str); 6] = [
        ("", "not a record"),
        ("{\"schema\":1,\"se", "not a record"),
        ("not json", "not a record"),
        ("{\"schema\":2}", "schema 2"),
        ("{\"schema\":1,\"floor\":3}", "unknown field"),
        ("{\"schema\":1,\"seq\":1,\"seq\":0}", "duplicate field"),
    ];
    for (text, expected) in cases {
        let (_base, dir) = fresh();
        drop(Store::open(&dir).unwrap());
        fs::write(dir.join("state.json"), text).unwrap();
        let error = refused_with(&dir, "state.damaged", Exit::State);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().is_some());
        assert_eq!(fs::read_to_string(dir.join("state.json")).unwrap(), text);
        assert_eq!(Store::read_only(&dir).unwrap_err().code(), "state.damaged");
    }
}

#[test]
fn a_record_behind_a_symlink_or_open_to_others_is_damaged() {
    let (base, dir) = fresh();
    drop(Store::open(&dir).unwrap());
    let (record, elsewhere) = (dir.join("state.json"), base.path().join("elsewhere"));
    fs::set_permissions(&record, fs::Permissions::from_mode(0o666)).unwrap();
    refused_with(&dir, "state.damaged", Exit::State);
    fs::set_permissions(&record, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&record, &elsewhere).unwrap();
    symlink(&elsewhere, &record).unwrap();
    refused_with(&dir, "state.damaged", Exit::State);
    fs::remove_file(&record).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &record, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    refused_with(&dir, "state.damaged", Exit::State);
}

#[test]
fn a_record_of_somebody_else_is_damaged() {
    let (_base, dir) = fresh();
    drop(Store::open(&dir).unwrap());
    // Only root can give a file away; anybody else sees the same check through the owner that is asked for.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(dir.join("state.json"), Some(12_345), None).unwrap();
        refused_with(&dir, "state.damaged", Exit::State);
        std::os::unix::fs::chown(&dir, Some(12_345), None).unwrap();
        refused_with(&dir, "state.unsafe", Exit::State);
    } else {
        assert!(files::read(&dir.join("state.json"), 0, 1024).is_err());
    }
}

#[test]
fn a_directory_that_others_can_write_or_redirect_is_refused() {
    let (base, dir) = fresh();
    drop(Store::open(&dir).unwrap());
    let link = base.path().join("link");
    symlink(&dir, &link).unwrap();
    refused_with(&link, "state.unsafe", Exit::State);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o770)).unwrap();
    refused_with(&dir, "state.unsafe", Exit::State);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    Store::open(&dir).unwrap();
}

#[test]
fn leftovers_of_a_crash_are_cleared_by_the_next_start() {
    let (_base, dir) = fresh();
    drop(Store::open(&dir).unwrap());
    fs::write(dir.join(".fetchd-0123456789abcdef.tmp"), "half").unwrap();
    drop(Store::open(&dir).unwrap());
    assert!(!dir.join(".fetchd-0123456789abcdef.tmp").exists());
}

#[test]
fn looking_at_a_state_that_is_not_there_creates_nothing() {
    let (_base, dir) = fresh();
    let snapshot = Store::read_only(&dir).unwrap();
    assert!(snapshot.is_new() && snapshot.holder().is_none() && snapshot.last_bundle().is_none());
    assert_eq!(snapshot.history(10).unwrap(), []);
    assert!(!dir.exists());
}

fn event(n: u64) -> Event {
    Event::new(Timestamp(n), "update.installed").detail("n", n)
}

fn numbers(events: &[Event]) -> Vec<u64> {
    events.iter().map(|e| e.at.0).collect()
}

#[test]
fn the_history_keeps_what_happened_in_order() {
    let (_base, dir) = fresh();
    let store = Store::open(&dir).unwrap();
    let failed =
        Reported { code: "smoke.timeout".to_owned(), exit: Exit::Smoke, message: "it hung".to_owned(), hint: None };
    let full = event(1).version(Some(&Version::new(1, 2, 3))).failure(&failed);
    store.history().append(&full).unwrap();
    store.history().append(&event(2)).unwrap();
    store.history().append(&event(3)).unwrap();
    assert_eq!(store.history().read(10).unwrap()[0], full);
    assert_eq!(numbers(&store.history().read(2).unwrap()), [2, 3]);
    assert_eq!(numbers(&Store::read_only(&dir).unwrap().history(1).unwrap()), [3]);
    let first = fs::read_to_string(dir.join("history.jsonl")).unwrap();
    assert!(first.starts_with(
        r#"{"schema":1,"at":"1970-01-01T00:00:01Z","event":"update.installed","version":"1.2.3","code":"smoke.timeout","exit":41,"#
    ));
}

#[test]
fn a_torn_last_line_is_skipped_and_healed() {
    let (_base, dir) = fresh();
    let store = Store::open(&dir).unwrap();
    store.history().append(&event(1)).unwrap();
    let path = dir.join("history.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(br#"{"schema":1,"at":"19"#);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(numbers(&store.history().read(10).unwrap()), [1]);
    store.history().append(&event(2)).unwrap();
    assert_eq!(numbers(&store.history().read(10).unwrap()), [1, 2]);
}

#[test]
fn the_history_is_rotated_and_never_larger_than_two_files() {
    let (_base, dir) = fresh();
    drop(Store::open(&dir).unwrap());
    let history = History::new(&dir, rustix::process::geteuid().as_raw()).rotated_at(1000);
    for n in 0..100 {
        history.append(&event(n)).unwrap();
    }
    assert!(fs::metadata(dir.join("history.jsonl")).unwrap().len() <= 1000);
    assert!(fs::metadata(dir.join("history.1.jsonl")).unwrap().len() <= 1000);
    let events = history.read(1000).unwrap();
    let first = 100 - events.len() as u64;
    assert!(events.len() > 10);
    assert_eq!(numbers(&events), (first..100).collect::<Vec<_>>());
}
