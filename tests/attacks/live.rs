//! The smoke run, the watch, and what a policy holds back.

pub mod service;

mod smoke;
mod watch;

use fetchd::clock::Timestamp;
use fetchd::state::Store;
use serde_json::json;

use crate::bench::Bench;
use crate::maker::{Maker, SEQ, program, script};
use crate::table::{Carry, Case, Change, Files, Play, Verdict};

pub const CASES: &[Case] = &[
    Case {
        id: 86,
        attack: "the candidate prints another version than was signed",
        fixture: "version",
        plays: &[
            everywhere("longer", |m| printing(m, "app 1.2.30"), "smoke.version"),
            refused("shorter", |m| printing(m, "app 1.2"), "smoke.version"),
            refused("with-something-before-it", |m| printing(m, "app 11.2.3"), "smoke.version"),
            refused("pre-release", |m| printing(m, "app 1.2.3-rc.1"), "smoke.version"),
            refused("part-of-a-longer-one", |m| printing(m, "app 1.2.3.4"), "smoke.version"),
            refused("none", |m| printing(m, "app"), "smoke.version"),
            refused("on-stderr-only", |m| saying(m, "echo app 1.2.3 >&2"), "smoke.version"),
        ],
    },
    Case {
        id: 87,
        attack: "the candidate hangs, and a child of it holds its output",
        fixture: "hang",
        plays: &[
            act("", smoke_refused("smoke.timeout"), smoke::hangs),
            act("only-the-child", Verdict::accepted(), smoke::leaves_a_child),
        ],
    },
    Case {
        id: 88,
        attack: "the candidate prints 1 GiB",
        fixture: "flood",
        plays: &[
            refused("stdout", |m| saying(m, "head -c 1073741824 /dev/zero"), "smoke.output"),
            refused("stderr", |m| saying(m, "head -c 1073741824 /dev/zero >&2; echo app 1.2.3"), "smoke.output"),
        ],
    },
    Case {
        id: 89,
        attack: "the candidate prints the right version and fails",
        fixture: "failure",
        plays: &[
            refused("exit-1", |m| saying(m, "echo app 1.2.3; exit 1"), "smoke.exit"),
            refused("sigsegv", |m| saying(m, "echo app 1.2.3; kill -SEGV $$"), "smoke.signal"),
            refused("nothing-to-execute", |m| m.with_binary(SEQ, "1.2.3", b"echo app 1.2.3\n"), "smoke.exec"),
        ],
    },
    Case {
        id: 90,
        attack: "the candidate starts fetchd when it is asked for its version",
        fixture: "starts-fetchd",
        plays: &[
            act("run", smoke_refused("smoke.exit"), smoke::starts_run),
            act("apply", Verdict::accepted(), smoke::starts_apply),
        ],
    },
    Case {
        id: 91,
        attack: "the release passes its smoke run and does not stay",
        fixture: "does-not-hold",
        plays: &[
            act("dies-in-the-watch", rolled_back("watch.died"), watch::dies_in_the_watch),
            act("exits-before-it-is-ready", rolled_back("handoff.exited"), watch::exits_before_ready),
            Play::Proved {
                by: &[
                    ("tests/bad_releases/bundle.rs", "a_release_that_is_unwell_in_its_watch_is_undone"),
                    ("tests/bad_releases/artifact.rs", "a_bound_release_that_does_not_hold_is_undone_and_shut_out"),
                ],
                verdict: rolled_back("watch.unhealthy"),
            },
        ],
    },
    Case {
        id: 92,
        attack: "the release does not stay, and no release before it starts again",
        fixture: "nothing-holds",
        plays: &[
            act(
                "after-it-was-confirmed",
                // The supervisor ends as the last of them did.
                Verdict {
                    exit: service::BROKEN,
                    code: "service.crash_loop",
                    event: "service.crash_loop",
                    change: Change::State,
                },
                watch::nothing_holds,
            ),
            act("in-the-watch", rolled_back("watch.died"), watch::predecessor_is_gone),
        ],
    },
    Case {
        id: 93,
        attack: "the copy to go back to is modified",
        fixture: "previous-modified",
        plays: &[
            act(
                "",
                Verdict {
                    exit: 40,
                    code: "install.previous_changed",
                    event: "rollback.failed",
                    change: Change::Executed,
                },
                watch::previous_modified,
            ),
            Play::Proved {
                by: &[("src/install/tests/refusals.rs", "a_previous_binary_that_changed_on_disk_is_never_put_back")],
                verdict: Verdict { exit: 40, code: "install.previous_changed", event: "", change: Change::Executed },
            },
        ],
    },
    Case {
        id: 94,
        attack: "a rollout",
        fixture: "rollout",
        plays: &[
            policy("nobody", |m| rollout(m, Some(0)), &[], held("release.rollout")),
            policy("nobody-though-forced", |m| rollout(m, Some(0)), &["--force"], held("release.rollout")),
            policy("few-and-forced", |m| rollout(m, Some(1)), &["--force"], Verdict::accepted()),
            policy("all", |m| rollout(m, Some(100)), &[], Verdict::accepted()),
            policy("none-given", |m| rollout(m, None), &[], Verdict::accepted()),
            Play::Proved {
                by: &[("src/trust/choose/tests.rs", "a_rollout_goes_to_its_share_of_the_hosts")],
                verdict: held("release.rollout"),
            },
        ],
    },
    Case {
        id: 95,
        attack: "the date of a manifest is set back, against a cooldown",
        fixture: "cooldown",
        plays: &[
            policy("waits-all-the-same", back_dated, &["--cooldown", "1h"], held("release.cooldown")),
            act("taken-once-it-was-known-long-enough", Verdict::accepted(), cooled),
        ],
    },
    Case {
        id: 96,
        attack: "a delta with a wrong base or a wrong result",
        fixture: "delta",
        plays: &[
            Play::Proved {
                by: &[
                    ("tests/deltas/main.rs", "whatever_is_wrong_with_a_delta_the_full_artifact_is_taken_at_once"),
                    ("tests/deltas/main.rs", "a_binary_that_somebody_changed_is_replaced_whole"),
                ],
                verdict: Verdict::accepted(),
            },
            Play::Serve {
                variant: "one-from-another-binary-is-not-looked-at",
                make: with_delta,
                flags: &[],
                over: Carry::ALL,
                verdict: Verdict::accepted(),
            },
        ],
    },
];

