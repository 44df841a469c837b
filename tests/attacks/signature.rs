//! Signatures and keys.

mod act;
mod forge;

use serde_json::json;

use crate::maker::{Maker, SEQ, artifact_name, binding, encode, program};
use crate::table::{Carry, Case, Files, Play, Verdict};
use crate::{maker, signature::forge::with_signatures};

/// The publisher's second person, as [`Maker::new`] makes them, and two of two who must sign.
const SECOND: &str = "RWQCAgICAgICAoE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU";
const EITHER: &[&str] = &["--key", SECOND];
const BOTH: &[&str] = &["--key", SECOND, "--threshold", "2"];

const WRONG: Verdict = Verdict::refused(20, "signature.wrong");
const COMMENT: Verdict = Verdict::refused(20, "signature.comment");
const LEGACY: Verdict = Verdict::refused(20, "signature.legacy");
const MALFORMED: Verdict = Verdict::refused(20, "signature.malformed");
const UNKNOWN: Verdict = Verdict::refused(20, "signature.unknown_key");
const THRESHOLD: Verdict = Verdict::refused(20, "signature.threshold");

pub const CASES: &[Case] = &[
    Case {
        id: 1,
        attack: "one bit of what was signed is flipped",
        fixture: "payload-bit-flipped",
        plays: &[Play::serve("manifest", payload_flipped, WRONG), Play::serve("artifact", artifact_flipped, WRONG)],
    },
    Case {
        id: 2,
        attack: "one bit of the signature is flipped",
        fixture: "signature-bit-flipped",
        plays: &[
            // The comment's signature covers this one, and is looked at first.
            Play::serve("manifest", |maker| maker.resigned(forge::signature_flipped), COMMENT),
            Play::serve("artifact", |maker| maker.rebound(forge::signature_flipped), COMMENT),
        ],
    },
    Case {
        id: 3,
        attack: "one bit of the comment's signature is flipped",
        fixture: "global-bit-flipped",
        plays: &[
            Play::serve("manifest", |maker| maker.resigned(forge::global_flipped), COMMENT),
            Play::serve("artifact", |maker| maker.rebound(forge::global_flipped), COMMENT),
        ],
    },
    Case {
        id: 4,
        attack: "the trusted comment is edited",
        fixture: "trusted-comment-edited",
        plays: &[
            Play::serve("manifest", |maker| maker.resigned(forge::comment_edited), COMMENT),
            Play::serve("artifact", |maker| maker.rebound(forge::comment_edited), COMMENT),
        ],
    },
    Case {
        id: 5,
        attack: "the untrusted comment is edited",
        fixture: "untrusted-comment-edited",
        plays: &[
            Play::serve(
                "manifest",
                |maker| maker.resigned(|text| text.replacen("signature", "anything", 1)),
                Verdict::accepted(),
            ),
            Play::serve(
                "artifact",
                |maker| maker.rebound(|text| text.replacen("signature", "anything", 1)),
                Verdict::accepted(),
            ),
        ],
    },
    Case {
        id: 6,
        attack: "a signature is labelled as one of the raw bytes",
        fixture: "relabelled-legacy",
        plays: &[
            Play::serve("manifest", |maker| maker.resigned(forge::relabelled), LEGACY),
            Play::serve("artifact", |maker| maker.rebound(forge::relabelled), LEGACY),
        ],
    },
    Case {
        id: 7,
        attack: "the publisher signed with `minisign -l`",
        fixture: "genuine-legacy",
        plays: &[
            Play::serve("manifest", forge::legacy_manifest, LEGACY),
            Play::serve(
                "artifact",
                |maker| maker.rebound(|_| maker.publisher.sign_legacy(&program("1.1.0"), &binding("1.1.0"))),
                LEGACY,
            ),
            Play::Proved {
                by: &[("tests/minisign_interop.rs", "a_genuine_legacy_signature_is_refused")],
                verdict: Verdict { event: "", ..LEGACY },
            },
        ],
    },
    Case {
        id: 8,
        attack: "the signature is one of signify",
        fixture: "signify",
        plays: &[
            Play::serve("manifest", |maker| maker.resigned(forge::signify), MALFORMED),
            Play::serve("artifact", |maker| maker.rebound(forge::signify), MALFORMED),
        ],
    },
    Case {
        id: 9,
        attack: "the order of the group is added to a scalar",
        fixture: "scalar-beyond-order",
        plays: &[
            Play::serve(
                "manifest",
                |maker| maker.resigned(|text| forge::signature_beyond_order(text, &maker.publisher)),
                WRONG,
            ),
            Play::serve(
                "artifact",
                |maker| maker.rebound(|text| forge::signature_beyond_order(text, &maker.publisher)),
                WRONG,
            ),
            Play::serve("comment-of-a-manifest", |maker| maker.resigned(forge::global_beyond_order), COMMENT),
            Play::serve("comment-of-an-artifact", |maker| maker.rebound(forge::global_beyond_order), COMMENT),
        ],
    },
    Case {
        id: 10,
        attack: "a key of small order is trusted",
        fixture: "small-order-key",
        plays: &[
            Play::act("alone", act::weak_key_alone, Verdict::usage("config.value")),
            Play::act("beside-a-good-one", act::weak_key_beside, Verdict::usage("config.value")),
        ],
    },
    Case {
        id: 11,
        attack: "the vectors of Wycheproof and of ed25519-speccheck",
        fixture: "vectors",
        plays: &[
            Play::Proved {
                by: &[("src/trust/vectors_tests.rs", "wycheproof_agrees_on_every_case")],
                verdict: Verdict { event: "", ..WRONG },
            },
            Play::Proved {
                by: &[("src/trust/vectors_tests.rs", "signatures_that_verifiers_disagree_about")],
                verdict: Verdict { event: "", ..WRONG },
            },
        ],
    },
    Case {
        id: 12,
        attack: "another key signs under the trusted key's number",
        fixture: "other-key-same-number",
        plays: &[
            Play::serve(
                "manifest",
                |maker| maker.signed_by(SEQ, "1.1.0", &[&maker.stranger.clone().numbered(maker.publisher.keynum)]),
                COMMENT,
            ),
            Play::serve(
                "artifact",
                |maker| forge::artifact_by(&maker.stranger.clone().numbered(maker.publisher.keynum)),
                COMMENT,
            ),
        ],
    },
    Case {
        id: 13,
        attack: "the trusted key signs under another number",
        fixture: "same-key-other-number",
        plays: &[
            Play::serve("manifest", |maker| maker.resigned(forge::renumbered), UNKNOWN),
            Play::serve("artifact", |maker| maker.rebound(forge::renumbered), UNKNOWN),
        ],
    },
    Case {
        id: 14,
        attack: "a key signs that is not among those for releases",
        fixture: "key-not-in-role",
        plays: &[
            Play::serve("manifest", |maker| maker.signed_by(SEQ, "1.1.0", &[&maker.second]), UNKNOWN),
            Play::serve("artifact", |maker| forge::artifact_by(&maker.second), UNKNOWN),
            Play::serve_with(
                BOTH,
                "as-the-second-of-two",
                |maker| maker.signed_by(SEQ, "1.1.0", &[&maker.publisher, &maker.stranger]),
                THRESHOLD,
            ),
        ],
    },
    Case {
        id: 15,
        attack: "no key is given",
        fixture: "no-key",
        plays: &[
            Play::act("at-all", act::no_key, Verdict::usage("config.missing")),
            Play::act("in-the-file", act::empty_list_of_keys, Verdict::usage("config.value")),
            Play::act("in-the-environment", act::empty_variable, Verdict::usage("config.missing")),
        ],
    },
    Case {
        id: 16,
        attack: "two must sign, and one signs twice",
        fixture: "one-signs-twice",
        plays: &[
            Play::serve_with(
                BOTH,
                "the-same-signature",
                |maker| maker.signed_by(SEQ, "1.1.0", &[&maker.publisher, &maker.publisher]),
                THRESHOLD,
            ),
            Play::serve_with(
                BOTH,
                "another-comment",
                |maker| {
                    let sign = |payload: &[u8], comment| maker.publisher.sign(payload, comment);
                    with_signatures(maker, |payload| vec![sign(payload, "once"), sign(payload, "twice")])
                },
                THRESHOLD,
            ),
            Play::act("and-then-both", act::once_both_sign_it_is_taken, THRESHOLD),
        ],
    },
    Case {
        id: 17,
        attack: "two must sign, and one key has two numbers",
        fixture: "one-key-two-numbers",
        plays: &[
            Play::act("key-twice", act::one_key_under_two_numbers, Verdict::usage("config.value")),
            Play::act("number-twice", act::two_keys_under_one_number, Verdict::usage("config.value")),
        ],
    },
    Case {
        id: 18,
        attack: "two must sign, and one signature is worth nothing",
        fixture: "one-of-two",
        plays: &[
            Play::serve_with(BOTH, "garbage", |maker| valid_and(maker, |_| "garbage".to_owned()), THRESHOLD),
            Play::serve_with(
                BOTH,
                "of-other-bytes",
                |maker| valid_and(maker, |_| maker.second.sign(b"something else", "fetchd manifest")),
                THRESHOLD,
            ),
            Play::serve_with(BOTH, "missing", |maker| maker.good(SEQ, "1.1.0"), THRESHOLD),
        ],
    },
    Case {
        id: 19,
        attack: "one must sign, and another signature is worth nothing",
        fixture: "one-of-one-and-garbage",
        plays: &[
            Play::serve("behind-it", |maker| valid_and(maker, |_| "garbage".to_owned()), Verdict::accepted()),
            Play::serve(
                "in-front-of-it",
                |maker| {
                    with_signatures(maker, |payload| {
                        vec![
                            "garbage".to_owned(),
                            maker.stranger.sign(payload, "x"),
                            maker.publisher.sign(payload, "x"),
                        ]
                    })
                },
                Verdict::accepted(),
            ),
            Play::serve_with(
                EITHER,
                "by-another-trusted-key",
                |maker| {
                    let wrong = maker.second.sign(b"something else", "x");
                    with_signatures(maker, |payload| vec![wrong, maker.publisher.sign(payload, "x")])
                },
                Verdict::accepted(),
            ),
            // No more than sixteen are looked at.
            Play::serve(
                "sixteen-in-front-of-it",
                |maker| {
                    with_signatures(maker, |payload| {
                        let mut all = vec!["garbage".to_owned(); 16];
                        all.push(maker.publisher.sign(payload, "x"));
                        all
                    })
                },
                MALFORMED,
            ),
        ],
    },
    Case {
        id: 20,
        attack: "more must sign than there are keys",
        fixture: "threshold-beyond-keys",
        plays: &[
            Play::act("two-of-one", act::two_of_one, Verdict::usage("config.value")),
            Play::act("none", act::threshold_of_none, Verdict::usage("config.value")),
            Play::act("two-in-artifact-mode", act::two_of_an_artifact, Verdict::usage("config.conflict")),
        ],
    },
    Case {
        id: 21,
        attack: "a signature file of another shape",
        fixture: "malformed-signature",
        plays: &[
            Play::serve("manifest-fifth-line", |maker| maker.resigned(forge::fifth_line), MALFORMED),
            Play::serve("manifest-crlf", |maker| maker.resigned(forge::crlf), MALFORMED),
            Play::serve("manifest-unpadded", |maker| maker.resigned(forge::unpadded), MALFORMED),
            Play::serve("manifest-75-bytes", |maker| maker.resigned(forge::long_blob), MALFORMED),
            Play::Act {
                variant: "manifest-400-kib",
                over: Carry::ALL,
                verdict: MALFORMED,
                act: act::large_in_a_bundle,
            },
            Play::serve("artifact-fifth-line", |maker| maker.rebound(forge::fifth_line), MALFORMED),
            Play::serve("artifact-crlf", |maker| maker.rebound(forge::crlf), MALFORMED),
            Play::serve("artifact-unpadded", |maker| maker.rebound(forge::unpadded), MALFORMED),
            Play::serve("artifact-75-bytes", |maker| maker.rebound(forge::long_blob), MALFORMED),
            Play::Act { variant: "artifact-1-mib", over: Carry::ALL, verdict: TOO_LARGE, act: act::large_beside },
            Play::act("artifact-64-gib", act::without_end_beside, TOO_LARGE),
        ],
    },
    Case {
        id: 22,
        attack: "a key set is shown as a manifest",
        fixture: "key-set-as-manifest",
        plays: &[
            Play::serve(
                "",
                |maker| forge::payload(maker, key_set(maker).as_bytes()),
                Verdict::refused(20, "manifest.wrong_type"),
            ),
            // The other way round.
            Play::Proved {
                by: &[("src/trust/chain_tests.rs", "a_document_of_another_kind_or_product_is_no_key_set")],
                verdict: Verdict { event: "", ..Verdict::refused(20, "keys.wrong_type") },
            },
        ],
    },
    Case {
        id: 23,
        attack: "a release of another product, signed by the same key",
        fixture: "other-product",
        plays: &[
            Play::serve(
                "manifest",
                |maker| maker.with(SEQ, "1.1.0", |manifest| manifest["product"] = json!("other")),
                Verdict::refused(21, "manifest.wrong_product"),
            ),
            Play::serve(
                "artifact",
                |maker| maker.bound("1.1.0", &binding("1.1.0").replace("product:app", "product:other")),
                Verdict::refused(21, "comment.wrong_product"),
            ),
        ],
    },
    Case {
        id: 24,
        attack: "a list of checksums, signed by the same key",
        fixture: "sums-as-manifest",
        plays: &[
            Play::serve(
                "as-a-manifest",
                |maker| forge::payload(maker, sums().as_bytes()),
                Verdict::refused(20, "manifest.malformed"),
            ),
            Play::serve(
                "in-json-as-a-manifest",
                |maker| forge::payload(maker, json!({ artifact_name("1.1.0"): digest() }).to_string().as_bytes()),
                Verdict::refused(20, "manifest.wrong_type"),
            ),
            Play::serve("as-a-bundle", sums_at_the_pointer, Verdict::refused(20, "bundle.malformed")),
            Play::serve(
                "as-an-artifact",
                |maker| maker.bound("1.1.0", "timestamp:1767225600\tfile:SHA256SUMS\thashed"),
                Verdict::refused(20, "comment.unbound"),
            ),
        ],
    },
];

