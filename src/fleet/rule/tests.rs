use std::time::Duration;

use super::*;
use crate::fleet::plan::{Ack, Step};
use crate::fleet::sample::{T0, head, ring};

fn at(hours: f64) -> Timestamp {
    T0.plus(Duration::from_secs_f64(hours * 3600.0))
}

fn counts(started: u64, ok: u64, bad: u64, overdue: u64) -> Count {
    Count { started, ok, bad, overdue, ..Count::default() }
}

fn rollup(steps: &[Count]) -> Rollup {
    let mut rollup = Rollup::empty("r-1", 1, String::new(), T0, &[3]);
    rollup.rings[0][..steps.len()].copy_from_slice(steps);
    rollup
}

/// One and a half polls of five minutes, in hours: what hosts need to see that a step has passed.
const LOOKS: f64 = 0.125;

const FIRST: Place = Place { ring: 0, step: 0 };
const SECOND: Place = Place { ring: 0, step: 1 };

#[test]
fn hosts_of_a_step_are_spread_over_its_ramp_and_not_at_its_end() {
    let head = head();
    let labels = BTreeMap::new();
    let mut within: Vec<f64> = (0..20_000)
        .filter_map(|n| turn(&head, HostId::named(&format!("h{n}")), None, &labels))
        .filter(|turn| turn.place == SECOND)
        .map(|turn| turn.within)
        .collect();
    within.sort_by(f64::total_cmp);
    let hosts = within.len();
    assert!((1500..2100).contains(&hosts), "9 % of 20 000: {hosts}");
    #[allow(clippy::cast_precision_loss, reason = "small")]
    let apart = within.iter().enumerate().map(|(n, at)| (at - n as f64 / hosts as f64).abs()).fold(0.0, f64::max);
    #[allow(clippy::cast_precision_loss, reason = "small")]
    let limit = 1.95 / (hosts as f64).sqrt();
    assert!(apart < limit, "{apart} {limit}");
}

#[test]
fn a_step_opens_when_the_one_before_has_passed_and_never_before_its_time() {
    let head = head();
    assert_eq!(opens(&head, None, FIRST), Some(T0));
    assert_eq!(opens(&head, None, SECOND), None);
    let mut known = rollup(&[counts(10, 10, 0, 0)]);
    assert_eq!(opens(&head, Some(&known), SECOND), None);
    // Somebody says that it has passed at once: the signed schedule holds.
    known.rings[0][0].passed_at = Some(T0);
    assert_eq!(opens(&head, Some(&known), SECOND), Some(at(1.5 + LOOKS)));
    known.rings[0][0].passed_at = Some(at(4.0));
    assert_eq!(opens(&head, Some(&known), SECOND), Some(at(4.0 + LOOKS)));
    let half = Turn { place: SECOND, within: 0.5 };
    assert_eq!(starts(&head, Some(&known), half), Some(at(4.5 + LOOKS)));
}

#[test]
fn a_ring_waits_for_the_one_before_and_its_delay() {
    let mut head = head();
    head.rings = vec![ring("canary", 5), ring("all", 1000)];
    let once = Step { pct: 100.0, not_before: None, ramp_s: 600, bake_s: 3000, manual: false };
    head.rings[0].steps = Some(vec![once]);
    head.rings[1].delay_s = 7200;
    let second = Place { ring: 1, step: 0 };
    assert_eq!((floor(&head, 0, 0), floor(&head, 1, 0), floor(&head, 1, 1)), (T0, at(3.0), at(4.5 + LOOKS)));
    assert_eq!((before(&head, second), after(&head, FIRST)), (Some(FIRST), Some(second)));
    assert_eq!(places(&head).count(), 4);
    let mut known = Rollup::empty("r-1", 1, String::new(), T0, &[1, 3]);
    assert_eq!(opens(&head, Some(&known), second), None);
    known.rings[0][0].passed_at = Some(at(2.0));
    assert_eq!(opens(&head, Some(&known), second), Some(at(4.0)));
    head.rings[1].delay_s = 0;
    assert_eq!(opens(&head, Some(&known), second), Some(at(2.0 + LOOKS)), "its hosts have to look all the same");
}

