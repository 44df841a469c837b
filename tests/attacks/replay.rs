//! Replay, freeze, mix and match.

mod act;
mod state;

use fetchd::digest::Sha256;
use serde_json::{Value, json};

use crate::maker::{FIRST, Maker, SEQ, artifact_name, binding, manifest, program};
use crate::table::{Carry, Case, Change, Files, Play, Verdict};

const ROLLBACK: Verdict = Verdict::refused(21, "manifest.rollback");
const EQUIVOCATION: Verdict = Verdict::refused(21, "manifest.equivocation");
const MALFORMED: Verdict = Verdict::refused(20, "manifest.malformed");
const EXPIRED: Verdict = Verdict::held("manifest.expired");
const CLOCK: Verdict = Verdict::refused(22, "manifest.clock");
const TARGET_CHECK: Verdict = Verdict::refused(23, "candidate.target");
const DOWNGRADE: Verdict = Verdict { exit: 21, ..Verdict::held("release.downgrade") };
const REVOKED: Verdict = Verdict { exit: 20, ..Verdict::held("release.revoked") };
/// The floor is what it was, and so is the program.
const SEEN: Verdict = Verdict { event: "", change: Change::Nothing, ..Verdict::accepted() };

/// 2^53, from which other readers of JSON lose precision.
const BEYOND: u64 = 1 << 53;

