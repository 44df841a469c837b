//! One host of a simulation: the machine that real hosts run, and a body that downloads, switches and fails.

use super::case::{Badness, Case};
use super::dice::Dice;
use crate::fleet::HostId;
use crate::fleet::evidence::{Code, Place};
use crate::fleet::host::Host;

/// Never.
pub(super) const NEVER: u64 = u64::MAX;

/// A host that is switched on. Times are seconds since 1970 of the store's clock.
#[derive(Debug)]
pub(super) struct Being {
    pub(super) host: Host,
    /// By how much its own clock is ahead.
    pub(super) ahead: i64,
    pub(super) busy: Busy,
    /// When the machine wants to be asked again.
    pub(super) wakes: u64,
    /// When what runs fails after all.
    pub(super) fails_at: u64,
    /// When it is looked at next; an event of another time is an old one.
    pub(super) due: u64,
    /// The newest head that it has read.
    pub(super) knows: u8,
    /// It runs the new release.
    pub(super) runs: bool,
    /// How often it was switched on.
    pub(super) boots: u16,
}

/// What it is doing besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    No,
    Fetching(u64),
    Switching(u64, Ending),
}

/// How a switch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Well,
    Bad,
    /// The host is never heard of again.
    Silence,
}

/// What became of a host: for measures, a few bytes for each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Line {
    /// When it started and when that ended, in seconds after the beginning; 0 = not yet.
    pub(super) started: u32,
    pub(super) ended: u32,
    pub(super) place: Option<Place>,
    pub(super) fate: Fate,
}

/// How a host is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Fate {
    #[default]
    Old,
    Switches,
    Well,
    Bad,
    Silent,
}

/// What each host is by nature, and what a switch on it comes to: drawn from the seed and its number alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nature<'a> {
    pub(super) case: &'a Case,
    pub(super) seed: u64,
}

/// A switch: when it ends, how, and when what was well fails later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Switch {
    pub(super) takes_s: u64,
    pub(super) ending: Ending,
    pub(super) fails_after_s: Option<u64>,
}

/// How many zones there are.
pub(super) const ZONES: u32 = 10;

impl Nature<'_> {
    pub(super) fn id(self, number: u32) -> HostId {
        let mut dice = Dice::of(self.seed, 1, u64::from(number));
        let mut id = [0; 16];
        id[..8].copy_from_slice(&dice.next().to_be_bytes());
        id[8..].copy_from_slice(&dice.next().to_be_bytes());
        HostId(id)
    }

    /// When it comes on, in seconds after the beginning; `None` = it is on all the time.
    pub(super) fn comes_back(self, number: u32) -> Option<u64> {
        let mut dice = Dice::of(self.seed, 2, u64::from(number));
        dice.falls(self.case.offline).then(|| dice.below(2 * self.case.length_s()))
    }

    pub(super) fn clock(self, number: u32) -> i64 {
        let mut dice = Dice::of(self.seed, 3, u64::from(number));
        let within =
            |dice: &mut Dice, most: u64| i64::try_from(dice.below(2 * most + 1)).unwrap_or(0) - most.cast_signed();
        match self.case.clocks {
            super::case::Clocks::Right => 0,
            super::case::Clocks::Minutes => within(&mut dice, 300),
            super::case::Clocks::Days if !dice.falls(0.01) => 0,
            super::case::Clocks::Days => 86_400 * if dice.falls(0.5) { 1 } else { -1 },
        }
    }

    /// Whether the release itself is bad on it.
    pub(super) fn is_struck(self, number: u32) -> bool {
        let zone = self.case.bad != Badness::Zone || number.is_multiple_of(ZONES);
        zone && Dice::of(self.seed, 4, u64::from(number)).falls(self.case.bad_share)
    }

    pub(super) fn download(self, number: u32) -> u64 {
        Dice::of(self.seed, 5, u64::from(number)).lognormal(20.0, 0.5).max(1)
    }

    pub(super) fn switch(self, number: u32, boots: u16) -> Switch {
        let mut dice = Dice::of(self.seed, 6 + u64::from(boots) * 16, u64::from(number));
        #[allow(clippy::cast_precision_loss, reason = "minutes")]
        let takes = dice.lognormal(self.case.switch_s as f64, 0.5).max(1);
        let silent = dice.falls(self.case.silent);
        let watched = takes + self.case.watch_s;
        let failed = |takes_s| Switch {
            takes_s,
            ending: if silent { Ending::Silence } else { Ending::Bad },
            fails_after_s: None,
        };
        if self.is_struck(number) {
            return match self.case.bad {
                Badness::Instant | Badness::Zone => failed(takes + 5),
                Badness::Silent => Switch { takes_s: takes, ending: Ending::Silence, fails_after_s: None },
                Badness::Late => match dice.exponential(7200.0) {
                    soon if soon < self.case.watch_s => failed(takes + soon),
                    late => Switch { takes_s: watched, ending: Ending::Well, fails_after_s: Some(takes + late) },
                },
            };
        }
        if dice.falls(self.case.base_failures) {
            return failed(takes + dice.below(self.case.watch_s));
        }
        Switch { takes_s: watched, ending: Ending::Well, fails_after_s: None }
    }
}

impl Being {
    /// When there is something to do with it.
    pub(super) fn next_due(&self) -> u64 {
        let busy = match self.busy {
            Busy::No => self.wakes,
            Busy::Fetching(until) | Busy::Switching(until, _) => until,
        };
        busy.min(self.fails_at)
    }

    /// Its own clock at `now`.
    pub(super) fn local(&self, now: u64) -> crate::clock::Timestamp {
        crate::clock::Timestamp(now.saturating_add_signed(self.ahead))
    }

    /// The store's time at `local` of its own clock.
    pub(super) fn global(&self, local: crate::clock::Timestamp) -> u64 {
        local.0.saturating_add_signed(-self.ahead)
    }
}

/// The code of a release that is bad in a simulation.
pub(super) fn bad() -> Code {
    Code::new("smoke.failed")
}