#[test]
fn a_manual_step_waits_for_an_operator_and_one_that_was_promoted_for_nothing_but_its_time() {
    let mut head = head();
    head.steps[1].manual = true;
    let mut known = rollup(&[counts(10, 10, 0, 0)]);
    known.rings[0][0].passed_at = Some(at(1.5));
    assert_eq!(opens(&head, Some(&known), SECOND), None);
    head.promoted = Some(SECOND);
    assert_eq!(opens(&head, None, SECOND), Some(at(1.5)));
}

#[test]
fn a_good_release_is_not_stopped_by_its_early_failures() {
    let head = head();
    // Three of a hundred finished ones are bad, and a thousand have started.
    assert_eq!(halts(&head, &rollup(&[counts(1000, 97, 3, 0)])), None);
    assert_eq!(halts(&head, &rollup(&[counts(100, 0, 2, 0)])), None, "two are never enough");
    assert_eq!(halts(&head, &rollup(&[counts(100, 0, 3, 0)])), Some(Halt::Share { bad: 3, started: 100 }));
    assert_eq!(halts(&head, &rollup(&[counts(100, 0, 1, 2)])), Some(Halt::Share { bad: 3, started: 100 }));
    assert_eq!(halts(&head, &rollup(&[counts(100_000, 0, 500, 0)])), Some(Halt::Many { bad: 500 }));
}

#[test]
fn invented_hosts_make_no_share_small() {
    let mut head = head();
    let many = |bad| rollup(&[counts(1_000_000, 0, bad, 0)]);
    assert_eq!(halts(&head, &many(40)), None, "2 % of twice the thousand that the plan knows of");
    assert_eq!(halts(&head, &many(41)), Some(Halt::Share { bad: 41, started: 2000 }));
    head.rings[0].hosts = 0;
    assert_eq!(halts(&head, &many(41)), None, "nobody has said how many there are");
}

#[test]
fn one_bad_canary_stops_a_rollout_and_what_was_acknowledged_does_not_count() {
    let mut head = head();
    head.rings[0].name = "canary".to_owned();
    let known = rollup(&[counts(50, 40, 1, 0)]);
    assert_eq!(halts(&head, &known), Some(Halt::Canary { bad: 1 }));
    head.ack = Some(Ack { latches: 1, latch: "0".repeat(64), bad: 1, stops: 0, exclude: Vec::new() });
    assert_eq!(halts(&head, &known), None);
    assert_eq!(halts(&head, &rollup(&[counts(50, 40, 2, 0)])), Some(Halt::Canary { bad: 1 }));
}

#[test]
fn a_stop_after_an_acknowledgement_stops_the_rollout_again() {
    let mut head = head();
    let stops = |stops| Rollup { stops, ..rollup(&[counts(50, 40, 0, 0)]) };
    assert_eq!(halts(&head, &stops(1)), Some(Halt::Stop));
    let ack = Ack { latches: 1, latch: "0".repeat(64), bad: 0, stops: 1, exclude: Vec::new() };
    head.ack = Some(ack.clone());
    assert_eq!(halts(&head, &stops(1)), None, "it was seen");
    assert_eq!(halts(&head, &stops(2)), Some(Halt::Stop), "that is another");
    head.ack = Some(Ack { stops: 0, ..ack });
    assert_eq!(halts(&head, &stops(1)), Some(Halt::Stop), "what was acknowledged was bad hosts");
}