const fn act(variant: &'static str, verdict: Verdict, act: fn(&mut Bench, &Verdict)) -> Play {
    Play::Act { variant, over: Carry::FILE, verdict, act }
}

const fn smoke_refused(code: &'static str) -> Verdict {
    Verdict::refused(41, code).change(Change::Executed)
}

const fn serve(
    variant: &'static str,
    make: fn(&Maker) -> Files,
    over: &'static [Carry],
    flags: &'static [&'static str],
    verdict: Verdict,
) -> Play {
    Play::Serve { variant, make, flags, over, verdict }
}

const fn refused(variant: &'static str, make: fn(&Maker) -> Files, code: &'static str) -> Play {
    serve(variant, make, Carry::FILE, &[], smoke_refused(code))
}

const fn everywhere(variant: &'static str, make: fn(&Maker) -> Files, code: &'static str) -> Play {
    serve(variant, make, Carry::ALL, &[], smoke_refused(code))
}

const fn policy(
    variant: &'static str,
    make: fn(&Maker) -> Files,
    flags: &'static [&'static str],
    verdict: Verdict,
) -> Play {
    serve(variant, make, Carry::FILE, flags, verdict)
}

/// The old program is at its path again, by its old inode.
const fn rolled_back(code: &'static str) -> Verdict {
    Verdict { exit: 42, code, event: "handoff.failed", change: Change::Executed }
}

const fn held(code: &'static str) -> Verdict {
    Verdict::held(code).after_admission()
}

/// Signed as 1.2.3.
fn saying(maker: &Maker, lines: &str) -> Files {
    maker.with_binary(SEQ, "1.2.3", &script("candidate", lines))
}

fn printing(maker: &Maker, text: &str) -> Files {
    saying(maker, &format!("echo '{text}'"))
}

fn rollout(maker: &Maker, percent: Option<u8>) -> Files {
    maker.with(SEQ, "1.1.0", |manifest| {
        manifest["releases"][0]["rollout"] =
            percent.map_or(json!(null), |percent| json!({ "percent": percent, "salt": "1.1.0" }));
    })
}

fn back_dated(maker: &Maker) -> Files {
    maker.with(SEQ, "1.1.0", |manifest| manifest["issued"] = "2020-01-01T00:00:00Z".into())
}

/// By its own clock this machine has known the release for two hours.
fn cooled(bench: &mut Bench, verdict: &Verdict) {
    bench.show(&back_dated(&bench.maker));
    let ended = bench.apply(&["--cooldown", "1h"]);
    assert_eq!((ended.exit, ended.code.as_str()), (22, "release.cooldown"), "{ended:#?}");
    let mut store = Store::open(&bench.state_dir()).unwrap();
    let two_hours_ago = Timestamp(Timestamp::now().0 - 7200);
    store.update(|record| record.first_seen.insert("1.1.0".to_owned(), two_hours_ago).map(drop).unwrap()).unwrap();
    drop(store);
    let ended = bench.apply(&["--cooldown", "1h"]);
    bench.assert_verdict(&ended, verdict);
    assert!(std::fs::read(bench.program()).unwrap() == program("1.1.0"));
    bench.assert_recovers();
}

/// The artifact is fetched whole.
fn with_delta(maker: &Maker) -> Files {
    maker.with(SEQ, "1.1.0", |manifest| {
        manifest["releases"][0]["artifacts"][0]["deltas"] = json!([{
            "from_sha256": "00".repeat(32), "format": "dcz", "urls": ["missing.dcz"], "size": 1,
            "sha256": "11".repeat(32), "mem_bytes": null, "window_log": null,
        }]);
    })
}
