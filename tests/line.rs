//! The whole line on real input: publish, and watch it go live; publish something bad, and watch nothing happen.

#[path = "support/site.rs"]
mod site;

use fetchd::demo::{Fault, Trailer};
use site::{Site, get, text};

#[test]
fn a_published_release_goes_live_and_can_be_rolled_back() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let mut fetchd = site.run(&[]);
    let address = fetchd.address();
    assert!(get(address, "/").unwrap().contains(r#""version":"1.0.0""#));
    fetchd.wait("the first release is recognised", |s| {
        s.updates.last.as_ref().is_some_and(|l| matches!(l.outcome.as_str(), "up_to_date" | "unchanged"))
    });

    site.publish(&Trailer::version("1.1.0"));
    let status = fetchd.wait_for_version("1.1.0");
    assert_eq!(status.pid, fetchd.pid());
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
    assert!(site.happened("release.confirmed", ""));

    let output = fetchd.fetchd("rollback", &[]);
    assert!(output.status.success(), "{}", text(&output));
    fetchd.wait_for_version("1.0.0");
    assert!(get(address, "/").unwrap().contains(r#""version":"1.0.0""#));
    assert_eq!(site.record().quarantine.len(), 1);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_release_that_crashes_in_its_watch_is_undone() {
    let site = Site::new();
    let mut fetchd = site.run(&["--watch", "2s"]);
    let address = fetchd.address();
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::CrashAfterReady));
    fetchd.wait_for_event("handoff.failed", "watch.died");
    fetchd.wait_for_version("1.0.0");
    assert!(get(address, "/").unwrap().contains(r#""version":"1.0.0""#));
    site.publish(&Trailer::version("1.2.0"));
    fetchd.wait_for_version("1.2.0");
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let site = Site::new();
    let mut command = site.command("run", &["--log-level", "trace", "--watch", "50ms", "--interval", "50ms"]);
    command.args(["--listen", "web=127.0.0.1:0", "--"]).arg(site.program());
    let mut fetchd = site.supervise_unread(command);
    let address = fetchd.address();
    for _ in 0..20 {
        let output = fetchd.fetchd("restart", &[]);
        assert!(output.status.success(), "{}", text(&output));
    }
    assert!(get(address, "/").unwrap().contains(r#""generation":21"#));
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_file_that_was_not_verified_is_not_started_after_a_crash() {
    let site = Site::new();
    site.publish(&Trailer::version("1.0.0"));
    let mut fetchd = site.run(&[]);
    let address = fetchd.address();
    let status = fetchd.wait("it is known what runs", |s| {
        s.updates.last.as_ref().is_some_and(|l| matches!(l.outcome.as_str(), "up_to_date" | "unchanged"))
    });

    let aside = site.path().join("aside");
    std::fs::rename(site.program(), &aside).unwrap();
    site.put(&site.program(), &Trailer::version("6.6.6"));
    let pid = rustix::process::Pid::from_raw(status.service.generations[0].pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    site::wait_until("the stranger is refused", || fetchd.log().contains("handoff.changed"));
    assert!(fetchd.try_status().unwrap().service.generations.is_empty());

    // The same file back at its path is what was verified, and clients that waited are served.
    std::fs::rename(&aside, site.program()).unwrap();
    assert!(get(address, "/").unwrap().contains(r#""version":"1.0.0""#));
}
