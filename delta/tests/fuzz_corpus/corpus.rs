//! What holds of every corpus: its files keep the promises of their target, and its seeds are those that the code writes.
//!
//! The corpora of fetchd are held to the same (`tests/fuzz_corpus`).

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// What bytes go through: it panics where a promise is broken, and says whether they were taken.
pub(crate) type Target = fn(&[u8]) -> bool;

/// Fewer files than this, and somebody has lost some.
const FEWEST: usize = 12;

/// One file of a corpus.
pub(crate) struct Seed {
    /// Its name, after `seed-`.
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Whether the target takes it for what it should be.
    pub(crate) taken: bool,
}

pub(crate) fn good(name: &'static str, bytes: impl Into<Vec<u8>>) -> Seed {
    Seed { name, bytes: bytes.into(), taken: true }
}

pub(crate) fn bad(name: &'static str, bytes: impl Into<Vec<u8>>) -> Seed {
    Seed { name, bytes: bytes.into(), taken: false }
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Every file of the corpora below `home` goes through its target.
pub(crate) fn keep_the_promises(targets: &[(&str, Target)], home: &Path) {
    let mut broken = Vec::new();
    for (name, target) in targets {
        let files = files(&home.join(name));
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

/// The seeds `of` each target are there, and taken where they should be; `UPDATE_SNAPSHOTS` writes them.
pub(crate) fn seeds_are_written(targets: &[(&str, Target)], home: &Path, of: fn(&str) -> Vec<Seed>) {
    let mut wrong = Vec::new();
    for (name, target) in targets {
        let dir = home.join(name);
        let mut names = BTreeSet::new();
        for seed in of(name) {
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
    assert!(wrong.is_empty(), "{wrong:#?}\nUPDATE_SNAPSHOTS=1 writes the seeds");
}
