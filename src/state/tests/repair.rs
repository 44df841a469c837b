//! What is damaged is set aside, and nothing of it is believed that could let something in.

use super::*;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn bad(text: &str) -> Quarantined {
    let sha256 = crate::digest::Sha256::of(text.as_bytes());
    Quarantined { sha256, version: None, code: "t".to_owned(), reason: String::new(), at: Timestamp(1), count: 1 }
}

#[test]
fn what_was_set_aside_before_is_not_overwritten() {
    let (_base, dir) = fresh();
    drop(Store::open(&dir).unwrap());
    for text in ["first", "second", "third"] {
        fs::write(dir.join("state.json"), text).unwrap();
        Repair::begin(&dir, Timestamp(0)).unwrap().finish(Record::default()).unwrap();
    }
    let aside = "state.json.damaged-19700101T000000Z";
    for (name, text) in [(aside.to_owned(), "first"), (format!("{aside}-2"), "second"), (format!("{aside}-3"), "third")]
    {
        assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), text);
    }
}

#[test]
fn quarantine_and_hold_are_read_from_a_record_that_is_not_believed() {
    let (_base, dir) = fresh();
    let mut store = Store::open(&dir).unwrap();
    store
        .update(|record| {
            record.seq = 12;
            record.quarantine = vec![bad("a"), bad("b")];
            record.hold = Some(Hold { reason: None, since: Timestamp(3), until: None });
        })
        .unwrap();
    drop(store);
    let path = dir.join("state.json");
    let whole = fs::read_to_string(&path).unwrap();
    // A newer layout with things in it that this fetchd does not know, one of them in the quarantine.
    let newer = whole.replacen("\"schema\": 1", "\"schema\": 2, \"novel\": []", 1).replacen("\"code\": \"t\",", "", 1);
    fs::write(&path, newer).unwrap();
    let found = remains(&dir);
    assert_eq!(found.claimed, Some((0, 12)));
    assert_eq!(found.quarantine, [bad("b")]);
    assert_eq!(found.hold.map(|hold| hold.since), Some(Timestamp(3)));
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(remains(&dir), Remains { illegible: true, ..Remains::default() });
    fs::remove_file(&path).unwrap();
    symlink("/etc/hostname", &path).unwrap();
    assert_eq!(remains(&dir), Remains { illegible: true, ..Remains::default() });
}

#[test]
fn a_damaged_lock_is_set_aside_unless_somebody_holds_it() {
    let (_base, dir) = fresh();
    let store = Store::open(&dir).unwrap();
    let lock = dir.join("lock");
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(Repair::begin(&dir, Timestamp(0)).unwrap_err().exit(), Exit::Locked);
    drop(store);
    let repair = Repair::begin(&dir, Timestamp(0)).unwrap();
    let (store, moved) = repair.finish(Record::default()).unwrap();
    assert_eq!(moved, [Moved { from: "lock", to: "lock.damaged-19700101T000000Z".to_owned() }]);
    refused_with(&dir, "state.locked", Exit::Locked);
    drop(store);
    Store::open(&dir).unwrap();
}

#[test]
fn one_damaged_file_says_nothing_about_the_others() {
    let (_base, dir) = fresh();
    let mut store = Store::open(&dir).unwrap();
    store.update(|record| record.seq = 3).unwrap();
    store.history().append(&event(1)).unwrap();
    drop(store);
    fs::write(dir.join("last.bundle"), "no bundle").unwrap();
    fs::remove_file(dir.join("history.jsonl")).unwrap();
    fs::create_dir(dir.join("history.jsonl")).unwrap();
    let examined = examine(&dir);
    assert_eq!(examined.record().unwrap().seq, 3);
    let files: Vec<&str> = examined.faults().iter().map(|fault| fault.file).collect();
    assert_eq!(files, ["last.bundle", "history.jsonl"]);
    assert_eq!(Store::read_only(&dir).unwrap().record().seq, 3);
    // None of them is needed to go on.
    drop(Store::open(&dir).unwrap());
    let record = examined.record().unwrap().clone();
    let (store, moved) = Repair::begin(&dir, Timestamp(0)).unwrap().finish(record).unwrap();
    assert_eq!(moved.len(), 2);
    assert_eq!(store.record().seq, 3);
    let kept = ["history.jsonl.damaged-19700101T000000Z", "last.bundle.damaged-19700101T000000Z"];
    assert_eq!(names(&dir), [kept[0], kept[1], "lock", "state.json"]);
}

#[test]
fn the_trust_state_is_known_once_something_was_accepted() {
    let mut record = Record { seq: 9, ..Record::default() };
    assert_eq!(record.trust_state(), TrustState::New, "a provisioned floor is nobody's release");
    record.first_seen.insert("1.0.0".to_owned(), Timestamp(1));
    assert_eq!(record.trust_state(), TrustState::Known);
}
