//! A confirmed service that crashes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fetchd::demo::Trailer;

use crate::bench::{ms, plain, serves_from};
use crate::site::{Site, get};

/// Makes the serving process exit with `code`. Its answer never comes.
fn crash(address: SocketAddr, code: u8) {
    let answer = get(address, &format!("/exit?code={code}"));
    assert!(answer.is_err() || answer.as_ref().is_ok_and(String::is_empty), "{answer:?}");
}

#[test]
fn a_crash_is_followed_by_a_restart_after_a_growing_wait() {
    let site = Site::new();
    let more = ["--interval", "1h", "--crash-backoff", "300ms", "--crash-limit", "10"];
    let mut fetchd = site.run(&more);
    let address = fetchd.address();
    let mut wait = ms(300);
    for number in 1..=3 {
        assert_eq!(serves_from(&mut fetchd, number).0, number);
        let begun = Instant::now();
        crash(address, 9);
        // Sent while nothing serves: it waits in the backlog.
        assert!(get(address, "/").unwrap().contains(&format!("\"generation\":{}", number + 1)));
        assert!(begun.elapsed() >= wait, "{:?} is less than {wait:?}", begun.elapsed());
        wait *= 2;
    }
    fetchd.wait_for_event("service.crashed", "");
    assert_eq!(fetchd.try_status().unwrap().pid, fetchd.pid());
}

#[test]
fn three_crashes_bring_the_previous_release_back_and_the_bad_one_into_quarantine() {
    let site = Site::new();
    let mut fetchd = site.run(&["--crash-backoff", "10ms"]);
    let address = fetchd.address();
    site.publish(&Trailer::version("1.1.0"));
    fetchd.wait_for_version("1.1.0");
    fetchd.wait_for_event("release.confirmed", "");
    let bad = site.record().confirmed.unwrap().sha256;
    for number in 2..=4 {
        assert_eq!(serves_from(&mut fetchd, number).0, number);
        crash(address, 9);
    }
    fetchd.wait_for_event("service.crash_loop", "service.crash_loop");
    fetchd.wait_for_version("1.0.0");
    assert!(get(address, "/").unwrap().contains(r#""version":"1.0.0""#));
    fetchd.wait_for_event("release.quarantined", "");
    assert!(site.happened("release.rolled_back", ""));
    let kept = site.record().quarantine;
    assert_eq!((kept.len(), kept[0].sha256, kept[0].code.as_str()), (1, bad, "service.crash_loop"));
    // It stays published, is not taken again, and the next one is.
    site.publish(&Trailer::version("1.2.0"));
    fetchd.wait_for_version("1.2.0");
    let status = fetchd.try_status().unwrap();
    assert_eq!(status.pid, fetchd.pid());
}

#[test]
fn three_crashes_of_the_only_release_end_with_its_code() {
    let site = Site::new();
    let mut fetchd = site.run(&["--crash-backoff", "10ms", "--interval", "1h"]);
    let address = fetchd.address();
    for number in 1..=3 {
        serves_from(&mut fetchd, number);
        crash(address, 5);
    }
    assert_eq!(fetchd.wait_for_end().code(), Some(5));
}

#[test]
fn three_crashes_without_updates_end_with_its_code() {
    let site = Site::new();
    let mut fetchd = site.supervise(plain(&site, &["--crash-backoff", "10ms"], &site.program(), &[]));
    let address = fetchd.address();
    let begun = Instant::now();
    for number in 1..=3 {
        serves_from(&mut fetchd, number);
        crash(address, 6);
    }
    assert_eq!(fetchd.wait_for_end().code(), Some(6));
    assert!(begun.elapsed() < Duration::from_secs(60));
}
