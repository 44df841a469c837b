//! The numbers of the report.

use super::figure::{Curve, Figure, Goal};

/// The least, the middle and the most of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) middle: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of no numbers there is none.
    pub(crate) fn of(numbers: &[f64]) -> Option<Spread> {
        let mut sorted: Vec<f64> = numbers.iter().copied().filter(|number| number.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let middle = if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) };
        Some(Spread { least, middle, most })
    }
}

/// What each round had against the peer in the same round; where they are not of the same rounds, against the peer's middle.
pub(crate) fn ratios(figure: &Figure) -> Option<Spread> {
    let middle = Spread::of(&figure.peers)?.middle;
    let paired = figure.ours.len() == figure.peers.len();
    let peer = |round: usize| if paired { figure.peers[round] } else { middle };
    let ratios: Vec<f64> = figure.ours.iter().enumerate().map(|(round, ours)| ours / peer(round)).collect();
    Spread::of(&ratios)
}

/// Whether a goal is met; `None` where there is none.
pub(crate) fn met(figure: &Figure) -> Option<bool> {
    let goal = figure.goal?;
    let spread = if figure.peer.is_some() { ratios(figure) } else { Spread::of(&figure.ours) }?;
    Some(match goal {
        Goal::AtMost(bound) => spread.middle <= bound,
        Goal::AtLeast(bound) => spread.middle >= bound,
    })
}

/// How a curve grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Growth {
    /// The slope of logarithms over all of it, and over its upper half, where fixed costs hide less.
    pub(crate) all: f64,
    pub(crate) upper: f64,
    /// The last number in terms of the first.
    pub(crate) times: f64,
}

pub(crate) fn growth(curve: &Curve) -> Option<Growth> {
    let points = middles(curve);
    let (first, last) = (points.first()?, points.last()?);
    let upper = &points[(points.len() / 2).min(points.len().saturating_sub(3))..];
    Some(Growth { all: slope(&points)?, upper: slope(upper)?, times: last.1 / first.1 })
}

/// Whether it grows no faster than it may.
pub(crate) fn tame(curve: &Curve) -> Option<bool> {
    let growth = growth(curve)?;
    Some(growth.upper <= curve.exponent && curve.times.is_none_or(|times| growth.times <= times))
}

/// Where it goes: the middle of each point. Nothing at all is counted as one, so that it has a logarithm.
pub(crate) fn middles(curve: &Curve) -> Vec<(f64, f64)> {
    let middle = |(at, numbers): &(f64, Vec<f64>)| Some((at.max(1.0), Spread::of(numbers)?.middle));
    curve.points.iter().filter_map(middle).collect()
}

/// By least squares.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    let many = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / many;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let up: f64 = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let across: f64 = logs.iter().map(|point| (point.0 - x).powi(2)).sum();
    (logs.len() > 1 && across > 0.0).then(|| up / across)
}
