//! The disk fails, or the power goes, at every call of every write of the state. What is found at the next start is the
//! old state or the new one, never a third, and it opens without a repair.

use super::*;
use crate::durable::power::{Fault, Ran, with_fault};

/// Everything of the state that is written whole.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    record: Record,
    bundle: Option<Vec<u8>>,
    fleet: Option<Vec<u8>>,
}

/// What somebody who only looks finds.
fn seen(dir: &Path) -> Seen {
    let examined = examine(dir);
    assert!(examined.faults().is_empty(), "{:?}", examined.faults());
    let (record, bundle) = (examined.record().cloned().unwrap_or_default(), examined.bundle().map(<[u8]>::to_vec));
    Seen { record, bundle, fleet: Store::kept_fleet(dir) }
}

/// Bytes that can be told apart and that are a bundle.
fn bundle(text: &str) -> Vec<u8> {
    crate::trust::bundle::Bundle::new(text.as_bytes().to_vec(), Vec::new()).to_file()
}

/// Runs `change` with each fault at each call. `between`: what else may be found, where `change` writes twice.
fn everywhere(
    prepare: fn(&mut Store),
    change: fn(&mut Store) -> Result<(), StateError>,
    between: impl Fn(&Seen, &Seen, &Seen) -> bool,
) {
    for fault in Fault::ALL {
        let mut cuts = 0;
        for at in 0.. {
            let base = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            let dir = base.path().join("state");
            let mut store = Store::open(&dir).unwrap();
            prepare(&mut store);
            let old = seen(&dir);
            let mut new = Store::open(&base.path().join("other")).unwrap();
            prepare(&mut new);
            change(&mut new).unwrap();
            let new = seen(&base.path().join("other"));
            assert_ne!(old, new);

            let Ran { value, reached } = with_fault(at, fault, base.path(), || change(&mut store));
            let what = format!("{fault:?} at call {at}");
            if matches!(value, Some(Err(_))) {
                assert_eq!(fault, Fault::Error, "{what}");
                assert!([&old.record, &new.record].contains(&store.record()), "{what}");
            }
            drop(store);
            let found = seen(&dir);
            assert!(found == old || found == new || between(&old, &new, &found), "{what}: {found:#?}");
            if matches!(value, Some(Ok(()))) {
                assert_eq!(found, new, "{what}: reported as done, and not there");
            }
            // The next start needs no help, leaves nothing lying about, and goes on from there.
            let mut store = Store::open(&dir).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(store.record(), &found.record, "{what}");
            store.update(|record| record.seq = 99).unwrap();
            drop(store);
            assert_eq!(seen(&dir).record.seq, 99, "{what}");
            let left = fs::read_dir(&dir).unwrap().flatten().filter(|e| e.file_name().as_encoded_bytes()[0] == b'.');
            assert_eq!(left.count(), 0, "{what}");
            if !reached {
                break;
            }
            cuts += 1;
        }
        assert!(cuts >= 5, "{fault:?}: only {cuts} calls");
    }
}

fn nothing_else(_: &Seen, _: &Seen, _: &Seen) -> bool {
    false
}

#[test]
fn an_update_of_the_record_is_there_or_is_not() {
    everywhere(
        |store| store.update(|record| (record.epoch, record.seq) = (1, 7)).unwrap(),
        |store| store.update(|record| (record.epoch, record.seq) = (2, 1)),
        nothing_else,
    );
}

#[test]
fn a_bundle_is_kept_whole_or_the_one_before_is() {
    everywhere(
        |store| store.keep_bundle(&bundle("the first, and a long one at that")).unwrap(),
        |store| store.keep_bundle(&bundle("second")),
        nothing_else,
    );
    everywhere(|_| {}, |store| store.keep_bundle(&bundle("the first ever")), nothing_else);
}

