//! Releases that are no good, and a program that has a say.

use std::fs;

use fetchd::demo::{Fault, Trailer};

use crate::bench::{Clients, Embed, said};

#[test]
fn bad_releases_leave_the_service_as_it_was_and_the_next_good_one_is_taken() {
    let embed = Embed::of("embedded");
    let log = embed.site.path().join("events");
    let mut supervised = embed.run(&["service", "--events", log.to_str().unwrap(), "--refuse", "2.3.0"]);
    let address = supervised.address();
    let clients = Clients::start(address);
    embed.publish(&Trailer::version("2.0.0").with_fault(Fault::ExitBeforeReady));
    supervised.wait_for_event("release.quarantined", "");
    supervised.wait_for_event("handoff.failed", "handoff.exited");
    embed.publish(&Trailer::version("2.1.0").with_fault(Fault::CrashAfterReady));
    supervised.wait_for_event("handoff.failed", "watch.died");
    // It prints another version than the one that is signed.
    embed.publish_as("2.2.0", &Trailer::version("9.9.9"));
    supervised.wait_for_event("release.refused", "smoke.version");
    embed.publish(&Trailer::version("2.3.0"));
    supervised.wait_for_event("release.refused", "check.refused");
    embed.publish(&Trailer::version("2.4.0").with_fault(Fault::Reject));
    supervised.wait_for_event("handoff.failed", "handoff.rejected");
    assert_eq!(said(address, "version"), "1.0.0");
    let good = embed.publish(&Trailer::version("2.5.0"));
    supervised.wait_for_version("2.5.0");
    clients.stop();
    assert_eq!(embed.at_path(), good);
    assert_eq!(supervised.stop().code(), Some(0));
    let events = fs::read_to_string(log).unwrap();
    // Before the first release there is none, and a release that was refused is held from then on.
    let told: Vec<&str> = events.lines().filter(|line| !["held", "failed source.not_found"].contains(line)).collect();
    assert_eq!(
        told,
        [
            "installing 2.0.0",
            "rolled back",
            "failed handoff.exited",
            "installing 2.1.0",
            "handed off 2.1.0",
            "rolled back",
            "failed watch.died",
            "refused smoke.version",
            "refused check.refused",
            "installing 2.4.0",
            "rolled back",
            "failed handoff.rejected",
            "installing 2.5.0",
            "handed off 2.5.0",
            "updated",
        ]
    );
}

#[test]
fn a_release_that_the_program_does_not_want_now_is_taken_later_and_not_blamed() {
    let embed = Embed::of("embedded");
    let closed = embed.site.path().join("closed");
    fs::write(&closed, "").unwrap();
    let mut supervised = embed.run(&["service", "--not-while", closed.to_str().unwrap()]);
    embed.publish(&Trailer::version("2.0.0"));
    supervised.wait_for_event("release.held", "install.not_now");
    let before = embed.at_path();
    fs::remove_file(&closed).unwrap();
    let status = supervised.wait_for_version("2.0.0");
    assert!(status.updates.quarantine.is_empty(), "{status:#?}");
    assert_ne!(embed.at_path(), before);
    assert_eq!(supervised.stop().code(), Some(0));
}
