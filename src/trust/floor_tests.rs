use std::time::Duration;

use serde_json::json;

use super::*;
use crate::clock::Timestamp;
use crate::failure::Failure as _;
use crate::trust::fixture::{Key, NOW, code, expect, keys, manifest, offered, read_value};
use crate::trust::{Offer, Trust, read};

fn at(epoch: u64, seq: u64) -> Manifest {
    let mut value = manifest(&["1.0.0"]);
    value["epoch"] = json!(epoch);
    value["seq"] = json!(seq);
    read_value(&value).unwrap()
}

#[test]
fn the_floor_rises_once() {
    let mut record = Record::default();
    assert_eq!(admit(&at(1, 7), &mut record), Ok(Admitted::Raised));
    assert_eq!((record.epoch, record.seq, record.issued_max), (1, 7, Some(NOW)));
    assert_eq!(admit(&at(1, 7), &mut record), Ok(Admitted::Known));
    assert_eq!(admit(&at(1, 8), &mut record), Ok(Admitted::Raised));
}

/// Attack 35: the first time it may be a mirror that lags behind, and it is not used either.
#[test]
fn a_lower_sequence_is_never_used() {
    let mut record = Record::default();
    admit(&at(1, 7), &mut record).unwrap();
    let before = record.clone();
    for lower in [at(1, 6), at(0, 99)] {
        let Ok(Admitted::Stale(stale)) = admit(&lower, &mut record) else { panic!("a first sighting") };
        assert_eq!((stale.code(), stale.exit().number()), ("source.stale", 0));
        let seen = record.clone();
        assert_eq!(code(admit(&lower, &mut record)), ("manifest.rollback", 21));
        assert_eq!(record, seen);
        assert_eq!(Record { stale_since: None, ..seen }, before);
        // The mirror has caught up, so the next time is the first again.
        assert_eq!(admit(&at(1, 7), &mut record), Ok(Admitted::Raised));
        assert_eq!(record, before);
    }
}

/// Attack 36.
#[test]
fn other_bytes_at_the_same_number_are_equivocation() {
    let mut record = Record::default();
    admit(&at(1, 7), &mut record).unwrap();
    let before = record.clone();
    let other = read_value(&manifest(&["1.0.1"])).unwrap();
    assert_eq!(code(admit(&other, &mut record)), ("manifest.equivocation", 21));
    assert_eq!(record, before);
}

/// Attack 38, the second half: a number run up by a thief is undone by a new epoch.
#[test]
fn a_new_epoch_starts_the_numbers_again() {
    let mut record = Record::default();
    admit(&at(1, 9_007_199_254_740_991), &mut record).unwrap();
    assert!(matches!(admit(&at(1, 8), &mut record), Ok(Admitted::Stale(_))));
    assert_eq!(code(admit(&at(1, 8), &mut record)).0, "manifest.rollback");
    assert_eq!(admit(&at(2, 1), &mut record), Ok(Admitted::Raised));
    assert_eq!((record.epoch, record.seq), (2, 1));
}

#[test]
fn a_bound_artifact_has_a_floor_only_if_it_is_numbered() {
    let key = Key::new(1);
    let of = |seq: &str, untrusted: &str| {
        let comment = format!(
            "fetchd:1\tproduct:app\tversion:1.0.0\tchannel:stable\ttarget:{}\tfile:app\tsize:1{seq}",
            expect().target
        );
        let signature = key.sign(b"1", &comment).replace("untrusted comment: x", untrusted);
        let release = offered(None, &["app"]);
        let offer = Offer { release: &release, document: None, signature: Some(signature.as_bytes()), asset: None };
        read(&offer, &Trust::Bound { keys: keys(&[&key], 1) }, &expect(), NOW).unwrap()
    };
    let mut record = Record::default();
    assert_eq!(admit(&of("", "untrusted comment: x"), &mut record), Ok(Admitted::Raised));
    assert_eq!((record.seq, record.manifest_sha256), (0, None));
    admit(&of("\tseq:5", "untrusted comment: x"), &mut record).unwrap();
    assert_eq!(record.seq, 5);
    // A mirror may write what it likes into the comment nobody signed: that is no equivocation.
    assert_eq!(admit(&of("\tseq:5", "untrusted comment: y"), &mut record), Ok(Admitted::Known));
    assert_eq!(
        code(admit(&of("\tseq:5\texpires:2099-01-01T00:00:00Z", "untrusted comment: x"), &mut record)).0,
        "manifest.equivocation"
    );
    assert!(matches!(admit(&of("\tseq:4", "untrusted comment: x"), &mut record), Ok(Admitted::Stale(_))));
    assert_eq!(code(admit(&of("\tseq:4", "untrusted comment: x"), &mut record)).0, "manifest.rollback");
    // Without a number nothing can be said about the order.
    assert_eq!(admit(&of("", "untrusted comment: x"), &mut record), Ok(Admitted::Known));
}

