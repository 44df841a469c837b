//! Every file of the fuzzer's corpus goes through the function it was found with, and some hundred changed
//! deltas besides, without nightly and without the fuzzer.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p fetchd-delta --test fuzz_corpus` writes the seeds.

#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

mod changes;
mod corpus;
mod seeds;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use corpus::Target;
use fetchd_delta::fuzz;

/// By the names of their programs in `fuzz/fuzz_targets` and of their corpora.
const TARGETS: [(&str, Target); 3] = [("delta", fuzz::delta), ("pair", fuzz::pair), ("stream", fuzz::stream)];
/// What the repository carries of all of them.
const ALL: u64 = 300_000;

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    corpus::keep_the_promises(&TARGETS, &home());
    let files = TARGETS.iter().flat_map(|(name, _)| corpus::files(&home().join(name)));
    let size: u64 = files.map(|path| path.metadata().unwrap().len()).sum();
    assert!(size <= ALL, "the corpus takes {size} bytes, {ALL} are the most");
}

#[test]
fn the_seeds_are_written_and_say_what_they_should() {
    corpus::seeds_are_written(&TARGETS, &home(), seeds::of);
}

/// For as long as `DELTA_FUZZ_SECONDS` says, of the target that `DELTA_FUZZ` names; otherwise one round of each.
#[test]
fn what_is_changed_keeps_the_promises() {
    let variable = |name| std::env::var(name).ok();
    let seconds = variable("DELTA_FUZZ_SECONDS").map_or(0, |text| text.parse().expect("a whole number"));
    let only = variable("DELTA_FUZZ");
    for (name, _) in TARGETS.into_iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name)) {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut all = changes::Counts::default();
        let first = if seconds == 0 { 1 } else { SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 };
        for seed in first.. {
            all.add(&changed(name, seed, if name == "pair" { 40 } else { 400 }));
            if Instant::now() >= until {
                break;
            }
            println!("{name}, seed {seed}: {all:?}");
        }
        // What is always refused tests the first line of a parser.
        assert!(all.taken > 0 && all.taken < all.tried, "`{name}`: {all:?}");
    }
}

fn changed(name: &str, seed: u64, times: u64) -> changes::Counts {
    if name == "delta" {
        return changes::run(seed, times);
    }
    let (name, target) = TARGETS.into_iter().find(|(known, _)| *known == name).expect("a target");
    changes::run_seeds(name, target, seed, times)
}
