//! The deltas of real releases are no larger than their budget: a slice of what `--bench budget` measures.
//!
//! `tests/all` gets the wheels; this fails without them.

use fetchd_delta::{Format, Limits, Options};

#[path = "../benches/budget/releases.rs"]
mod releases;

use releases::{Pair, Releases, wheels};

#[test]
fn small_releases_cost_no_more_than_their_budget_and_come_out_as_they_were() {
    let releases = Releases::kept();
    let slice: Vec<&Pair> = releases.pair.iter().filter(|pair| pair.in_ci).collect();
    assert!(!slice.is_empty());
    for pair in slice {
        let [old, new] = pair.programs(&wheels()).unwrap();
        // dcz is zstd's own work, which takes its time here; the bench looks at it too.
        let delta = fetchd_delta::create(&old, &new, Format::Fxd1, &Options::default()).unwrap();
        let mut out = vec![0; new.len()];
        fetchd_delta::apply(&old, &delta, &mut out, &Limits::default()).unwrap();
        assert!(out == new, "{}: another program came out", pair.name());
        let bound = pair.budget.fxd_1.unwrap() as f64 * releases.tolerance.bytes;
        assert!(delta.len() as f64 <= bound, "{}: fxd-1 takes {} bytes of {bound}", pair.name(), delta.len());
    }
}

#[test]
fn the_releases_are_many_and_of_many_kinds() {
    let releases = Releases::kept();
    assert!(releases.pair.len() >= 12);
    assert!(releases.tolerance.apply_cpu >= 1.0 && releases.tolerance.apply_memory >= 1.0);
    let of = |language, processor| {
        let alike = |pair: &&Pair| pair.language == language && pair.processor == processor;
        releases.pair.iter().filter(alike).count()
    };
    for language in ["Go", "C++", "Rust"] {
        assert!(of(language, "x86-64") >= 1 && of(language, "aarch64") >= 1, "{language}");
    }
    for pair in &releases.pair {
        assert!(pair.budget.apply_cpu > 0.0 && pair.budget.apply_memory > 0, "{}", pair.name());
        assert!(pair.budget.dcz.is_some() || !pair.in_ci, "{}", pair.name());
    }
}
