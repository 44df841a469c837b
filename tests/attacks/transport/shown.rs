//! What a source shows, and does not show.

use fetchd_fetchers::conformance::scripted::Step;

use super::{VERSION, artifact, ends, offer, pointer_path};
use crate::bench::Bench;
use crate::maker::{Maker, POINTER, SEQ, binding};
use crate::table::{Carry, Case, Change, Files, Play, Verdict};

pub const NOT_MODIFIED: Case = Case {
    id: 60,
    attack: "nothing is said to have changed, and nothing was kept",
    fixture: "not-modified",
    plays: &[
        Play::Act {
            variant: "without-being-asked",
            over: Carry::HTTP,
            verdict: Verdict::fetch(30, "source.other"),
            act: without_being_asked,
        },
        Play::Proved {
            by: &[
                ("fetchers/tests/http/poll.rs", "r60_not_modified_without_a_condition_is_an_error"),
                ("stand-ins/tests/github/poll.rs", "r60_not_modified_without_a_condition_is_an_error"),
                ("src/fetch/tests/poll.rs", "unchanged_since_nothing_is_a_failure"),
            ],
            verdict: Verdict::fetch(30, "source.other"),
        },
        // A release that was seen and not taken is asked for again without a condition.
        Play::Proved {
            by: &[("tests/worker/origin.rs", "no_answer_at_all")],
            verdict: Verdict::fetch(30, "download.stalled").leaving_a_part(),
        },
    ],
};

pub const NOT_ALL_THERE: Case = Case {
    id: 66,
    attack: "a release is listed before its files are there",
    fixture: "not-all-there",
    plays: &[
        Play::Serve {
            variant: "no-bundle",
            make: |maker| without(maker, POINTER),
            flags: &[],
            over: Carry::GITHUB,
            verdict: NOT_READY,
        },
        Play::Serve {
            variant: "no-artifact",
            make: |maker| without(maker, &artifact()),
            flags: &[],
            over: Carry::GITHUB,
            verdict: Verdict::fetch(30, "source.not_ready").after_admission(),
        },
        Play::Act { variant: "no-signature", over: Carry::GITHUB, verdict: NOT_READY, act: without_signature },
        Play::Proved {
            by: &[("tests/github.rs", "r66_a_release_whose_files_are_not_all_there_is_not_ready_and_then_goes_live")],
            verdict: NOT_READY,
        },
    ],
};

/// Nothing to worry about: it is looked at again.
const NOT_READY: Verdict =
    Verdict { exit: 0, code: "source.not_ready", event: "release.not_ready", change: Change::Nothing };

fn without(maker: &Maker, name: &str) -> Files {
    let mut files = maker.good(SEQ, VERSION);
    assert!(files.remove(name).is_some());
    files
}

fn without_being_asked(bench: &mut Bench, verdict: &Verdict) {
    offer(bench);
    bench.carrier.http().script_every(&pointer_path(), vec![Step::Status(304)]);
    ends(bench, &[], verdict);
}

fn without_signature(bench: &mut Bench, verdict: &Verdict) {
    let bound = bench.maker.bound(VERSION, &binding(VERSION));
    let mut files = bound.clone();
    files.retain(|name, _| !name.ends_with(".minisig"));
    bench.show(&files);
    bench.follows = Some(artifact());
    let ended = bench.apply(&["--signature", "bound"]);
    bench.assert_verdict(&ended, verdict);
    bench.assert_takes(&bound, VERSION, &["--signature", "bound"]);
}
