//! Rotation of keys: who is trusted follows a chain of documents, and nothing else.

use std::fs;

use fetchd_fetchers::conformance::scripted::Step;
use fetchd_stand_ins::s3::{Fault, Refusal, When};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::maker::{FIRST, LATER, Maker, POINTER, PRODUCT, SEQ, Signer, bundle, manifest};
use crate::table::{Carry, Case, Change, Files, Play, Verdict};

pub const CASES: &[Case] = &[
    Case {
        id: 25,
        attack: "the next key set is signed by the old root alone",
        fixture: "signed-by-the-old-root-alone",
        plays: &[Play::Act {
            variant: "",
            over: Carry::ALL,
            verdict: Verdict::refused(20, "signature.unknown_key"),
            act: |bench, verdict| {
                let next = document(2, 0, &[&other_root()], &bench.maker.publisher);
                offered(bench, &[(2, key_set(&next, &[&root()]))], verdict);
            },
        }],
    },
    Case {
        id: 26,
        attack: "the next key set is signed by the new root alone",
        fixture: "signed-by-the-new-root-alone",
        plays: &[Play::Act {
            variant: "",
            over: Carry::ALL,
            verdict: Verdict::refused(20, "signature.unknown_key"),
            act: |bench, verdict| {
                let next = document(2, 0, &[&other_root()], &bench.maker.publisher);
                offered(bench, &[(2, key_set(&next, &[&other_root()]))], verdict);
            },
        }],
    },
    Case {
        id: 27,
        attack: "fifteen sequences of key sets with several roots and thresholds",
        fixture: "sequences",
        plays: &[Play::Proved {
            by: &[("src/trust/chain_tests.rs", "rotations_end_as_those_of_tuf_do")],
            verdict: Verdict::refused(20, "signature.threshold"),
        }],
    },
    Case {
        id: 28,
        attack: "a key set is left out",
        fixture: "version-left-out",
        plays: &[Play::Act {
            variant: "",
            over: Carry::ALL,
            verdict: Verdict::refused(20, "keys.version"),
            act: |bench, verdict| {
                let third = document(3, 0, &[&root()], &bench.maker.publisher);
                offered(bench, &[(2, key_set(&third, &[&root()]))], verdict);
            },
        }],
    },
    Case {
        id: 29,
        attack: "the next key set has a lower epoch",
        fixture: "lower-epoch",
        plays: &[Play::Act {
            variant: "",
            over: Carry::ALL,
            verdict: Verdict::refused(21, "keys.epoch"),
            act: |bench, verdict| {
                trust(bench, 3);
                let next = document(2, 2, &[&root()], &bench.maker.publisher);
                let mut files = in_epoch(&bench.maker, 3, SEQ, "1.1.0");
                files.insert("keys/2".into(), key_set(&next, &[&root()]));
                bench.show(&files);
                let ended = bench.apply(&[]);
                bench.assert_verdict(&ended, verdict);
                let good = in_epoch(&bench.maker, 3, LATER, "1.9.0");
                bench.assert_takes(&good, "1.9.0", &[]);
            },
        }],
    },
    Case {
        id: 30,
        attack: "a chain of 65 key sets",
        fixture: "65-steps",
        plays: &[Play::Act {
            variant: "",
            over: Carry::FILE,
            verdict: Verdict::held("keys.too_many_steps"),
            act: |bench, verdict| {
                trust(bench, 0);
                let mut files = bench.maker.good(SEQ, "1.1.0");
                for version in 2..=66 {
                    let next = document(version, 0, &[&root()], &bench.maker.publisher);
                    files.insert(format!("keys/{version}"), key_set(&next, &[&root()]));
                }
                bench.show(&files);
                let ended = bench.apply(&[]);
                bench.assert_verdict(&ended, &verdict.after_admission());
                assert_eq!(bench.record().keys_version, 65, "64 steps were taken and kept");
                // The next pass goes on from there.
                bench.assert_takes(&files, "1.1.0", &[]);
                assert_eq!(bench.record().keys_version, 66);
            },
        }],
    },
    Case {
        id: 31,
        attack: "the next key set cannot be read",
        fixture: "unreadable",
        plays: &[
            Play::Act {
                variant: "500",
                over: Carry::HTTP,
                verdict: Verdict::fetch(30, "source.unreachable"),
                act: |bench, verdict| {
                    trust(bench, 0);
                    let good = bench.maker.good(SEQ, "1.1.0");
                    bench.show(&good);
                    bench.carrier.http().script_every("/keys/2", vec![Step::Status(500)]);
                    let ended = bench.apply(&[]);
                    bench.carrier.http().clear_scripts();
                    bench.assert_verdict(&ended, verdict);
                    bench.assert_recovers();
                },
            },
            Play::Act {
                variant: "denied",
                over: &[Carry::S3],
                verdict: Verdict::fetch(30, "source.denied"),
                act: |bench, verdict| {
                    trust(bench, 0);
                    let good = bench.maker.good(SEQ, "1.1.0");
                    bench.show(&good);
                    bench.carrier.s3().inject(Fault::Refuse(Refusal::AccessDenied), When::any().key("keys/2"));
                    let ended = bench.apply(&[]);
                    bench.carrier.s3().clear();
                    bench.assert_verdict(&ended, verdict);
                    bench.assert_recovers();
                },
            },
            Play::Proved {
                by: &[
                    ("tests/key_chain/answers.rs", "no_answer_is_not_the_last_key_set"),
                    ("tests/key_chain/answers.rs", "no_answer_of_a_bucket_is_the_last_key_set"),
                ],
                verdict: Verdict::fetch(30, "source.unreachable"),
            },
        ],
    },
    Case {
        id: 32,
        attack: "the old release key signs after it was replaced",
        fixture: "old-release-key",
        plays: &[Play::Act {
            variant: "",
            over: Carry::ALL,
            verdict: Verdict::refused(20, "signature.unknown_key"),
            act: |bench, verdict| {
                trust(bench, 0);
                let second = bench.maker.second.clone();
                let next = key_set(&document(2, 0, &[&root()], &second), &[&root()]);
                let mut files = signed_by(&second, SEQ, "1.1.0");
                files.insert("keys/2".into(), next.clone());
                bench.assert_takes(&files, "1.1.0", &[]);
                bench.mark();
                let mut files = bench.maker.good(SEQ + 1, "1.2.0");
                files.insert("keys/2".into(), next.clone());
                bench.show(&files);
                let ended = bench.apply(&[]);
                bench.assert_verdict(&ended, verdict);
                // Nor does it help to hide the key set that replaced it.
                let alone = bench.maker.good(SEQ + 1, "1.2.0");
                bench.show(&alone);
                let ended = bench.apply(&[]);
                bench.assert_verdict(&ended, verdict);
                let mut good = signed_by(&second, LATER, "1.9.0");
                good.insert("keys/2".into(), next);
                bench.assert_takes(&good, "1.9.0", &[]);
            },
        }],
    },
    Case {
        id: 33,
        attack: "a kill between two steps of the chain",
        fixture: "killed-between-two-steps",
        plays: &[Play::Proved {
            by: &[("tests/key_chain/main.rs", "a_kill_between_two_steps_loses_none_and_repeats_none")],
            verdict: Verdict::accepted(),
        }],
    },
    Case {
        id: 34,
        attack: "the last key set has expired",
        fixture: "expired",
        plays: &[
            Play::Act {
                variant: "",
                over: Carry::ALL,
                verdict: Verdict::held("keys.expired").change(Change::Floor),
                act: |bench, verdict| {
                    trust(bench, 0);
                    let mut expired = document(2, 0, &[&root()], &bench.maker.publisher);
                    expired["expires"] = "2026-01-02T00:00:00Z".into();
                    let mut files = bench.maker.good(SEQ, "1.1.0");
                    files.insert("keys/2".into(), key_set(&expired, &[&root()]));
                    bench.show(&files);
                    let ended = bench.apply(&[]);
                    bench.assert_verdict(&ended, verdict);
                    // The next one is reached through it.
                    let next = document(3, 0, &[&root()], &bench.maker.publisher);
                    files.insert("keys/3".into(), key_set(&next, &[&root()]));
                    bench.assert_takes(&files, "1.1.0", &[]);
                },
            },
            Play::Proved {
                by: &[(
                    "tests/key_chain/service.rs",
                    "a_key_set_that_expires_holds_and_the_next_one_is_found_by_itself",
                )],
                verdict: Verdict::held("keys.expired"),
            },
        ],
    },
];