pub const CASES: &[Case] = &[
    Case {
        id: 35,
        attack: "an older number than was accepted",
        fixture: "older-number",
        plays: &[
            Play::serve("manifest", |maker| maker.good(FIRST - 1, "1.1.0"), ROLLBACK),
            Play::serve("artifact", |maker| numbered(maker, "1.1.0", FIRST - 1), ROLLBACK),
            Play::Act {
                variant: "after-a-failed-download",
                over: Carry::ALL,
                verdict: ROLLBACK,
                act: act::older_than_what_could_not_be_downloaded,
            },
            Play::act("of-an-older-epoch", act::older_epoch, ROLLBACK),
        ],
    },
    Case {
        id: 36,
        attack: "other bytes under the number that was accepted",
        fixture: "same-number",
        plays: &[
            Play::serve("manifest", |maker| maker.good(FIRST, "1.1.0"), EQUIVOCATION),
            Play::act("artifact", act::two_artifacts_of_one_number, EQUIVOCATION),
        ],
    },
    Case {
        id: 37,
        attack: "an old genuine binary as a new version",
        fixture: "old-binary-new-version",
        plays: &[
            Play::serve("manifest", old_binary, Verdict::fetch(23, "download.digest").after_admission()),
            Play::serve("artifact", old_artifact_renamed, Verdict::refused(20, "comment.wrong_file")),
            Play::serve(
                "artifact-of-another-signature",
                old_artifact_new_signature,
                Verdict::refused(20, "signature.wrong"),
            ),
            Play::serve("artifact-as-it-was", |maker| maker.bound("0.9.0", &binding("0.9.0")), DOWNGRADE),
            Play::Act {
                variant: "artifact-under-a-new-tag-of-github",
                over: Carry::FILE,
                verdict: Verdict::refused(20, "comment.wrong_version"),
                act: act::old_artifact_under_a_new_tag,
            },
        ],
    },
    Case {
        id: 38,
        attack: "a number of 2^53",
        fixture: "number-beyond-2-53",
        plays: &[
            Play::serve("manifest", |maker| maker.good(BEYOND, "1.1.0"), MALFORMED),
            Play::serve(
                "epoch",
                |maker| maker.with(SEQ, "1.1.0", |manifest| manifest["epoch"] = BEYOND.into()),
                MALFORMED,
            ),
            Play::serve(
                "artifact",
                |maker| numbered(maker, "1.1.0", BEYOND),
                Verdict::refused(20, "comment.malformed"),
            ),
        ],
    },
    Case {
        id: 39,
        attack: "a release that has expired",
        fixture: "expired",
        plays: &[
            Play::serve(
                "manifest",
                |maker| maker.with(SEQ, "1.1.0", |manifest| manifest["expires"] = json!("2026-01-02T00:00:00Z")),
                EXPIRED.after_admission(),
            ),
            Play::serve(
                "artifact",
                |maker| maker.bound("1.1.0", &format!("{}\texpires:2026-01-02T00:00:00Z", binding("1.1.0"))),
                EXPIRED,
            ),
            Play::serve_with(
                &["--max-age", "1d"],
                "older-than-is-wanted",
                |maker| maker.good(SEQ, "1.1.0"),
                Verdict::held("manifest.too_old").after_admission(),
            ),
        ],
    },
    Case {
        id: 40,
        attack: "issued two days from now",
        fixture: "issued-ahead",
        plays: &[
            Play::Act { variant: "manifest", over: Carry::ALL, verdict: CLOCK, act: act::manifest_of_tomorrow },
            Play::Act { variant: "artifact", over: Carry::ALL, verdict: CLOCK, act: act::artifact_of_tomorrow },
        ],
    },
    Case {
        id: 41,
        attack: "a clock that is wrong, and put right",
        fixture: "wrong-clock",
        plays: &[
            Play::act("1970", act::clock_of_1970, CLOCK),
            Play::act("2099", act::clock_of_2099, Verdict::accepted()),
            Play::act("2099-expired", act::expired_in_2099, EXPIRED.after_admission()),
            Play::act("2099-cooldown", act::cooldown_from_2099, Verdict::held("release.cooldown").after_admission()),
            Play::act("set-back-to-revive", act::set_back_to_revive, EXPIRED.after_admission()),
        ],
    },
    Case {
        id: 42,
        attack: "the state is deleted",
        fixture: "state-deleted",
        plays: &[
            Play::act("older-than-what-runs", state::deleted_and_older, DOWNGRADE.after_admission()),
            Play::act("newer-than-what-runs", state::deleted_and_newer, Verdict::accepted()),
            Play::act("record-alone", state::record_deleted_and_older, ROLLBACK.change(Change::Floor)),
        ],
    },
    Case {
        id: 43,
        attack: "the state is damaged",
        fixture: "state-damaged",
        plays: &[
            Play::act("truncated", state::truncated, Verdict::state("state.damaged")),
            Play::act("empty", state::empty, Verdict::state("state.damaged")),
            Play::act("not-json", state::not_json, Verdict::state("state.damaged")),
            Play::act("of-somebody-else", state::of_somebody_else, Verdict::state("state.damaged")),
            Play::act("a-symlink", state::symlinked, Verdict::state("state.damaged")),
            Play::act("open-to-all", state::open_to_all, Verdict::state("state.damaged")),
            Play::act("directory-a-symlink", state::directory_symlinked, Verdict::state("state.unsafe")),
            Play::Proved {
                by: &[("tests/bad_input.rs", "damaged_state_stops_updates_and_never_the_service")],
                verdict: Verdict::state("state.damaged"),
            },
        ],
    },
    Case {
        id: 44,
        attack: "the kept manifest is edited",
        fixture: "kept-manifest-edited",
        plays: &[
            Play::act("garbage", state::kept_garbage, Verdict::accepted()),
            Play::act("raised", state::kept_raised, Verdict::accepted()),
            Play::act("lowered", state::kept_lowered, ROLLBACK),
        ],
    },
    Case {
        id: 45,
        attack: "a program for arm64 under the name of x86_64",
        fixture: "arm64-as-x86-64",
        plays: &[
            Play::serve_with(
                &["--target-check", "on"],
                "manifest",
                |maker| of_binary(maker, elf(183)),
                TARGET_CHECK.after_admission(),
            ),
            Play::serve_with(&["--target-check", "on"], "artifact", |maker| bound_to(maker, elf(183)), TARGET_CHECK),
            Play::serve_with(
                &["--target-check", "on"],
                "no-program-at-all",
                |maker| of_binary(maker, program("1.1.0")),
                TARGET_CHECK.after_admission(),
            ),
        ],
    },
    Case {
        id: 46,
        attack: "a release of another channel, signed by the same key",
        fixture: "other-channel",
        plays: &[
            Play::serve(
                "manifest",
                |maker| maker.with(SEQ, "1.1.0", |manifest| manifest["channel"] = json!("beta")),
                Verdict::refused(21, "manifest.wrong_channel"),
            ),
            Play::serve(
                "artifact",
                |maker| maker.bound("1.1.0", &binding("1.1.0").replace("channel:stable", "channel:beta")),
                Verdict::refused(21, "comment.wrong_channel"),
            ),
        ],
    },
    Case {
        id: 47,
        attack: "two mirrors, of which one is stale",
        fixture: "stale-mirror",
        plays: &[
            Play::Act { variant: "of-the-manifest", over: Carry::ALL, verdict: ROLLBACK, act: act::mirrors_in_turn },
            Play::serve("of-the-artifact", mirrors, Verdict::accepted()),
        ],
    },
    Case {
        id: 48,
        attack: "a revoked version is pinned",
        fixture: "revoked-and-pinned",
        plays: &[
            Play::serve_with(
                &["--pin", "1.1.0", "--force"],
                "by-version",
                |maker| revoked(maker, json!({ "version": "1.1.0", "reason": "leaks" })),
                REVOKED.after_admission(),
            ),
            Play::serve_with(
                &["--pin", "1.1.0", "--force"],
                "by-digest",
                |maker| revoked(maker, json!({ "sha256": Sha256::of(&program("1.1.0")), "reason": "leaks" })),
                REVOKED.after_admission(),
            ),
        ],
    },
    Case {
        id: 49,
        attack: "what runs is withdrawn, and an older version is the newest",
        fixture: "directed-downgrade",
        plays: &[
            Play::serve("yanked", |maker| withdrawn(maker, SEQ, yank), Verdict::accepted()),
            Play::serve("revoked", |maker| withdrawn(maker, SEQ, revoke), Verdict::accepted()),
            Play::serve(
                "below-the-minimum",
                |maker| {
                    withdrawn(maker, SEQ, |manifest| {
                        yank(manifest);
                        manifest["min_version"] = json!("0.9.5");
                    })
                },
                Verdict::held("release.yanked").after_admission(),
            ),
            Play::serve("replayed", |maker| withdrawn(maker, FIRST - 1, yank), ROLLBACK),
            Play::serve("not-withdrawn", |maker| withdrawn(maker, SEQ, |_| {}), SEEN.change(Change::Floor)),
            Play::serve("not-listed", |maker| maker.good(SEQ, "0.9.0"), DOWNGRADE.after_admission()),
        ],
    },
];

