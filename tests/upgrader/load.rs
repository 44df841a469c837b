//! No request is lost, however often the server replaces itself.

use fetchd::load::{Load, LoadPlan, Target};

use crate::chain::{Chain, site};
use crate::http2::{Http2Load, Kind};
use crate::site::{PATIENCE, wait_until};

#[test]
fn two_hundred_direct_handoffs_under_load_lose_no_request() {
    let site = site();
    let chain = Chain::start(&site, &["--pause-ms", "20"]);
    let load = Load::start(LoadPlan {
        fresh: 4,
        keep_alive: 4,
        timeout: PATIENCE,
        lifetime: fetchd::load::LONGEST,
        ..LoadPlan::new(Target::Tcp(chain.address))
    })
    .unwrap();
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    for number in 1..=200 {
        // A fifth that drains would cost the oldest its requests, as it should.
        wait_until("there is room to drain", || chain.running().len() <= 4);
        let before = chain.pid();
        let outcome = chain.upgrade();
        let pid = chain.pid();
        assert_eq!(outcome, format!("upgraded to {pid}"), "handoff {number} of {before}");
        // However slow the machine is: the next comes when this one is under load.
        wait_until("a client sees it", || load.snapshot().versions.iter().any(|seen| seen.pid == pid));
    }
    assert_eq!(chain.generation(), 201);
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
    assert_eq!(report.versions.len(), 201, "each generation answered something");
    let last = chain.pid();
    wait_until("the older generations have ended", || chain.running() == [last]);
}

#[test]
fn fifty_direct_handoffs_over_http2_lose_no_stream() {
    let site = site();
    let chain = Chain::start(&site, &["--pause-ms", "20"]);
    let load = Http2Load::start(chain.address, Kind::Http, 4, 8);
    load.wait_for(chain.pid());
    for number in 1..=50 {
        wait_until("there is room to drain", || chain.running().len() <= 4);
        let before = chain.pid();
        assert_eq!(chain.upgrade(), format!("upgraded to {}", chain.pid()), "handoff {number} of {before}");
        load.wait_for(chain.pid());
    }
    let last = chain.pid();
    let tally = load.stop();
    assert!(tally.failed.is_empty(), "{:?}", tally.failed);
    assert_eq!(tally.pids.len(), 51, "each process answered: {} requests, {:?}", tally.requests, tally.pids);
    wait_until("the older generations have ended", || chain.running() == [last]);
}