/// Where the disk is full, the step that depends on it is not taken: it comes after this has returned well.
#[test]
fn what_is_kept_of_a_fleet_is_whole_or_the_one_before_is() {
    everywhere(
        |store| store.keep_fleet(b"{\"seq\":7,\"unsent\":[\"a report that was not sent yet\"]}").unwrap(),
        |store| store.keep_fleet(b"{\"seq\":8}"),
        nothing_else,
    );
    everywhere(|_| {}, |store| store.keep_fleet(b"{\"seq\":1}"), nothing_else);
}

#[test]
fn an_accepted_manifest_is_never_kept_above_its_record() {
    everywhere(
        |store| {
            store.update(|record| record.seq = 7).unwrap();
            store.keep_bundle(&bundle("7")).unwrap();
        },
        // The order of `Line::admit`.
        |store| {
            store.update(|record| record.seq = 8)?;
            store.keep_bundle(&bundle("8"))
        },
        |old, new, found| found.record == new.record && found.bundle == old.bundle,
    );
}

#[test]
fn the_first_record_ever_is_there_or_none_is() {
    for fault in Fault::ALL {
        for at in 0.. {
            let base = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            let dir = base.path().join("state");
            let Ran { value, reached } = with_fault(at, fault, base.path(), || Store::open(&dir).map(drop));
            if value.is_some_and(|opened| opened.is_ok()) {
                assert!(dir.join("state.json").exists(), "{fault:?} at {at}");
            }
            let store = Store::open(&dir).unwrap_or_else(|e| panic!("{fault:?} at {at}: {e}"));
            assert_eq!(store.record(), &Record::default());
            if !reached {
                assert!(at >= 6);
                break;
            }
        }
    }
}

#[test]
fn a_repair_that_is_cut_short_leaves_the_damaged_record_or_the_new_one() {
    let repaired = Record { seq: 5, ..Record::default() };
    for fault in Fault::ALL {
        for at in 0.. {
            let base = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            let dir = base.path().join("state");
            drop(Store::open(&dir).unwrap());
            fs::write(dir.join("state.json"), "damaged").unwrap();
            let Ran { value, reached } = with_fault(at, fault, base.path(), || {
                Repair::begin(&dir, Timestamp(1))?.finish(repaired.clone()).map(drop)
            });
            let what = format!("{fault:?} at call {at}");
            match examine(&dir).record() {
                Some(record) => assert_eq!(record, &repaired, "{what}"),
                None => {
                    assert!(!matches!(value, Some(Ok(()))), "{what}");
                    assert_eq!(fs::read_to_string(dir.join("state.json")).unwrap(), "damaged", "{what}");
                }
            }
            // Once more, and it is done.
            Repair::begin(&dir, Timestamp(2)).unwrap().finish(repaired.clone()).unwrap();
            assert_eq!(examine(&dir).record(), Some(&repaired), "{what}");
            let aside = fs::read_dir(&dir).unwrap().flatten().filter(|entry| {
                let name = entry.file_name().into_string().unwrap();
                name.starts_with("state.json.damaged-") && fs::read_to_string(entry.path()).unwrap() == "damaged"
            });
            assert!(aside.count() >= 1, "{what}: what was damaged is gone");
            if !reached {
                break;
            }
        }
    }
}

#[test]
fn a_history_whose_end_was_torn_off_goes_on() {
    // Appending is not atomic, and need not be: what is lost is the last line.
    let (_base, dir) = fresh();
    let store = Store::open(&dir).unwrap();
    store.history().append(&event(1)).unwrap();
    let path = dir.join("history.jsonl");
    let first = fs::read(&path).unwrap();
    store.history().append(&event(2)).unwrap();
    let both = fs::read(&path).unwrap();
    for length in first.len()..both.len() {
        fs::write(&path, &both[..length]).unwrap();
        store.history().append(&event(3)).unwrap();
        let found = numbers(&store.history().read(10).unwrap());
        assert!(found == [1, 3] || found == [1, 2, 3], "{found:?} after {length} bytes");
    }
}
