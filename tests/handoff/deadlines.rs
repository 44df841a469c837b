//! Every wait ends, and how long it is can be moved only so far.

use std::time::Instant;

use fetchd::control::{self, Line, Request};
use fetchd::demo::{Fault, Trailer};
use rustix::process::Signal;

use crate::bench::{gone, in_phase, ms, plain, restart, script, serves_from, settled};
use crate::contract::ODD;
use crate::site::{PATIENCE, Site};

#[test]
fn a_service_may_take_longer_to_be_ready_if_it_says_so() {
    let site = Site::empty();
    let program = script(&site, "odd", ODD);
    let more = ["--ready-deadline", "2s"];
    let mut fetchd = site.supervise(plain(&site, &more, &program, &["extend-ready"]));
    let (number, _) = serves_from(&mut fetchd, 1);
    assert_eq!(number, 1, "the first attempt was not cut off");
    restart(&fetchd);
    assert_eq!(settled(&mut fetchd).0, 2);
}

#[test]
fn a_service_that_always_wants_more_time_is_not_waited_for() {
    let site = Site::empty();
    let program = script(&site, "odd", ODD);
    let more = ["--ready-deadline", "1s", "--crash-backoff", "10m", "--crash-backoff-max", "10m"];
    let fetchd = &mut site.supervise(plain(&site, &more, &program, &["extend-ready-for-ever"]));
    let status = fetchd.wait("it starts", |s| !in_phase(s, "starting").is_empty());
    let (begun, (_, pid)) = (Instant::now(), in_phase(&status, "starting")[0]);
    fetchd.wait("it was ended", |s| s.service.generations.is_empty());
    gone(pid);
    // Ten times the deadline; it began a moment before it was seen.
    assert!((ms(9000)..ms(30_000)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[test]
fn a_drain_may_take_longer_if_the_service_says_so() {
    let site = Site::empty();
    let program = script(&site, "odd", ODD);
    let mut fetchd = site.supervise(plain(&site, &["--drain-deadline", "1s"], &program, &["extend-drain"]));
    serves_from(&mut fetchd, 1);
    fetchd.signal(Signal::TERM);
    assert_eq!(fetchd.wait_for_end().code(), Some(7), "it was not killed");
}

#[test]
fn a_drain_that_is_always_extended_ends_at_ten_times_its_deadline() {
    let site = Site::empty();
    let program = script(&site, "odd", ODD);
    let more = ["--drain-deadline", "500ms"];
    let mut fetchd = site.supervise(plain(&site, &more, &program, &["extend-drain-for-ever"]));
    let (_, pid) = serves_from(&mut fetchd, 1);
    let begun = Instant::now();
    fetchd.signal(Signal::TERM);
    assert_eq!(fetchd.wait_for_end().code(), Some(128 + 9));
    assert!((ms(5000)..ms(30_000)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    gone(pid);
}

#[test]
fn at_most_four_generations_drain_and_the_oldest_goes_first() {
    let site = Site::empty();
    site.put(&site.program(), &Trailer::version("1.0.0").with_fault(Fault::NeverDrain));
    let more = ["--drain-deadline", "10m", "--watch", "0s", "--interval", "1h"];
    let mut fetchd = site.run(&more);
    let mut pids = vec![serves_from(&mut fetchd, 1).1];
    for number in 2..=7 {
        restart(&fetchd);
        let status = fetchd.wait("it has taken over", |s| {
            in_phase(s, "serving").first().is_some_and(|serving| serving.0 == number)
                && in_phase(s, "draining").len() as u64 == (number - 1).min(4)
                && s.service.generations.len() <= 5
        });
        pids.push(in_phase(&status, "serving")[0].1);
        let draining: Vec<u64> = in_phase(&status, "draining").iter().map(|g| g.0).collect();
        let expected: Vec<u64> = (number.saturating_sub(4).max(1)..number).rev().collect();
        assert_eq!(draining, expected, "the newest four");
    }
    gone(pids[0]);
    gone(pids[1]);
    fetchd.signal(Signal::INT);
    fetchd.wait("all drain", |s| in_phase(s, "serving").is_empty());
    fetchd.signal(Signal::INT);
    fetchd.wait_for_end();
    pids.into_iter().for_each(gone);
}

#[test]
fn a_new_process_that_is_never_ready_is_ended_and_the_old_one_serves() {
    let site = Site::new();
    let mut fetchd = site.run(&["--ready-deadline", "1s"]);
    fetchd.address();
    let old = settled(&mut fetchd);
    site.publish(&Trailer::version("1.1.0").with_fault(Fault::NeverReady));
    fetchd.wait_for_event("handoff.failed", "handoff.not_ready");
    assert_eq!(settled(&mut fetchd), old);
    // The same binary again is a handoff like any other: nothing was left locked.
    match control::ask(&control::path(&site.state_dir()), &Request::Restart, PATIENCE, |_| {}).unwrap() {
        Line::Answer(answer) => assert_eq!(answer.outcome, "restarted", "{answer:?}"),
        other => panic!("{other:?}"),
    }
}
