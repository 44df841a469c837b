//! Somebody lies: a host, a steward, whoever has the online key, whoever has the bucket, a clock.

use crate::clock::Timestamp;
use crate::fleet::drive::{World, names, sign};
use crate::fleet::evidence::{Code, Place, Report, State};
use crate::fleet::host::{Switched, Word};
use crate::fleet::plan::{Ack, Step};
use crate::fleet::rollup::{Count, Rollup, Shard};
use crate::fleet::sample::T0;
use crate::fleet::store::Request;
use crate::fleet::store::memory::Fault;
use crate::fleet::{HostId, Me};

fn code(world: &World, host: usize) -> Option<String> {
    world.machines[host].host.shown().code.map(|code| code.as_str().to_owned())
}

/// Everybody polls within an hour at most.
fn an_hour(world: &mut World) {
    let next = world.hours() + 1.0;
    world.run(next);
}

#[test]
fn an_old_head_is_refused_and_another_with_the_same_number_as_well() {
    let mut world = World::new(20, 1);
    world.run(0.9);
    let (old, old_head) = (world.store.peek(&names().head()).unwrap(), world.head.clone());
    world.change(|head| head.poll_s.idle = 900);
    an_hour(&mut world);
    let before = world.started.len();
    world.store.set(&names().head(), old);
    world.run(4.0);
    assert_eq!(world.started.len(), before, "nobody starts by a head that was replayed");
    let shown = world.machines[0].host.shown();
    assert_eq!((shown.word, shown.alarm, shown.seq), (Word::Held, true, 2));
    assert_eq!(code(&world, 0).as_deref(), Some("head.rollback"));
    let mut other = old_head;
    other.seq = 2;
    world.store.set(&names().head(), sign(&other, "good"));
    an_hour(&mut world);
    assert_eq!(code(&world, 0).as_deref(), Some("head.equivocation"));
    // After a restart it still knows what it has seen.
    world.restart(0);
    an_hour(&mut world);
    assert_eq!(code(&world, 0).as_deref(), Some("head.equivocation"));
    world.change(|_| {});
    world.run(16.0);
    assert_eq!(world.run_it("1.1.0+abc"), 20, "and it goes on once the right one is there");
}

#[test]
fn an_emptied_bucket_holds_every_host() {
    let mut world = World::new(40, 1);
    world.run(1.8);
    let before = world.started.len();
    assert!(before > 0);
    world.store.lose_all();
    world.run(30.0);
    // Those that were switching have ended it; nobody has begun.
    assert_eq!((world.started.len(), world.run_it("1.1.0+abc")), (before, before));
    let shown = world.machines[world.by_position()[39]].host.shown();
    assert_eq!((shown.word, shown.alarm, shown.seq), (Word::Held, true, 1));
    assert_eq!(shown.trouble.unwrap().as_str(), "head.absent");
}

#[test]
fn a_head_that_nobody_signed_or_that_has_expired_starts_nothing() {
    let mut world = World::new(20, 1);
    world.store.set(&names().head(), sign(&world.head, "thief"));
    world.run(6.0);
    assert_eq!((world.started.len(), code(&world, 0).as_deref()), (0, Some("signature.unknown_key")));
    world.head.valid_until = Timestamp(T0.0 + 7 * 3600);
    world.publish();
    world.run(30.0);
    assert_eq!(code(&world, world.by_position()[19]).as_deref(), Some("head.expired"));
    assert!(world.started.iter().all(|started| started.at < world.head.valid_until.0));
}

#[test]
fn the_online_key_alone_goes_no_faster_than_the_offline_bounds() {
    let once = |pct: f64| Step { pct, not_before: None, ramp_s: 0, bake_s: 0, manual: false };
    let mut world = World::new(30, 1);
    world.change(|head| head.steps = vec![once(100.0)]);
    world.run(6.0);
    assert_eq!((world.started.len(), code(&world, 0).as_deref()), (0, Some("fleet.out_of_bounds")));
    world.change(|head| head.steps = vec![once(1.0), once(2.0), once(100.0)]);
    world.run(12.0);
    assert_eq!((world.started.len(), code(&world, 0).as_deref()), (0, Some("fleet.out_of_bounds")));
    assert!(world.machines[0].host.shown().alarm);
    // A release that is not meant for a fleet.
    world.releases.get_mut("1.1.0+abc").unwrap().1 = None;
    (0..30).for_each(|host| world.restart(host));
    an_hour(&mut world);
    assert_eq!((world.started.len(), code(&world, 0).as_deref()), (0, Some("fleet.no_bounds")));
}

