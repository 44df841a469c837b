use std::time::Duration;

use serde_json::{Value, json};

use super::objection::bucket;
use super::*;
use crate::failure::Failure;
use crate::state::{Confirmed, Quarantined};
use crate::trust::fixture::{Key, NOW, TARGET, artifact, bundle, expect, keys, manifest, offered, read_value, release};
use crate::trust::{Offer, Trust, admit, read};

fn running(version: &str) -> Policy {
    Policy { running: Some(version.parse().unwrap()), ..Policy::default() }
}

/// What is chosen from a manifest on a host that has just admitted it.
fn on_record(value: &Value, policy: &Policy, record: &mut Record, now: Timestamp) -> Choice {
    let manifest = read_value(value).unwrap();
    admit(&manifest, record).unwrap();
    choose(&manifest, record, policy, &expect(), now)
}

fn outcome(choice: &Choice) -> String {
    match choice {
        Choice::Take(chosen) => chosen.version().unwrap().to_string(),
        Choice::UpToDate { .. } => "up to date".to_owned(),
        Choice::Held(refused) => format!("{} {}", refused.code(), refused.exit().number()),
    }
}

fn from(value: &Value, policy: &Policy) -> String {
    outcome(&on_record(value, policy, &mut Record::default(), NOW))
}

fn edited(versions: &[&str], edit: impl FnOnce(&mut Value)) -> Value {
    let mut value = manifest(versions);
    edit(&mut value);
    value
}

#[test]
fn the_highest_version_by_precedence_is_taken() {
    let value = manifest(&["1.9.0", "1.10.0", "1.10.0-rc.1", "1.2.0"]);
    assert_eq!(from(&value, &running("1.9.0")), "1.10.0");
    assert_eq!(from(&value, &Policy::default()), "1.10.0");
    assert_eq!(from(&value, &running("1.10.0")), "up to date");
    assert_eq!(from(&value, &running("1.10.0+local")), "up to date");
    assert_eq!(from(&manifest(&[]), &running("1.0.0")), "release.none 22");
}

#[test]
fn everything_signed_reaches_the_chosen_one() {
    let Choice::Take(chosen) = on_record(&manifest(&["1.0.0"]), &Policy::default(), &mut Record::default(), NOW) else {
        panic!("taken")
    };
    let digest = Sha256::of(b"1.0.0");
    assert_eq!((chosen.target(), chosen.urls()), (Some(TARGET), &["app-1.0.0".to_owned()][..]));
    assert_eq!((chosen.size(), chosen.sha256(), chosen.entry()), (Some(5), Some(digest), None));
    assert_eq!((chosen.binary_size(), chosen.binary_sha256(), chosen.max_size()), (Some(5), Some(digest), 1 << 30));
    assert!(matches!(chosen.proof(), crate::trust::Proof::Manifest));
}

#[test]
fn the_binary_that_runs_is_known_by_its_digest_too() {
    let policy = Policy { running_sha256: Some(Sha256::of(b"1.1.0")), ..Policy::default() };
    assert_eq!(from(&manifest(&["1.0.0", "1.1.0"]), &policy), "up to date");
    assert_eq!(from(&manifest(&["1.1.0", "1.2.0"]), &policy), "1.2.0");
}

/// Attack 39, and 41: the latest time signed counts as passed.
#[test]
fn what_expired_or_is_too_old_is_held() {
    let value = edited(&["1.1.0"], |value| value["expires"] = json!(NOW.to_string()));
    assert_eq!(from(&value, &running("1.0.0")), "manifest.expired 22");
    assert_eq!(from(&value, &running("1.1.0")), "manifest.expired 22");
    let mut record = Record::default();
    let value = edited(&["1.1.0"], |value| value["expires"] = json!(NOW.plus(Duration::from_secs(60)).to_string()));
    assert_eq!(outcome(&on_record(&value, &running("1.0.0"), &mut record, NOW)), "1.1.0");
    let late = Timestamp(4_000_000_000);
    assert_eq!(outcome(&on_record(&value, &running("1.0.0"), &mut record, late)), "manifest.expired 22");
    // The clock that was ahead is put right, and nothing is wedged.
    assert_eq!(outcome(&on_record(&value, &running("1.0.0"), &mut record, NOW)), "1.1.0");
    // A clock set back does not bring an expired manifest back to life.
    record.issued_max = Some(NOW.plus(Duration::from_secs(61)));
    assert_eq!(outcome(&on_record(&value, &running("1.0.0"), &mut record, Timestamp(0))), "manifest.expired 22");
    let policy = Policy { max_age: Some(Duration::from_secs(60)), ..running("1.0.0") };
    let value = manifest(&["1.1.0"]);
    assert_eq!(
        outcome(&on_record(&value, &policy, &mut Record::default(), NOW.plus(Duration::from_secs(60)))),
        "1.1.0"
    );
    let later = NOW.plus(Duration::from_secs(61));
    assert_eq!(outcome(&on_record(&value, &policy, &mut Record::default(), later)), "manifest.too_old 22");
}

