//! The bucket fails: for an hour, from time to time, or after it has done what it was asked.

use std::sync::{Arc, Mutex};

use crate::clock::Timestamp;
use crate::fleet::drive::{World, names};
use crate::fleet::evidence::Code;
use crate::fleet::host::{Switched, Word};
use crate::fleet::store::Request;
use crate::fleet::store::memory::Fault;

#[test]
fn a_store_that_is_down_for_an_hour_costs_an_hour() {
    let mut world = World::new(100, 2);
    world.run(1.9);
    let back = Timestamp(world.now + 3600);
    world.store.unavailable_until(back);
    world.run(2.7);
    let before = world.started.len();
    assert!(world.started.iter().all(|started| started.at <= back.0 - 3600), "nobody starts on what it knew");
    let shown = world.machines[0].host.shown();
    assert_eq!((shown.word, shown.alarm), (Word::WaitsForStore, false));
    world.run(12.0);
    assert!(world.started.len() > before);
    assert_eq!(world.run_it("1.1.0+abc"), 100);
    assert_eq!(world.rollup().unwrap().total().ok, 100, "what could not be said was said later");
}

#[test]
fn answers_that_are_lost_change_nothing() {
    let mut world = World::new(100, 2);
    world.head.lease = Some(crate::fleet::plan::Lease { group: "all".to_owned(), slots: 10, hold_on_failure: false });
    world.publish();
    let mut number = 0_u32;
    world.store.on_request(move |_, _| {
        number += 1;
        match number % 20 {
            3 => Some(Fault::LostReply),
            9 => Some(Fault::Busy { retry_after_s: None }),
            _ => None,
        }
    });
    world.run(30.0);
    assert_eq!(world.run_it("1.1.0+abc"), 100);
    assert!(world.peak <= 10, "{}", world.peak);
    assert_eq!(world.rollup().unwrap().total().ok, 100);
    assert!(!world.latched());
    world.assert_schedule();
}

#[test]
fn a_host_is_put_off_for_as_long_as_the_store_says() {
    let mut world = World::new(50, 0);
    let asked: Arc<Mutex<Vec<u64>>> = Arc::default();
    let log = asked.clone();
    world.store.on_request(move |_, now| {
        log.lock().unwrap().push(now.0);
        Some(Fault::Busy { retry_after_s: Some(7200) })
    });
    world.run(2.0);
    assert_eq!(asked.lock().unwrap().len(), 50, "once each");
    // Without a word from it: later each time, an hour at most.
    let mut world = World::new(50, 0);
    let log: Arc<Mutex<Vec<u64>>> = Arc::default();
    let asked = log.clone();
    world.store.on_request(move |_, now| {
        log.lock().unwrap().push(now.0);
        Some(Fault::Refused)
    });
    world.run(100.0);
    let asked = asked.lock().unwrap();
    let within = |from: u64, to: u64| asked.iter().filter(|at| (from..to).contains(&(**at - world.head.t0.0))).count();
    let (first, late) = (within(0, 3600), within(50 * 3600, 60 * 3600));
    assert!(first > 150 && (700..1400).contains(&late), "{first} in the first hour, {late} in ten hours later");
}

#[test]
fn evidence_waits_until_it_can_be_sent_the_oldest_first() {
    let mut world = World::new(30, 1);
    let host = world.by_position()[5];
    world.ending =
        Box::new(
            move |number, _| {
                if number == host { Switched::RolledBack(Code::new("handoff.exited")) } else { Switched::Well }
            },
        );
    let id = world.machines[host].me.id;
    let sent: Arc<Mutex<Vec<String>>> = Arc::default();
    let (log, open) = (sent.clone(), Arc::new(Mutex::new(false)));
    let gate = open.clone();
    world.store.on_request(move |request, _| match request {
        Request::Report { host, report, .. } if *host == id && report.state.is_final() => {
            if !*gate.lock().unwrap() {
                return Some(Fault::Refused);
            }
            log.lock().unwrap().push(report.to_string());
            None
        }
        _ => None,
    });
    world.run(6.0);
    assert_eq!(world.machines[host].host.memory().unsent.len(), 1);
    assert!(world.machines[host].host.stop(Code::new("operator")));
    world.restart(host);
    world.run(6.1);
    *open.lock().unwrap() = true;
    world.run(9.0);
    let said = sent.lock().unwrap().clone();
    assert_eq!(said[0], "1-b-handoff.exited");
    assert!(world.machines[host].host.memory().unsent.is_empty());
    assert_eq!(world.rollup().unwrap().bad[0].host, id);
}

#[test]
fn a_host_that_cannot_say_that_it_starts_does_not_start() {
    let mut world = World::new(30, 1);
    world.store.on_request(|request, _| matches!(request, Request::Report { .. }).then_some(Fault::Refused));
    world.run(9.0);
    assert!(world.started.is_empty());
    world.store.heal();
    world.run(24.0);
    assert_eq!(world.run_it("1.1.0+abc"), 30);
    assert!(world.store.peek(&names().rollup("r-1")).is_some());
}
