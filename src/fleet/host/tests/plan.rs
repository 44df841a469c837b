//! What a host does with a plan that nobody meddles with.

use crate::fleet::drive::{World, bounds, names};
use crate::fleet::evidence::Code;
use crate::fleet::host::{Host, LocalPin, Switched, Word};
use crate::fleet::latch::Latch;
use crate::fleet::plan::{Ack, Phase, Pin, Step, Supersede, Window};
use crate::fleet::rule::Halt;
use semver::Version;

#[test]
fn a_good_release_comes_to_every_host_in_its_turn() {
    let mut world = World::new(300, 2);
    world.run(1.4);
    let first = world.started.len();
    assert!((1..=9).contains(&first), "1 % of 300: {first}");
    world.run(9.0);
    assert_eq!(world.run_it("1.1.0+abc"), 300);
    assert_eq!(world.started.len(), 300, "once each");
    world.assert_schedule();
    let rollup = world.rollup().unwrap();
    assert_eq!((rollup.total().started, rollup.total().ok, rollup.total().bad), (300, 300, 0));
    assert!(rollup.rings[0].iter().all(|step| step.passed_at.is_some()));
    assert!(!world.latched());
    let shown = world.machines[0].host.shown();
    assert_eq!((shown.word, shown.unsent, shown.alarm), (Word::UpToDate, 0, false));
}

#[test]
fn a_bad_release_is_stopped_after_a_few_hosts() {
    let mut world = World::new(400, 1);
    world.ending = Box::new(|_, _| Switched::RolledBack(Code::new("handoff.exited")));
    world.run(5.0);
    assert!(world.latched());
    assert!((3..=6).contains(&world.started.len()), "{}", world.started.len());
    let latch: Latch = serde_json::from_slice(&world.store.peek(&names().latch("r-1", 0)).unwrap()).unwrap();
    assert!(matches!(latch.why, Some(Halt::Share { bad: 3.., .. })), "{latch:?}");
    let rollup = world.rollup().unwrap();
    assert_eq!(rollup.bad.len(), world.started.len());
    assert_eq!(rollup.bad[0].code.as_str(), "handoff.exited");
}

#[test]
fn hosts_that_fall_silent_stop_it_as_well() {
    let mut world = World::new(400, 1);
    world.takes = 1_000_000;
    world.run(5.0);
    assert!(world.latched(), "{:?}", world.rollup());
    assert!(world.started.len() <= 6, "{}", world.started.len());
    assert_eq!(world.rollup().unwrap().bad[0].code.as_str(), "silent");
}

#[test]
fn what_was_bad_here_is_not_tried_again_before_an_operator_says_so() {
    let mut world = World::new(60, 1);
    let unlucky = world.by_position()[30];
    world.ending =
        Box::new(
            move |host, _| {
                if host == unlucky { Switched::RolledBack(Code::new("smoke.exit")) } else { Switched::Well }
            },
        );
    world.run(9.0);
    assert_eq!((world.run_it("1.1.0+abc"), world.started.len()), (59, 60));
    assert_eq!(world.machines[unlucky].host.shown().code.unwrap().as_str(), "fleet.denied");
    world.ending = Box::new(|_, _| Switched::Well);
    world.restart(unlucky);
    world.run(12.0);
    assert_eq!(world.started.len(), 60, "not after a restart either");
    world.change(|head| head.attempt = 2);
    world.run(14.0);
    assert_eq!((world.run_it("1.1.0+abc"), world.started.len()), (60, 61));
    assert_eq!(world.rollup().unwrap().total().bad, 0, "the newest try counts");
}

#[test]
fn nobody_starts_while_it_is_paused_and_everybody_goes_on_afterwards() {
    let mut world = World::new(100, 1);
    world.run(1.2);
    world.change(|head| head.state = Phase::Paused);
    world.run(1.4);
    let so_far = world.started.len();
    world.run(8.0);
    assert_eq!(world.started.len(), so_far);
    assert_eq!(world.machines[world.by_position()[99]].host.shown().code.unwrap().as_str(), "fleet.paused");
    world.change(|head| head.state = Phase::Running);
    world.run(16.0);
    assert_eq!(world.run_it("1.1.0+abc"), 100);
}

#[test]
fn a_halt_that_was_acknowledged_is_not_counted_again() {
    let mut world = World::new(400, 1);
    world.ending = Box::new(|_, _| Switched::RolledBack(Code::new("x")));
    world.run(5.0);
    let (bad, before) = (world.rollup().unwrap().total().bad, world.started.len());
    assert!(world.latched());
    world.ending = Box::new(|_, _| Switched::Well);
    world.change(|head| head.ack = Some(Ack { latches: 1, latch: "0".repeat(64), bad, stops: 0, exclude: Vec::new() }));
    world.run(6.0);
    assert!(!world.latched() && world.started.len() > before || world.by_position().len() == before);
}

