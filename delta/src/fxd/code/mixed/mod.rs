//! Method 2: each bit is foretold by several contexts whose weights are learned, and coded by how likely it was.
//!
//! Everything is an integer and everything is frozen: `docs/formats/fxd-1-streams.md` has it in full.

mod contexts;
mod history;
mod mixer;
mod range;
mod slots;
mod tables;
mod x86;

use std::time::Instant;

use super::Stream;
use crate::ApplyError;
use contexts::Contexts;
use history::History;
use mixer::Mixer;
use slots::Slots;

/// Contexts of each byte.
const WAYS: usize = 6;
/// States that choose weights.
const STATES: usize = 64;
/// Bytes between two looks at the clock.
const CHECKED: u32 = 1 << 14;

/// The binary logarithm of the groups of each context.
fn log(length: u64) -> u32 {
    (length.min(1 << 30).next_power_of_two() >> 6).max(1).ilog2().clamp(10, 15)
}

/// The anonymous memory in bytes that a stream of `length` bytes takes.
pub(super) fn memory(length: u64) -> u64 {
    Slots::memory(log(length))
        + History::memory(length)
        + Mixer::MEMORY
        + size_of::<Model>() as u64
        + (WAYS << 10) as u64
}

struct Model {
    slots: Slots,
    history: History,
    mixer: Mixer,
    contexts: Contexts,
    logits: [i16; 8],
    state: usize,
    /// The bits of this byte and of this half of it so far, each after a 1, and how many of the byte.
    partial: u32,
    node: usize,
    at: u32,
}

impl Model {
    fn new(kind: Stream, length: u64) -> Model {
        Model {
            slots: Slots::new(log(length)),
            history: History::new(length),
            mixer: Mixer::new(),
            contexts: Contexts::of(kind),
            logits: [0; 8],
            state: 0,
            partial: 1,
            node: 1,
            at: 0,
        }
    }

    fn begin(&mut self) {
        let (contexts, state) = self.contexts.now(&self.history);
        self.slots.begin(contexts);
        (self.state, self.partial, self.node, self.at) = (state, 1, 1, 0);
    }

    /// The probability of a 1 in 65536ths.
    #[inline]
    fn say(&mut self) -> u32 {
        self.slots.say(self.node, &mut self.logits);
        let (logit, matching) = self.history.say(self.partial, self.at);
        self.logits[WAYS] = logit;
        self.logits[WAYS + 1] = 256;
        self.mixer.mix(&self.logits, self.state, matching, self.partial, self.at, self.history.back(1))
    }

    #[inline]
    fn learn(&mut self, bit: bool) {
        self.slots.learn(self.node, bit);
        self.history.learn(bit);
        self.mixer.learn(&self.logits, bit);
        self.partial = self.partial << 1 | u32::from(bit);
        self.node = self.node << 1 | usize::from(bit);
        self.at += 1;
        if self.at == 4 {
            self.slots.middle(self.partial);
            self.node = 1;
        }
    }

    fn end(&mut self) -> u8 {
        self.slots.end();
        let byte = self.partial as u8;
        self.history.push(byte);
        self.contexts.push(byte);
        byte
    }
}

/// `bytes`, or `None` as soon as they take more than `most`.
pub(super) fn encode(kind: Stream, bytes: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut model = Model::new(kind, bytes.len() as u64);
    let mut encoder = range::Encoder::new();
    for byte in bytes {
        model.begin();
        for shift in (0..8).rev() {
            let bit = byte >> shift & 1 == 1;
            encoder.put(bit, model.say());
            model.learn(bit);
        }
        model.end();
        if encoder.length() > most {
            return None;
        }
    }
    Some(encoder.finish())
}

pub(super) struct Decoder<'a> {
    model: Box<Model>,
    bits: range::Decoder<'a>,
    until: Option<Instant>,
    unchecked: u32,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(
        kind: Stream,
        coded: &'a [u8],
        length: u64,
        until: Option<Instant>,
    ) -> Result<Decoder<'a>, ApplyError> {
        let bits = range::Decoder::new(coded)?;
        Ok(Decoder { model: Box::new(Model::new(kind, length)), bits, until, unchecked: 0 })
    }

    pub(super) fn byte(&mut self) -> Result<u8, ApplyError> {
        self.unchecked += 1;
        if self.unchecked == CHECKED {
            self.unchecked = 0;
            if self.until.is_some_and(|until| Instant::now() >= until) {
                return Err(ApplyError::TooSlow);
            }
        }
        self.model.begin();
        for _ in 0..8 {
            let bit = self.bits.next(self.model.say())?;
            self.model.learn(bit);
        }
        Ok(self.model.end())
    }

    pub(super) fn finish(self) -> Result<(), ApplyError> {
        self.bits.finish()
    }
}