/// Attack 42: without state the version that runs still stands.
#[test]
fn older_than_what_runs_is_refused() {
    let old = manifest(&["1.0.0", "1.1.0"]);
    assert_eq!(from(&old, &running("2.0.0")), "release.downgrade 21");
    assert_eq!(from(&old, &Policy { allow_downgrade: true, ..running("2.0.0") }), "1.1.0");
    let pinned = Policy { pin: Some("1.0.0".parse().unwrap()), ..running("1.1.0") };
    assert_eq!(from(&old, &pinned), "release.downgrade 21");
    assert_eq!(from(&old, &Policy { allow_downgrade: true, ..pinned }), "1.0.0");
    let confirmed = Confirmed { version: Some("3.0.0".parse().unwrap()), sha256: Sha256::of(b""), at: NOW };
    let mut record = Record { confirmed: Some(confirmed), ..Record::default() };
    assert_eq!(outcome(&on_record(&old, &Policy::default(), &mut record, NOW)), "release.downgrade 21");
}

/// Attack 48.
#[test]
fn a_revoked_version_is_never_taken_not_even_pinned() {
    let value = edited(&["1.0.0", "1.1.0"], |value| {
        value["revoked"] = json!([{ "version": "1.1.0", "reason": "leaks" }]);
    });
    assert_eq!(from(&value, &running("1.0.0")), "up to date");
    let pinned = Policy { pin: Some("1.1.0".parse().unwrap()), force: true, allow_downgrade: true, ..running("1.0.0") };
    assert_eq!(from(&value, &pinned), "release.revoked 20");
    let by_digest = edited(&["1.0.0", "1.1.0"], |value| {
        value["revoked"] = json!([{ "sha256": Sha256::of(b"1.1.0"), "reason": "leaks" }]);
    });
    assert_eq!(from(&by_digest, &pinned), "release.revoked 20");
    assert_eq!(from(&by_digest, &running("1.0.0")), "up to date");
    // Pinned, running and revoked: it is not "up to date".
    assert_eq!(from(&value, &Policy { running: pinned.pin.clone(), ..pinned }), "release.revoked 20");
}

#[test]
fn a_yanked_version_is_passed_over_unless_pinned() {
    let value = edited(&["1.0.0", "1.1.0"], |value| value["releases"][1]["yanked"] = json!(true));
    let Choice::UpToDate { passed_over, .. } = on_record(&value, &running("1.0.0"), &mut Record::default(), NOW) else {
        panic!("up to date")
    };
    assert_eq!(passed_over[0].why.code(), "release.yanked");
    assert_eq!(from(&value, &Policy::default()), "1.0.0");
    let pin = Some("1.1.0".parse().unwrap());
    assert_eq!(from(&value, &Policy { pin: pin.clone(), ..running("1.0.0") }), "1.1.0");
    assert_eq!(from(&value, &Policy { pin, ..running("1.1.0") }), "up to date");
    let all = edited(&["1.1.0"], |value| value["releases"][0]["yanked"] = json!(true));
    assert_eq!(from(&all, &Policy::default()), "release.yanked 22");
}

/// Attack 49.
#[test]
fn a_withdrawn_version_sends_its_hosts_back_but_not_too_far() {
    let value = edited(&["1.0.0", "1.1.0"], |value| value["releases"][1]["yanked"] = json!(true));
    assert_eq!(from(&value, &running("1.1.0")), "1.0.0");
    let revoked = edited(&["1.0.0"], |value| value["revoked"] = json!([{ "version": "1.1.0", "reason": "x" }]));
    assert_eq!(from(&revoked, &running("1.1.0")), "1.0.0");
    let digest = edited(&["1.0.0"], |value| {
        value["revoked"] = json!([{ "sha256": Sha256::of(b"bad build"), "reason": "x" }]);
    });
    let policy = Policy { running_sha256: Some(Sha256::of(b"bad build")), ..running("1.1.0") };
    assert_eq!(from(&digest, &policy), "1.0.0");
    assert_eq!(from(&digest, &running("1.1.0")), "release.downgrade 21");
    let floored = edited(&["1.0.0", "1.1.0"], |value| {
        value["releases"][1]["yanked"] = json!(true);
        value["min_version"] = json!("1.1.0");
    });
    assert_eq!(from(&floored, &running("1.1.0")), "release.yanked 22");
    assert_eq!(from(&floored, &Policy { allow_downgrade: true, ..running("1.2.0") }), "release.below_minimum 21");
    // A newer one is taken rather than the older.
    let newer = edited(&["1.0.0", "1.1.0", "1.2.0"], |value| value["releases"][1]["yanked"] = json!(true));
    assert_eq!(from(&newer, &running("1.1.0")), "1.2.0");
}

