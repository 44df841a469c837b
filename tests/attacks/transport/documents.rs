//! Manifests that the right key has signed and no honest program has written.

use fetchd::digest::Sha256;
use serde_json::{Value, json};

use super::bodies::compressed;
use super::ends;
use crate::bench::Bench;
use crate::maker::{Maker, POINTER, SEQ, bundle, encode, manifest, program};
use crate::table::{Carry, Case, Files, Play, Verdict};

pub const MALFORMED: Case = Case {
    id: 67,
    attack: "the manifest is signed and malformed",
    fixture: "malformed-manifest",
    plays: &[
        Play::Act {
            variant: "257-kib",
            over: Carry::EVERY,
            verdict: Verdict::refused(20, "manifest.too_large"),
            act: |bench, verdict| {
                let files = edited(&bench.maker, |value| value["note"] = "#".repeat(257 * 1024).into());
                shown(bench, &files, verdict);
            },
        },
        Play::Act {
            variant: "bundle-of-600-kib",
            over: Carry::EVERY,
            verdict: Verdict::fetch(23, "source.document_too_large"),
            act: |bench, verdict| {
                let files = long_bundle(&bench.maker);
                shown(bench, &files, verdict);
            },
        },
        served("depth-9", |maker| edited(maker, |value| value["note"] = nested(8))),
        served("duplicate-key", |maker| written(maker, |text| text.replacen("\"seq\":", "\"seq\":99,\"seq\":", 1))),
        served("not-a-number", |maker| written(maker, |text| text.replacen("\"seq\":11", "\"seq\":NaN", 1))),
        served("fraction", |maker| written(maker, |text| text.replacen("\"seq\":11", "\"seq\":11.0", 1))),
        served("byte-order-mark", |maker| written(maker, |text| format!("\u{feff}{text}"))),
        served("lone-surrogate", |maker| {
            written(maker, |text| text.replacen("\"spec\":1", "\"note\":\"\\ud800\",\"spec\":1", 1))
        }),
        served("trailing-bytes", |maker| written(maker, |text| format!("{text}{{}}"))),
        Play::Serve {
            variant: "bundle-with-a-duplicate-key",
            make: duplicate_payload,
            flags: &[],
            over: Carry::EVERY,
            verdict: Verdict::refused(20, "bundle.malformed"),
        },
        Play::Serve {
            variant: "digest-of-another-binary",
            make: another_binary,
            flags: &[],
            over: Carry::ALL,
            verdict: Verdict::refused(23, "candidate.digest").after_admission(),
        },
        Play::Serve {
            variant: "depth-8",
            make: |maker| edited(maker, |value| value["note"] = nested(7)),
            flags: &[],
            over: Carry::FILE,
            verdict: Verdict::accepted(),
        },
    ],
};

const fn served(variant: &'static str, make: fn(&Maker) -> Files) -> Play {
    let verdict = Verdict::refused(20, "manifest.malformed");
    Play::Serve { variant, make, flags: &[], over: Carry::ALL, verdict }
}

fn shown(bench: &mut Bench, files: &Files, verdict: &Verdict) {
    bench.show(files);
    ends(bench, &[], verdict);
}

/// A manifest that is changed before it is signed.
fn edited(maker: &Maker, edit: impl FnOnce(&mut Value)) -> Files {
    maker.with(SEQ, super::VERSION, edit)
}

/// A manifest whose text is changed before it is signed.
fn written(maker: &Maker, edit: impl FnOnce(&str) -> String) -> Files {
    let good = manifest(SEQ, super::VERSION).to_string();
    let text = edit(&good);
    assert_ne!(text, good);
    let mut files = maker.good(SEQ, super::VERSION);
    files.insert(POINTER.to_owned(), bundle(text.as_bytes(), &[&maker.publisher]));
    files
}

/// Lists in lists, so many deep.
fn nested(depth: usize) -> Value {
    (1..depth).fold(json!([]), |value, _| json!([value]))
}

/// The first payload is the one that is signed, or the last.
fn duplicate_payload(maker: &Maker) -> Files {
    maker
        .good(SEQ, super::VERSION)
        .into_iter()
        .map(|(name, bytes)| {
            if name != POINTER {
                return (name, bytes);
            }
            let other = encode(manifest(99, "9.9.9").to_string().as_bytes());
            let text = String::from_utf8(bytes).unwrap();
            (name, text.replacen("\"payload\":", &format!("\"payload\":\"{other}\",\"payload\":"), 1).into_bytes())
        })
        .collect()
}

/// What is packed is not the binary whose digest is signed beside that of the packed file.
fn another_binary(maker: &Maker) -> Files {
    let packed = compressed(&program(super::VERSION));
    let name = format!("{}.gz", super::artifact());
    let mut files = edited(maker, |value| {
        let artifact = &mut value["releases"][0]["artifacts"][0];
        artifact["urls"] = json!([name]);
        artifact["format"] = "gz".into();
        artifact["size"] = packed.len().into();
        artifact["sha256"] = Sha256::of(&packed).to_string().into();
        artifact["binary_sha256"] = Sha256::of(&program("1.1.1")).to_string().into();
    });
    files.remove(&super::artifact());
    files.insert(name, packed);
    files
}

fn long_bundle(maker: &Maker) -> Files {
    let mut files = maker.good(SEQ, super::VERSION);
    let bytes = files.get_mut(POINTER).unwrap();
    bytes.resize(600 * 1024, b' ');
    files
}
