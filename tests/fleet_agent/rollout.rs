//! A release comes through head and gate, and what becomes of it is in the bucket.

use fetchd::fleet::cohort::HostId;
use fetchd::fleet::plan::{Phase, Step};
use fetchd_stand_ins::s3::S3Server;

use crate::field::{Field, Kind};

#[test]
fn a_good_release_comes_and_its_evidence_is_in_the_bucket() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    field.release("1.1.0", 1, Kind::Good, &[]);
    field.head(1, "1.1.0", |head| head.state = Phase::Paused);
    let mut fetchd = field.run(&site, "web-1", &["--fleet-labels", "az=a"]);
    // Paused at the gate: it is known, and not begun.
    let status = fetchd.wait("it is paused", |status| {
        let code = status.updates.last.as_ref().and_then(|last| last.error.as_ref()).map(|error| error.code.clone());
        code.as_deref() == Some("fleet.paused")
    });
    let fleet = status.updates.fleet.unwrap();
    assert_eq!((fleet.name.as_deref(), fleet.labels["az"].as_str()), (Some("web-1"), "a"));
    assert!(field.evidence("r-1").is_empty());
    let (code, said) = field.one_shot(&site, "check", "web-1");
    assert!(code == Some(22) && said.contains("fleet.paused"), "{code:?} {said}");

    field.head(2, "1.1.0", |_| {});
    fetchd.wait_for_version("1.1.0");
    field.wait_for_evidence("r-1", "web-1", "1-s-r0k0");
    field.wait_for_evidence("r-1", "web-1", "1-o");
    fetchd.wait_for_event("fleet.switch", "");
    fetchd.wait_for_event("release.confirmed", "");
    let (code, said) = field.one_shot(&site, "check", "web-1");
    assert!(code == Some(0) && said.contains("1.1.0"), "{code:?} {said}");
}

#[test]
fn a_release_that_crashes_is_taken_back_and_tried_again_only_by_a_retry() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    field.release("1.1.0", 1, Kind::CrashesIfWeak, &[]);
    std::fs::write(site.path().join("srv/weak"), "").unwrap();
    field.head(1, "1.1.0", |_| {});
    let mut fetchd = field.run(&site, "web-1", &[]);
    field.wait_for_evidence("r-1", "web-1", "1-b-");
    fetchd.wait_for_version("1.0.0");
    // Whatever it is asked, it stays where it is.
    fetchd.wait("it is denied", |status| {
        let code = status.updates.last.as_ref().and_then(|last| last.error.as_ref()).map(|error| error.code.clone());
        code.as_deref() == Some("fleet.denied")
    });
    assert_eq!(field.evidence("r-1").len(), 2, "{:?}", field.evidence("r-1"));
    std::fs::remove_file(site.path().join("srv/weak")).unwrap();
    field.head(2, "1.1.0", |head| head.attempt = 2);
    fetchd.wait_for_version("1.1.0");
    field.wait_for_evidence("r-1", "web-1", "2-o");
    assert!(site.record().quarantine.is_empty());
}

/// The watch was too short to see it; the rollout is told all the same.
#[test]
fn a_release_that_fails_after_its_watch_is_reported_as_bad() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    field.release("1.1.0", 1, Kind::CrashesIfWeak, &[]);
    field.head(1, "1.1.0", |_| {});
    let mut fetchd = field.run(&site, "web-1", &["--crash-backoff", "10ms"]);
    field.wait_for_evidence("r-1", "web-1", "1-o");
    let status = fetchd.wait_for_version("1.1.0");
    std::fs::write(site.path().join("srv/weak"), "").unwrap();
    let serving = status.service.generations.iter().find(|one| one.phase == "serving").unwrap().pid;
    let serving = rustix::process::Pid::from_raw(serving.cast_signed()).unwrap();
    rustix::process::kill_process(serving, rustix::process::Signal::KILL).unwrap();
    field.wait_for_evidence("r-1", "web-1", "1-b-");
    fetchd.wait_for_version("1.0.0");
}

#[test]
fn a_latch_stops_a_host_at_its_gate() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    field.release("1.1.0", 1, Kind::Good, &[]);
    // Whatever its bytes are: also those that stand for no object elsewhere.
    field.put(field.names.latch("r-1", 0), "{\"fetchd\":\"there is nothing here\"}\n");
    field.head(1, "1.1.0", |_| {});
    let mut fetchd = field.run(&site, "web-1", &[]);
    fetchd.wait("it is halted", |status| {
        status.updates.fleet.as_ref().is_some_and(|fleet| fleet.says.contains("halted"))
    });
    assert!(field.evidence("r-1").is_empty());
    fetchd.wait_for_version("1.0.0");
}

#[test]
fn a_way_back_is_one_that_the_offline_keys_have_signed() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    field.release("1.1.0", 1, Kind::Good, &[]);
    field.release("1.2.0", 2, Kind::Good, &["1.1.0"]);
    field.head(1, "1.2.0", |_| {});
    let mut fetchd = field.run(&site, "web-1", &[]);
    fetchd.wait_for_version("1.2.0");
    field.wait_for_evidence("r-1", "web-1", "1-o");
    let floor = site.record().floor();
    // Not listed: nothing happens, and somebody should look.
    field.release("1.0.5", 1, Kind::Good, &[]);
    field.head(2, "1.0.5", |head| head.rollout = "r-2".to_owned());
    fetchd.wait_for_event("fleet.head", "");
    fetchd.wait("it is refused", |status| {
        let code = status.updates.last.as_ref().and_then(|last| last.error.as_ref()).map(|error| error.code.clone());
        code.as_deref() == Some("manifest.rollback")
    });
    // Listed, and as slow as an emergency's plan: this host is among the first of it.
    field.head(3, "1.1.0", |head| {
        head.rollout = "r-3".to_owned();
        let early = |salt: &String| HostId::named("web-1").position(salt) < 0.1;
        head.salt = (0..).map(|number| format!("salt-{number}")).find(early).unwrap();
        let step = |pct, ramp_s| Step { pct, not_before: None, ramp_s, bake_s: 300, manual: false };
        head.steps = vec![step(10.0, 0), step(50.0, 0), step(100.0, 3600)];
    });
    fetchd.wait_for_version("1.1.0");
    field.wait_for_evidence("r-3", "web-1", "1-o");
    assert_eq!(site.record().floor(), floor);
}
