use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Bytes that nothing compresses, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(length).collect()
}

/// A file, and one that has something inserted, removed and changed.
fn pair(length: usize) -> (Vec<u8>, Vec<u8>) {
    let old = noise(7, length);
    let mut new = old.clone();
    new.splice(length / 5..length / 5, noise(9, 333));
    new.drain(length / 2..length / 2 + 100);
    new[length / 3] ^= 0x55;
    (old, new)
}

fn quick() -> Options<'static> {
    Options { level: Some(3), ..Options::default() }
}

fn applied(old: &[u8], delta: &[u8], length: usize) -> Result<Vec<u8>, ApplyError> {
    let mut out = vec![0; length];
    apply(old, delta, &mut out, &Limits::default()).map(|()| out)
}

#[test]
fn what_is_made_is_applied() {
    for length in [1000, 300_000, 2_000_000] {
        let (old, new) = pair(length);
        let delta = create(&old, &new, &Options::default()).unwrap();
        assert!(delta.len() < 700 + length / 1000, "{} bytes", delta.len());
        assert_eq!(applied(&old, &delta, new.len()).unwrap(), new);
        let shown = inspect(&delta).unwrap();
        assert_eq!((shown.from.unwrap(), shown.length), (Sha256::digest(&old).into(), Some(new.len() as u64)));
    }
    for (old, new) in [(&b""[..], &b""[..]), (b"old", b""), (b"", b"new")] {
        let delta = create(old, new, &Options::default()).unwrap();
        assert_eq!(applied(old, &delta, new.len()).unwrap(), new);
    }
}

/// All of an old file is of use, also where it is longer than the new one and its window.
#[test]
fn a_short_new_file_finds_itself_at_the_beginning_of_a_long_old_one() {
    let old = noise(3, 20 << 20);
    let new = old[..1 << 20].to_vec();
    let delta = create(&old, &new, &quick()).unwrap();
    assert!(delta.len() < 2000, "{} bytes", delta.len());
    assert_eq!(applied(&old, &delta, new.len()).unwrap(), new);
}

#[test]
fn zstd_applies_what_is_made_here_and_the_other_way_round() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (old, new) = pair(9_000_000);
    let delta = create(&old, &new, &quick()).unwrap();
    for (name, bytes) in [("old", &old), ("new", &new), ("x.dcz", &delta)] {
        fs::write(path(name), bytes).unwrap();
    }
    let patch_from = format!("--patch-from={}", path("old").display());
    zstd(&["-q", "-d", "--long=31", &patch_from, "x.dcz", "-o", "out"], directory.path());
    assert_eq!(fs::read(path("out")).unwrap(), new);

    zstd(&["-q", "-3", "--long=27", &patch_from, "new", "-o", "theirs.zst"], directory.path());
    let mut theirs = Format::Dcz.magic().to_vec();
    theirs.extend_from_slice(&Sha256::digest(&old));
    theirs.extend(fs::read(path("theirs.zst")).unwrap());
    assert!(theirs.len() < 100_000);
    assert_eq!(applied(&old, &theirs, new.len()).unwrap(), new);
}

fn zstd(arguments: &[&str], directory: &Path) {
    let ran = Command::new("zstd").args(arguments).current_dir(directory).output().expect("the program zstd is there");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (old, new) = pair(50_000);
    let delta = create(&old, &new, &quick()).unwrap();
    let refused = |old: &[u8], delta: &[u8], length| applied(old, delta, length).unwrap_err();
    let expected = new.len() as u64;
    assert_eq!(refused(&new, &delta, new.len()), ApplyError::OtherOld);
    assert_eq!(
        refused(&old, &delta, new.len() + 1),
        ApplyError::OtherLength { says: expected, expected: expected + 1 }
    );
    // Before anything is decoded, which would not fit.
    assert_eq!(
        refused(&old, &delta, new.len() - 1),
        ApplyError::OtherLength { says: expected, expected: expected - 1 }
    );
    let trailing = [&delta[..], b"x"].concat();
    let twice = [&delta[..], &delta[HEADER..]].concat();
    let skippable = [&delta[..], &Format::Dcz.magic()[..], &[0; 32]].concat();
    for wrong in [&trailing, &twice, &skippable] {
        let said = refused(&old, wrong, new.len());
        assert_eq!(said, ApplyError::Damaged("its zstd frame does not end where it ends"));
    }
    assert_eq!(refused(&old, b"anything", 5), ApplyError::NotADelta);
    for cut in [8, 39, 40, 44, 45, 46, delta.len() / 2, delta.len() - 1] {
        assert!(matches!(refused(&old, &delta[..cut], new.len()), ApplyError::Damaged(_)), "{cut}");
    }
    let skips = [&delta[..HEADER], &Format::Dcz.magic()[..], &[0; 32]].concat();
    assert_eq!(refused(&old, &skips, new.len()), ApplyError::Damaged("no zstd frame follows its header"));
    let mut numbered = delta.clone();
    numbered[HEADER + 4] |= 1;
    let said = refused(&old, &numbered, new.len());
    assert_eq!(said, ApplyError::Damaged("its zstd frame names a dictionary by number"));
    let mut reserved = delta.clone();
    reserved[HEADER + 4] |= 8;
    let said = refused(&old, &reserved, new.len());
    assert_eq!(said, ApplyError::Damaged("its zstd frame has a reserved bit set"));
}

