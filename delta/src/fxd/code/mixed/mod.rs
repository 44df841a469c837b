//! Method 2: each bit is foretold by several contexts whose weights are learned, and coded by how likely it was.
//!
//! Everything is an integer and everything is frozen: `docs/formats/fxd-1-streams.md` has it in full.

mod contexts;
mod history;
mod literals;
mod mixer;
mod model;
mod range;
mod slots;
mod tables;
mod x86;

use std::ops::Range;
use std::time::Instant;

use super::{Beside, Known, Stream};
use crate::ApplyError;
use contexts::Contexts;
use history::History;
use literals::Literals;
use model::Model;

/// Contexts of each byte.
const WAYS: usize = 4;
/// States that choose weights.
const STATES: usize = 64;
/// Bytes between two looks at the clock.
const CHECKED: u32 = 1 << 14;

/// The binary logarithm of the pairs of groups of each context.
fn log(length: u64) -> u32 {
    (length.min(1 << 30).next_power_of_two() >> 7).max(1).ilog2().clamp(9, 14)
}

/// The anonymous memory in bytes that a stream of `length` bytes takes.
pub(super) fn memory(kind: Stream, length: u64) -> u64 {
    let beside = if kind.is_new() { Literals::memory(length) } else { History::memory(length) };
    Model::memory(log(length)) + beside + size_of::<Decoder<'_>>() as u64 + size_of::<Model>() as u64
}

fn literals(kind: Stream, length: u64) -> Literals {
    Literals::new(length, kind == Stream::Words)
}

/// `bytes`, or `None` as soon as they take more than `most`.
pub(super) fn encode(kind: Stream, bytes: &[u8], known: &Known<'_>, most: usize) -> Option<Vec<u8>> {
    let length = bytes.len() as u64;
    let mut model = Model::new(log(length));
    let mut encoder = range::Encoder::new();
    if kind.is_new() {
        let mut literals = literals(kind, length);
        for at in known.parts.iter().flat_map(|(from, to)| *from as usize..*to as usize) {
            literals.byte(&mut model, &mut encoder, known.file, at, known.file[at]).ok()?;
            if encoder.length() > most {
                return None;
            }
        }
        return Some(encoder.finish());
    }
    let mut contexts = Contexts::of(kind);
    let mut history = History::new(length);
    for (index, &byte) in bytes.iter().enumerate() {
        let beside = known.old.get(index).copied().unwrap_or_default();
        model.byte(&mut encoder, &contexts.now(beside, &history), byte).ok()?;
        contexts.push(byte);
        history.push(byte);
        if encoder.length() > most {
            return None;
        }
    }
    Some(encoder.finish())
}

pub(super) struct Decoder<'a> {
    model: Box<Model>,
    beside: Other,
    bits: range::Decoder<'a>,
    until: Option<Instant>,
    unchecked: u32,
}

enum Other {
    New(Box<Literals>),
    Contexts(Contexts, Box<History>),
}

impl<'a> Decoder<'a> {
    pub(super) fn new(
        kind: Stream,
        coded: &'a [u8],
        length: u64,
        until: Option<Instant>,
    ) -> Result<Decoder<'a>, ApplyError> {
        let bits = range::Decoder::new(coded)?;
        let beside = if kind.is_new() {
            Other::New(Box::new(literals(kind, length)))
        } else {
            Other::Contexts(Contexts::of(kind), Box::new(History::new(length)))
        };
        Ok(Decoder { model: Box::new(Model::new(log(length))), beside, bits, until, unchecked: 0 })
    }

    fn look(&mut self) -> Result<(), ApplyError> {
        self.unchecked += 1;
        if self.unchecked == CHECKED {
            self.unchecked = 0;
            if self.until.is_some_and(|until| Instant::now() >= until) {
                return Err(ApplyError::TooSlow);
            }
        }
        Ok(())
    }

    pub(super) fn byte(&mut self, beside: Beside) -> Result<u8, ApplyError> {
        self.look()?;
        let Other::Contexts(contexts, history) = &mut self.beside else { return Err(super::ELSEWHERE) };
        let byte = self.model.byte(&mut self.bits, &contexts.now(beside, history), 0)?;
        contexts.push(byte);
        history.push(byte);
        Ok(byte)
    }

    /// The new bytes at `part` of `file`, which is known before them.
    pub(super) fn fill(&mut self, file: &mut [u8], part: Range<usize>) -> Result<(), ApplyError> {
        for at in part {
            self.look()?;
            let Other::New(literals) = &mut self.beside else { return Err(super::ELSEWHERE) };
            file[at] = literals.byte(&mut self.model, &mut self.bits, file, at, 0)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), ApplyError> {
        self.bits.finish()
    }
}
