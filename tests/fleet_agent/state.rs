//! What a host must not forget, and what it does without.

use std::fs;

use fetchd_stand_ins::s3::S3Server;

use crate::field::{Field, Kind};

#[test]
fn a_damaged_memory_of_the_fleet_stops_updates_and_not_the_service() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    field.release("1.1.0", 1, Kind::Good, &[]);
    field.head(1, "1.1.0", |_| {});
    drop(field.run(&site, "web-1", &[]).wait_for_version("1.1.0"));
    field.release("1.2.0", 2, Kind::Good, &[]);
    field.head(2, "1.2.0", |_| {});
    fs::write(site.state_dir().join("fleet.json"), "{\"schema\":1,\"mem").unwrap();
    let mut fetchd = field.run(&site, "web-1", &[]);
    let status = fetchd.wait("updates are off", |status| status.updates.updates_off.is_some());
    assert_eq!(status.updates.updates_off.unwrap().exit.number(), 50);
    fetchd.wait("it serves", |status| status.service.generations.iter().any(|g| g.phase == "serving"));
    drop(fetchd);
    // An operator has the state put right; the host begins anew.
    let mut repair = field.command(&site, "state repair", "web-1", &[]);
    let repaired = repair.arg("--").arg(site.program()).output().unwrap();
    let aside = fs::read_dir(site.state_dir())
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("fleet.json.damaged"));
    assert!(aside, "{}", crate::site::text(&repaired));
    let mut fetchd = field.run(&site, "web-1", &[]);
    fetchd.wait_for_version("1.2.0");
}

/// Not a step is taken before the machine's memory is on disk, so nothing else than a hold is heeded between two of them.
#[test]
fn a_hold_holds_a_host_of_a_fleet() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    let mut fetchd = field.run(&site, "web-1", &[]);
    fetchd.wait("it answers", |_| true);
    assert!(fetchd.fetchd("hold", &["--reason", "a test"]).status.success());
    field.release("1.1.0", 1, Kind::Good, &[]);
    field.head(1, "1.1.0", |_| {});
    fetchd.wait("it is held", |status| {
        let last = status.updates.last.as_ref().and_then(|last| last.error.as_ref());
        last.is_some_and(|error| error.code == "policy.hold")
    });
    assert!(field.evidence("r-1").is_empty());
    assert!(fetchd.fetchd("unhold", &[]).status.success());
    fetchd.wait_for_version("1.1.0");
}