/// A frame that says nothing of its length, and decodes to more or fewer bytes than it should.
#[test]
fn the_length_of_the_output_is_not_the_frames_to_say() {
    let (old, new) = pair(50_000);
    let mut context = CCtx::create();
    context.set_parameter(CParameter::ContentSizeFlag(false)).unwrap();
    context.ref_prefix(&old).unwrap();
    let mut frame = Vec::with_capacity(new.len() + 1000);
    context.compress2(&mut frame, &new).unwrap();
    let delta = [&Format::Dcz.magic()[..], &Sha256::digest(&old)[..], &frame[..]].concat();
    assert_eq!(inspect(&delta).unwrap().length, None);
    assert_eq!(applied(&old, &delta, new.len()).unwrap(), new);
    assert!(matches!(applied(&old, &delta, new.len() - 1), Err(ApplyError::Damaged(_))));
    let (says, expected) = (new.len() as u64, new.len() as u64 + 1);
    assert_eq!(applied(&old, &delta, new.len() + 1), Err(ApplyError::OtherLength { says, expected }));
}

#[test]
fn limits_hold() {
    let (old, new) = pair(5_000_000);
    let delta = create(&old, &new, &quick()).unwrap();
    let mut out = vec![0; new.len()];
    let mut under = |limits: Limits| apply(&old, &delta, &mut out, &limits);
    let narrow = Limits { window_log: 22, ..Limits::default() };
    assert_eq!(under(narrow), Err(ApplyError::Memory { needed: new.len() as u64, allowed: 1 << 22 }));
    assert_eq!(under(Limits { window_log: 23, ..Limits::default() }), Ok(()));
    assert!(matches!(under(Limits { memory: 1000, ..Limits::default() }), Err(ApplyError::Memory { .. })));
    let past = Limits { until: Instant::now().checked_sub(std::time::Duration::from_secs(1)), ..Limits::default() };
    assert_eq!(under(past), Err(ApplyError::TooSlow));
}

/// With what was made up to then in the output, and nothing behind it.
#[test]
fn a_deadline_in_the_middle_of_decoding_ends_it_there() {
    let old = noise(5, 1 << 20);
    // Short copies from everywhere, so that decoding takes a while.
    let places = noise(6, 8 << 20);
    let place = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap()) as usize % (old.len() - 40);
    let new: Vec<u8> = places.chunks_exact(4).map(place).flat_map(|at| &old[at..at + 32]).copied().collect();
    let delta = create(&old, &new, &Options { level: Some(1), ..Options::default() }).unwrap();
    assert!(delta.len() > 100 * PIECE, "{} bytes", delta.len());
    let mut time = std::time::Duration::from_millis(1);
    loop {
        let mut out = vec![0; new.len()];
        let until = Instant::now().checked_add(time);
        let said = apply(&old, &delta, &mut out, &Limits { until, ..Limits::default() });
        assert_eq!(said, Err(ApplyError::TooSlow), "it was done within {time:?}");
        assert!(out.ends_with(&[0; 1 << 20]), "it went on to the end although {time:?} were over");
        if out.starts_with(&new[..1 << 20]) {
            break;
        }
        // It had not begun.
        time += time / 4;
    }
}

#[test]
fn a_file_that_the_window_does_not_hold_is_refused() {
    let new = vec![0; (LONGEST_NEW + 1) as usize];
    let refused = create(b"old", &new, &quick()).unwrap_err();
    assert_eq!(refused.to_string(), "134217729 bytes are more than dcz can hold (134217728 bytes)");
}

#[test]
fn the_progress_is_told_and_ends_it() {
    let (old, new) = pair(3_000_000);
    let told = AtomicU64::new(0);
    let progress = |now: Progress| {
        told.fetch_max(now.done, Ordering::Relaxed);
        assert_eq!(now.total, new.len() as u64);
        true
    };
    create(&old, &new, &Options { progress: Some(&progress), ..quick() }).unwrap();
    assert_eq!(told.into_inner(), new.len() as u64);
    let stop = |now: Progress| now.done < 1 << 20;
    assert_eq!(create(&old, &new, &Options { progress: Some(&stop), ..quick() }), Err(CreateError::Stopped));
}

/// No change of a delta makes it panic, or write anything that is taken for the new file.
#[test]
fn a_changed_delta_is_refused_or_makes_something_else() {
    let (old, new) = pair(3000);
    let delta = create(&old, &new, &quick()).unwrap();
    for at in 0..delta.len() {
        for bit in [1, 0x10, 0x80] {
            let mut changed = delta.clone();
            changed[at] ^= bit;
            let _ = applied(&old, &changed, new.len());
            let _ = inspect(&changed);
        }
    }
}
