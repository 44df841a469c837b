//! One byte, bit by bit.

use super::mixer::{Chosen, Inputs, Mixer};
use super::range;
use super::slots::{Slots, passed};
use super::tables::{join, stretch, towards};
use super::{STATES, WAYS};
use crate::ApplyError;

/// Where bits come from, or go to.
pub(super) trait Bits {
    /// The next bit, which is a 1 with the probability of `one` 65536ths; `bit` is what a writer writes.
    fn code(&mut self, one: u32, bit: bool) -> Result<bool, ApplyError>;
}

impl Bits for range::Encoder {
    #[inline(always)]
    fn code(&mut self, one: u32, bit: bool) -> Result<bool, ApplyError> {
        self.put(bit, one);
        Ok(bit)
    }
}

impl Bits for range::Decoder<'_> {
    #[inline(always)]
    fn code(&mut self, one: u32, _: bool) -> Result<bool, ApplyError> {
        self.next(one)
    }
}

/// A probability and its logit.
#[derive(Clone, Copy)]
struct Point {
    probability: u16,
    logit: i16,
}

impl Point {
    fn of(probability: u16) -> Point {
        Point { probability, logit: stretch(probability) }
    }

    #[inline(always)]
    fn towards(&mut self, bit: bool) {
        *self = Point::of(towards(self.probability, bit, 6));
    }
}

/// What is known before a byte.
pub(super) struct Before {
    pub(super) contexts: [u32; WAYS],
    /// Below [`STATES`].
    pub(super) state: u32,
    /// The byte that followed when the last ones were seen before, and how many were the same: 1 to 31; 0 if
    /// nothing is expected.
    pub(super) expected: u8,
    pub(super) length: usize,
}

/// What [`Before::length`] is where so many bytes were the same.
pub(super) fn length(matched: usize) -> usize {
    if matched < 16 { matched } else { 16 + ((matched - 16) / 8).min(15) }
}

pub(super) struct Model {
    slots: Slots,
    mixer: Mixer,
    /// What a node's count and probability have really meant so far.
    meanings: Box<[[Point; 512]; WAYS]>,
    /// How often a match of a length foretells a bit.
    trust: [Point; 64],
}

impl Model {
    pub(super) fn memory(log: u32) -> u64 {
        Slots::memory(log) + Mixer::MEMORY + (size_of::<Point>() * (512 * WAYS + 64)) as u64
    }

    pub(super) fn new(log: u32) -> Model {
        let meaning = std::array::from_fn(|node| Point::of((node as u16 & 31) * 2048 + 1024));
        Model {
            slots: Slots::new(log),
            mixer: Mixer::new(),
            meanings: Box::new([meaning; WAYS]),
            trust: [Point::of(1 << 15); 64],
        }
    }

    /// The next byte; `want` is what a writer writes.
    pub(super) fn byte<B: Bits>(&mut self, bits: &mut B, before: &Before, want: u8) -> Result<u8, ApplyError> {
        let mut hashes = before.contexts;
        for (hash, way) in hashes.iter_mut().zip(0..) {
            *hash = join(hash.wrapping_add((way + 1) << 28), way);
        }
        let rate = self.mixer.rate();
        let expected = u32::from(before.expected) | 0x100;
        let mut partial = 1u32;
        for half in 0..2 {
            let salt = if half == 0 { 0 } else { partial.wrapping_mul(0x9e37_79b1) };
            let groups = self.slots.find(hashes.map(|hash| (hash ^ salt).wrapping_mul(0xc2b2_ae35)));
            let mut node = 1usize;
            for at in half * 4..half * 4 + 4 {
                let mut inputs = [0, 0, 0, 0, 256, 256, 0, 0];
                let met: [usize; WAYS] = std::array::from_fn(|way| usize::from(groups[way][node & 15] >> 7));
                for way in 0..WAYS {
                    inputs[way] = self.meanings[way][met[way]].logit;
                }
                let holds = before.length > 0 && expected >> (8 - at) == partial;
                let trusted = (before.length * 2 + (expected >> (7 - at) & 1) as usize) & 63;
                if holds {
                    inputs[WAYS] = self.trust[trusted].logit;
                }
                let sure = if holds { 1 + usize::from(before.length >= 16) } else { 0 };
                let inputs = Inputs::from(inputs);
                let state = before.state as usize % STATES;
                let chosen = Chosen { state, sure, at };
                let mixed = self.mixer.mix(inputs, chosen);
                let bit = bits.code(mixed.probability, want >> (7 - at) & 1 == 1)?;
                self.mixer.learn(inputs, &mixed, bit, rate);
                if holds {
                    self.trust[trusted].towards(bit);
                }
                for way in 0..WAYS {
                    self.meanings[way][met[way]].towards(bit);
                    groups[way][node & 15] = passed(groups[way][node & 15], bit);
                }
                partial = partial << 1 | u32::from(bit);
                node = node << 1 | usize::from(bit);
            }
        }
        Ok(partial as u8)
    }
}
