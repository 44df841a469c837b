use std::sync::{Arc, Mutex};

use super::*;
use crate::fleet::drive::{Desk, World, names};
use crate::fleet::evidence::{Evidence, Place, Report, State};
use crate::fleet::rule;
use crate::fleet::sample::T0;
use crate::fleet::store::memory::Fault;
use crate::fleet::store::{Reply, Request, Store as _, What};

/// Asks until it sleeps or is done; how many requests that took.
fn drive(steward: &mut Steward, world: &mut World) -> usize {
    let now = Timestamp(world.now);
    for count in 0..10_000 {
        match steward.next(now) {
            Step::Ask(request) => {
                let reply = world.store.ask(request);
                steward.replied(reply, now, &Desk);
            }
            Step::Sleep { .. } | Step::Done => return count,
        }
    }
    panic!("it does not come to rest");
}

fn report(world: &mut World, host: &str, report: &str) {
    let (rollout, shard, host) = ("r-1".to_owned(), "0".to_owned(), HostId::named(host));
    world.ask(Request::Report { rollout, shard, host, report: report.parse().unwrap(), body: Vec::new() });
}

#[test]
fn one_round_is_enough_for_an_operator() {
    let mut world = World::new(0, 0);
    report(&mut world, "a", "1-s-r0k0");
    report(&mut world, "a", "1-o");
    report(&mut world, "b", "1-s-r0k0");
    report(&mut world, "c", "1-d-pinned");
    let mut steward = Steward::once(names(), HostId::named("operator"), "boot", Timestamp(world.now));
    assert_eq!(drive(&mut steward, &mut world), 4, "head, roll-up, evidence, roll-up");
    assert_eq!(steward.next(Timestamp(world.now)), Step::Done);
    let outcome = steward.outcome();
    let total = outcome.rollup.unwrap().total();
    assert_eq!((total.started, total.ok, total.bad, total.declined, outcome.halted), (2, 1, 0, 1, false));
    assert_eq!(world.rollup().unwrap().total(), total);
}

#[test]
fn a_steward_counts_beside_a_host_that_always_polls() {
    let mut world = World::new(0, 0);
    report(&mut world, "a", "1-s-r0k0");
    let now = Timestamp(world.now);
    let mut steward = Steward::new(names(), HostId::named("slow"), "boot", now).within(0);
    // As a host's driver does, between two polls. `due` is when the host has something to do again.
    let turn = |steward: &mut Steward, world: &mut World, due: Timestamp| {
        let (mut turn, mut asked) = (Turn::default(), 0);
        while turn.goes_on(now, due) {
            let Step::Ask(request) = steward.next(now) else { break };
            let reply = world.store.ask(request);
            steward.replied(reply, now, &Desk);
            asked += 1;
        }
        asked
    };
    let turns: Vec<usize> = (0..20).map(|_| turn(&mut steward, &mut world, now)).collect();
    let round = turns.iter().take_while(|asked| **asked == 1).count();
    assert!((4..12).contains(&round) && turns[round..].iter().all(|asked| *asked == 0), "{turns:?}");
    assert_eq!(world.rollup().unwrap().total().started, 1, "one request a turn is a round after some turns");
    // A host that has time lets it finish at once.
    let mut steward = Steward::new(names(), HostId::named("idle"), "boot", now).within(0);
    assert!(turn(&mut steward, &mut world, Timestamp(now.0 + 60)) > 1);
}

#[test]
fn stewards_race_and_nothing_is_lost() {
    let mut world = World::new(100, 5);
    world.run(9.0);
    let serving = world.stewards.iter().filter(|(steward, _)| steward.serves(Timestamp(world.now))).count();
    assert!(serving <= POSTS as usize, "{serving}");
    assert_eq!(world.run_it("1.1.0+abc"), 100);
    assert_eq!(world.rollup().unwrap().total().ok, 100);
}

#[test]
fn another_steward_takes_over_from_one_that_died() {
    let mut world = World::new(100, 4);
    world.run(1.8);
    let last = world.rollup().unwrap();
    let active = world
        .stewards
        .iter()
        .position(|(steward, _)| steward.written.as_ref().is_some_and(|written| written.nonce == last.nonce));
    world.stop_steward(active.unwrap());
    world.run(2.1);
    assert!(world.rollup().unwrap().as_of.0 + 600 > world.now, "within what the gate allows");
    world.run(9.0);
    assert_eq!(world.run_it("1.1.0+abc"), 100);
}

#[test]
fn a_shard_that_does_not_change_is_read_less_often() {
    let mut world = World::new(200, 1);
    let lists: Arc<Mutex<Vec<u64>>> = Arc::default();
    let log = lists.clone();
    world.store.on_request(move |request, now| {
        if matches!(request, Request::Evidence { .. }) {
            log.lock().unwrap().push(now.0);
        }
        None::<Fault>
    });
    // Nobody may start yet, and all the same a step is open.
    world.head.steps[0].not_before = Some(Timestamp(T0.0 + 20 * 3600));
    world.publish();
    world.run(1.0);
    let quiet = lists.lock().unwrap().len();
    assert!((13..=25).contains(&quiet), "{quiet} in an hour in which nothing happens");
    let before = world.rollup().unwrap();
    assert!(before.as_of.0 + 300 >= world.now, "and still no older than the gate allows");
}

