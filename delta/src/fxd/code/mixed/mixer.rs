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
        let state = ((chosen.state * 3 + chosen.sure) * 8 + chosen.at) & 2047;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the page says, number by number: processors differ in how they do eight at once, and must not in what.
    #[test]
    fn eight_at_once_are_what_each_is_alone() {
        let mut seed = 5u32;
        let mut next = move |most: i32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((seed >> 8) as i32 % (2 * most + 1) - most) as i16
        };
        for round in 0..2000 {
            let (mut weights, mut inputs) = ([0; 8], [0; 8]);
            for lane in 0..6 {
                weights[lane] = if round % 5 == 0 { next(1).signum() * 32767 } else { next(32767) };
                inputs[lane] = next(8188);
            }
            let (bit, rate, logit) = (round % 2 == 0, [64, 32, 24, 16][round % 4], i32::from(next(2047)));
            let sum: i32 = (0..8).map(|lane| i32::from(weights[lane]) * i32::from(inputs[lane])).sum();
            assert_eq!(dot(weights.into(), inputs.into()), (sum >> 16).clamp(-2047, 2047));
            let wrong = if bit { 65536 } else { 0 } - i32::from(squash(logit));
            let step = ((wrong * rate) >> 6).clamp(-32767, 32767);
            let nudged = std::array::from_fn(|lane| {
                let change = (((i32::from(inputs[lane]) * 2 * step) >> 16) + 1) >> 1;
                (i32::from(weights[lane]) + change).clamp(-32768, 32767) as i16
            });
            let mut now = Inputs::from(weights);
            nudge(&mut now, inputs.into(), logit, bit, rate);
            assert_eq!(now.to_array(), nudged, "{weights:?} {inputs:?} {step}");
        }
    }
}
