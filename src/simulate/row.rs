//! A case over many seeds: what is shown of it.

use serde::Serialize;

use super::case::Case;
use super::outcome::{Curves, Ended, Outcome};
use super::tally::Requests;

/// A case and what came of it with each seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The case.
    pub case: Case,
    /// With each seed.
    pub outcomes: Vec<Outcome>,
    /// All together.
    pub summary: Summary,
}

/// A case over all of its seeds: middle values where not said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// How many seeds.
    pub seeds: u64,
    /// Of these: ended with every host.
    pub done: u64,
    /// Of these: halted.
    pub halted: u64,
    /// Of these: neither.
    pub held: u64,
    /// Hosts that started, those after the halt included.
    pub hit: u64,
    /// The most of all seeds.
    pub hit_most: u64,
    /// The share of the fleet that is, in per cent.
    pub hit_pct: f64,
    /// Hosts that started after the halt, the most of all seeds.
    pub after_most: u64,
    /// When it halted, in seconds after the beginning.
    pub halted_s: Option<u64>,
    /// How long after the reports were enough, the longest of all seeds.
    pub latency_most_s: Option<u64>,
    /// When half of the hosts, 95 % of them, and all had it.
    pub half_s: Option<u64>,
    /// 95 %.
    pub most_s: Option<u64>,
    /// All.
    pub all_s: Option<u64>,
    /// Dollars.
    pub cost: f64,
    /// Dollars by the formula.
    pub formula: f64,
    /// Requests.
    pub requests: Requests,
    /// Requests of one second, all prefixes' peaks together.
    pub peak: u64,
    /// The largest distance from evenly spread starts of any step.
    pub distance: f64,
    /// The largest share that started within a hundredth of a ramp.
    pub densest: f64,
    /// Slots with two holders, of all seeds.
    pub overcommitted: u64,
    /// Machines that did not come to rest, of all seeds.
    pub spun: u64,
}

impl Row {
    /// Runs a case with the seeds from `first` on.
    pub fn run(case: &Case, first: u64, seeds: u64) -> Row {
        let outcomes: Vec<Outcome> = (first..first + seeds.max(1)).map(|seed| super::run(case, seed)).collect();
        let summary = Summary::of(case, &outcomes);
        Row { case: case.clone(), outcomes, summary }
    }

    /// The curves of the first seed.
    pub fn curves(&self) -> &Curves {
        static NONE: Curves = Curves { started: Vec::new(), requests: Vec::new() };
        self.outcomes.first().map_or(&NONE, |outcome| &outcome.curves)
    }
}

impl Summary {
    fn of(case: &Case, outcomes: &[Outcome]) -> Summary {
        let count = |ended: Ended| outcomes.iter().filter(|outcome| outcome.ended == ended).count() as u64;
        let hit = |outcome: &Outcome| outcome.started + outcome.started_after;
        let whole = |of: &dyn Fn(&Outcome) -> Option<u64>| middle(outcomes.iter().filter_map(of).collect());
        let most = |of: &dyn Fn(&Outcome) -> u64| outcomes.iter().map(of).max().unwrap_or(0);
        let largest = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).fold(0.0, f64::max);
        let mean = |of: &dyn Fn(&Outcome) -> f64| {
            #[allow(clippy::cast_precision_loss, reason = "seeds")]
            let mean = outcomes.iter().map(of).sum::<f64>() / outcomes.len().max(1) as f64;
            mean
        };
        let hit_middle = whole(&|outcome| Some(hit(outcome))).unwrap_or(0);
        #[allow(clippy::cast_precision_loss, reason = "hosts")]
        let hit_pct = hit_middle as f64 * 100.0 / f64::from(case.hosts.max(1));
        let steps =
            |of: fn(&super::Spread) -> f64| move |outcome: &Outcome| outcome.spread.iter().map(of).fold(0.0, f64::max);
        Summary {
            seeds: outcomes.len() as u64,
            done: count(Ended::Done),
            halted: count(Ended::Halted),
            held: count(Ended::Held),
            hit: hit_middle,
            hit_most: most(&hit),
            hit_pct,
            after_most: most(&|outcome| outcome.started_after),
            halted_s: whole(&|outcome| outcome.halted_s),
            latency_most_s: outcomes.iter().filter_map(|outcome| outcome.latency_s).max(),
            half_s: whole(&|outcome| outcome.half_s),
            most_s: whole(&|outcome| outcome.most_s),
            all_s: whole(&|outcome| outcome.all_s),
            cost: mean(&|outcome| outcome.cost.rollout),
            formula: mean(&|outcome| outcome.cost.formula),
            requests: outcomes.first().map(|outcome| outcome.requests).unwrap_or_default(),
            peak: most(&|outcome| outcome.peaks.iter().map(|(_, peak)| u64::from(*peak)).sum()),
            distance: largest(&steps(|spread| spread.distance)),
            densest: largest(&steps(|spread| spread.densest)),
            overcommitted: outcomes.iter().map(|outcome| outcome.overcommitted).sum(),
            spun: outcomes.iter().map(|outcome| outcome.spun).sum(),
        }
    }
}

fn middle(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}
