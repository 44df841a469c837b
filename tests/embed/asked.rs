//! Restarts that wait for somebody, or that are somebody else's.

use fetchd::demo::{Fault, Trailer};
use rustix::process::Signal;

use crate::bench::{Embed, said};
use crate::site::get;

#[test]
fn a_verified_release_waits_for_a_restart_and_is_watched_then() {
    let embed = Embed::of("embedded");
    let mut supervised = embed.run(&["service", "--when-asked"]);
    let address = supervised.address();
    let first = embed.at_path();
    let second = embed.publish(&Trailer::version("2.0.0"));
    supervised.wait_for_event("release.held", "restart.waits");
    assert_eq!((embed.at_path(), said(address, "generation").as_str()), (first, "Some(1)"));
    // The service asks.
    get(address, "/restart").unwrap();
    supervised.wait_for_version("2.0.0");
    assert_eq!((embed.at_path(), said(address, "generation").as_str()), (second, "Some(2)"));
    // One that does not take over is rolled back like any other.
    embed.publish(&Trailer::version("3.0.0").with_fault(Fault::ExitBeforeReady));
    supervised.wait("it waits", |status| {
        status.updates.last.as_ref().is_some_and(|last| last.message.contains("3.0.0") && last.outcome == "held")
    });
    supervised.signal(Signal::USR2);
    supervised.wait_for_event("handoff.failed", "handoff.exited");
    assert_eq!((embed.at_path(), said(address, "version").as_str()), (second, "2.0.0"));
    // Without a release that waits it is the same binary again.
    let before = said(address, "pid");
    supervised.wait("the pass is over", |status| status.updates.doing == "idle");
    supervised.signal(Signal::USR2);
    supervised.wait("another process serves, alone", |status| {
        let generations = &status.service.generations;
        generations.len() == 1 && generations[0].phase == "serving" && generations[0].pid.to_string() != before
    });
    assert_eq!(said(address, "version"), "2.0.0");
    assert_eq!(supervised.stop().code(), Some(0));
}

#[test]
fn restarts_by_others_install_and_end_in_order_when_asked() {
    let embed = Embed::of("embedded");
    let mut supervised = embed.run(&["service", "--by-others"]);
    let address = supervised.address();
    let second = embed.publish(&Trailer::version("2.0.0"));
    supervised.wait_for_event("release.confirmed", "");
    assert_eq!(embed.at_path(), second);
    assert_eq!((said(address, "version").as_str(), said(address, "generation").as_str()), ("1.0.0", "Some(1)"));
    supervised.signal(Signal::USR2);
    assert_eq!(supervised.wait_for_end().code(), Some(0), "{}", supervised.log());
    drop(supervised);
    let mut supervised = embed.run(&["service", "--by-others"]);
    let address = supervised.address();
    assert_eq!(said(address, "version"), "2.0.0");
    assert_eq!(supervised.stop().code(), Some(0));
}

#[test]
fn another_signal_can_ask_for_a_restart() {
    let embed = Embed::of("embedded");
    let mut supervised = embed.run(&["service", "--hup"]);
    let address = supervised.address();
    supervised.signal(Signal::HUP);
    supervised.wait("generation 2 serves, alone", |status| {
        let generations = &status.service.generations;
        generations.len() == 1 && generations[0].generation == 2 && generations[0].phase == "serving"
    });
    assert_eq!(said(address, "generation"), "Some(2)");
    assert_eq!(supervised.stop().code(), Some(0));
}

/// The supervisor blocks its signals in its own threads; this one was there before.
#[test]
fn a_thread_of_the_programs_own_does_not_cost_the_drain() {
    let embed = Embed::of("embedded");
    let mut supervised = embed.run(&["service", "--thread"]);
    let address = supervised.address();
    let before = said(address, "pid");
    supervised.signal(Signal::USR2);
    supervised.wait("another process serves, alone", |status| {
        let generations = &status.service.generations;
        generations.len() == 1 && generations[0].phase == "serving" && generations[0].pid.to_string() != before
    });
    assert_eq!(supervised.stop().code(), Some(0));
}