/// The artifact of `version`, signed with a number.
fn numbered(maker: &Maker, version: &str, seq: u64) -> Files {
    maker.bound(version, &format!("{}\tseq:{seq}", binding(version)))
}

fn old_binary(maker: &Maker) -> Files {
    let mut files = maker.good(SEQ, "1.1.0");
    assert_eq!(program("1.1.0").len(), program("0.9.0").len());
    files.insert(artifact_name("1.1.0"), program("0.9.0"));
    files
}

/// The pair of 0.9.0 under the names of 1.1.0.
fn old_artifact_renamed(maker: &Maker) -> Files {
    let rename = |(name, bytes): (String, Vec<u8>)| (name.replace("0.9.0", "1.1.0"), bytes);
    maker.bound("0.9.0", &binding("0.9.0")).into_iter().map(rename).collect()
}

/// The signature of 1.1.0 beside the bytes of 0.9.0.
fn old_artifact_new_signature(maker: &Maker) -> Files {
    let mut files = maker.bound("1.1.0", &binding("1.1.0"));
    files.insert(artifact_name("1.1.0"), program("0.9.0"));
    files
}

/// A header that says for which machine it is, and nothing behind it.
fn elf(machine: u8) -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (header[16], header[18], header[20], header[52]) = (2, machine, 1, 64);
    header
}

/// The release of a case whose binary is this.
fn of_binary(maker: &Maker, binary: Vec<u8>) -> Files {
    let mut files = maker.with(SEQ, "1.1.0", |manifest| {
        let artifact = &mut manifest["releases"][0]["artifacts"][0];
        for (size, digest) in [("size", "sha256"), ("binary_size", "binary_sha256")] {
            artifact[size] = binary.len().into();
            artifact[digest] = Sha256::of(&binary).to_string().into();
        }
    });
    files.insert(artifact_name("1.1.0"), binary);
    files
}

/// The same in artifact mode.
fn bound_to(maker: &Maker, binary: Vec<u8>) -> Files {
    let (own, size) = (format!("size:{}", program("1.1.0").len()), format!("size:{}", binary.len()));
    let signature = maker.publisher.sign(&binary, &binding("1.1.0").replace(&own, &size));
    let name = artifact_name("1.1.0");
    Files::from([(format!("{name}.minisig"), signature.into_bytes()), (name, binary)])
}

/// The first place that the manifest names has an older binary of that length, the second what was signed.
fn mirrors(maker: &Maker) -> Files {
    let mut files = maker.with(SEQ, "1.1.0", |manifest| {
        manifest["releases"][0]["artifacts"][0]["urls"] = json!(["mirror", artifact_name("1.1.0")]);
    });
    files.insert("mirror".to_owned(), program("0.9.0"));
    files
}

fn revoked(maker: &Maker, what: Value) -> Files {
    maker.with(SEQ, "1.1.0", |manifest| manifest["revoked"] = json!([what]))
}

/// A manifest that lists 0.9.0 beside what runs, 1.0.0.
fn withdrawn(maker: &Maker, seq: u64, edit: impl FnOnce(&mut Value)) -> Files {
    let runs = manifest(seq, "1.0.0")["releases"][0].clone();
    let mut files = maker.with(seq, "0.9.0", |manifest| {
        manifest["releases"].as_array_mut().unwrap().push(runs);
        edit(manifest);
    });
    files.insert(artifact_name("1.0.0"), program("1.0.0"));
    files
}

fn yank(manifest: &mut Value) {
    manifest["releases"][1]["yanked"] = true.into();
}

fn revoke(manifest: &mut Value) {
    manifest["revoked"] = json!([{ "version": "1.0.0", "reason": "leaks" }]);
}
