//! The arithmetic of the benchmarks' report, and the lines it reads.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "they are those of a benchmark")]
#![allow(dead_code, reason = "a part of what benchmarks share")]

#[path = "../benches/support/figure.rs"]
mod figure;
#[path = "../benches/report/stats.rs"]
mod stats;

use figure::{Curve, Entry, Figure, Missing};
use stats::{Spread, growth, met, ratios, tame};

fn figure(ours: &[f64], peers: &[f64]) -> Figure {
    Figure::new("download", "a download", "s", ours.to_vec()).against("curl", peers.to_vec())
}

fn curve(points: &[(f64, f64)]) -> Curve {
    let points = points.iter().map(|(at, cost)| (*at, vec![*cost])).collect();
    let text = str::to_owned;
    let (bench, what, unit, along) = (text("growth"), text("a start"), text("ms"), text("listeners"));
    Curve { bench, what, unit, along, points, exponent: 1.1, times: None }
}

#[test]
fn a_ratio_is_of_the_same_round_and_a_goal_of_the_middle() {
    let slow_round = figure(&[1.0, 30.0, 3.0], &[2.0, 30.0, 6.0]);
    assert_eq!(ratios(&slow_round), Some(Spread { least: 0.5, middle: 0.5, most: 1.0 }));
    let fewer = figure(&[2.0, 4.0], &[1.0, 2.0, 9.0]);
    assert_eq!(ratios(&fewer), Some(Spread { least: 1.0, middle: 1.5, most: 2.0 }));
    assert_eq!((met(&slow_round), met(&slow_round.clone().at_most(0.5))), (None, Some(true)));
    assert_eq!((met(&fewer.clone().at_most(1.4)), met(&fewer.at_least(1.4))), (Some(false), Some(true)));
    // Without a peer the figure itself is judged; of nothing nothing is said.
    assert_eq!(met(&Figure::new("handoff", "requests lost", "", vec![0.0]).at_most(0.0)), Some(true));
    assert_eq!(met(&Figure::new("handoff", "requests lost", "", vec![]).at_most(0.0)), None);
    assert_eq!(ratios(&figure(&[1.0], &[])), None);
}

#[test]
fn an_exponent_is_that_of_the_growth() {
    let powers = |power: i32| curve(&[1.0, 4.0, 16.0, 64.0].map(|at: f64| (at, 3.0 * at.powi(power))));
    for power in [0, 1, 2] {
        let grown = growth(&powers(power)).unwrap();
        assert!((grown.all - f64::from(power)).abs() < 1e-9 && (grown.upper - grown.all).abs() < 1e-9, "{grown:?}");
    }
    assert_eq!((tame(&powers(1)), tame(&powers(2))), (Some(true), Some(false)));
    // A fixed cost hides a square in the whole and not in the upper half.
    let hidden = growth(&curve(&[1.0, 10.0, 100.0, 1000.0, 10_000.0].map(|at| (at, 1e5 + at * at)))).unwrap();
    assert!(hidden.all < 0.75 && hidden.upper > 1.2, "{hidden:?}");
    // Something that should not grow and does.
    let twice = |last| Curve { times: Some(2.0), ..curve(&[(0.0, 1.0), (100.0, 1.0), (10_000.0, last)]) };
    assert_eq!((tame(&twice(1.9)), tame(&twice(2.1))), (Some(true), Some(false)));
}

#[test]
fn each_line_of_results_is_read_as_what_it_was_written_as() {
    let figure = figure(&[1.0], &[2.0]).at_most(1.0);
    let line = serde_json::to_string(&Entry::Figure(figure)).unwrap();
    let written = r#"{"bench":"download","what":"a download","unit":"s","peer":"curl","ours":[1.0],"peers":[2.0],"goal":{"at_most":1.0}}"#;
    assert_eq!(line, written);
    assert!(matches!(serde_json::from_str(&line).unwrap(), Entry::Figure(_)));
    let line = serde_json::to_string(&Entry::Curve(curve(&[(0.0, 1.0)]))).unwrap();
    assert!(matches!(serde_json::from_str(&line).unwrap(), Entry::Curve(_)), "{line}");
    let text = str::to_owned;
    let missing = Missing { bench: text("s3"), missing: text("rclone"), why: text("it is not here") };
    let line = serde_json::to_string(&Entry::Missing(missing)).unwrap();
    assert!(matches!(serde_json::from_str(&line).unwrap(), Entry::Missing(_)), "{line}");
}