#[test]
fn a_quarantined_digest_is_not_tried_again_and_a_higher_version_is() {
    let bad = Quarantined {
        sha256: Sha256::of(b"1.1.0"),
        version: Some("1.1.0".parse().unwrap()),
        code: "smoke.exit".into(),
        reason: "it died".into(),
        at: NOW,
        count: 1,
    };
    let mut record = Record { quarantine: vec![bad], ..Record::default() };
    let value = manifest(&["1.0.0", "1.1.0"]);
    assert_eq!(outcome(&on_record(&value, &running("1.0.0"), &mut record, NOW)), "release.quarantined 22");
    let mut value = manifest(&["1.0.0", "1.1.0", "1.1.1"]);
    value["seq"] = json!(8);
    assert_eq!(outcome(&on_record(&value, &running("1.0.0"), &mut record, NOW)), "1.1.1");
    // Other bytes under the same version are other bytes.
    let mut rebuilt = manifest(&["1.1.0"]);
    rebuilt["seq"] = json!(9);
    let digest = json!(Sha256::of(b"rebuilt"));
    rebuilt["releases"][0]["artifacts"][0]["sha256"] = digest.clone();
    rebuilt["releases"][0]["artifacts"][0]["binary_sha256"] = digest;
    assert_eq!(outcome(&on_record(&rebuilt, &running("1.0.0"), &mut record, NOW)), "1.1.0");
}

#[test]
fn another_target_is_refused_and_the_ones_there_are_named() {
    let value = edited(&["1.0.0"], |value| {
        value["releases"][0]["artifacts"][0]["target"] = json!("x86_64-unknown-linux-musl");
        let mut second = artifact("1.0.0");
        second["target"] = json!("aarch64-unknown-linux-gnu");
        value["releases"][0]["artifacts"].as_array_mut().unwrap().push(second);
    });
    let Choice::Held(refused) = on_record(&value, &Policy::default(), &mut Record::default(), NOW) else {
        panic!("held")
    };
    assert_eq!((refused.code(), refused.exit().number()), ("release.no_target", 23));
    let hint = Failure::hint(&refused).unwrap();
    assert!(hint.contains("`x86_64-unknown-linux-musl`, `aarch64-unknown-linux-gnu`"), "{hint}");
}

#[test]
fn more_than_the_limit_is_not_taken() {
    let value = edited(&["1.0.0"], |value| {
        value["releases"][0]["artifacts"][0]["format"] = json!("gz");
        value["releases"][0]["artifacts"][0]["binary_size"] = json!((1_u64 << 30) + 1);
    });
    assert_eq!(from(&value, &Policy::default()), "release.too_large 23");
}

#[test]
fn a_stepping_stone_is_taken_first() {
    let value = edited(&["1.5.0", "2.0.0"], |value| value["releases"][1]["min_from"] = json!("1.5.0"));
    assert_eq!(from(&value, &running("1.0.0")), "1.5.0");
    assert_eq!(from(&value, &running("1.5.0")), "2.0.0");
    assert_eq!(from(&value, &Policy::default()), "2.0.0");
    let only = edited(&["2.0.0"], |value| value["releases"][0]["min_from"] = json!("1.5.0"));
    assert_eq!(from(&only, &running("1.0.0")), "release.min_from 22");
}

/// Attack 95.
#[test]
fn a_cooldown_runs_by_our_own_clock_from_when_we_first_saw_it() {
    let value = edited(&["1.0.0", "1.1.0"], |value| value["issued"] = json!("2020-01-01T00:00:00Z"));
    let policy = Policy { cooldown: Duration::from_secs(3600), force: true, ..running("1.0.0") };
    let mut record = Record::default();
    assert_eq!(outcome(&on_record(&value, &policy, &mut record, NOW)), "release.cooldown 22");
    let almost = NOW.plus(Duration::from_secs(3599));
    assert_eq!(outcome(&on_record(&value, &policy, &mut record, almost)), "release.cooldown 22");
    assert_eq!(outcome(&on_record(&value, &policy, &mut record, NOW.plus(Duration::from_secs(3600)))), "1.1.0");
    // Signed in the future does not shorten it either.
    record.issued_max = Some(NOW.plus(Duration::from_secs(7200)));
    assert_eq!(outcome(&on_record(&value, &policy, &mut record, NOW)), "release.cooldown 22");
    // Seen by nobody but `check`, which writes nothing: it waits.
    let manifest = read_value(&value).unwrap();
    let unseen = choose(&manifest, &Record::default(), &policy, &expect(), NOW);
    assert_eq!(outcome(&unseen), "release.cooldown 22");
}

