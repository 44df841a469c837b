//! Weighs what the contexts say: two sets of weights, each chosen by what is known, and their mean.

use super::tables::{MOST, squash, towards};

/// As many as there can be logits; those that are not used stay 0.
type Weights = [i16; 8];
const EVEN: Weights = [4800; 8];
/// How fast weights follow, in 64ths, and how much faster at first.
const RATE: i32 = 10;

struct Set {
    weights: Vec<Weights>,
    chosen: usize,
    probability: i32,
}

impl Set {
    fn new(count: usize) -> Set {
        Set { weights: vec![EVEN; count], chosen: 0, probability: 0 }
    }

    #[inline]
    fn mix(&mut self, chosen: usize, logits: &[i16; 8]) -> i32 {
        self.chosen = chosen;
        let sum: i32 = self.weights[chosen].iter().zip(logits).map(|(&w, &l)| i32::from(w) * i32::from(l)).sum();
        let logit = (sum >> 16).clamp(-MOST, MOST);
        self.probability = i32::from(squash(logit));
        logit
    }

    #[inline]
    fn learn(&mut self, logits: &[i16; 8], bit: bool, rate: i32) {
        let wrong = (i32::from(bit) << 16) - self.probability;
        let step = ((wrong * rate) >> 6).clamp(-32767, 32767);
        for (weight, &logit) in self.weights[self.chosen].iter_mut().zip(logits) {
            let change = ((i32::from(logit) * 2 * step) >> 16) as i16;
            *weight = weight.saturating_add((change + 1) >> 1);
        }
    }
}

pub(super) struct Mixer {
    sets: [Set; 2],
    /// What a logit has really meant after each byte: 33 points a line.
    refined: Vec<u16>,
    point: usize,
    bits: u32,
}

const POINTS: usize = 33;
const LINES: usize = 1024;

impl Mixer {
    pub(super) const MEMORY: u64 = (16 * (super::STATES * 24 + 256 * 3) + 2 * POINTS * LINES) as u64;

    pub(super) fn new() -> Mixer {
        let line: [u16; POINTS] = std::array::from_fn(|point| squash((point as i32 * 128 - 2048).clamp(-MOST, MOST)));
        let sets = [Set::new(super::STATES * 24), Set::new(256 * 3)];
        Mixer { sets, refined: line.repeat(LINES), point: 0, bits: 0 }
    }

    /// The probability of a 1 in 65536ths. `state` and `matching` choose weights, `partial` is the byte so far with
    /// a 1 before it, and `at` how many bits that is.
    #[inline]
    pub(super) fn mix(
        &mut self,
        logits: &[i16; 8],
        state: usize,
        matching: usize,
        partial: u32,
        at: u32,
        last: u8,
    ) -> u32 {
        let first = self.sets[0].mix((state * 3 + matching) * 8 + at as usize, logits);
        let second = self.sets[1].mix(partial as usize * 3 + matching, logits);
        let logit = (first + second) >> 1;
        let line = (partial | u32::from(last) << 8).wrapping_mul(0x9e37_79b1) >> 22;
        let (place, part) = ((logit + 2048) >> 7, (logit + 2048) & 127);
        let point = line as usize * POINTS + place as usize;
        let (below, above) = (i32::from(self.refined[point]), i32::from(self.refined[point + 1]));
        self.point = point + usize::from(part >= 64);
        let refined = (below * (128 - part) + above * part) >> 7;
        ((i32::from(squash(logit)) + refined) >> 1).clamp(32, 65504) as u32
    }

    #[inline]
    pub(super) fn learn(&mut self, logits: &[i16; 8], bit: bool) {
        let rate = match self.bits {
            0..1024 => RATE * 4,
            1024..8192 => RATE * 2,
            8192..65536 => RATE * 3 / 2,
            _ => RATE,
        };
        self.bits = self.bits.saturating_add(1);
        for set in &mut self.sets {
            set.learn(logits, bit, rate);
        }
        self.refined[self.point] = towards(self.refined[self.point], bit, 6);
    }
}
