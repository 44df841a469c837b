//! Whether the hosts of a step come one after the other.

use serde::Serialize;

use super::being::Fate;
use super::script;
use super::world::World;
use crate::fleet::evidence::Place;
use crate::fleet::rollup::Rollup;
use crate::fleet::{HostId, rule};

/// How the hosts of a step were spread over its ramp.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// The step, from 1.
    pub step: u8,
    /// Its hosts that started.
    pub hosts: u64,
    /// How far their starts are from evenly spread: the statistic of Kolmogorov and Smirnov.
    pub distance: f64,
    /// What that is below in 999 of 1000 draws of so many hosts.
    pub chance: f64,
    /// The largest share of them that started within any hundredth of the ramp.
    pub densest: f64,
}

/// Fewer hosts than this say nothing about a distribution.
const FEW: usize = 100;

#[allow(clippy::cast_precision_loss, reason = "hosts and seconds")]
pub(super) fn of(world: &World<'_>, rollup: Option<&Rollup>) -> Vec<Spread> {
    let steps = world.head.steps_of(0);
    let mut found = Vec::new();
    for (number, step) in (0_u8..).zip(steps) {
        let place = Place { ring: 0, step: number };
        let Some(opened) = rule::opens(&world.head, rollup, place) else { continue };
        let opened = opened.since(script::T0).as_secs() as f64;
        let mut starts: Vec<f64> = world
            .lines
            .iter()
            .filter(|line| line.fate != Fate::Old && line.place == Some(place))
            .map(|line| (f64::from(line.started) - opened) / step.ramp_s as f64)
            .collect();
        if starts.len() < FEW {
            continue;
        }
        starts.sort_unstable_by(f64::total_cmp);
        found.push(measure(number + 1, &starts));
    }
    found
}

#[allow(clippy::cast_precision_loss, reason = "hosts")]
fn measure(step: u8, starts: &[f64]) -> Spread {
    let many = starts.len() as f64;
    let apart = |(number, at): (usize, &f64)| {
        let (below, above) = (number as f64 / many, (number + 1) as f64 / many);
        let even = at.clamp(0.0, 1.0);
        (even - below).abs().max((above - even).abs())
    };
    let distance = starts.iter().enumerate().map(apart).fold(0.0, f64::max);
    let within = |number: usize| starts[number..].partition_point(|at| *at < starts[number] + 0.01);
    let densest = (0..starts.len()).map(within).max().unwrap_or(0) as f64 / many;
    Spread { step, hosts: starts.len() as u64, distance, chance: 1.95 / many.sqrt(), densest }
}

/// How often each of `hosts` hosts is among the first `share` of a fleet in `releases` releases: the least, the mean and
/// the most.
#[allow(clippy::cast_precision_loss, reason = "hosts")]
pub fn fairness(hosts: u32, releases: u32, share: f64, seed: u64) -> (u32, f64, u32) {
    let salts: Vec<String> = (0..releases).map(|release| format!("1.{release}.0+{seed}")).collect();
    let often = |number: u32| {
        let host = HostId::named(&format!("{seed}-{number}"));
        let first = salts.iter().filter(|salt| host.position(salt) < share).count();
        u32::try_from(first).unwrap_or(u32::MAX)
    };
    let counts: Vec<u32> = (0..hosts).map(often).collect();
    let mean = counts.iter().map(|count| f64::from(*count)).sum::<f64>() / f64::from(hosts.max(1));
    (counts.iter().min().copied().unwrap_or(0), mean, counts.iter().max().copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_starts_are_told_from_bunched_ones() {
        let even: Vec<f64> = (0..1000).map(|n| f64::from(n) / 1000.0).collect();
        let spread = measure(1, &even);
        assert!(spread.distance < 0.002 && spread.densest < 0.012, "{spread:?}");
        let bunched: Vec<f64> = (0..1000).map(|n| if n < 400 { 0.1 } else { f64::from(n) / 1000.0 }).collect();
        let spread = measure(1, &bunched);
        assert!(spread.distance > spread.chance && spread.densest >= 0.4, "{spread:?}");
    }

    #[test]
    fn every_host_is_among_the_first_as_often_as_chance_has_it() {
        let (least, mean, most) = fairness(2000, 100, 0.05, 1);
        assert!((4.8..5.2).contains(&mean), "{mean}");
        // Of 2000 draws of a binomial(100, 0.05) the most extreme ones.
        assert!(least <= 2 && most <= 17, "{least} {most}");
    }
}
