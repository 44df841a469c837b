//! Every file of the fuzzer's corpus goes through the function it was found with: what was once a
//! crash, or only hard to reach, is tried by each `cargo test`, without nightly and without the fuzzer.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test fuzz_corpus` writes the seeds; what the fuzzer adds to them comes from
//! `fuzz/run`.

#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

#[path = "../../delta/tests/fuzz_corpus/corpus.rs"]
mod corpus;
mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use corpus::files;
use fetchd::fuzz::TARGETS;

/// What the repository carries of each file, and of all of them.
const LARGEST: u64 = 64 * 1024;
const ALL: u64 = 3 << 20;

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    corpus::keep_the_promises(&TARGETS, &directory("corpus"));
}

#[test]
fn the_seeds_are_written_and_say_what_they_should() {
    corpus::seeds_are_written(&TARGETS, &directory("corpus"), seeds::of);
}

#[test]
fn each_target_has_its_program_and_its_corpus_and_no_other_exists() {
    let targets: BTreeSet<String> = TARGETS.into_iter().map(|(name, _)| name.to_owned()).collect();
    let stems = |dir: &str| -> BTreeSet<String> {
        files(&directory(dir)).iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(stems("fuzz_targets"), targets);
    assert_eq!(stems("corpus"), targets);
    let manifest = fs::read_to_string(directory("Cargo.toml")).unwrap();
    let script = fs::read_to_string(directory("run")).unwrap();
    for target in &targets {
        assert!(manifest.contains(&format!("\nname = \"{target}\"\n")), "`{target}` is not in fuzz/Cargo.toml");
        assert!(script.contains(&format!("\n    [{target}]=")), "`{target}` has no length in fuzz/run");
    }
}

#[test]
fn the_corpus_stays_small() {
    let sizes = TARGETS.into_iter().flat_map(|(name, _)| files(&directory("corpus").join(name))).map(|path| {
        let size = path.metadata().unwrap().len();
        assert!(size <= LARGEST, "{}: {size} bytes", path.display());
        size
    });
    let all: u64 = sizes.sum();
    assert!(all <= ALL, "the corpus takes {all} bytes, {ALL} are the most");
}