fn root() -> Signer {
    Signer::new(11)
}

fn other_root() -> Signer {
    Signer::new(12)
}

/// A key document with a threshold of 1 for each role.
fn document(version: u64, epoch: u64, roots: &[&Signer], release: &Signer) -> Value {
    let number = |signer: &&Signer| format!("{:016X}", u64::from_le_bytes(signer.keynum));
    let role = |signers: &[&Signer]| json!({ "keys": signers.iter().map(number).collect::<Vec<_>>(), "threshold": 1 });
    json!({
        "type": "fetchd-keys", "spec": 1, "product": PRODUCT, "version": version, "epoch": epoch, "expires": null,
        "keys": roots.iter().chain(&[release]).map(|signer| signer.public()).collect::<Vec<_>>(),
        "roles": { "root": role(roots), "release": role(&[release]) },
    })
}

fn key_set(document: &Value, signers: &[&Signer]) -> Vec<u8> {
    bundle(document.to_string().as_bytes(), signers)
}

/// The machine trusts key set 1 of this epoch from now on, instead of a key, and has seen a manifest by it.
fn trust(bench: &mut Bench, epoch: u64) {
    let path = bench.path().join("keys.json");
    let provisioned = document(1, epoch, &[&root()], &bench.maker.publisher);
    fs::write(&path, key_set(&provisioned, &[&root()])).unwrap();
    bench.keys.clear();
    bench.flags.extend(["--keys".to_owned(), path.display().to_string()]);
    let first = in_epoch(&bench.maker, epoch, FIRST, "1.0.0");
    bench.show(&first);
    let ended = bench.apply(&[]);
    assert_eq!((ended.exit, ended.code.as_str()), (0, ""), "the first pass with a key set: {ended:#?}");
    bench.mark();
}

/// A good manifest of an epoch.
fn in_epoch(maker: &Maker, epoch: u64, seq: u64, version: &str) -> Files {
    maker.with(seq, version, |manifest| manifest["epoch"] = epoch.into())
}

/// A release signed by somebody else.
fn signed_by(signer: &Signer, seq: u64, version: &str) -> Files {
    let mut files = Maker::new().good(seq, version);
    files.insert(POINTER.to_owned(), bundle(manifest(seq, version).to_string().as_bytes(), &[signer]));
    files
}

/// A machine with key set 1 is shown these key sets beside a good release; nothing of it is taken.
fn offered(bench: &mut Bench, sets: &[(u64, Vec<u8>)], verdict: &Verdict) {
    trust(bench, 0);
    let mut files = bench.maker.good(SEQ, "1.1.0");
    files.extend(sets.iter().map(|(version, bytes)| (format!("keys/{version}"), bytes.clone())));
    bench.show(&files);
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    assert_eq!(bench.record().keys_version, 1, "the key set before is kept");
    bench.assert_recovers();
}
