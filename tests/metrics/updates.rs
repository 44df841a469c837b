//! What is counted while releases come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fetchd::demo::{Fault, Trailer};
use rustix::process::{Pid, Signal, kill_process};

use crate::client::{endpoint, health, scrape, scrape_until};
use crate::site::{Site, wait_until};

const METRICS: [&str; 2] = ["--metrics", "127.0.0.1:0"];

/// Calls `then` while another thread scrapes without a pause: each text is right, and no counter falls.
fn while_scraped(at: std::net::SocketAddr, then: impl FnOnce()) -> u32 {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let (mut before, mut count) = (scrape(at), 1);
            while !over.load(Ordering::Relaxed) {
                let now = scrape(at);
                assert_eq!(now.fallen_since(&before), Vec::<String>::new());
                (before, count) = (now, count + 1);
            }
            count
        });
        then();
        over.store(true, Ordering::Relaxed);
        scraper.join().unwrap()
    })
}

#[test]
fn a_release_is_counted_from_the_poll_to_the_watch() {
    let site = Site::new();
    let mut fetchd = site.run(&METRICS);
    let at = endpoint(&mut fetchd);
    // Nothing is published: a poll that fails.
    let first =
        scrape_until(at, "a poll has failed", |now| now.of("fetchd_last_failed_poll_timestamp_seconds", &[]) > 0.0);
    assert_eq!(first.of("fetchd_last_successful_poll_timestamp_seconds", &[]), 0.0);
    assert_eq!(first.of("fetchd_handoffs_total", &[("outcome", "ready")]), 0.0);
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(first.labels("fetchd_build_info")["version"], own);
    let publish = || {
        site.publish(&Trailer::version("1.0.0"));
        wait_until("a poll was good", || scrape(at).of("fetchd_polls_total", &[("outcome", "up_to_date")]) > 0.0);
        site.publish(&Trailer::version("1.1.0"));
        fetchd.wait_for_version("1.1.0");
    };
    let scrapes = while_scraped(at, publish);
    assert!(scrapes > 2, "{scrapes}");
    let now = scrape_until(at, "the pass is over", |now| now.of("fetchd_polls_total", &[("outcome", "updated")]) > 0.0);
    let labels = now.labels("fetchd_release_info");
    let sha256 = fetchd::digest::Sha256::of(&site.binary(&Trailer::version("1.1.0"))).to_string();
    assert_eq!((labels["version"].as_str(), labels["sha256"].as_str()), ("1.1.0", sha256.as_str()));
    let size = site.binary(&Trailer::version("1.1.0")).len() as f64;
    for (name, labels, value) in [
        ("fetchd_polls_total", &[("outcome", "updated")][..], 1.0),
        ("fetchd_handoffs_total", &[("outcome", "ready")], 1.0),
        ("fetchd_handoffs_total", &[("outcome", "failed")], 0.0),
        ("fetchd_watches_total", &[("outcome", "passed")], 1.0),
        ("fetchd_rollbacks_total", &[("cause", "watch")], 0.0),
        ("fetchd_releases_fetched_total", &[("path", "full")], 1.0),
        ("fetchd_received_bytes_total", &[("path", "full")], size),
        ("fetchd_full_artifacts_total", &[("reason", "delta.unlisted")], 1.0),
        ("fetchd_service_starts_total", &[], 2.0),
        ("fetchd_service_crashes_total", &[], 0.0),
        ("fetchd_generation", &[], 2.0),
        ("fetchd_service_processes", &[("phase", "serving")], 1.0),
        ("fetchd_watching", &[], 0.0),
        ("fetchd_held", &[], 0.0),
        ("fetchd_updates_off", &[], 0.0),
        ("fetchd_quarantined_releases", &[], 0.0),
    ] {
        assert_eq!(now.of(name, labels), value, "{name} {labels:?}");
    }
    assert!(now.of("fetchd_handoff_last_duration_seconds", &[]) > 0.0);
    let since = |name: &str| fetchd::clock::Timestamp::now().0 as f64 - now.of(name, &[]);
    assert!((0.0..120.0).contains(&since("fetchd_last_successful_poll_timestamp_seconds")));
    assert!((0.0..120.0).contains(&since("fetchd_start_time_seconds")));
    assert!((-60.0..120.0).contains(&since("fetchd_next_poll_timestamp_seconds")));
    // The history says the same of the way it came.
    let confirmed = site.history().into_iter().rfind(|event| event.event == "release.confirmed").unwrap();
    assert_eq!(confirmed.detail["no_delta"], "delta.unlisted");
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn what_was_given_up_is_counted_by_its_cause_and_the_host_stays_well() {
    let site = Site::new();
    let mut fetchd = site.run(&METRICS);
    let at = endpoint(&mut fetchd);
    fetchd.wait_for_version("1.0.0");
    let rolled_back = |cause: &str, number: f64| {
        let name = format!("{number} times back because of {cause}");
        scrape_until(at, &name, |now| now.of("fetchd_rollbacks_total", &[("cause", cause)]) == number);
        assert_eq!(health(at).0, 200);
    };
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::ExitBeforeReady));
    rolled_back("handoff", 1.0);
    site.publish(&Trailer::version("1.2.0").with_fault(Fault::CrashAfterReady));
    rolled_back("watch", 1.0);
    site.publish(&Trailer::version("1.3.0"));
    fetchd.wait_for_version("1.3.0");
    assert!(fetchd.fetchd("rollback", &[]).status.success());
    rolled_back("operator", 1.0);
    let now = scrape(at);
    for (name, labels, value) in [
        ("fetchd_handoffs_total", &[("outcome", "failed")][..], 1.0),
        ("fetchd_watches_total", &[("outcome", "failed")], 1.0),
        ("fetchd_quarantined_releases", &[], 3.0),
        ("fetchd_poll_reasons_total", &[("outcome", "handoff_failed"), ("code", "watch.died")], 1.0),
    ] {
        assert_eq!(now.of(name, labels), value, "{name} {labels:?}");
    }
    assert_eq!(now.labels("fetchd_release_info")["version"], "1.0.0");
    // A hold is no illness.
    assert!(fetchd.fetchd("hold", &["--reason", "a quiet night"]).status.success());
    scrape_until(at, "the hold is seen", |now| now.of("fetchd_held", &[]) == 1.0);
    assert_eq!(health(at).0, 200);
    assert!(fetchd.fetchd("unhold", &[]).status.success());
    scrape_until(at, "its end is seen", |now| now.of("fetchd_held", &[]) == 0.0);
    // What is refused is counted by its code.
    site.publisher.forge(|manifest| manifest["product"] = "another".into()).unwrap();
    let refused = [("outcome", "refused"), ("code", "manifest.wrong_product")];
    scrape_until(at, "a refusal by its code", |now| now.find("fetchd_poll_reasons_total", &refused) >= Some(1.0));
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_host_is_well_exactly_while_a_process_serves() {
    let site = Site::empty();
    site.put(&site.program(), &Trailer::version("1.0.0").with_boot(Duration::from_secs(1)));
    let mut fetchd = site.run(&METRICS);
    let at = endpoint(&mut fetchd);
    assert_eq!(health(at), (503, "no process of the service is ready".to_owned()));
    wait_until("it is ready", || health(at).0 == 200);
    assert_eq!(health(at).1, "ok: generation 1 serves");
    let service = fetchd.try_status().unwrap().service.generations[0].pid;
    kill_process(Pid::from_raw(service.cast_signed()).unwrap(), Signal::KILL).unwrap();
    wait_until("it has noticed", || health(at) == (503, "no process of the service is ready".to_owned()));
    assert_eq!(scrape(at).of("fetchd_generation", &[]), 0.0);
    wait_until("it is ready again", || health(at).0 == 200);
    let now = scrape(at);
    assert_eq!(now.of("fetchd_service_crashes_total", &[]), 1.0);
    assert_eq!(now.of("fetchd_service_starts_total", &[]), 2.0);
    assert_eq!(fetchd.stop().code(), Some(0));
}
