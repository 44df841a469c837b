//! Every file of the fuzzer's corpus goes through the function it was found with, and some hundred changed
//! deltas besides, without nightly and without the fuzzer.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p fetchd-delta --test fuzz_corpus` writes the seeds.

#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

mod changes;
mod seeds;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use fetchd_delta::fuzz;

type Target = fn(&[u8]) -> bool;

/// By the names of their programs in `fuzz/fuzz_targets` and of their corpora.
const TARGETS: [(&str, Target); 3] = [("delta", fuzz::delta), ("pair", fuzz::pair), ("stream", fuzz::stream)];
/// Fewer files than this, and somebody has lost some.
const FEWEST: usize = 12;
/// What the repository carries of all of them.
const ALL: u64 = 300_000;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    let mut broken = Vec::new();
    let mut size = 0;
    for (name, target) in TARGETS {
        let (mut taken, mut refused) = (0, 0);
        for file in fs::read_dir(corpus(name)).unwrap() {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            size += bytes.len() as u64;
            match catch_unwind(|| target(&bytes)) {
                Ok(true) => taken += 1,
                Ok(false) => refused += 1,
                Err(_) => broken.push(path),
            }
        }
        assert!(taken + refused >= FEWEST, "`{name}` has {taken} + {refused} files, {FEWEST} are the least");
        // A corpus that is refused as a whole tests the first line of a parser.
        assert!(taken >= 2 && refused >= 2, "`{name}`: {taken} files are taken and {refused} refused");
    }
    assert!(broken.is_empty(), "these break a promise: {broken:#?}");
    assert!(size <= ALL, "the corpus takes {size} bytes, {ALL} are the most");
}

#[test]
fn the_seeds_are_written_and_say_what_they_should() {
    let mut wrong = Vec::new();
    for (name, target) in TARGETS {
        for seed in seeds::of(name) {
            let path = corpus(name).join(format!("seed-{}", seed.name));
            if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
                fs::create_dir_all(corpus(name)).unwrap();
                fs::write(&path, &seed.bytes).unwrap();
            }
            if !path.exists() {
                wrong.push(format!("{} is missing", path.display()));
            }
            if catch_unwind(|| target(&seed.bytes)).ok() != Some(seed.taken) {
                wrong.push(format!("`{name}`, {}: taken should be {}", seed.name, seed.taken));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\nUPDATE_SNAPSHOTS=1 writes the seeds");
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