#[test]
fn a_pin_keeps_a_host_where_it_is() {
    let mut world = World::new(40, 1);
    world.head.pins = vec![
        Pin { host: "h3".to_owned(), release: None },
        Pin { host: world.machines[4].me.id.to_string(), release: Some("1.2.0+def".to_owned()) },
    ];
    world.publish();
    for (host, pin) in [(5, LocalPin::Hold), (6, LocalPin::Release("9.9.9".to_owned()))] {
        world.machines[host].me.pin = Some(pin);
        world.restart(host);
    }
    world.run(9.0);
    assert_eq!(world.run_it("1.1.0+abc"), 36);
    assert_eq!(world.machines[4].runs.0, "1.2.0+def", "in its turn");
    for host in [3, 5, 6] {
        assert_eq!(world.machines[host].runs.0, "1.0.0");
        assert_eq!(world.machines[host].host.shown().code.unwrap().as_str(), "fleet.pinned");
    }
}

#[test]
fn a_way_back_needs_the_permission_of_what_runs() {
    let mut world = World::new(30, 1);
    world.run(9.0);
    assert_eq!(world.run_it("1.1.0+abc"), 30);
    let back = |world: &mut World| {
        let t0 = crate::clock::Timestamp(world.now);
        world.change(|head| {
            (head.rollout, head.release, head.t0) = (format!("back-{}", head.seq), "1.0.0".to_owned(), t0);
            let step = |pct: f64| Step { pct, not_before: None, ramp_s: 1200, bake_s: 300, manual: false };
            head.steps = vec![step(10.0), step(50.0), step(100.0)];
        });
    };
    world.releases.get_mut("1.1.0+abc").unwrap().1.as_mut().unwrap().rollback_to = vec![Version::new(0, 9, 0)];
    back(&mut world);
    world.run(14.0);
    assert_eq!(world.run_it("1.1.0+abc"), 30);
    assert_eq!(world.machines[0].host.shown().code.unwrap().as_str(), "fleet.no_way_back");
    // Listed, and the fastest of all schedules will do although the release's own bounds are slower.
    world.releases.get_mut("1.1.0+abc").unwrap().1 = Some(bounds());
    for host in 0..30 {
        world.restart(host);
    }
    back(&mut world);
    world.run(24.0);
    assert_eq!(world.run_it("1.0.0"), 30);
}

#[test]
fn a_host_switches_within_its_windows() {
    let mut world = World::new(30, 1);
    // The sample begins at 08:00.
    world.head.windows = vec![Window {
        days: Vec::new(),
        start: "22:00".to_owned(),
        end: "23:00".to_owned(),
        labels: std::collections::BTreeMap::new(),
        until: None,
    }];
    world.publish();
    world.run(64.0);
    assert_eq!(world.run_it("1.1.0+abc"), 30);
    for started in &world.started {
        let of_day = started.at % 86_400;
        assert!((22 * 3600..23 * 3600).contains(&of_day), "{of_day}");
    }
}

#[test]
fn a_newer_rollout_takes_the_place_of_the_one_before() {
    for supersede in [Supersede::Jump, Supersede::Wait] {
        let mut world = World::new(60, 1);
        world.run(1.8);
        let unfinished = world.by_position()[5];
        // In the middle of a switch its supervisor is stopped.
        while world.machines[unfinished].switching.is_none() && world.hours() < 4.0 {
            let next = world.hours() + 0.02;
            world.run(next);
        }
        world.restart(unfinished);
        let t0 = crate::clock::Timestamp(world.now);
        world.change(|head| {
            (head.rollout, head.release, head.salt) = ("r-2".to_owned(), "1.2.0+def".to_owned(), "r2".to_owned());
            (head.t0, head.supersede) = (t0, supersede);
        });
        world.run(20.0);
        assert_eq!(world.run_it("1.2.0+def"), 60, "{supersede:?}");
        let said = world.store.keys(&names().evidence_of("r-1", "0"));
        let told =
            said.iter().any(|key| key.contains(&world.machines[unfinished].me.id.to_string()) && key.contains("-b-"));
        assert_eq!(told, supersede == Supersede::Wait, "{said:?}");
    }
}

#[test]
fn a_switch_that_was_interrupted_is_taken_up_again() {
    let mut world = World::new(30, 1);
    let (one, two) = (world.by_position()[3], world.by_position()[4]);
    for host in [one, two] {
        while world.machines[host].switching.is_none() {
            let next = world.hours() + 0.02;
            world.run(next);
            assert!(next < 8.0);
        }
        // One had come to its end and nobody had said so yet; the other had not.
        if host == one {
            world.machines[host].runs = ("1.1.0+abc".to_owned(), Version::new(1, 1, 0));
        }
        world.restart(host);
    }
    world.run(9.0);
    assert_eq!(world.run_it("1.1.0+abc"), 30);
    let starts = |host| world.started.iter().filter(|started| started.host == host).count();
    assert_eq!((starts(one), starts(two)), (1, 2));
    assert_eq!(world.rollup().unwrap().total().ok, 30);
}