/// Attack 94.
#[test]
fn a_rollout_goes_to_its_share_of_the_hosts() {
    let at = |percent: Value| edited(&["1.0.0", "1.1.0"], |value| value["releases"][1]["rollout"] = percent);
    let percent = |percent: u8| at(json!({ "percent": percent, "salt": "1.1.0" }));
    let host = |id: &str| Policy { host_id: Some(id.to_owned()), ..running("1.0.0") };
    let forced = Policy { force: true, ..host("a") };
    assert_eq!(from(&at(Value::Null), &running("1.0.0")), "1.1.0");
    assert_eq!(from(&percent(0), &forced), "release.rollout 22");
    assert_eq!(from(&percent(100), &running("1.0.0")), "1.1.0");
    assert_eq!(from(&percent(99), &running("1.0.0")), "release.rollout 22");
    assert_eq!(from(&percent(1), &forced), "1.1.0");
    let own = bucket("1.1.0", "a");
    assert_eq!(from(&percent(own), &host("a")), "release.rollout 22");
    assert_eq!(from(&percent(own + 1), &host("a")), "1.1.0");
    let joined = (0..1000).filter(|i| bucket("salt", &format!("host-{i}")) < 20).count();
    assert!((150..250).contains(&joined), "{joined} of 1000 hosts joined 20 %");
}

#[test]
fn what_runs_stays_when_nothing_newer_may_be_taken() {
    let only_yanked = edited(&["2.0.0"], |value| value["releases"][0]["yanked"] = json!(true));
    assert_eq!(from(&only_yanked, &running("1.0.0")), "up to date");
    let pin = Some("7.0.0".parse().unwrap());
    assert_eq!(from(&manifest(&["1.0.0"]), &Policy { pin, ..running("1.0.0") }), "release.not_listed 22");
    let mut bare = release("1.1.0");
    bare["artifacts"] = json!([]);
    let value = edited(&["1.0.0"], |value| value["releases"].as_array_mut().unwrap().push(bare));
    assert_eq!(from(&value, &running("1.0.0")), "release.no_target 23");
}

/// Attack 41: whatever a clock said, nothing that it left behind holds up a release once it is right.
#[test]
fn a_clock_that_was_wrong_and_is_put_right_wedges_nothing() {
    let read_at = |value: &Value, now: Timestamp| {
        let key = Key::new(1);
        let document = bundle(value.to_string().as_bytes(), &[&key]);
        let offered = offered(None, &["stable.fetchd"]);
        let offer = Offer { release: &offered, document: Some(&document), signature: None, asset: None };
        read(&offer, &Trust::Bundle { keys: keys(&[&key], 1) }, &expect(), now)
    };
    let (epoch, far) = (Timestamp(0), Timestamp(4_102_444_800));
    let mut value = manifest(&["1.0.0", "1.1.0"]);
    value["expires"] = json!(NOW.plus(Duration::from_secs(7 * 86_400)).to_string());
    let hour = Duration::from_secs(3600);
    let policies = [
        running("1.0.0"),
        Policy { cooldown: hour, ..running("1.0.0") },
        Policy { max_age: Some(24 * hour), ..running("1.0.0") },
    ];
    for wrong in [epoch, far] {
        for policy in &policies {
            let mut record = Record::default();
            match read_at(&value, wrong) {
                // To a clock in 1970 everything is from the future. It is said, and nothing is remembered.
                Err(refused) => assert_eq!((wrong, refused.code()), (epoch, "manifest.clock")),
                Ok(manifest) => {
                    assert_eq!(wrong, far);
                    admit(&manifest, &mut record).unwrap();
                    let held = outcome(&choose(&manifest, &record, policy, &expect(), wrong));
                    assert_eq!(held, "manifest.expired 22", "what expired long ago is not installed");
                }
            }
            // The record holds what was signed, never what the clock said.
            assert!(record.issued_max.is_none_or(|issued| issued <= NOW));
            // The clock is put right: the wait, where there is one, is the one that was asked for.
            let manifest = read_at(&value, NOW).unwrap();
            admit(&manifest, &mut record).unwrap();
            let later = NOW.plus(policy.cooldown);
            assert_eq!(outcome(&choose(&manifest, &record, policy, &expect(), later)), "1.1.0", "{wrong} {policy:?}");
        }
    }
}
