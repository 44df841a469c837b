//! What needs a past, a clock or another source.

use std::time::{Duration, Instant};

use fetchd::clock::Timestamp;
use fetchd_stand_ins::github::GitHub;
use serde_json::json;

use super::{SEEN, numbered};
use crate::bench::{Bench, Ended};
use crate::clock;
use crate::maker::{SEQ, TARGET, artifact_name, binding, program};
use crate::table::{Files, Verdict};

/// Shows `files`, which are taken, and goes on from there.
#[track_caller]
fn first(bench: &mut Bench, files: &Files, version: &str) {
    bench.assert_takes(files, version, &[]);
    bench.mark();
}

/// The floor is raised before the first byte of an artifact is there, and stays.
pub fn older_than_what_could_not_be_downloaded(bench: &mut Bench, verdict: &Verdict) {
    let mut newer = bench.maker.good(SEQ + 1, "1.2.0");
    newer.insert(artifact_name("1.2.0"), program("0.9.0"));
    bench.show(&newer);
    let ended = bench.apply(&[]);
    assert_eq!((ended.exit, ended.code.as_str(), bench.record().seq), (23, "download.digest", SEQ + 1), "{ended:#?}");
    bench.mark();
    let older = bench.maker.good(SEQ, "1.1.0");
    bench.play(&older, &[], verdict);
}

pub fn older_epoch(bench: &mut Bench, verdict: &Verdict) {
    let of = |bench: &Bench, epoch: u64, seq: u64, version: &str| {
        bench.maker.with(seq, version, |manifest| manifest["epoch"] = epoch.into())
    };
    let newer = of(bench, 1, 1, "1.1.0");
    first(bench, &newer, "1.1.0");
    let older = of(bench, 0, 1000, "1.2.0");
    bench.show(&older);
    bench.assert_verdict(&bench.apply_until(&[], verdict), verdict);
    let next = of(bench, 1, 2, "1.3.0");
    bench.assert_takes(&next, "1.3.0", &[]);
}

pub fn two_artifacts_of_one_number(bench: &mut Bench, verdict: &Verdict) {
    let one = numbered(&bench.maker, "1.1.0", SEQ);
    first(bench, &one, "1.1.0");
    let other = numbered(&bench.maker, "1.2.0", SEQ);
    bench.play(&other, &[], verdict);
}

/// The pair of 1.0.0, whose names tell no version, in a release with the tag of another.
pub fn old_artifact_under_a_new_tag(bench: &mut Bench, verdict: &Verdict) {
    let github = GitHub::start();
    let name = format!("app-{TARGET}");
    let publish = |bench: &Bench, tag: &str, version: &str| {
        let binary = program(version);
        let comment = binding(version).replace(&artifact_name(version), &name);
        let signature = bench.maker.publisher.sign(&binary, &comment);
        github.release("acme/app", tag).asset(&name, &binary).asset(&format!("{name}.minisig"), &signature).publish();
    };
    bench.elsewhere = Some(vec![
        "--source".to_owned(),
        github.source("acme/app").to_string(),
        "--source-options".to_owned(),
        "proxy=none".to_owned(),
    ]);
    publish(bench, "v1.1.0", "1.0.0");
    bench.assert_verdict(&bench.apply(&[]), verdict);
    publish(bench, "v1.2.0", "1.2.0");
    let ended = bench.apply(&[]);
    assert_eq!((ended.exit, ended.code.as_str()), (0, ""), "{ended:#?}");
    assert_eq!(std::fs::read(bench.program()).unwrap(), program("1.2.0"));
    bench.elsewhere = None;
    bench.assert_recovers();
}

/// So many hours from now.
fn in_hours(hours: u64) -> String {
    Timestamp::now().plus(Duration::from_secs(hours * 3600)).to_string()
}

pub fn manifest_of_tomorrow(bench: &mut Bench, verdict: &Verdict) {
    let issued = |bench: &Bench, hours: u64, seq: u64, version: &str| {
        bench.maker.with(seq, version, |manifest| manifest["issued"] = in_hours(hours).into())
    };
    let ahead = issued(bench, 48, SEQ, "1.1.0");
    bench.show(&ahead);
    bench.assert_verdict(&bench.apply(&[]), verdict);
    // Clocks differ: less than a day is nothing.
    let slightly = issued(bench, 23, SEQ + 1, "1.2.0");
    bench.assert_takes(&slightly, "1.2.0", &[]);
    bench.assert_recovers();
}