#[test]
fn a_release_that_kills_its_machine_is_started_three_times_and_then_reported() {
    let mut world = World::new(30, 1);
    let unlucky = world.by_position()[3];
    while world.hours() < 9.0 {
        let next = world.hours() + 0.02;
        world.run(next);
        if world.machines[unlucky].switching.is_some() {
            world.restart(unlucky);
        }
    }
    assert_eq!(world.run_it("1.1.0+abc"), 29);
    assert_eq!(world.started.iter().filter(|started| started.host == unlucky).count(), 3);
    let bad = world.rollup().unwrap().bad;
    assert_eq!(bad.iter().map(|bad| bad.code.as_str()).collect::<Vec<_>>(), ["fleet.interrupted"]);
}

#[test]
fn an_end_that_somebody_is_left_to_tell_is_no_death() {
    let mut world = World::new(30, 1);
    let unlucky = world.by_position()[3];
    world.ending = Box::new(move |host, _| if host == unlucky { Switched::Interrupted } else { Switched::Well });
    world.run(9.0);
    assert!(world.started.iter().filter(|started| started.host == unlucky).count() > 3);
    assert_eq!(world.rollup().unwrap().total().bad, 0);
}

#[test]
fn the_first_poll_and_the_others_are_spread_and_a_host_is_small() {
    let mut world = World::new(1000, 0);
    let wakes = |world: &World, of: std::ops::Range<u64>| {
        world.machines.iter().filter(|machine| of.contains(&(machine.wakes - world.head.t0.0))).count()
    };
    world.head.state = Phase::Paused;
    world.publish();
    world.run(0.0);
    // 900 s without a head; tenths of it.
    for tenth in 0..10 {
        let there = wakes(&world, tenth * 90..tenth * 90 + 90);
        assert!((60..=140).contains(&there), "{tenth}: {there}");
    }
    world.run(0.251);
    let next = wakes(&world, 0..100_000);
    assert_eq!(next, 1000);
    let (least, most) = (0.9 * 1800.0, 1.1 * 1800.0 + 900.0);
    assert!(world.machines.iter().all(|machine| {
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let at = (machine.wakes - world.head.t0.0) as f64;
        (least..=most).contains(&at)
    }));
    let size = std::mem::size_of::<Host>();
    assert!(size <= 720, "{size} bytes");
}

#[test]
fn a_host_says_from_time_to_time_that_it_is_there() {
    let mut world = World::new(0, 0);
    let id = crate::fleet::HostId::named("web-1");
    world.add(
        crate::fleet::Me { boot: "b".to_owned(), name: Some("web-1".to_owned()), ..crate::fleet::Me::new(id, names()) },
        0,
    );
    world.run(1.0);
    let key = names().inventory("0", id);
    let said =
        || serde_json::from_slice::<crate::fleet::inventory::Inventory>(&world.store.peek(&key).unwrap()).unwrap();
    assert_eq!((said().version.as_deref(), said().name.as_deref()), (Some("1.0.0"), Some("web-1")));
    let before = said().at;
    world.run(30.0);
    let again = serde_json::from_slice::<crate::fleet::inventory::Inventory>(&world.store.peek(&key).unwrap()).unwrap();
    assert!(again.at > before && again.at.0 - before.0 > 20 * 3600);
}

#[test]
fn an_operator_on_a_host_stops_the_rollout() {
    let mut world = World::new(100, 1);
    world.run(1.6);
    assert!(world.machines[7].host.stop(Code::new("operator")));
    world.poke(7);
    world.run(1.7);
    assert!(world.latched());
    let so_far = world.started.len();
    world.run(9.0);
    assert_eq!(world.started.len(), so_far);
    assert_eq!(world.rollup().unwrap().stops, 1);
}

#[test]
fn hosts_that_have_it_are_well_although_only_a_sample_says_so() {
    let mut world = World::new(400, 1);
    world.head.ok_sample = 0.2;
    world.publish();
    world.run(9.0);
    assert_eq!(world.run_it("1.1.0+abc"), 400);
    let said = world.store.keys(&names().evidence_of("r-1", "0")).iter().filter(|key| key.ends_with("-o")).count();
    assert!((40..=130).contains(&said), "{said}");
    assert_eq!(world.rollup().unwrap().total().ok, 400, "the others are taken to be as well");
}

#[test]
fn the_way_back_of_a_few_goes_on_though_most_run_the_release_already() {
    let mut world = World::new(60, 1);
    // Paused in the second step: a few have the new release.
    world.run(3.0);
    world.change(|head| head.state = Phase::Paused);
    world.run(4.0);
    let few = world.run_it("1.1.0+abc");
    assert!((1..20).contains(&few), "{few}");
    let t0 = crate::clock::Timestamp(world.now);
    world.change(|head| {
        (head.rollout, head.release, head.t0, head.state) =
            ("back-1".to_owned(), "1.0.0".to_owned(), t0, Phase::Running);
        let step = |pct: f64| Step { pct, not_before: None, ramp_s: 1200, bake_s: 300, manual: false };
        head.steps = vec![step(10.0), step(50.0), step(100.0)];
    });
    world.run(10.0);
    assert_eq!(world.run_it("1.0.0"), 60);
    let rollup = world.rollup().unwrap();
    assert_eq!((rollup.total().started, rollup.total().ok), (60, 60), "those that had it all along say so, once");
}
