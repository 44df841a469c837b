//! What has to be true of rollouts, on a slice that takes seconds. `benches/fleet.rs` has the rest.

use super::*;

fn hit(outcome: &Outcome) -> u64 {
    outcome.started + outcome.started_after
}

#[test]
fn a_good_release_reaches_every_host() {
    for seed in 0..2 {
        let outcome = run(&Case::new("good", 200).plan(Plan::Fast), seed);
        println!("{outcome:?}");
        assert_eq!((outcome.ended, outcome.spun, outcome.overcommitted), (Ended::Done, 0, 0), "{outcome:?}");
        assert_eq!(hit(&outcome), 200);
    }
}

#[test]
fn counting_polls_gives_what_running_them_gives() {
    let case = Case::new("good", 1000).plan(Plan::Fast);
    let counted = run(&case, 3);
    let asked = run(&Case { polls: Polls::Run, ..case }, 3);
    assert_eq!(counted, asked);
}
