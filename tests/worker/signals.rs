//! Somebody kills or stops the worker, or the supervisor, in the middle of a download.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::time::Duration;

use fetchd::demo::Trailer;
use fetchd_fetchers::conformance::scripted::Step;
use rustix::process::Signal;

use crate::processes::{Leftovers, runs, services_of, signal, worker_of};
use crate::site::{get, wait_until};
use crate::web::{Web, all_was_answered, light_load, wait_for_count};

/// Half of the artifact, and then nothing.
fn half(bytes: &[u8]) -> Vec<Vec<Step>> {
    vec![vec![Step::Send(bytes.len() / 2), Step::Stall(Duration::from_secs(120))]]
}

/// Where each download of `path` began. Parts that are asked for beside one have an end.
fn begun(web: &Web, path: &str) -> Vec<u64> {
    let ranges = web.asked(path).into_iter().map(|request| request.header("range").unwrap_or("bytes=0-").to_owned());
    ranges.filter_map(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).collect()
}

/// The first byte that the last download of `path` asked for.
fn resumed_at(web: &Web, path: &str) -> u64 {
    *begun(web, path).last().expect("it was asked for")
}

#[test]
fn a_killed_worker_costs_one_pass_and_no_byte() {
    let web = Web::new();
    let mut fetchd = web.run(&[], &[]);
    let load = light_load(&mut fetchd);
    fetchd.wait_for_version("1.0.0");
    let path = web.publish(&Trailer::version("1.1.0"), half);
    web.wait_for_partial();
    let worker = worker_of(fetchd.pid()).expect("a worker runs");
    signal(worker, Signal::KILL);
    wait_for_count(&fetchd, "fetch.failed", "worker.died", 1);
    fetchd.wait_for_version("1.1.0");
    assert!(resumed_at(&web, &path) > 0);
    assert_eq!(begun(&web, &path).len(), 2);
    all_was_answered(load);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_stopped_worker_is_given_up_and_replaced() {
    let web = Web::new();
    let mut fetchd = web.run(&[], &[("FETCHD_TEST_WORKER_SILENCE_MS", "2500")]);
    let load = light_load(&mut fetchd);
    fetchd.wait_for_version("1.0.0");
    let path = web.publish(&Trailer::version("1.1.0"), half);
    web.wait_for_partial();
    let worker = worker_of(fetchd.pid()).expect("a worker runs");
    let _left = Leftovers(vec![worker]);
    signal(worker, Signal::STOP);
    wait_for_count(&fetchd, "fetch.failed", "worker.silent", 1);
    assert!(!runs(worker), "it is killed though it was stopped");
    fetchd.wait_for_version("1.1.0");
    assert!(resumed_at(&web, &path) > 0);
    all_was_answered(load);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_download_is_carried_on_with_after_the_supervisor_was_killed() {
    let web = Web::new();
    let mut first = web.run(&[], &[]);
    first.wait_for_version("1.0.0");
    let path = web.publish(&Trailer::version("1.1.0"), half);
    web.wait_for_partial();
    let worker = worker_of(first.pid()).expect("a worker runs");
    let left = Leftovers([services_of(first.pid()), vec![worker]].concat());
    first.signal(Signal::KILL);
    first.wait_for_end();
    wait_until("the worker ends with its supervisor", || !runs(worker));
    let part = web.partial();
    assert!(part > 0);
    let mut second = web.run(&[], &[]);
    second.wait_for_version("1.1.0");
    assert_eq!(resumed_at(&web, &path), part, "what is on disk is not fetched again");
    wait_until("the orphans have drained", || left.0.iter().all(|pid| !runs(*pid)));
    assert_eq!(second.stop().code(), Some(0));
}

#[test]
fn a_download_is_broken_off_for_a_stop_and_carried_on_with_at_the_next_start() {
    let web = Web::new();
    let mut first = web.run(&[], &[]);
    first.wait_for_version("1.0.0");
    let path = web.publish(&Trailer::version("1.1.0"), half);
    web.wait_for_partial();
    let worker = worker_of(first.pid()).expect("a worker runs");
    assert_eq!(first.stop().code(), Some(0));
    assert!(!runs(worker), "a supervisor that has ended leaves no worker");
    let mut second = web.run(&[], &[]);
    second.wait_for_version("1.1.0");
    assert!(resumed_at(&web, &path) > 0);
    assert_eq!(second.stop().code(), Some(0));
}

#[test]
fn a_worker_killed_between_two_polls_is_not_missed() {
    let web = Web::new();
    let mut fetchd = web.run(&[], &[]);
    let address = fetchd.address();
    fetchd.wait("a pass", |s| s.updates.last.is_some());
    for _ in 0..3 {
        let mut worker = None;
        wait_until("a worker waits", || {
            worker = worker_of(fetchd.pid()).filter(|_| fetchd.try_status().unwrap().updates.doing == "idle");
            worker.is_some()
        });
        signal(worker.unwrap(), Signal::KILL);
        let asked = web.origin.requests().len();
        assert!(web.origin.wait_for_requests(asked + 2, crate::site::PATIENCE));
    }
    web.publish(&Trailer::version("1.1.0"), |_| Vec::new());
    fetchd.wait_for_version("1.1.0");
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_complete_download_is_not_fetched_again_after_the_supervisor_was_killed() {
    let web = Web::new();
    let marker = web.site.path().join("checkpoint");
    let variables =
        [("FETCHD_TEST_CHECKPOINT", "DownloadComplete"), ("FETCHD_TEST_CHECKPOINT_FILE", marker.to_str().unwrap())];
    let mut first = web.run(&[], &variables);
    first.wait_for_version("1.0.0");
    let path = web.publish(&Trailer::version("1.1.0"), |_| Vec::new());
    wait_until("the download is complete", || marker.exists());
    let _left = Leftovers(services_of(first.pid()));
    first.signal(Signal::KILL);
    first.wait_for_end();
    let mut second = web.run(&[], &[]);
    second.wait_for_version("1.1.0");
    assert_eq!(web.asked(&path).len(), 1);
    assert_eq!(web.leftovers(), [] as [std::path::PathBuf; 0]);
    assert_eq!(second.stop().code(), Some(0));
}