#[test]
fn a_step_passes_when_it_was_watched_and_enough_of_it_are_well() {
    let head = head();
    let end = at(1.5);
    let verdict = |count| passed(&head, &rollup(&[count]), FIRST, end);
    assert_eq!(passed(&head, &rollup(&[counts(10, 10, 0, 0)]), FIRST, at(1.4)), Err(NotPassed::Bakes { until: end }));
    assert_eq!(verdict(counts(10, 10, 0, 0)), Ok(()));
    assert_eq!(verdict(counts(3, 3, 0, 0)), Err(NotPassed::Few { started: 3, needed: 4 }));
    assert_eq!(verdict(counts(10, 9, 1, 0)), Ok(()), "one of few is no rate");
    assert_eq!(verdict(counts(10, 8, 2, 0)), Err(NotPassed::Unwell { ok: 8, started: 10 }));
    assert_eq!(verdict(counts(200, 180, 3, 0)), Err(NotPassed::Unwell { ok: 180, started: 200 }));
    assert_eq!(verdict(counts(100, 90, 10, 0)), Err(NotPassed::Halts));
    assert_eq!(passed(&head, &rollup(&[]), SECOND, end), Err(NotPassed::Closed));
}

#[test]
fn a_small_step_waits_for_somebody_and_not_for_ever() {
    let mut head = head();
    head.rings[0].hosts = 100;
    assert_eq!(expected(&head, FIRST), 1);
    let deadline = Timestamp(at(1.5).0 + head.gate.deadline_s);
    let verdict = |count, now| passed(&head, &rollup(&[count]), FIRST, now);
    let nobody = Err(NotPassed::Few { started: 0, needed: 1 });
    assert_eq!(verdict(counts(0, 0, 0, 0), at(1.5)), nobody);
    assert_eq!(verdict(counts(0, 0, 0, 0), Timestamp(deadline.0 - 1)), nobody);
    assert_eq!(verdict(counts(0, 0, 0, 0), deadline), Ok(()), "its host is off, or there is none");
    assert_eq!(verdict(counts(1, 1, 0, 0), at(1.5)), Ok(()));
    // Somebody has it, and nobody is known to be well: that is no progress, however long it takes.
    for bad in [counts(1, 0, 0, 0), counts(1, 0, 1, 0), counts(1, 0, 0, 1)] {
        assert_eq!(verdict(bad, at(9.0)), Err(NotPassed::Unwell { ok: 0, started: 1 }));
    }
    // Another step of few, and one of them fails: those before are well.
    let second = rollup(&[Count { passed_at: Some(at(1.5)), ..counts(1, 1, 0, 0) }, counts(4, 3, 1, 0)]);
    assert_eq!(passed(&head, &second, SECOND, at(9.0)), Ok(()));
}

#[test]
fn a_large_step_waits_for_its_hosts_however_long_it_takes() {
    let mut head = head();
    head.rings[0].hosts = 10_000;
    let few = passed(&head, &rollup(&[counts(4, 4, 0, 0)]), FIRST, at(100.0));
    assert_eq!(few, Err(NotPassed::Few { started: 4, needed: 5 }));
}

#[test]
fn a_window_says_when_it_opens() {
    let window = |days: &str, start: &str, end: &str| Window {
        days: serde_json::from_str(days).unwrap(),
        start: start.to_owned(),
        end: end.to_owned(),
        labels: BTreeMap::new(),
        until: None,
    };
    let no = BTreeMap::new();
    // 2027-01-15, a Friday, 08:00.
    let now = T0;
    assert_eq!(now.to_string(), "2027-01-15T08:00:00Z");
    let hours = |hours: u64| T0.plus(Duration::from_secs(hours * 3600));
    assert_eq!(super::window(&[], &no, now), Ok(()));
    assert_eq!(super::window(&[window("[]", "07:00", "09:00")], &no, now), Ok(()));
    assert_eq!(super::window(&[window("[]", "09:00", "10:00")], &no, now), Err(hours(1)));
    assert_eq!(super::window(&[window(r#"["fri"]"#, "07:00", "08:00")], &no, now), Err(hours(7 * 24 - 1)));
    assert_eq!(super::window(&[window(r#"["thu"]"#, "22:00", "09:00")], &no, now), Ok(()), "past midnight");
    assert_eq!(super::window(&[window(r#"["fri"]"#, "22:00", "09:00")], &no, now), Err(hours(14)));
}
