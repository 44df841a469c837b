//! fxd-1 by its interface: what is made is restored, golden deltas are for ever, damage is an error.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fetchd_delta::{ApplyError, CreateError, Format, Limits, Options, Phase, apply, create, inspect};
use sha2::{Digest, Sha256};

/// Where the SHA-256 of the old file is in a delta.
const DIGEST: std::ops::Range<usize> = 8..40;

const PROGRAMS: [&str; 3] = ["x86-64", "x86-64-fixed", "aarch64"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/delta")
}

fn program(name: &str, which: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(format!("{name}.{which}"))).unwrap()
}

/// A sequence that is the same each time.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as usize % below.max(1)
    }
}

fn made(old: &[u8], new: &[u8]) -> Vec<u8> {
    create(old, new, Format::Fxd1, &Options { level: Some(3), ..Options::default() }).unwrap()
}

fn restored(old: &[u8], delta: &[u8], length: usize) -> Result<Vec<u8>, ApplyError> {
    let mut out = vec![0xa5; length];
    apply(old, delta, &mut out, &Limits::default()).map(|()| out)
}

#[track_caller]
fn round_trips(old: &[u8], new: &[u8]) -> usize {
    let delta = made(old, new);
    assert!(restored(old, &delta, new.len()).unwrap() == new);
    delta.len()
}

/// `delta`, as if it had been made from `old`.
fn claims(delta: &[u8], old: &[u8]) -> Vec<u8> {
    let mut delta = delta.to_vec();
    delta[DIGEST].copy_from_slice(&Sha256::digest(old));
    delta
}

#[test]
fn any_two_files_have_a_delta() {
    let mut next = numbers(1);
    let noise: Vec<u8> = (0..20_000).map(|_| next(256) as u8).collect();
    let zeros = vec![0; 30_000];
    let x86 = program("x86-64", "old");
    let arm = program("aarch64", "old");
    let files: [&[u8]; 7] = [&[], b"a", &noise, &noise[100..15_000], &zeros, &x86, &arm];
    for old in files {
        for new in files {
            round_trips(old, new);
        }
    }
}

#[test]
fn the_same_file_costs_next_to_nothing() {
    for name in PROGRAMS {
        let file = program(name, "old");
        let size = round_trips(&file, &file);
        assert!(size <= 160, "{name}: {size} bytes");
    }
}

/// Code that moved is foretold: without that each call, pointer and entry of a table would be sent.
#[test]
fn a_program_costs_a_part_of_what_its_bytes_do() {
    for name in PROGRAMS {
        let (old, new) = (program(name, "old"), program(name, "new"));
        let size = round_trips(&old, &new);
        // One byte before each makes them no programs.
        let blind = round_trips(&[b"-", &old[..]].concat(), &[b"-", &new[..]].concat());
        assert!(size < blind, "{name}: {size} bytes, as plain bytes {blind}");
    }
}

#[test]
fn edits_of_programs_are_restored() {
    let mut next = numbers(2);
    for round in 0..24 {
        let old = program(PROGRAMS[round % 3], "old");
        let mut new = program(PROGRAMS[round % 3], if round % 2 == 0 { "old" } else { "new" });
        for _ in 0..1 + next(12) {
            let at = next(new.len());
            let to = (at + next(200)).min(new.len());
            match next(4) {
                0 => new[at..to].iter_mut().for_each(|byte| *byte = next(256) as u8),
                1 => drop(new.drain(at..to)),
                2 => drop(new.splice(at..at, old[..next(300)].to_vec())),
                _ => new[at..to].rotate_left(next(to - at)),
            }
        }
        round_trips(&old, &new);
        round_trips(&new, &old);
    }
}

/// `file` with its parts in disorder, but for its headers and tables: references go everywhere.
fn shuffled(file: &[u8]) -> Vec<u8> {
    let (first, last) = (0x2c0, file.len() - 0x800);
    let mut next = numbers(5);
    let mut parts = Vec::new();
    let mut at = first;
    while at < last {
        let end = (at + 6 + next(60) + next(4) * next(90)).min(last);
        parts.push(file[at..end].to_vec());
        at = end;
    }
    for index in 1..parts.len() {
        match next(5) {
            0 => parts.swap(index - 1, index),
            1 => (0..next(9)).for_each(|_| parts[index].push(next(256) as u8)),
            2 => drop(parts[index].drain(..next(6))),
            _ => {}
        }
    }
    let mut inner = parts.concat();
    inner.resize(last - first, 0);
    [&file[..first], &inner, &file[last..]].concat()
}

