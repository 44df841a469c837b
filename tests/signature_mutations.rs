//! Our verdicts on damaged signatures beside those of `minisign-verify`, a reader written by somebody else.
//!
//! The direction that counts: what it rejects we never accept. We are stricter (it ignores the
//! first line's prefix, further lines and carriage returns), so the other direction does not hold
//! and is not asserted; only for an undamaged signature both say yes.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

use fetchd::publish::SigningKey;
use fetchd::trust::{KeySet, blake2b512};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// One thing done to the text of a signature.
#[derive(Debug, Clone)]
enum Mutation {
    Flip { at: usize, bit: u8 },
    Replace { at: usize, with: u8 },
    Insert { at: usize, byte: u8 },
    Remove { at: usize },
    Truncate { at: usize },
    DropLine { line: usize },
    RepeatLine { line: usize },
    SwapLines { a: usize, b: usize },
    Splice { line: usize },
    Windows,
    Append { bytes: Vec<u8> },
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = 0..400_usize;
    prop_oneof![
        4 => (at.clone(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip { at, bit }),
        2 => (at.clone(), any::<u8>()).prop_map(|(at, with)| Mutation::Replace { at, with }),
        2 => (at.clone(), prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'='), any::<u8>()])
            .prop_map(|(at, byte)| Mutation::Insert { at, byte }),
        2 => at.clone().prop_map(|at| Mutation::Remove { at }),
        1 => at.prop_map(|at| Mutation::Truncate { at }),
        1 => (0..4_usize).prop_map(|line| Mutation::DropLine { line }),
        1 => (0..4_usize).prop_map(|line| Mutation::RepeatLine { line }),
        1 => (0..4_usize, 0..4_usize).prop_map(|(a, b)| Mutation::SwapLines { a, b }),
        1 => (0..4_usize).prop_map(|line| Mutation::Splice { line }),
        1 => Just(Mutation::Windows),
        1 => proptest::collection::vec(any::<u8>(), 1..40).prop_map(|bytes| Mutation::Append { bytes }),
    ]
}

fn mutate(text: &[u8], other: &[u8], mutation: &Mutation) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let last = bytes.len() - 1;
    let lines = |bytes: &[u8]| bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let mut parts = lines(text);
    match mutation {
        Mutation::Flip { at, bit } => bytes[(*at).min(last)] ^= 1 << bit,
        Mutation::Replace { at, with } => bytes[(*at).min(last)] = *with,
        Mutation::Insert { at, byte } => bytes.insert((*at).min(last), *byte),
        Mutation::Remove { at } => {
            bytes.remove((*at).min(last));
        }
        Mutation::Truncate { at } => bytes.truncate(*at),
        Mutation::DropLine { line } => {
            parts.remove(*line);
            bytes = parts.join(&b'\n');
        }
        Mutation::RepeatLine { line } => {
            parts.insert(*line, parts[*line].clone());
            bytes = parts.join(&b'\n');
        }
        Mutation::SwapLines { a, b } => {
            parts.swap(*a, *b);
            bytes = parts.join(&b'\n');
        }
        Mutation::Splice { line } => {
            parts[*line] = lines(other)[*line].clone();
            bytes = parts.join(&b'\n');
        }
        Mutation::Windows => bytes = parts.join(&b"\r\n"[..]),
        Mutation::Append { bytes: more } => bytes.extend(more),
    }
    bytes
}

#[test]
fn what_another_reader_rejects_is_never_accepted() {
    let key = SigningKey::generate().unwrap();
    let message = b"the bytes of an artifact";
    let sign = |message: &[u8]| key.sign(&mut &*message, "a comment\tfile:app", "untrusted").unwrap().into_bytes();
    let (good, other) = (sign(message), sign(b"another message"));
    let keys = KeySet::new(vec![key.public().clone()], 1).unwrap();
    let theirs = minisign_verify::PublicKey::from_base64(&key.public().to_string()).unwrap();
    let we_accept = |text: &[u8]| keys.verify(&blake2b512(message), &[text]).is_ok();
    let they_accept = |text: &[u8]| {
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| minisign_verify::Signature::decode(text).ok())
            .is_some_and(|signature| theirs.verify(message, &signature, false).is_ok())
    };
    assert!(we_accept(&good) && they_accept(&good));
    let mut runner = TestRunner::new(Config { cases: 4096, failure_persistence: None, ..Config::default() });
    let both_said_no = std::cell::Cell::new(0_u32);
    runner
        .run(&proptest::collection::vec(mutation(), 1..3), |mutations| {
            let damaged = mutations.iter().fold(good.clone(), |text, mutation| {
                if text.is_empty() || text.iter().filter(|b| **b == b'\n').count() < 4 {
                    return text;
                }
                mutate(&text, &other, mutation)
            });
            let (we, they) = (we_accept(&damaged), they_accept(&damaged));
            prop_assert!(!we || they, "we accept what they reject: {:?}", String::from_utf8_lossy(&damaged));
            both_said_no.set(both_said_no.get() + u32::from(!we && !they));
            Ok(())
        })
        .unwrap();
    assert!(both_said_no.get() > 2000, "the mutations do damage: {} of 4096", both_said_no.get());
}