/// A fetch of it ends before there is anything to read.
const TOO_LARGE: Verdict = Verdict::fetch(20, "signature.malformed");

fn payload_flipped(maker: &Maker) -> Files {
    maker.tampered(|bundle| {
        let mut payload = maker::decode(bundle["payload"].as_str().unwrap());
        payload[100] ^= 1;
        bundle["payload"] = encode(&payload).into();
    })
}

fn artifact_flipped(maker: &Maker) -> Files {
    let mut files = maker.bound("1.1.0", &binding("1.1.0"));
    files.get_mut(&artifact_name("1.1.0")).unwrap()[100] ^= 1;
    files
}

/// The publisher's signature, and after it another.
fn valid_and(maker: &Maker, other: impl FnOnce(&[u8]) -> String) -> Files {
    with_signatures(maker, |payload| vec![maker.publisher.sign(payload, "fetchd manifest"), other(payload)])
}

/// The publisher's keys as a document of type `fetchd-keys`.
fn key_set(maker: &Maker) -> String {
    let role = json!({ "keys": ["0101010101010101"], "threshold": 1 });
    let roles = json!({ "root": role, "release": role });
    let keys = [maker.publisher.public()];
    json!({ "type": "fetchd-keys", "spec": 1, "product": "app", "version": 2, "epoch": 0, "expires": null,
            "keys": keys, "roles": roles })
    .to_string()
}

fn digest() -> String {
    fetchd::digest::Sha256::of(&program("1.1.0")).to_string()
}

fn sums() -> String {
    format!("{}  {}\n", digest(), artifact_name("1.1.0"))
}

fn sums_at_the_pointer(maker: &Maker) -> Files {
    let mut files = maker.good(SEQ, "1.1.0");
    files.insert(maker::POINTER.to_owned(), sums().into_bytes());
    files
}