pub fn artifact_of_tomorrow(bench: &mut Bench, verdict: &Verdict) {
    let issued = |bench: &Bench, hours: u64, version: &str| {
        bench.maker.bound(version, &format!("{}\tissued:{}", binding(version), in_hours(hours)))
    };
    let ahead = issued(bench, 48, "1.1.0");
    bench.show(&ahead);
    bench.assert_verdict(&bench.apply(&[]), verdict);
    let slightly = issued(bench, 23, "1.2.0");
    bench.assert_takes(&slightly, "1.2.0", &[]);
    bench.assert_recovers();
}

fn apply_at(bench: &Bench, at: &str, flags: &[&str]) -> Ended {
    let at: Timestamp = at.parse().unwrap();
    bench.apply_as(flags, |apply| clock::set(apply, at.0))
}

/// A machine without a battery, before it has asked anybody for the time.
pub fn clock_of_1970(bench: &mut Bench, verdict: &Verdict) {
    let good = bench.maker.good(SEQ, "1.1.0");
    bench.show(&good);
    bench.assert_verdict(&apply_at(bench, "1970-01-01T00:00:10Z", &[]), verdict);
    assert_eq!(bench.history().last().unwrap().at.0, 10, "the clock is another one");
    bench.assert_takes(&good, "1.1.0", &[]);
    bench.assert_recovers();
}

pub fn clock_of_2099(bench: &mut Bench, verdict: &Verdict) {
    let good = bench.maker.good(SEQ, "1.1.0");
    bench.show(&good);
    bench.assert_verdict(&apply_at(bench, "2099-01-01T00:00:00Z", &[]), verdict);
    let confirmed = bench.record().confirmed.unwrap();
    assert_eq!(confirmed.at.to_string()[..4], *"2099", "the clock is another one");
    bench.assert_recovers();
}

pub fn expired_in_2099(bench: &mut Bench, verdict: &Verdict) {
    let good = bench.maker.with(SEQ, "1.1.0", |manifest| manifest["expires"] = json!("2098-01-01T00:00:00Z"));
    bench.show(&good);
    bench.assert_verdict(&apply_at(bench, "2099-01-01T00:00:00Z", &[]), verdict);
    // The very same release is good again.
    bench.assert_takes(&good, "1.1.0", &[]);
    bench.assert_recovers();
}

/// Seen for the first time in 2099, it would have to wait until then.
pub fn cooldown_from_2099(bench: &mut Bench, verdict: &Verdict) {
    let good = bench.maker.good(SEQ, "1.1.0");
    bench.show(&good);
    bench.assert_verdict(&apply_at(bench, "2099-01-01T00:00:00Z", &["--cooldown", "1s"]), verdict);
    assert_eq!(bench.record().first_seen["1.1.0"].to_string()[..4], *"2099");
    let deadline = Instant::now() + Duration::from_secs(60);
    while bench.apply(&["--cooldown", "1s"]).exit == 22 {
        assert!(Instant::now() < deadline, "it waits for 2099");
        std::thread::sleep(Duration::from_millis(100));
    }
    bench.assert_takes(&good, "1.1.0", &[]);
    bench.assert_recovers();
}

/// What was signed later than it expired has expired, whatever the clock says.
pub fn set_back_to_revive(bench: &mut Bench, verdict: &Verdict) {
    let expired = bench.maker.with(SEQ, "1.1.0", |manifest| {
        manifest["issued"] = json!("2025-12-01T00:00:00Z");
        manifest["expires"] = json!("2025-12-31T00:00:00Z");
    });
    bench.show(&expired);
    bench.assert_verdict(&apply_at(bench, "2025-12-15T00:00:00Z", &[]), verdict);
    bench.assert_recovers();
}

/// Whoever answers: what is newest is used, and what is stale is not.
pub fn mirrors_in_turn(bench: &mut Bench, verdict: &Verdict) {
    let (stale, newest) = (bench.maker.good(SEQ, "1.1.0"), bench.maker.good(SEQ + 1, "1.2.0"));
    first(bench, &newest, "1.2.0");
    for _ in 0..2 {
        bench.show(&stale);
        bench.assert_verdict(&bench.apply_until(&[], verdict), verdict);
        bench.show(&newest);
        bench.assert_verdict(&bench.apply(&[]), &SEEN);
    }
    bench.assert_recovers();
}
