//! No request is lost, and nothing is left behind.

use crate::bench::{children, descriptors, in_phase, load, restart, room_to_drain, settled, tcp};
use crate::http2::{Http2Load, Kind};
use crate::site::{PATIENCE, Site, wait_until};
use crate::stand::{plain, replace};

#[test]
fn two_hundred_replacements_lose_no_request_and_leave_nothing_behind() {
    let site = Site::new();
    let mut fetchd = plain(&site, &[], &site.program(), &[]);
    let address = fetchd.address();
    let load = load(tcp(address), 4, 4);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    let (number, service) = settled(&mut fetchd);
    let supervisor = fetchd.pid();
    let mut at_first = 0;
    for count in 1..=200 {
        replace(&fetchd);
        if count == 10 {
            // Right after a replacement some are not open yet.
            fetchd.wait("the agent is idle", |status| status.updates.doing == "idle");
            settled(&mut fetchd);
            at_first = descriptors(supervisor).len();
        }
    }
    assert_eq!(settled(&mut fetchd), (number, service), "the service has noticed nothing");
    assert_eq!(fetchd.try_status().unwrap().pid, supervisor);
    // The last status connection may still be closing.
    let many = || descriptors(supervisor).len();
    wait_until(&format!("it has as many descriptors as before, {at_first}, and not {}", many()), || many() <= at_first);
    assert_eq!(children(supervisor).len(), 1, "{:?}", children(supervisor));
    assert_eq!(fetchd.log().matches("supervisor.replaced").count(), 200);
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
    assert_eq!(report.versions.len(), 1, "one process answered everything: {:?}", report.versions);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn replacements_and_handoffs_in_turns_lose_no_request() {
    let site = Site::new();
    let mut fetchd = plain(&site, &[], &site.program(), &[]);
    let address = fetchd.address();
    let load = load(tcp(address), 4, 4);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    for _ in 0..20 {
        room_to_drain(&mut fetchd);
        let slow = load.slow_request(std::time::Duration::from_millis(500));
        restart(&fetchd);
        replace(&fetchd);
        slow.wait().expect("the slow request was answered");
    }
    let status = fetchd.try_status().unwrap();
    assert_eq!((status.pid, in_phase(&status, "serving")[0].0), (fetchd.pid(), 21));
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}", report.totals);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn replacements_and_handoffs_in_turns_lose_no_stream_of_http2() {
    let site = Site::new();
    let mut fetchd = plain(&site, &[], &site.program(), &[]);
    let load = Http2Load::start(fetchd.address(), Kind::Http, 4, 8);
    load.wait_for(settled(&mut fetchd).1);
    for _ in 0..20 {
        room_to_drain(&mut fetchd);
        restart(&fetchd);
        for _ in 0..5 {
            replace(&fetchd);
        }
        // A handoff takes a few milliseconds: without this wait a client on a busy machine skips whole generations.
        load.wait_for(in_phase(&fetchd.try_status().unwrap(), "serving")[0].1);
    }
    assert_eq!(in_phase(&fetchd.try_status().unwrap(), "serving")[0].0, 21);
    let tally = load.stop();
    assert!(tally.failed.is_empty(), "{:?}", tally.failed);
    assert_eq!(tally.pids.len(), 21, "every generation answered: {} requests, {:?}", tally.requests, tally.pids);
    assert_eq!(fetchd.stop().code(), Some(0));
}
