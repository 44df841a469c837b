//! The disk fails, or loses what was not synced, at every call of a change. `power_cut` stops between the steps and keeps
//! everything; here the kernel has kept nothing that it was not told to.

use super::*;
use crate::durable::power::{Fault, Ran, with_fault};

type Outcome = Result<(), InstallError>;

/// Runs `change` with each fault at each call, and starts again: what would be started is one of `allowed`, complete, the
/// last of them if `change` said that it was done; the record agrees, and the machine works.
fn lose_everywhere(
    (kind, first): (Kind, Option<&str>),
    prepare: fn(&mut Bench),
    change: fn(&mut Bench) -> Outcome,
    allowed: &[Option<&str>],
) {
    for fault in Fault::ALL {
        let mut calls = 0;
        for at in 0.. {
            let mut bench = Bench::in_memory(kind, first);
            bench.start().unwrap();
            prepare(&mut bench);
            let base = bench.base.clone();
            let Ran { value, reached } = with_fault(at, fault, &base, || change(&mut bench));
            let what = format!("{kind:?}, {fault:?} at call {at}");
            bench.start().unwrap_or_else(|e| panic!("{what}: {e}"));
            let found = bench.starts();
            assert!(allowed.contains(&found.as_deref()), "{what}: {found:?}");
            if matches!(value, Some(Ok(()))) {
                assert_eq!(Some(&found.as_deref()), allowed.last(), "{what}: reported as done");
            }
            if bench.record().journal.is_none() && bench.record().confirmed.is_some() {
                assert_eq!(bench.confirmed(), found, "{what}");
            }
            if bench.record().journal.is_some() {
                bench.confirm();
            }
            bench.release("9.0.0");
            assert_eq!(bench.starts().as_deref(), Some("9.0.0"), "{what}");
            if let Some(found) = found {
                let back = bench.roll_back().unwrap().unwrap();
                assert_eq!(fs::read_to_string(back.program()).unwrap(), found, "{what}");
            }
            bench.assert_tidy();
            if !reached {
                break;
            }
            calls += 1;
        }
        assert!(calls >= 5, "{kind:?}, {fault:?}: only {calls} calls");
    }
}

#[test]
fn an_activation_that_loses_its_power_returns_to_the_confirmed_release() {
    for kind in KINDS {
        let change = |bench: &mut Bench| bench.activate("3.0.0").map(drop);
        lose_everywhere((kind, Some("old")), two_confirmed, change, &[Some("2.0.0")]);
    }
}

#[test]
fn the_first_activation_that_loses_its_power_leaves_a_whole_program_or_none() {
    for kind in [Kind::Replace, Kind::Releases] {
        let change = |bench: &mut Bench| bench.activate("1.0.0").map(drop);
        lose_everywhere((kind, None), |_| {}, change, &[None, Some("1.0.0")]);
    }
}

#[test]
fn a_release_that_is_confirmed_stays() {
    for kind in KINDS {
        let change = |bench: &mut Bench| {
            bench.activate("3.0.0")?;
            let (install, store) = bench.both();
            install.confirm(store, Timestamp(1))
        };
        lose_everywhere((kind, Some("old")), two_confirmed, change, &[Some("2.0.0"), Some("3.0.0")]);
    }
}

#[test]
fn a_confirmation_that_loses_its_power_has_happened_or_has_not() {
    for kind in KINDS {
        let change = |bench: &mut Bench| {
            let (install, store) = bench.both();
            install.confirm(store, Timestamp(1))
        };
        lose_everywhere((kind, Some("old")), third_unconfirmed, change, &[Some("2.0.0"), Some("3.0.0")]);
    }
}

#[test]
fn a_roll_back_that_loses_its_power_is_finished() {
    for kind in KINDS {
        let change = |bench: &mut Bench| bench.roll_back().map(drop);
        lose_everywhere((kind, Some("old")), third_unconfirmed, change, &[Some("2.0.0")]);
    }
}
