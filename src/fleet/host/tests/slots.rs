//! Leases: never more than there are, whatever happens.

use crate::clock::Timestamp;
use crate::fleet::drive::{World, names};
use crate::fleet::evidence::Code;
use crate::fleet::host::{Switched, Word};
use crate::fleet::lease::{MARGIN, Slot};
use crate::fleet::plan::Lease;
use crate::fleet::store::Request;
use crate::fleet::store::memory::Fault;
use crate::fleet::{HostId, Me};

fn world(hosts: usize, slots: u32, hold_on_failure: bool) -> World {
    let mut world = World::new(hosts, 1);
    world.head.lease = Some(Lease { group: "{az}".to_owned(), slots, hold_on_failure });
    world.publish();
    world
}

#[test]
fn no_more_hosts_switch_at_a_time_than_there_are_slots() {
    let mut world = world(60, 3, false);
    world.takes = 600;
    world.run(16.0);
    assert_eq!((world.run_it("1.1.0+abc"), world.peak), (60, 3));
    let slot = Slot::read(&world.store.peek(&names().lease("none", 0)).unwrap());
    assert!(slot.host.is_none() && slot.seq > 10, "{slot:?}");
}

#[test]
fn broken_hosts_keep_their_slots_and_so_stop_their_group() {
    let mut world = world(40, 2, true);
    world.head.gate.min_bad = 100;
    world.head.gate.abs_bad = 0;
    world.publish();
    let broken = [world.by_position()[5], world.by_position()[8]];
    world.ending = Box::new(
        move |host, _| {
            if broken.contains(&host) { Switched::RolledBack(Code::new("x")) } else { Switched::Well }
        },
    );
    world.run(7.0);
    let so_far = world.started.len();
    assert!((3..40).contains(&so_far), "{so_far}");
    assert!(world.machines.iter().any(|machine| machine.host.shown().word == Word::WaitsForSlot));
    world.run(10.0);
    assert_eq!(world.started.len(), so_far);
    // Another try: they take it with the slots they have, and give them back.
    world.ending = Box::new(|_, _| Switched::Well);
    world.change(|head| head.attempt = 2);
    world.run(20.0);
    assert_eq!(world.run_it("1.1.0+abc"), 40);
    assert!(world.peak <= 2);
}

#[test]
fn a_slot_of_a_host_that_died_is_taken_when_it_has_ended_for_certain() {
    let mut world = world(20, 1, false);
    let until = Timestamp(world.now + 10 * 3600);
    let slot = Slot::read(&[]).taken(HostId::named("dead"), until, "n".to_owned());
    world.store.set(&names().lease("none", 0), slot.to_body());
    world.run(24.0);
    assert_eq!(world.run_it("1.1.0+abc"), 20);
    assert!(world.started.iter().all(|started| started.at > until.0 + MARGIN));
}

#[test]
fn clones_of_a_host_share_no_slot() {
    let mut world = world(10, 1, false);
    world.takes = 600;
    for host in 0..10 {
        let twin = world.machines[host].me.clone();
        world.add(Me { boot: "twin".to_owned(), ..twin }, 0);
    }
    world.run(24.0);
    assert_eq!((world.run_it("1.1.0+abc"), world.peak), (20, 1));
}

#[test]
fn a_host_that_is_restarted_in_the_middle_keeps_its_slot_until_it_knows() {
    let mut world = world(30, 1, false);
    world.takes = 600;
    for _ in 0..40 {
        let next = world.hours() + 0.2;
        world.run(next);
        let switching = world.machines.iter().position(|machine| machine.switching.is_some());
        if let Some(host) = switching {
            world.restart(host);
        }
    }
    world.run(30.0);
    assert_eq!((world.run_it("1.1.0+abc"), world.peak), (30, 1));
}

#[test]
fn a_host_whose_clock_is_ahead_renews_no_slot_for_ever() {
    let mut world = world(3, 2, false);
    world.add(Me { inventory_s: 0, ..Me::new(HostId::named("fast"), names()) }, 3600);
    // A switch that takes longer than there are times: it waits instead.
    world.add(Me { inventory_s: 0, max_switch_s: u64::MAX, ..Me::new(HostId::named("odd"), names()) }, 0);
    world.run(12.0);
    assert_eq!((world.run_it("1.1.0+abc"), world.machines[4].runs.0.as_str()), (4, "1.0.0"));
}

#[test]
fn a_slot_that_cannot_be_given_back_keeps_no_host_busy() {
    let mut world = world(3, 1, true);
    world.head.gate.min_bad = 100;
    world.publish();
    world.ending = Box::new(|_, _| Switched::RolledBack(Code::new("x")));
    world.run(9.0);
    assert_eq!(world.started.len(), 1, "it keeps the only slot");
    world.store.on_request(|request, _| {
        matches!(request, Request::Replace { key, .. } if key.contains("lease/none/")).then_some(Fault::Refused)
    });
    world.change(|head| {
        head.attempt = 2;
        head.lease.as_mut().unwrap().group = "other".to_owned();
    });
    world.run(10.0);
    let before = world.store.counts().get;
    world.run(11.0);
    let gets = world.store.counts().get - before;
    assert!(gets < 1000, "{gets} in an hour");
}

#[test]
fn a_group_that_is_none_holds() {
    let mut world = world(5, 1, false);
    world.head.lease = Some(Lease { group: "a/{az}".to_owned(), slots: 1, hold_on_failure: false });
    world.publish();
    world.run(9.0);
    assert!(world.started.is_empty());
}