#[test]
fn what_has_passed_stays_so_and_nothing_passes_before_its_time() {
    let mut world = World::new(0, 0);
    world.head.rings[0].hosts = 1000;
    world.publish();
    for host in 0..10 {
        report(&mut world, &format!("a{host}"), "1-s-r0k0");
        report(&mut world, &format!("a{host}"), "1-o");
    }
    let first = Place { ring: 0, step: 0 };
    let passed = |world: &World| world.rollup().unwrap().step(first).unwrap().passed_at;
    let once = |world: &mut World| {
        let mut steward = Steward::once(names(), HostId::named("operator"), "boot", Timestamp(world.now));
        drive(&mut steward, world);
    };
    once(&mut world);
    assert_eq!(passed(&world), None);
    // Somebody says that it had passed before it could have.
    let mut lie = world.rollup().unwrap();
    lie.rings[0][0].passed_at = Some(T0);
    lie.rings[0][1].passed_at = Some(Timestamp(u64::MAX / 2));
    world.store.set(&names().rollup("r-1"), serde_json::to_vec(&lie).unwrap());
    world.run(0.5);
    once(&mut world);
    assert_eq!((passed(&world), world.rollup().unwrap().rings[0][1].passed_at), (None, None));
    world.run(1.6);
    once(&mut world);
    let at = passed(&world);
    assert_eq!(at, Some(Timestamp(world.now)));
    let second = Place { ring: 0, step: 1 };
    assert!(at.unwrap().0 + rule::pause(&world.head, second) >= rule::floor(&world.head, 0, 1).0);
    for host in 0..5 {
        report(&mut world, &format!("late{host}"), "1-s-r0k0");
    }
    world.run(1.9);
    once(&mut world);
    assert_eq!(passed(&world), at);
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let mut world = World::new(60, 1);
    let mut writes = 0;
    world.store.on_request(move |request, _| {
        let write = matches!(request, Request::Replace { .. } | Request::Create { .. });
        writes += u32::from(write);
        (write && writes % 3 == 0).then_some(Fault::LostReply)
    });
    world.run(10.0);
    assert_eq!(world.run_it("1.1.0+abc"), 60);
}

#[test]
fn places_that_no_plan_has_are_counted_at_the_end() {
    let mut world = World::new(0, 0);
    let host = HostId::named("odd");
    let odd = Report { attempt: 9, state: State::Started(Place { ring: 200, step: 7 }) };
    world.ask(Request::Report {
        rollout: "r-1".to_owned(),
        shard: "0".to_owned(),
        host,
        report: odd,
        body: Vec::new(),
    });
    let mut steward = Steward::once(names(), HostId::named("operator"), "boot", Timestamp(world.now));
    drive(&mut steward, &mut world);
    let rings = world.rollup().unwrap().rings;
    assert_eq!((rings[0][0].started, rings[0][2].started), (0, 1));
}

/// A steward whose bucket answers every page of evidence with what `page` says; how many pages it has read until it rests.
fn lied_to(mut page: impl FnMut(usize) -> (Vec<Evidence>, Option<String>)) -> (Steward, usize) {
    let mut world = World::new(0, 0);
    let now = Timestamp(world.now);
    let (mut steward, mut pages) = (Steward::once(names(), HostId::named("operator"), "boot", Timestamp(world.now)), 0);
    for _ in 0..10_000 {
        match steward.next(now) {
            Step::Ask(Request::Evidence { .. }) => {
                let (found, next) = page(pages);
                pages += 1;
                let reply = Reply { what: What::Evidence { found, next }, date: Some(now) };
                steward.replied(reply, now, &Desk);
            }
            Step::Ask(request) => {
                let reply = world.store.ask(request);
                steward.replied(reply, now, &Desk);
            }
            Step::Sleep { .. } | Step::Done => return (steward, pages),
        }
    }
    panic!("it reads for ever");
}

#[test]
fn pages_that_lead_back_are_not_read_for_ever() {
    let (steward, pages) = lied_to(|page| (Vec::new(), Some(["b", "a"][page % 2].to_owned())));
    assert!(pages <= 3, "{pages}");
    assert_eq!(steward.outcome().trouble.unwrap().as_str(), "store.nonsense");
}

#[test]
fn hosts_that_a_bucket_invents_do_not_fill_the_memory() {
    let invented = |page: usize| {
        let one = |n: usize| Evidence {
            host: HostId::named(&format!("{page}-{n}")),
            report: "1-s-r0k0".parse().unwrap(),
            at: T0,
        };
        ((0..1000).map(one).collect(), Some(format!("{page:09}")))
    };
    let (steward, pages) = lied_to(invented);
    assert!(pages <= 101, "{pages} pages of 1000 hosts");
    assert_eq!(steward.outcome().trouble.unwrap().as_str(), "store.nonsense");
    assert_eq!(steward.shards[0].after, None, "nothing of them is kept");
    // The same host for ever.
    let (_, pages) = lied_to(|page| (Vec::new(), Some(format!("{page:09}"))));
    assert!(pages <= 1001, "{pages}");
}

#[test]
fn an_old_roll_up_that_comes_back_puts_off_no_deadline() {
    let mut world = World::new(0, 0);
    report(&mut world, "a", "1-s-r0k0");
    let mut steward = Steward::new(names(), HostId::named("steward"), "boot", Timestamp(world.now));
    let overdue = |world: &World| world.rollup().map_or(0, |rollup| rollup.total().overdue);
    let mut old = None;
    for minute in 0..90 {
        world.run(f64::from(minute) / 60.0);
        drive(&mut steward, &mut world);
        let key = names().rollup("r-1");
        if old.is_none() {
            old = world.store.peek(&key);
        }
        if let Some(old) = old.clone().filter(|_| minute >= 20 && minute % 10 == 0) {
            // It is what a bucket with an old copy shows.
            world.store.set(&key, old);
        }
        if overdue(&world) > 0 {
            return;
        }
    }
    panic!("a host that was silent for an hour and a half is not overdue");
}