#[test]
fn a_rollout_cannot_be_dated_back() {
    dated_back(World::new(60, 1), false);
}

#[test]
fn a_rollout_cannot_be_dated_back_for_hosts_that_were_restarted() {
    dated_back(World::new(60, 1), true);
}

fn dated_back(mut world: World, restarts: bool) {
    world.run(12.0);
    assert_eq!(world.run_it("1.1.0+abc"), 60);
    let so_far = world.started.len();
    let published = world.now;
    (0..60).filter(|_| restarts).for_each(|host| world.restart(host));
    // Whoever has the online key says that the next rollout began long ago and that all of its steps are open.
    world.change(|head| {
        (head.rollout, head.release, head.salt) = ("r-2".to_owned(), "1.2.0+def".to_owned(), "x".to_owned());
        head.promoted = Some(Place { ring: 0, step: 2 });
    });
    world.run(30.0);
    assert_eq!(world.run_it("1.2.0+def"), 60);
    assert_begins_anew(&world, so_far, published);
}

/// The last step begins three hours after `published`, but for what a host had not seen by then.
fn assert_begins_anew(world: &World, so_far: usize, published: u64) {
    let at = |host: usize| world.started[so_far..].iter().find(|started| started.host == host).unwrap().at;
    let salt = &world.head.salt;
    for host in world.by_position().into_iter().filter(|host| world.machines[*host].me.id.position(salt) > 0.1) {
        assert!(at(host) + 3600 > published + 3 * 3600, "{} after {}", at(host), published);
    }
}

#[test]
fn another_release_under_the_name_of_a_rollout_begins_anew() {
    let mut world = World::new(60, 1);
    world.run(12.0);
    let (so_far, published) = (world.started.len(), world.now);
    world.change(|head| head.release = "1.2.0+def".to_owned());
    world.run(30.0);
    assert_eq!(world.run_it("1.2.0+def"), 60);
    assert_begins_anew(&world, so_far, published);
}

#[test]
fn the_first_rollout_of_a_host_cannot_be_dated_back_later() {
    let mut world = World::new(60, 1);
    world.head.t0 = Timestamp(T0.0 + 3 * 3600);
    world.publish();
    world.run(2.0);
    assert_eq!(world.started.len(), 0);
    let published = world.now;
    world.change(|head| {
        head.t0 = Timestamp(T0.0 - 10 * 86_400);
        head.promoted = Some(Place { ring: 0, step: 2 });
    });
    world.run(20.0);
    assert_eq!(world.run_it("1.1.0+abc"), 60);
    assert_begins_anew(&world, 0, published);
}

#[test]
fn a_head_neither_uses_up_the_numbers_nor_sends_a_host_to_sleep() {
    let mut world = World::new(20, 1);
    world.run(0.9);
    world.change(|head| head.seq = 1 << 50);
    an_hour(&mut world);
    assert_eq!(code(&world, 0).as_deref(), Some("head.seq_jump"));
    world.head.seq = 1;
    world.change(|head| (head.state, head.poll_s.idle) = (crate::fleet::plan::Phase::Paused, 300 * 86_400));
    an_hour(&mut world);
    let now = world.now;
    assert!(world.machines.iter().all(|machine| machine.wakes <= now + 95_100), "a day and a tenth");
    world.change(|_| {});
    world.run(30.0);
    assert!(world.machines.iter().all(|machine| machine.host.shown().seq == 3), "it can be corrected");
}