/// Attack 41, for what is remembered: a clock that was ahead wedges nothing.
#[test]
fn versions_are_first_seen_by_our_own_clock_and_never_in_the_future() {
    let mut record = Record::default();
    let mut value = manifest(&["1.0.0"]);
    value["issued"] = json!("2020-01-01T00:00:00Z");
    let mut manifest = read_value(&value).unwrap();
    admit(&manifest, &mut record).unwrap();
    assert_eq!(record.first_seen["1.0.0"], NOW);
    manifest.read_at = NOW.plus(Duration::from_secs(60));
    assert_eq!(admit(&manifest, &mut record), Ok(Admitted::Known));
    assert_eq!(record.first_seen["1.0.0"], NOW);
    record.first_seen.insert("1.0.0".into(), Timestamp(4_000_000_000));
    assert_eq!(admit(&manifest, &mut record), Ok(Admitted::Raised));
    assert_eq!(record.first_seen["1.0.0"], manifest.read_at);
}

#[test]
fn what_was_seen_does_not_grow_for_ever() {
    let mut record = Record::default();
    for i in 0..MAX_SEEN {
        record.first_seen.insert(format!("0.0.{i}"), NOW);
    }
    admit(&at(1, 7), &mut record).unwrap();
    assert_eq!(record.first_seen.keys().collect::<Vec<_>>(), ["1.0.0"]);
}

#[test]
fn what_was_revoked_is_remembered_and_what_is_no_longer_listed_is_not() {
    let mut record = Record::default();
    let revoking = |seq: u64, revoked: serde_json::Value| {
        let mut value = manifest(&["1.0.0"]);
        (value["seq"], value["revoked"]) = (json!(seq), revoked);
        read_value(&value).unwrap()
    };
    let digest = crate::digest::Sha256::of(b"bad");
    let both = json!([{ "version": "0.9.0", "reason": "it leaks" }, { "sha256": digest, "reason": "stolen" }]);
    admit(&revoking(8, both), &mut record).unwrap();
    let binary = |version: &str, bytes: &[u8]| crate::state::Confirmed {
        version: version.parse().ok(),
        sha256: crate::digest::Sha256::of(bytes),
        at: NOW,
    };
    assert_eq!(record.revocation(&binary("0.9.0+build", b"x")), Some("it leaks"));
    assert_eq!(record.revocation(&binary("1.0.0", b"bad")), Some("stolen"));
    assert_eq!(record.revocation(&binary("1.0.0", b"good")), None);
    admit(&revoking(9, json!([])), &mut record).unwrap();
    assert_eq!(record.revocation(&binary("0.9.0", b"x")), None);
}

#[test]
fn the_oldest_version_that_the_newest_manifest_allows_is_remembered() {
    let mut record = Record::default();
    let least = |seq: u64, least: serde_json::Value| {
        let mut value = manifest(&["1.0.0"]);
        (value["seq"], value["min_version"]) = (json!(seq), least);
        read_value(&value).unwrap()
    };
    admit(&least(8, json!("0.9.0")), &mut record).unwrap();
    assert_eq!(record.min_version.as_ref().map(ToString::to_string).as_deref(), Some("0.9.0"));
    assert!(matches!(admit(&least(7, json!(null)), &mut record), Ok(Admitted::Stale(_))));
    assert!(record.min_version.is_some(), "an older one takes nothing back");
    admit(&least(9, json!(null)), &mut record).unwrap();
    assert_eq!(record.min_version, None);
}
