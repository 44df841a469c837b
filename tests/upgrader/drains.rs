//! Upgrades while older generations drain.

use crate::chain::{Chain, site};
use crate::processes::runs;
use crate::site::wait_until;

#[test]
fn upgrades_work_while_older_generations_drain_and_at_most_four_do() {
    let site = site();
    let mut chain = Chain::start(&site, &["--pause-ms", "60000", "--drain-ms", "120000"]);
    let (mut pids, mut slow) = (Vec::new(), Vec::new());
    for number in 1..=7_usize {
        // Each generation has a request that keeps it from ending.
        pids.push(chain.pid());
        slow.push(chain.slow_request());
        let successor = chain.switch();
        wait_until("the successor answers", || chain.answering() == successor);
        // The latest is paused; those before it drain, as their successors have handed over themselves.
        let killed = number.saturating_sub(5);
        if killed > 0 {
            wait_until("the oldest has made room", || {
                chain.reap_first();
                !runs(pids[killed - 1])
            });
        }
        let others: Vec<bool> = pids[killed..].iter().map(|pid| runs(*pid)).collect();
        assert!(others.iter().all(|runs| *runs), "after {number}, from generation {} on: {others:?}", killed + 1);
    }
    for killed in slow.drain(..2) {
        let answer = killed.join().unwrap();
        assert!(!answer.is_ok_and(|answer| answer.contains("200 OK")), "it was killed with its request");
    }
    assert!(slow.iter().all(|request| !request.is_finished()), "the others serve theirs");
}