#[test]
fn a_liar_that_reports_success_for_everybody_gains_no_time() {
    let mut world = World::new(200, 1);
    // It says for a thousand hosts that they started in every step and are well.
    for number in 0..1000 {
        let host = HostId::named(&format!("invented-{number}"));
        let step = u8::try_from(number % 3).unwrap();
        for state in [State::Started(Place { ring: 0, step }), State::Ok] {
            let report = Report { attempt: 1, state };
            let (rollout, shard) = ("r-1".to_owned(), "0".to_owned());
            world.ask(Request::Report { rollout, shard, host, report, body: Vec::new() });
        }
    }
    world.run(10.0);
    world.assert_schedule();
    assert_eq!(world.run_it("1.1.0+abc"), 200);
}

/// A roll-up of the attacker's: everything has passed, everybody is well.
fn invented(world: &World, as_of: u64, shard: Shard) -> Vec<u8> {
    let mut rollup = Rollup::empty("r-1", 1, "n".to_owned(), Timestamp(as_of), &[3]);
    for step in &mut rollup.rings[0] {
        *step = Count { passed_at: Some(T0), ..Count::default() };
    }
    rollup.rings[0][0] = Count { started: shard.started, ok: shard.started, ..rollup.rings[0][0] };
    rollup.shards.insert("0".to_owned(), shard);
    assert_eq!(world.head.shards.count(), 1);
    serde_json::to_vec(&rollup).unwrap()
}

#[test]
fn a_roll_up_that_hides_failures_is_found_out() {
    let mut world = World::new(250, 0);
    world.ending = Box::new(|_, _| Switched::RolledBack(Code::new("x")));
    for tenth in 0..40 {
        let now = world.now;
        let lie = invented(&world, now, Shard { started: 0, bad: 0, as_of: Timestamp(now) });
        world.store.set(&names().rollup("r-1"), lie);
        world.run(0.1 * f64::from(tenth));
    }
    world.assert_schedule();
    let auditors: Vec<usize> =
        (0..250).filter(|host| world.machines[*host].me.id.chance("audit\0r-1") < super::super::AUDITED).collect();
    assert!((10..=40).contains(&auditors.len()));
    let found = |world: &World| {
        let contradicted = |host: &&usize| code(world, **host).as_deref() == Some("rollup.contradicted");
        auditors.iter().filter(contradicted).count()
    };
    assert!(found(&world) > 1, "those whose turn has come");
    let late = |started: &&crate::fleet::drive::Started| {
        auditors.contains(&started.host) && started.place.is_some_and(|place| place.step > 0)
    };
    assert_eq!(world.started.iter().filter(late).count(), 0, "and none of them has started");
    // Starts that nobody has made are found out as well.
    let now = world.now;
    let lie = invented(&world, now, Shard { started: 100_000, bad: 0, as_of: Timestamp(now) });
    world.store.set(&names().rollup("r-1"), lie);
    auditors.iter().for_each(|host| world.poke(*host));
    let soon = world.hours() + 0.05;
    world.run(soon);
    assert!(found(&world) > 1);
}

#[test]
fn a_roll_up_that_is_old_or_of_the_future_or_contradicts_itself_holds() {
    for (ahead, shard, why) in [
        (-700, Shard { started: 0, bad: 0, as_of: T0 }, "rollup.stale"),
        (700, Shard { started: 0, bad: 0, as_of: T0 }, "rollup.of_the_future"),
        (0, Shard { started: 0, bad: 7, as_of: T0 }, "rollup.inconsistent"),
        // A shard that says it was read long ago would agree with any evidence.
        (0, Shard { started: 0, bad: 0, as_of: Timestamp(0) }, "rollup.inconsistent"),
    ] {
        let mut world = World::new(60, 0);
        for tenth in 14..40 {
            let lie = invented(&world, world.now.saturating_add_signed(ahead), shard);
            world.store.set(&names().rollup("r-1"), lie);
            world.run(0.1 * f64::from(tenth));
        }
        let second = world.by_position()[4];
        assert_eq!(code(&world, second).as_deref(), Some(why));
        assert!(world.started.iter().all(|started| started.place.unwrap().step == 0));
    }
}