/// `fixtures/delta/*.fxd` were written once. An applier that no longer restores them reads another format.
#[test]
fn golden_deltas_are_applied_for_ever() {
    for name in PROGRAMS {
        let (old, new) = (program(name, "old"), program(name, "new"));
        for (delta, new) in [(name.to_owned(), new), (format!("{name}-shuffled"), shuffled(&old))] {
            let path = fixtures().join(format!("{delta}.fxd"));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                let delta = create(&old, &new, Format::Fxd1, &Options::default()).unwrap();
                std::fs::write(&path, delta).unwrap();
            }
            let made = std::fs::read(&path).unwrap();
            assert!(restored(&old, &made, new.len()).is_ok_and(|out| out == new), "{delta}");
        }
    }
}

#[test]
fn damaged_deltas_do_no_more_than_fail() {
    let text: Vec<u8> = (0..3000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let mut edited = text.clone();
    edited.splice(500..600, *b"something else");
    edited[9000] = 1;
    let mut cases = vec![(text.clone(), made(&text, &edited), edited, 1)];
    for (name, step) in [("x86-64", 7), ("aarch64", 11)] {
        let (old, new) = (program(name, "old"), program(name, "new"));
        cases.push((old.clone(), made(&old, &new), new, step));
    }
    let mut next = numbers(3);
    for (old, delta, new, step) in cases {
        for at in (0..delta.len()).step_by(step) {
            let mut damaged = delta.clone();
            damaged[at] ^= (1 << next(8)) | if at % 3 == 0 { 0x80 } else { 0 };
            // A result is as good as an error: whoever applies it compares the digest.
            let _ = restored(&old, &damaged, new.len());
            let _ = inspect(&damaged);
            if DIGEST.contains(&at) {
                assert_eq!(restored(&old, &damaged, new.len()), Err(ApplyError::OtherOld));
            }
        }
        for length in (0..delta.len()).step_by(step * 3) {
            restored(&old, &delta[..length], new.len()).unwrap_err();
            inspect(&delta[..length]).unwrap_err();
        }
        let more = [&delta[..], b"x"].concat();
        assert!(matches!(restored(&old, &more, new.len()), Err(ApplyError::Damaged(_))));
        assert!(matches!(inspect(&more), Err(ApplyError::Damaged(_))));
    }
}

#[test]
fn damaged_old_files_do_no_more_than_fail() {
    let mut next = numbers(4);
    for name in PROGRAMS {
        let (old, new) = (program(name, "old"), program(name, "new"));
        let delta = made(&old, &new);
        let headers = old.len() - 16 * 64;
        for round in 0..150 {
            let mut other = old.clone();
            // The header, the loads, the table of sections; then anywhere.
            let at = match round % 4 {
                0 => next(64),
                1 => 64 + next(11 * 56),
                2 => headers + next(16 * 64),
                _ => next(old.len()),
            };
            for byte in &mut other[at..(at + 1 + next(4)).min(old.len())] {
                *byte = [0, 0xff, 0x7f, 0x80, next(256) as u8][next(5)];
            }
            let _ = restored(&other, &claims(&delta, &other), new.len());
            if round % 10 == 0 {
                // Made from such a file, or into one, it is restored all the same.
                round_trips(&other, &new);
                round_trips(&new, &other);
            }
        }
        restored(&old[1..], &claims(&delta, &old[1..]), new.len()).unwrap_err();
        restored(&[], &claims(&delta, &[]), new.len()).unwrap_err();
    }
}

#[test]
fn limits_hold() {
    let (old, new) = (program("x86-64", "old"), program("x86-64", "new"));
    let delta = made(&old, &new);
    let said = inspect(&delta).unwrap();
    assert_eq!(said.length, Some(new.len() as u64));
    assert_eq!(said.from.as_ref().map(|from| &from[..]), Some(&Sha256::digest(&old)[..]));
    let mut out = vec![0; new.len()];
    let mut with = |limits: Limits| apply(&old, &delta, &mut out, &limits);
    let enough = Limits { memory: said.memory, ..Limits::default() };
    assert_eq!(with(enough.clone()), Ok(()));
    let less = Limits { memory: said.memory - 1, ..enough.clone() };
    assert_eq!(with(less), Err(ApplyError::Memory { needed: said.memory, allowed: said.memory - 1 }));
    let past = Instant::now().checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(with(Limits { until: Some(past), ..enough }), Err(ApplyError::TooSlow));
    let expected = new.len() as u64 + 1;
    let says = new.len() as u64;
    assert_eq!(restored(&old, &delta, new.len() + 1), Err(ApplyError::OtherLength { says, expected }));
    assert_eq!(restored(&new, &delta, new.len()), Err(ApplyError::OtherOld));
}

#[test]
fn who_watches_can_stop_it() {
    let (old, new) = (program("x86-64", "old"), program("x86-64", "new"));
    for last in [Phase::References, Phase::Alignment, Phase::Compression, Phase::Proof] {
        let progress = |progress: fetchd_delta::Progress| progress.phase != last;
        let options = Options { level: Some(1), progress: Some(&progress) };
        assert_eq!(create(&old, &new, Format::Fxd1, &options), Err(CreateError::Stopped));
    }
}
