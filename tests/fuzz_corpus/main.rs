//! Every file of the fuzzer's corpus goes through the function it was found with: what was once a
//! crash, or only hard to reach, is tried by each `cargo test`, without nightly and without the fuzzer.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test fuzz_corpus` writes the seeds; what the fuzzer adds to them comes from
//! `fuzz/run`.

#![cfg(debug_assertions)]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fetchd::fuzz::TARGETS;

/// Fewer files than this, and somebody has lost some.
const FEWEST: usize = 12;
/// What the repository carries of each file, and of all of them.
const LARGEST: u64 = 64 * 1024;
const ALL: u64 = 3 << 20;

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn every_file_of_the_corpus_keeps_the_promises() {
    let mut broken = Vec::new();
    for (name, target) in TARGETS {
        let files = files(&directory("corpus").join(name));
        assert!(files.len() >= FEWEST, "`{name}` has {} files, {FEWEST} are the least", files.len());
        let (mut taken, mut refused) = (0, 0);
        for file in &files {
            let bytes = fs::read(file).unwrap();
            match catch_unwind(|| target(&bytes)) {
                Ok(true) => taken += 1,
                Ok(false) => refused += 1,
                Err(_) => broken.push(file.clone()),
            }
        }
        // A corpus that is refused as a whole tests the first line of a parser.
        assert!(taken >= 2 && refused >= 2, "`{name}`: {taken} files are taken and {refused} refused");
    }
    assert!(broken.is_empty(), "these break a promise: {broken:#?}");
}

#[test]
fn the_seeds_are_written_and_say_what_they_should() {
    let mut wrong = Vec::new();
    for (name, target) in TARGETS {
        let dir = directory("corpus").join(name);
        let mut names = BTreeSet::new();
        for seed in seeds::of(name) {
            assert!(names.insert(seed.name), "two seeds of `{name}` are called {}", seed.name);
            let path = dir.join(format!("seed-{}", seed.name));
            if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
                fs::create_dir_all(&dir).unwrap();
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
    assert!(wrong.is_empty(), "{wrong:#?}\nUPDATE_SNAPSHOTS=1 cargo test --test fuzz_corpus writes the seeds");
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