#[test]
fn a_store_that_puts_evidence_off_makes_nobody_silent() {
    let mut world = World::new(60, 1);
    let busy_until = T0.0 + 2 * 3600;
    world.store.on_request(move |request, now| {
        let ends = matches!(request, Request::Report { report, .. } if report.state.is_final());
        (ends && now.0 < busy_until).then_some(Fault::Busy { retry_after_s: Some(86_400) })
    });
    world.head.gate.deadline_s = 3 * 3600;
    world.publish();
    world.run(5.5);
    let total = world.rollup().unwrap().total();
    assert!(total.started > 0 && total.overdue == 0, "{total:?}");
    assert!(world.rollup().unwrap().rings[0][0].ok > 0);
}

#[test]
fn without_a_steward_nobody_goes_on() {
    let mut world = World::new(100, 1);
    world.run(1.8);
    world.stop_steward(0);
    let died = world.now;
    world.run(20.0);
    assert!(world.started.iter().all(|started| started.at <= died + super::super::OLDEST_ROLLUP));
    assert!(world.run_it("1.1.0+abc") < 100);
    assert!((0..100).any(|host| code(&world, host).as_deref() == Some("rollup.stale")));
}

#[test]
fn a_host_can_stop_a_rollout_and_an_operator_can_leave_it_out() {
    let mut world = World::new(200, 1);
    world.run(1.6);
    // Three invented failures: under the names of three hosts.
    let liars: Vec<HostId> = (0..3).map(|number| HostId::named(&format!("liar-{number}"))).collect();
    for host in &liars {
        let report = Report { attempt: 1, state: State::Bad(Code::new("lie")) };
        let (rollout, shard) = ("r-1".to_owned(), "0".to_owned());
        world.ask(Request::Report { rollout, shard, host: *host, report, body: Vec::new() });
    }
    world.run(2.0);
    assert!(world.latched(), "it errs on the safe side");
    let mut named: Vec<HostId> = world.rollup().unwrap().bad.iter().map(|bad| bad.host).collect();
    named.sort_unstable();
    let mut expected = liars.clone();
    expected.sort_unstable();
    assert_eq!(named, expected, "everybody sees who it was");
    world.change(|head| {
        head.ack = Some(Ack { latches: 1, latch: "0".repeat(64), bad: 0, stops: 0, exclude: liars });
    });
    world.run(16.0);
    assert_eq!(world.run_it("1.1.0+abc"), 200);
}

#[test]
fn a_clock_that_is_a_day_off_hastens_nothing_and_is_reported() {
    let mut world = World::new(60, 1);
    for (name, skew) in [("fast", 86_400), ("slow", -86_400), ("a-bit", 240)] {
        world.add(Me { inventory_s: 0, ..Me::new(HostId::named(name), names()) }, skew);
    }
    world.head.valid_until = Timestamp(T0.0 + 20 * 86_400);
    world.publish();
    world.run(12.0);
    world.assert_schedule();
    assert_eq!(world.machines[60].runs.0, "1.1.0+abc", "the store's clock holds it until its turn, and no longer");
    assert_eq!(world.machines[61].runs.0, "1.0.0", "its own clock says that the rollout is far");
    assert_eq!(world.machines[62].runs.0, "1.1.0+abc");
    let off = |host: usize| world.machines[host].host.shown().clock_is_off;
    assert!(off(60) && off(61) && !off(62));
    world.run(36.0);
    assert_eq!(world.machines[61].runs.0, "1.1.0+abc", "a day late");
}

#[test]
fn a_clock_that_is_set_back_does_not_put_a_host_to_sleep() {
    let mut world = World::new(30, 1);
    world.run(0.9);
    for machine in &mut world.machines {
        machine.skew = -86_400;
        machine.host.poll_now();
    }
    (0..30).for_each(|host| world.poke(host));
    world.run(0.95);
    world.machines.iter_mut().for_each(|machine| machine.skew = 0);
    (0..30).for_each(|host| world.poke(host));
    world.run(9.0);
    assert_eq!(world.run_it("1.1.0+abc"), 30);
}

#[test]
fn two_machines_with_one_id_are_one_host_that_is_counted_once() {
    let mut world = World::new(60, 1);
    let twin = world.machines[world.by_position()[20]].me.clone();
    world.add(Me { boot: "other".to_owned(), ..twin }, 0);
    world.run(9.0);
    assert_eq!(world.run_it("1.1.0+abc"), 61, "both take it");
    assert_eq!(world.rollup().unwrap().total().started, 60, "and count once");
}
