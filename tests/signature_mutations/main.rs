//! Our verdicts on damaged signatures and keys beside those of two readers written by others: the crate
//! `minisign-verify`, in this process, and the program `minisign`.
//!
//! What they reject we never accept. We refuse some of what they accept, on purpose and for reasons that
//! are listed ([`strict::Reason`]): we accept exactly what they accept and none of the reasons speaks against.
//!
//! The cases come from a seed, which a failure names. `FETCHD_TEST_SEED` tries another one.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

mod mutation;
mod strict;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use fetchd::trust::{KeySet, PublicKey, blake2b512};
use mutation::{Case, Random, mutated, origins, with_comments};
use strict::{Reason, reasons};

const SEED: u64 = 0x5eed_0f5e_ed00_0004;
const CASES: usize = 16_000;
const PROCESSES: usize = 400;

fn seed() -> u64 {
    std::env::var("FETCHD_TEST_SEED").map_or(SEED, |text| text.parse().expect("a seed is a number"))
}

fn we_accept(case: &Case) -> bool {
    let Ok(key) = PublicKey::parse(&case.key) else { return false };
    let keys = KeySet::new(vec![key], 1).unwrap();
    keys.verify(&blake2b512(&case.message), &[&case.file]).is_ok()
}

fn minisign_verify_accepts(case: &Case) -> bool {
    // They have a function for either form of a key, and both leave blanks to the caller.
    let text = case.key.trim();
    let key = minisign_verify::PublicKey::decode(text).or_else(|_| minisign_verify::PublicKey::from_base64(text));
    let signature = std::str::from_utf8(&case.file).ok().and_then(|text| minisign_verify::Signature::decode(text).ok());
    matches!((key, signature), (Ok(key), Some(signature)) if key.verify(&case.message, &signature, false).is_ok())
}

/// What came of comparing.
#[derive(Debug, Default)]
struct Tally {
    both_accept: usize,
    both_refuse: usize,
    stricter: BTreeMap<Reason, usize>,
}

impl Tally {
    /// Notes a case, unless it is one that must not be.
    fn add(&mut self, case: &Case, we: bool, they: bool) -> Result<(), String> {
        let reasons = reasons(case);
        if we && !reasons.is_empty() {
            return Err(format!("we accept in spite of {reasons:?}"));
        }
        match (we, they) {
            (true, true) => self.both_accept += 1,
            (false, false) => self.both_refuse += 1,
            (true, false) => return Err("we accept what they refuse".to_owned()),
            (false, true) => {
                if reasons.is_empty() {
                    return Err("they accept, and we refuse for no listed reason".to_owned());
                }
                for reason in reasons {
                    *self.stricter.entry(reason).or_default() += 1;
                }
            }
        }
        Ok(())
    }
}

fn show(seed: u64, number: usize, case: &Case, why: &str) -> String {
    let file = case.file.escape_ascii().to_string();
    let (file, length) = (&file[..file.len().min(2000)], case.file.len());
    format!("{why}\nseed {seed}, case {number}, {:?}\nkey {:?}\n{length} bytes \"{file}\"", case.done, case.key)
}

#[test]
fn what_another_reader_rejects_is_never_accepted() {
    let seed = seed();
    let (mut random, origins, mut tally) = (Random(seed), origins(), Tally::default());
    for case in &origins {
        assert_eq!((we_accept(case), minisign_verify_accepts(case)), (!case.legacy, !case.legacy), "{:?}", case.done);
    }
    for number in 0..CASES {
        let case = mutated(&origins, &mut random);
        let (we, they) = (we_accept(&case), minisign_verify_accepts(&case));
        if let Err(why) = tally.add(&case, we, they) {
            panic!("{}", show(seed, number, &case, &why));
        }
    }
    println!("{tally:?}");
    // Mutations that are all harmless, or all fatal, show nothing.
    assert!(tally.both_accept > CASES / 100 && tally.both_refuse > CASES / 2, "{tally:?}");
    let met: Vec<Reason> = tally.stricter.keys().copied().collect();
    assert_eq!(met, Reason::OF_MINISIGN_VERIFY, "the ways in which we are stricter than minisign-verify");
}

/// Runs `minisign` in a directory of its own.
struct Minisign(tempfile::TempDir);

impl Minisign {
    fn accepts(&self, case: &Case) -> bool {
        let write = |name: &str, bytes: &[u8]| fs::write(self.0.path().join(name), bytes).unwrap();
        write("app", &case.message);
        write("app.minisig", &case.file);
        write("key.pub", case.key.as_bytes());
        // `-p` takes a file of two lines; a bare key goes with `-P`.
        let bare = !case.key.trim().contains('\n');
        let key = if bare { ["-P", case.key.trim()] } else { ["-p", "key.pub"] };
        let mut minisign = Command::new("minisign");
        minisign.args(["-q", "-Vm", "app"]).args(key).current_dir(self.0.path());
        let status = minisign.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.expect("the program `minisign` is needed on PATH: apt-get install minisign").success()
    }
}

#[test]
fn the_longest_comments_are_those_that_minisign_reads() {
    let minisign = Minisign(tempfile::tempdir().unwrap());
    for (untrusted, trusted, good) in
        [(1003, 1, true), (1004, 1, false), (1, 8173, true), (1, 8174, false), (1003, 8173, true)]
    {
        let case = with_comments(untrusted, trusted);
        assert_eq!(minisign.accepts(&case), good, "minisign: {untrusted} and {trusted} bytes");
        assert_eq!(we_accept(&case), good, "we: {untrusted} and {trusted} bytes");
    }
}

/// The same with the program itself, a process for each case. It must be installed: `apt-get install minisign`.
#[test]
fn what_minisign_rejects_is_never_accepted() {
    let seed = seed() ^ 1;
    let (mut random, origins, mut tally) = (Random(seed), origins(), Tally::default());
    let minisign = Minisign(tempfile::tempdir().unwrap());
    for case in &origins {
        assert!(minisign.accepts(case), "{:?}", case.done);
        assert_eq!(we_accept(case), !case.legacy, "{:?}", case.done);
    }
    for number in 0..PROCESSES {
        let case = mutated(&origins, &mut random);
        // An argument holds no NUL.
        if case.key.contains('\0') {
            continue;
        }
        let (we, they) = (we_accept(&case), minisign.accepts(&case));
        if let Err(why) = tally.add(&case, we, they) {
            panic!("{}", show(seed, number, &case, &why));
        }
    }
    println!("{tally:?}");
    assert!(tally.both_accept > PROCESSES / 100 && tally.both_refuse > PROCESSES / 2, "{tally:?}");
    assert!(tally.stricter.contains_key(&Reason::Legacy), "{tally:?}");
}
