//! Chance that can be repeated: the same seed gives the same numbers.

use std::f64::consts::TAU;

/// A stream of numbers: SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The stream of one thing within a seed: what it gives does not depend on what others have drawn before.
    pub(super) fn of(seed: u64, what: u64, which: u64) -> Dice {
        let mut dice = Dice(seed ^ what.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        dice.0 = dice.next() ^ which.wrapping_mul(0xA076_1D64_78BD_642F);
        dice.next();
        dice
    }

    /// 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(super) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that has this probability.
    pub(super) fn falls(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// Whole seconds from 0 to below `most`.
    pub(super) fn below(&mut self, most: u64) -> u64 {
        if most == 0 { 0 } else { self.next() % most }
    }

    /// Seconds with a lognormal distribution.
    pub(super) fn lognormal(&mut self, median_s: f64, sigma: f64) -> u64 {
        let (u, v) = (1.0 - self.share(), self.share());
        let normal = (-2.0 * u.ln()).sqrt() * (TAU * v).cos();
        seconds(median_s * (sigma * normal).exp())
    }

    /// Seconds until something happens that is equally likely at every moment.
    pub(super) fn exponential(&mut self, mean_s: f64) -> u64 {
        seconds(-mean_s * (1.0 - self.share()).ln())
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and at most some years")]
fn seconds(seconds: f64) -> u64 {
    seconds.clamp(0.0, 1e9).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distributions_are_what_they_are_called() {
        let mut dice = Dice::of(7, 0, 0);
        let mut times: Vec<u64> = (0..20_000).map(|_| dice.lognormal(240.0, 0.5)).collect();
        times.sort_unstable();
        assert!((230..250).contains(&times[10_000]), "{}", times[10_000]);
        // One standard deviation above the middle: 240 * e^0.5.
        assert!((380..412).contains(&times[16_827]), "{}", times[16_827]);
        let mean = (0..20_000).map(|_| dice.exponential(7200.0)).sum::<u64>() / 20_000;
        assert!((7000..7400).contains(&mean), "{mean}");
        let heads = (0..20_000).filter(|_| dice.falls(0.1)).count();
        assert!((1800..2200).contains(&heads), "{heads}");
        assert_eq!(Dice::of(1, 2, 3).next(), Dice::of(1, 2, 3).next());
        assert_ne!(Dice::of(1, 2, 3).next(), Dice::of(1, 3, 2).next());
    }
}
