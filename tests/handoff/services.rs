//! The examples in `examples/services`, one for each way to write a server, handed over under load.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fetchd::demo::{Fault, Trailer};
use rustix::process::Signal;

use crate::bench::{in_phase, load, plain, room_to_drain, serves_from, settled, tcp};
use crate::http2::{Http2Load, Kind};
use crate::site::{FETCHD, PATIENCE, Site, Supervised, get, wait_until};

/// An example, as cargo built it beside the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let path = Path::new(FETCHD).parent().unwrap().join("examples").join(name);
    assert!(
        path.is_file(),
        "`{}` is missing: `cargo test --workspace` builds it, `cargo test --test NAME` does not; run `cargo build \
         --workspace --examples`",
        path.display()
    );
    path
}

/// Hands over `count` times by SIGUSR2; each time the service is another process. Returns them all, oldest first.
#[track_caller]
fn hand_over(fetchd: &mut Supervised<'_>, count: u64, mut each: impl FnMut(u32)) -> Vec<u32> {
    let mut pids = vec![serves_from(fetchd, 1).1];
    each(pids[0]);
    for number in 2..=count + 1 {
        room_to_drain(fetchd);
        fetchd.signal(Signal::USR2);
        let (_, pid) = serves_from(fetchd, number);
        assert!(!pids.contains(&pid), "{pid} of {pids:?}");
        each(pid);
        pids.push(pid);
    }
    pids
}

/// Ten handoffs with eight clients that open a connection for each request and eight that keep theirs and send
/// without looking; a request that takes 2 s is in flight each time.
#[track_caller]
fn loses_nothing_over_http1(name: &str) {
    let site = Site::empty();
    let mut fetchd = site.supervise(plain(&site, &[], &example(name), &[]));
    let load = load(tcp(fetchd.address()), 8, 8);
    let mut slow = Vec::new();
    let pids = hand_over(&mut fetchd, 10, |pid| {
        wait_until("it answers", || load.snapshot().versions.iter().any(|seen| seen.pid == pid));
        slow.push(load.slow_request(std::time::Duration::from_secs(2)));
    });
    for slow in slow {
        slow.wait().expect("the slow request was answered");
    }
    settled(&mut fetchd);
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}\n{}", report.totals, fetchd.log());
    assert_eq!(report.versions.len(), pids.len(), "each generation answered something");
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// Twenty handoffs, or `count`, with four connections of eight streams each.
#[track_caller]
fn loses_nothing_over_http2(name: &str, kind: Kind, more: &[&str]) {
    hands_over_http2(name, kind, more, 20);
}

#[track_caller]
fn hands_over_http2(name: &str, kind: Kind, more: &[&str], count: u64) {
    let site = Site::empty();
    let mut fetchd = site.supervise(plain(&site, more, &example(name), &[]));
    let address: SocketAddr = fetchd.address();
    let load = Http2Load::start(address, kind, 4, 8);
    let pids = hand_over(&mut fetchd, count, |pid| load.wait_for(pid));
    settled(&mut fetchd);
    let tally = load.stop();
    assert!(tally.failed.is_empty(), "{tally:?}\n{}", fetchd.log());
    assert!(pids.iter().all(|pid| tally.pids.contains_key(pid)), "{tally:?}");
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn threads_of_the_standard_library() {
    loses_nothing_over_http1("service-std");
}

#[test]
fn tokio_alone() {
    loses_nothing_over_http1("service-tokio");
}

#[test]
fn hyper_over_http1() {
    loses_nothing_over_http1("service-hyper");
}

#[test]
fn hyper_over_http2() {
    loses_nothing_over_http2("service-hyper", Kind::Http, &[]);
}

#[test]
fn axum_over_http1() {
    loses_nothing_over_http1("service-axum");
}

#[test]
fn axum_over_http2() {
    loses_nothing_over_http2("service-axum", Kind::Http, &[]);
}

#[test]
fn actix_web() {
    loses_nothing_over_http1("service-actix");
}

#[test]
fn tonic() {
    loses_nothing_over_http2("service-tonic", Kind::Grpc, &["--listen", "grpc=127.0.0.1:0"]);
}

#[test]
fn two_hundred_handoffs_over_http2() {
    hands_over_http2("service-hyper", Kind::Http, &["--watch", "0s"], 200);
}

/// Paused for a release that dies in its watch, the old process accepts again, and at once.
#[track_caller]
fn accepts_again_when_its_successor_dies(name: &str) {
    let site = Site::empty();
    std::fs::copy(example(name), site.program()).unwrap();
    let mut fetchd = site.run(&["--watch", "30s"]);
    let address = fetchd.address();
    let (_, old) = serves_from(&mut fetchd, 1);
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::CrashAfterReady));
    wait_until("the old one is paused", || {
        let status = fetchd.try_status().unwrap();
        !in_phase(&status, "paused").is_empty() || !site.record().quarantine.is_empty()
    });
    // From here on every request is answered, at first by the one, then by the other; the one that was being
    // answered when the process died is its own affair.
    let deadline = Instant::now() + PATIENCE;
    while !get(address, "/").is_ok_and(|answer| answer.contains(&format!("\"pid\":{old}}}"))) {
        assert!(Instant::now() < deadline, "{}", fetchd.log());
    }
    fetchd.wait_for_event("handoff.failed", "watch.died");
    assert_eq!(settled(&mut fetchd), (1, old), "it was never restarted");
    assert!(get(address, "/").unwrap().contains(&format!("\"pid\":{old}}}")));
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn threads_accept_again_when_their_successor_dies() {
    accepts_again_when_its_successor_dies("service-std");
}

#[test]
fn hyper_accepts_again_when_its_successor_dies() {
    accepts_again_when_its_successor_dies("service-hyper");
}

#[test]
fn tokio_accepts_again_when_its_successor_dies() {
    accepts_again_when_its_successor_dies("service-tokio");
}

#[test]
fn actix_accepts_again_when_its_successor_dies() {
    accepts_again_when_its_successor_dies("service-actix");
}
