//! Everything an origin can do wrong.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::time::{Duration, Instant};

use fetchd::demo::Trailer;
use fetchd_fetchers::conformance::scripted::Step;

use crate::site::{PATIENCE, get, wait_until};
use crate::web::{POINTER, Web, all_was_answered, light_load, wait_for_count};

/// What an origin does at one request for the artifact, and what is said of it.
struct Case {
    code: &'static str,
    /// `fetch.failed` or what else is written into the history.
    event: &'static str,
    options: &'static [&'static str],
    script: fn(&[u8]) -> Vec<Step>,
    /// Whether the next request names the first missing byte.
    resumes: bool,
}

const PLAIN: Case = Case { code: "", event: "fetch.failed", options: &[], script: |_| Vec::new(), resumes: false };

/// The fault costs a pass; the service, the disk and the next pass are as if nothing had been.
fn costs_one_pass(case: &Case) {
    let web = Web::new();
    let mut fetchd = web.run(case.options, &[]);
    let load = light_load(&mut fetchd);
    let address = fetchd.address();
    fetchd.wait_for_version("1.0.0");
    let path = web.publish(&Trailer::version("1.1.0"), |bytes| vec![(case.script)(bytes)]);
    wait_for_count(&fetchd, case.event, case.code, 1);
    fetchd.wait_for_version("1.1.0");
    let requests = web.asked(&path);
    let range = requests.last().unwrap().header("range");
    assert_eq!(range.is_some_and(|range| range != "bytes=0-"), case.resumes, "{range:?}");
    assert!(get(address, "/").unwrap().contains(r#""version":"1.1.0""#));
    all_was_answered(load);
    assert_eq!(web.leftovers(), [] as [std::path::PathBuf; 0]);
    assert_eq!(web.site.record().quarantine, [], "what never arrived is not the release's fault");
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_reset_in_the_middle() {
    let script = |bytes: &[u8]| vec![Step::Send(bytes.len() / 2), Step::Stall(Duration::from_secs(1)), Step::Reset];
    costs_one_pass(&Case { code: "source.incomplete", script, resumes: true, ..PLAIN });
}

#[test]
fn an_end_in_the_middle() {
    let script = |bytes: &[u8]| vec![Step::Send(bytes.len() / 2), Step::Close];
    costs_one_pass(&Case { code: "source.incomplete", script, resumes: true, ..PLAIN });
}

#[test]
fn a_stall_in_the_middle() {
    let script = |bytes: &[u8]| vec![Step::Send(bytes.len() / 2), Step::Stall(PATIENCE)];
    let options = &["--stall-deadline", "1s"];
    costs_one_pass(&Case { code: "download.stalled", script, options, resumes: true, ..PLAIN });
}

#[test]
fn no_answer_at_all() {
    let options = &["--stall-deadline", "1s"];
    costs_one_pass(&Case { code: "download.stalled", script: |_| vec![Step::Stall(PATIENCE)], options, ..PLAIN });
}

#[test]
fn a_trickle() {
    let script = |bytes: &[u8]| {
        vec![Step::Send(bytes.len() / 2), Step::Trickle(100_000, Duration::from_millis(20)), Step::Stall(PATIENCE)]
    };
    costs_one_pass(&Case { code: "download.too_slow", script, resumes: true, ..PLAIN });
}

#[test]
fn a_length_that_is_too_short() {
    let script = |_: &[u8]| vec![Step::header("Content-Length", "1000")];
    costs_one_pass(&Case { code: "download.size", script, ..PLAIN });
}

#[test]
fn a_length_that_is_too_long() {
    let script = |bytes: &[u8]| vec![Step::header("Content-Length", &(bytes.len() + 1000).to_string())];
    costs_one_pass(&Case { code: "download.size", script, ..PLAIN });
}

#[test]
fn a_body_without_end() {
    let script = |bytes: &[u8]| vec![Step::Instead(bytes.repeat(3)), Step::WithoutHeader("Content-Length".to_owned())];
    costs_one_pass(&Case { code: "download.size", script, ..PLAIN });
}

#[test]
fn an_artifact_that_was_swapped_after_the_poll() {
    let script = |bytes: &[u8]| {
        let mut other = bytes.to_vec();
        other.reverse();
        vec![Step::Instead(other)]
    };
    costs_one_pass(&Case { code: "download.digest", script, ..PLAIN });
}

#[test]
fn a_single_bit() {
    let script = |bytes: &[u8]| vec![Step::FlipBit(bytes.len() * 4)];
    costs_one_pass(&Case { code: "download.digest", script, ..PLAIN });
}

#[test]
fn no_http_at_all() {
    let script = |_: &[u8]| vec![Step::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())];
    costs_one_pass(&Case { code: "source.unreachable", script, ..PLAIN });
}

#[test]
fn redirects_without_end() {
    let web = Web::new();
    let mut fetchd = web.run(&[], &[]);
    let load = light_load(&mut fetchd);
    fetchd.wait_for_version("1.0.0");
    web.origin.script_every("/round", vec![Step::Redirect("/round".to_owned())]);
    web.publish(&Trailer::version("1.1.0"), |_| vec![vec![Step::Redirect("/round".to_owned())]]);
    wait_until("it is refused", || fetchd.site.history().iter().any(|event| event.event == "fetch.failed"));
    assert!(web.asked("/round").len() < 30, "{} redirects were followed", web.asked("/round").len());
    fetchd.wait_for_version("1.1.0");
    all_was_answered(load);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_source_that_asks_for_a_pause_gets_it() {
    let web = Web::new();
    let mut fetchd = web.run(&[], &[]);
    let load = light_load(&mut fetchd);
    fetchd.wait_for_version("1.0.0");
    let busy = || vec![Step::Status(503), Step::header("Retry-After", "5")];
    // The first backoff of its own accord would be two seconds at most.
    let least = Duration::from_secs(4);

    let asked = web.asked(POINTER).len();
    web.origin.script(POINTER, busy());
    wait_for_count(&fetchd, "fetch.failed", "source.throttled", 1);
    let refused = Instant::now();
    assert!(web.asked(POINTER).len() > asked);
    let then = web.origin.requests().len();
    assert!(web.origin.wait_for_requests(then + 1, PATIENCE));
    assert!(refused.elapsed() > least, "asked again after {:?}", refused.elapsed());

    let path = web.publish(&Trailer::version("1.1.0"), |_| vec![busy()]);
    wait_for_count(&fetchd, "fetch.failed", "source.throttled", 2);
    let refused = Instant::now();
    let then = web.origin.requests().len();
    assert_eq!(web.asked(&path).len(), 1);
    assert!(web.origin.wait_for_requests(then + 1, PATIENCE));
    assert!(refused.elapsed() > least, "asked again after {:?}", refused.elapsed());
    fetchd.wait_for_version("1.1.0");
    all_was_answered(load);
    assert_eq!(fetchd.stop().code(), Some(0));
}
