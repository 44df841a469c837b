//! What the kernel says of a worker, beside what the worker says of itself.

use std::fs;

use super::Settings;
use crate::fetch::confine::{Harden, Hardening, Measure};

/// Corrects `claimed` by what `/proc` shows of the process `pid`. Landlock and limits do not show there.
pub(super) fn corrected(claimed: Hardening, pid: u32, settings: &Settings) -> Hardening {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    judged(claimed, &status, settings)
}

fn judged(mut held: Hardening, status: &str, settings: &Settings) -> Hardening {
    held.mode = settings.harden;
    held.lacking.iter_mut().for_each(|lacking| lacking.why = super::screen::printable(&lacking.why));
    let wanted = settings.user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
    let uids: Option<Vec<u32>> = field(status, "Uid").map(|ids| ids.split_whitespace().flat_map(str::parse).collect());
    match uids {
        Some(uids) if uids.len() == 4 && uids.iter().all(|uid| *uid == wanted) => held.user = wanted,
        Some(_) => held.lacks(Measure::User, "the kernel shows another one"),
        None if settings.harden == Harden::Require => held.lacks(Measure::User, "/proc does not show the process"),
        None => {}
    }
    if settings.harden == Harden::Off || status.is_empty() {
        return held;
    }
    let is = |name, value| field(status, name) == Some(value);
    let no_capability = ["CapInh", "CapPrm", "CapEff", "CapAmb"]
        .iter()
        .all(|name| field(status, name).is_some_and(|set| set.bytes().all(|digit| digit == b'0')));
    let mut shown = Vec::new();
    for (claim, holds, measure) in [
        (&mut held.no_new_privs, is("NoNewPrivs", "1"), Measure::NoNewPrivs),
        (&mut held.capabilities, no_capability, Measure::Capabilities),
        (&mut held.seccomp, is("Seccomp", "2"), Measure::Seccomp),
    ] {
        *claim &= holds;
        shown.extend((!*claim).then_some(measure));
    }
    // Whatever it said: what it does not claim is missing, too.
    shown.into_iter().for_each(|measure| held.lacks(measure, "the kernel does not show it"));
    if held.landlock.is_none() {
        held.lacks(Measure::Landlock, "the worker does not claim it");
    }
    if !held.limits {
        held.lacks(Measure::Limits, "the worker does not claim them");
    }
    held
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFINED: &str = "Name:\tfetchd\nUid:\t0\t0\t0\t0\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
        CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    fn claims_all() -> Hardening {
        let all = Hardening { no_new_privs: true, capabilities: true, landlock: Some(7), ..Hardening::default() };
        Hardening { seccomp: true, limits: true, ..all }
    }

    #[test]
    fn a_claim_that_the_kernel_contradicts_does_not_count() {
        let user = Some(super::super::User { uid: 0, gid: 0 });
        let settings = Settings { harden: Harden::Require, user, ..Settings::default() };
        let lacking = |status: &str| {
            let held = judged(claims_all(), status, &settings);
            held.lacking.iter().map(|lacking| lacking.measure).collect::<Vec<_>>()
        };
        assert_eq!(lacking(CONFINED), []);
        assert_eq!(lacking(&CONFINED.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0")), [Measure::NoNewPrivs]);
        assert_eq!(lacking(&CONFINED.replace("Seccomp:\t2", "Seccomp:\t0")), [Measure::Seccomp]);
        assert_eq!(lacking(&CONFINED.replace("CapEff:\t0000", "CapEff:\t0001")), [Measure::Capabilities]);
        assert_eq!(lacking(&CONFINED.replace("CapPrm:\t0000000000000000\n", "")), [Measure::Capabilities]);
        assert_eq!(lacking(&CONFINED.replace("Uid:\t0\t0\t0\t0", "Uid:\t7\t0\t0\t0")), [Measure::User]);
        assert_eq!(lacking(""), [Measure::User], "what cannot be seen does not hold");
    }

    #[test]
    fn what_is_not_claimed_is_missing_whatever_the_list_says() {
        let held = judged(Hardening::default(), CONFINED, &Settings::default());
        let measures: Vec<Measure> = held.lacking.iter().map(|lacking| lacking.measure).collect();
        for measure in
            [Measure::NoNewPrivs, Measure::Capabilities, Measure::Seccomp, Measure::Landlock, Measure::Limits]
        {
            assert!(measures.contains(&measure), "{measure:?}");
        }
    }
}
