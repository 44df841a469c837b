//! The stewards of a simulation: the machine that volunteers run.

use super::being::NEVER;
use super::case::Case;
use super::dice::Dice;
use super::documents::Remembered;
use super::script;
use super::tally::Tally;
use crate::clock::Timestamp;
use crate::fleet::HostId;
use crate::fleet::names::Names;
use crate::fleet::steward::{OPEN, Step, Steward};

/// For how long they are dead, in seconds.
const DEAD: u64 = 3600;

/// How many steps a round may take before it is taken for one that does not end: a page of a list is a step.
const MOST_STEPS: u32 = 1_000_000;

#[derive(Debug)]
pub(super) struct Stewards {
    all: Vec<(u64, Steward)>,
    every_s: u64,
    dead: Option<(u64, u64)>,
}

impl Stewards {
    pub(super) fn new(case: &Case, names: &Names, seed: u64) -> Stewards {
        let begin = script::T0.0 - 60;
        let one = |number: u32| {
            let id = HostId::named(&format!("steward-{seed}-{number}"));
            // They do not all begin in the same second.
            let at = begin + Dice::of(seed, 12, u64::from(number)).below(case.stewards.every_s);
            (at, Steward::new(names.clone(), id, "1", Timestamp(at)))
        };
        let dead = case.stewards.dead_s.map(|after| (script::T0.0 + after, script::T0.0 + after + DEAD));
        Stewards { all: (0..case.stewards.many).map(one).collect(), every_s: case.stewards.every_s.max(1), dead }
    }

    /// Lets each do what it has to do at `now`; when one of them has something to do again.
    pub(super) fn run(&mut self, now: u64, tally: &mut Tally, documents: &Remembered) -> u64 {
        if let Some((_, end)) = self.dead.filter(|(begin, end)| (*begin..*end).contains(&now)) {
            return end;
        }
        for (at, steward) in &mut self.all {
            if *at > now {
                continue;
            }
            *at = now + self.every_s;
            for _ in 0..MOST_STEPS {
                match steward.next(Timestamp(now)) {
                    Step::Ask(request) => {
                        let reply = tally.ask(request, Timestamp(now));
                        steward.replied(reply, Timestamp(now), documents);
                    }
                    Step::Sleep { until } => {
                        // Its own pauses are those of a steward that looks once a minute.
                        let pause = until.0.saturating_sub(now).max(1);
                        *at = now + if pause < OPEN { pause } else { pause * self.every_s / OPEN };
                        break;
                    }
                    Step::Done => {
                        *at = NEVER;
                        break;
                    }
                }
            }
        }
        self.all.iter().map(|(at, _)| *at).min().unwrap_or(NEVER)
    }
}
