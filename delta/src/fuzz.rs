//! What must hold of deltas whatever the bytes are: for the fuzzer, and for the test that replays its corpus.
//!
//! Each function panics where a promise is broken, and tells whether the bytes were taken for what they should
//! be. Only builds with debug assertions have it.

use sha2::{Digest as _, Sha256};

use crate::{ApplyError, Format, Inspected, Limits, Options, apply, create, inspect};

pub use crate::fxd::stream;

/// The longest file that is made of a delta here: what is beyond costs time, not paths.
const LONGEST: u64 = 1 << 18;
/// What applying may take here.
const MEMORY: u64 = 32 << 20;

/// An input of [`delta`] and [`pair`]: the length of the first part in two bytes, the lowest first, then both.
pub fn join(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&(first.len() as u16).to_le_bytes(), first, second].concat()
}

/// An fxd-1 `delta`, which makes a file of `old`, with streams that are not coded, so that what changes a byte of it
/// changes a number.
pub fn uncoded(old: &[u8], delta: &[u8]) -> Vec<u8> {
    crate::fxd::fuzz::uncoded(old, delta).expect("only deltas that are whole are given here")
}

/// What stands before the lengths of the streams of an fxd-1 `delta`, and each stream's length and coded bytes.
pub fn parts(delta: &[u8]) -> (Vec<u8>, Vec<(u64, Vec<u8>)>) {
    crate::fxd::fuzz::parts(delta).expect("only deltas that are whole are given here")
}

fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// An old file and a delta, which is for just this file: either it makes the same bytes each time, all of
/// them, or it fails; what it says it takes is within what it may take.
pub fn delta(data: &[u8]) -> bool {
    let Some((old, delta)) = split(data) else { return false };
    let mut delta = delta.to_vec();
    // A changed file or a changed digest would end it all at the first comparison.
    if let Some(from) = delta.get_mut(8..40) {
        from.copy_from_slice(&Sha256::digest(old));
    }
    let limits = Limits { memory: MEMORY, window_log: 20, until: None };
    let said = inspect(&delta);
    let length = match &said {
        Ok(Inspected { length: Some(length), .. }) => (*length).min(LONGEST),
        _ => 100,
    };
    let [one, other] = [0, 255].map(|filled| {
        let mut out = vec![filled; length as usize];
        (apply(old, &delta, &mut out, &limits), out)
    });
    assert_eq!(one.0, other.0, "it fails at one time and not at another");
    match one.0 {
        Ok(()) => {
            assert!(one.1 == other.1, "it leaves bytes as they were");
            let said = said.expect("what can be applied can be looked at");
            assert!(said.memory <= MEMORY, "{} bytes were said", said.memory);
            true
        }
        Err(ApplyError::Memory { needed, allowed }) => {
            assert!(needed > allowed, "{needed} {allowed}");
            false
        }
        Err(_) => false,
    }
}

/// Two files, whatever they are: the deltas between them make the second of the first, and no shorter or
/// longer one. Taken if the delta that knows references is the shorter one.
pub fn pair(data: &[u8]) -> bool {
    let Some((old, new)) = split(data) else { return false };
    let lengths = Format::ALL.map(|format| {
        let delta = match create(old, new, format, &Options { level: Some(1), progress: None }) {
            Ok(delta) => delta,
            Err(error) => panic!("{format}: {error}"),
        };
        let mut out = vec![0; new.len()];
        let applied = apply(old, &delta, &mut out, &Limits::default());
        assert_eq!(applied, Ok(()), "{format}");
        assert!(out == new, "{format}: another file");
        let longer = apply(old, &delta, &mut vec![0; new.len() + 1], &Limits::default());
        assert!(longer.is_err(), "{format}: a longer file");
        delta.len()
    });
    lengths[1] < lengths[0]
}
