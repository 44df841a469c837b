//! What has to be true of rollouts, on a slice that takes seconds. `benches/fleet.rs` has the rest.

use super::*;

fn hit(outcome: &Outcome) -> u64 {
    outcome.started + outcome.started_after
}

fn is_clean(outcome: &Outcome) -> bool {
    outcome.spun == 0 && outcome.overcommitted == 0 && outcome.latches == 0
}

#[test]
fn a_good_release_reaches_every_host_evenly_and_costs_what_the_formula_says() {
    for seed in 0..2 {
        let case = Case { base_failures: 0.002, ..Case::new("good", 1000).plan(Plan::Fast) };
        let outcome = run(&case, seed);
        assert!(outcome.ended == Ended::Done && is_clean(&outcome) && hit(&outcome) == 1000, "{outcome:?}");
        assert!(!outcome.spread.is_empty());
        for spread in &outcome.spread {
            assert!(spread.distance < spread.chance, "{spread:?}");
        }
        let cost = outcome.cost;
        assert!((cost.rollout / cost.formula - 1.0).abs() < 0.1, "{cost:?}");
        assert!((cost.month / cost.month_formula - 1.0).abs() < 0.1, "{cost:?}");
    }
}

#[test]
fn starts_of_a_step_are_even() {
    // What hosts learn late shows most where a ramp is shorter than a poll.
    let case = Case { polls: Polls::Skip, poll_s: 900, ..Case::new("good", 2500).plan(Plan::Emergency) };
    let outcome = run(&case, 1);
    assert_eq!((outcome.ended, outcome.spread.len()), (Ended::Done, 3), "{outcome:?}");
    for spread in &outcome.spread {
        assert!(spread.distance < spread.chance, "{spread:?}");
    }
    // What it costs not to be told before.
    let sudden = run(&Case { announced: false, ..case }, 1);
    assert!(sudden.spread[0].distance > sudden.spread[0].chance, "{:?}", sudden.spread);
}

#[test]
fn counting_polls_gives_what_running_them_gives() {
    let case = Case::new("good", 1000).plan(Plan::Emergency);
    let counted = run(&case, 3);
    let asked = run(&Case { polls: Polls::Run, ..case }, 3);
    assert!(counted == asked, "{counted:?} {asked:?}");
    // Steps that are watched for less than a switch takes open late, and their hosts poll every minute until then.
    assert!((counted.cost.rollout / counted.cost.formula - 1.0).abs() < 0.1, "{:?}", counted.cost);
    assert!(counted.requests.get > 1000 && counted.curves.requests.iter().any(|(_, rate)| *rate > 1.0));
}

#[test]
fn a_small_fleet_is_neither_held_nor_halted_by_a_good_release() {
    for seed in 0..10 {
        let case = Case { polls: Polls::Skip, base_failures: 0.002, ..Case::new("good", 300) };
        let outcome = run(&case, seed);
        assert!(outcome.ended == Ended::Done && is_clean(&outcome), "{seed} {outcome:?}");
    }
}

#[test]
fn a_bad_release_is_stopped_on_one_host_of_thousands() {
    let case = Case { polls: Polls::Skip, ..Case::new("bad", 100_000).bad(Badness::Instant, 1.0) };
    let outcome = run(&case, 1);
    assert!(outcome.ended == Ended::Halted && is_clean(&outcome), "{outcome:?}");
    assert!(hit(&outcome) <= 50, "0.05 %: {outcome:?}");
    assert_eq!(outcome.started_after, 0, "{outcome:?}");
}

#[test]
fn a_release_that_fails_late_is_stopped_within_the_first_step() {
    let case = Case { polls: Polls::Skip, ..Case::new("late", 100_000).bad(Badness::Late, 0.1) };
    let outcome = run(&case, 1);
    assert!(outcome.ended == Ended::Halted && is_clean(&outcome), "{outcome:?}");
    assert!(hit(&outcome) <= 900, "0.9 %: {outcome:?}");
}

#[test]
fn a_release_that_kills_its_hosts_without_a_word_is_stopped_as_well() {
    let case = Case { polls: Polls::Skip, ..Case::new("silent", 10_000).bad(Badness::Silent, 1.0) };
    let outcome = run(&case, 1);
    assert!(outcome.ended == Ended::Halted && hit(&outcome) <= 100, "{outcome:?}");
}

#[test]
fn leases_have_one_holder_each_and_the_bucket_may_lose_answers() {
    let case = Case {
        slots: Some(3),
        bucket: Bucket::Lossy,
        switch_s: 60,
        watch_s: 60,
        ..Case::new("leases", 100).plan(Plan::Fast)
    };
    let outcome = run(&case, 5);
    assert!(outcome.ended == Ended::Done && is_clean(&outcome) && hit(&outcome) == 100, "{outcome:?}");
}

#[test]
fn no_steward_no_progress() {
    let mut case = Case { polls: Polls::Skip, ..Case::new("nobody counts", 300).plan(Plan::OneStep) };
    case.stewards.many = 0;
    let outcome = run(&case, 2);
    // Ten minutes of an hour, and who was on the way.
    assert!(outcome.ended == Ended::Held && (10..90).contains(&hit(&outcome)), "{outcome:?}");
}

#[test]
fn the_plans_are_those_of_an_operator() {
    for plan in [Plan::Default, Plan::Fast, Plan::Emergency] {
        let named = crate::rollout::profile::Plan::named(plan.name()).map(|named| named.steps);
        assert_eq!(named, Some(plan.steps()), "{}", plan.name());
    }
}

#[test]
fn a_report_can_be_read_without_anything_else() {
    let rows = [Row::run(&Case::new("good & <small>", 40).plan(Plan::Emergency), 0, 2)];
    let (page, plots, table) = (report::html(&rows), report::svg(&rows), report::table(&rows));
    assert!(
        page.contains("good &amp; &lt;small&gt;")
            && !page.contains("<small>")
            && !page.contains("http://www.w3.org/1999")
    );
    assert!(plots.starts_with("<svg ") && plots.contains("polyline"));
    assert!(table.lines().count() == 2 && table.contains("100.000 %"), "{table}");
}
