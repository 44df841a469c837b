//! Weighs what the contexts say, by weights that are chosen by what is known.

use wide::i16x8;

use super::tables::{MOST, squash};

/// What the contexts and the match say as logits in 1024ths; the last ones are 0.
pub(super) type Inputs = i16x8;
const EVEN: i16 = 4800;
/// How fast weights follow, in 64ths, and how much faster at first.
const RATE: i32 = 16;

pub(super) struct Mixer {
    states: Box<[Inputs; 2048]>,
    bits: u32,
}

/// What a bit was coded by.
pub(super) struct Mixed {
    /// In 65536ths, of a 1.
    pub(super) probability: u32,
    state: usize,
    logit: i32,
}

/// What chooses weights.
#[derive(Clone, Copy)]
pub(super) struct Chosen {
    /// Below [`super::STATES`].
    pub(super) state: usize,
    /// How sure the match is: 0 to 2.
    pub(super) sure: usize,
    /// Of how many bits of the byte are known.
    pub(super) at: usize,
}

impl Mixer {
    pub(super) const MEMORY: u64 = 16 * 2048;

    pub(super) fn new() -> Mixer {
        Mixer { states: Box::new([i16x8::splat(EVEN); 2048]), bits: 0 }
    }

    #[inline(always)]
    pub(super) fn mix(&self, inputs: Inputs, chosen: Chosen) -> Mixed {
        let state = (chosen.state * 3 + chosen.sure) * 8 + chosen.at & 2047;
        let logit = dot(self.states[state], inputs);
        let probability = u32::from(squash(logit)).clamp(32, 65504);
        Mixed { probability, state, logit }
    }

    /// Another byte begins: how fast weights follow in it.
    pub(super) fn rate(&mut self) -> i32 {
        let rate = match self.bits {
            0..1024 => RATE * 4,
            1024..8192 => RATE * 2,
            8192..65536 => RATE * 3 / 2,
            _ => RATE,
        };
        self.bits = self.bits.saturating_add(8);
        rate
    }

    #[inline(always)]
    pub(super) fn learn(&mut self, inputs: Inputs, mixed: &Mixed, bit: bool, rate: i32) {
        nudge(&mut self.states[mixed.state], inputs, mixed.logit, bit, rate);
    }
}

#[inline(always)]
fn dot(weights: Inputs, inputs: Inputs) -> i32 {
    (weights.dot(inputs).reduce_add() >> 16).clamp(-MOST, MOST)
}

#[inline(always)]
fn nudge(weights: &mut Inputs, inputs: Inputs, logit: i32, bit: bool, rate: i32) {
    let wrong = (i32::from(bit) << 16) - i32::from(squash(logit));
    let step = ((wrong * rate) >> 6).clamp(-32767, 32767) as i16;
    let change = i16x8::mul_keep_high(inputs + inputs, i16x8::splat(step));
    *weights = weights.saturating_add((change + i16x8::ONE) >> 1);
}
