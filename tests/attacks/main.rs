//! The list of attacks, each a row of one table, over each source that can carry it.
//!
//! A row names what is done, the files it is done with, and how the pass must end. After every
//! refusal the same is asserted: the target's bytes, inode and mode are what they were, nothing was
//! executed, no temporary file is left, the floor is where it was, and a good release is taken next.
//! `docs/security.md` shows this table.

#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]
#![allow(unreachable_pub, missing_debug_implementations, reason = "modules of one test program")]

mod archive;
mod bench;
mod carrier;
mod clock;
mod document;
mod fixtures;
mod install;
mod live;
mod machine;
mod maker;
mod replay;
mod rotation;
mod signature;
mod table;
mod transport;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bench::Bench;
use libtest_mimic::{Arguments, Failed, Trial};
use table::{Carry, Case, Play};

/// The headings of the list, each with its rows.
pub const SECTIONS: &[(&str, &[Case])] = &[
    ("Signatures and keys", signature::CASES),
    ("Rotation of keys", rotation::CASES),
    ("Replay, freeze, mix and match", replay::CASES),
    ("Transport", transport::CASES),
    ("Archives", archive::CASES),
    ("Installation", install::CASES),
    ("Smoke run, watch, policy", live::CASES),
];

fn main() {
    let mut trials = vec![
        test("every_case_is_there_once", every_case_is_there_once),
        test("the_fixtures_are_what_they_are_said_to_be", fixtures::check),
        test("what_proves_a_case_exists", document::check_proofs),
        test("the_page_shows_this_table", document::check_page),
    ];
    for (_, cases) in SECTIONS {
        for case in *cases {
            trials.extend(case.plays.iter().flat_map(|play| of_play(case, play)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn of_play(case: &'static Case, play: &'static Play) -> Vec<Trial> {
    let named = |carry: Carry| {
        let variant = if play.variant().is_empty() { String::new() } else { format!("_{}", play.variant()) };
        format!("r{:02}_{}{variant}::{}", case.id, case.fixture, carry.name()).replace('-', "_")
    };
    match play {
        Play::Serve { variant, flags, over, verdict, .. } => over
            .iter()
            .map(|&carry| {
                let folder = case.folder(variant);
                test(named(carry), move || {
                    Bench::new(carry).play(&fixtures::read(&folder), flags, verdict);
                })
            })
            .collect(),
        Play::Act { over, verdict, act, .. } => {
            over.iter().map(|&carry| test(named(carry), move || act(&mut Bench::new(carry), verdict))).collect()
        }
        Play::Proved { .. } | Play::DoesNotApply { .. } => Vec::new(),
    }
}

/// A test that fails by panicking, as tests do.
fn test(name: impl Into<String>, body: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Failed::from(text.unwrap_or_else(|| "it panicked".to_owned()))
        })
    })
}

fn every_case_is_there_once() {
    let ids: Vec<u8> = SECTIONS.iter().flat_map(|(_, cases)| cases.iter().map(|case| case.id)).collect();
    assert_eq!(ids, (1..=96).collect::<Vec<u8>>());
    for (_, cases) in SECTIONS {
        for case in *cases {
            assert!(!case.plays.is_empty(), "case {} is not played", case.id);
        }
    }
}
