//! Keys, signatures, bundles, manifests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fetchd::fuzz::sign;
use fetchd::trust::bundle::Bundle;
use serde_json::{Value, json};

use super::{Seed, bad, good};

/// The key of minisign's own documentation.
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
const VECTOR: &str = "untrusted comment: signature from minisign secret key\n\
    RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
    trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
    wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";
const BOUND: &str = "fetchd:1\tproduct:app\tversion:1.4.2-rc.1+5\tchannel:stable\ttarget:x86_64-unknown-linux-gnu\t\
    file:app-1.4.2.tar.gz\tsize:1048576\tissued:2026-11-01T00:00:00Z\texpires:2027-11-01T00:00:00Z\tseq:12\tentry:app\t\
    binsha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(super) fn minisign() -> Vec<Seed> {
    let plain = sign(b"the artifact", "timestamp:1633700835\tfile:app\thashed");
    let bound = sign(b"the artifact", BOUND);
    let lines: Vec<&str> = plain.lines().collect();
    let relabelled = lines[1].replacen("RUQ", "RWQ", 1);
    vec![
        good("plain", plain.clone()),
        good("bound", bound.clone()),
        good("no-comment", sign(b"the artifact", "")),
        good("other-artifact", sign(b"another", "c")),
        good("other-key", VECTOR),
        good("edited-comment", bound.replace("1.4.2", "9.9.9")),
        good("no-final-line-feed", plain.trim_end().to_owned()),
        good("swapped", [lines[0], lines[1], lines[2], bound.lines().nth(3).unwrap()].join("\n")),
        bad("relabelled", plain.replace(lines[1], &relabelled).replace("RUQB", "RWQB")),
        bad("windows", plain.replace('\n', "\r\n")),
        bad("five-lines", format!("{plain}more\n")),
        bad("three-lines", lines[..3].join("\n")),
        bad("unpadded", plain.replace("==", "")),
        bad(
            "bits-that-say-nothing",
            plain.replace(
                lines[3],
                &lines[3].replace("Q==", "R==").replace("A==", "B==").replace("g==", "h==").replace("w==", "x=="),
            ),
        ),
        bad("control-character", plain.replace("hashed", "hash\u{7}ed")),
        bad("signify", lines[..2].join("\n")),
        good("unicode", sign(b"the artifact", "für \u{1f600}\u{202e}")),
        bad("empty", ""),
    ]
}

fn public(keynum: u8, point: &[u8; 32]) -> String {
    STANDARD.encode([&b"Ed"[..], &[keynum; 8], point].concat())
}

pub(super) fn keys() -> Vec<Seed> {
    let file = format!("untrusted comment: minisign public key E7620F1842B4E81F\n{KEY}\n");
    let second = format!("untrusted comment: second\n{}\n", public(7, &generator()));
    let of = |threshold: u8, files: &[&str]| [&[threshold][..], files.join("\0").as_bytes()].concat();
    let order_8 = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ];
    let document = json!({
        "type": "fetchd-keys", "spec": 1, "product": "app", "version": 1, "epoch": 0, "expires": null,
        "keys": [KEY, public(7, &generator())],
        "roles": {
            "root": { "keys": ["E7620F1842B4E81F"], "threshold": 1 },
            "release": { "keys": ["E7620F1842B4E81F", "0707070707070707"], "threshold": 2 },
        },
    });
    vec![
        good("document", document.to_string()),
        bad("document-threshold", document.to_string().replace("\"threshold\":2", "\"threshold\":3")),
        bad("document-twice", document.to_string().replace("0707070707070707", "E7620F1842B4E81F")),
        good("bare", KEY),
        good("file", file.clone()),
        good("file-windows", file.replace('\n', "\r\n").trim_end_matches("\r\n").to_owned()),
        good("one-of-one", of(1, &[&file])),
        good("two-of-two", of(2, &[&file, &second])),
        good("one-of-two", of(1, &[KEY, &second])),
        bad("none-of-one", of(0, &[&file])),
        bad("three-of-two", of(3, &[&file, &second])),
        bad("twice", of(2, &[&file, KEY])),
        bad("one-number", of(1, &[&public(7, &generator()), &second])),
        bad(
            "identity",
            public(
                1,
                &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ),
        ),
        bad("order-8", public(1, &order_8)),
        bad("no-point", public(1, &[2; 32])),
        bad("beyond-the-prime", public(1, &[0xff; 32])),
        bad("another-algorithm", KEY.replacen("RWQ", "RUQ", 1)),
        bad("empty", ""),
    ]
}

/// The curve's base point: 4/5, and an even x.
fn generator() -> [u8; 32] {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    point
}

fn digest(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

fn artifact(format: &str, entry: Value) -> Value {
    let binary = if format == "raw" { 1 } else { 2 };
    json!({
        "target": "x86_64-unknown-linux-gnu", "urls": ["app-1", "https://mirror.example.com/app-1?x=1"],
        "size": 1000, "sha256": digest(1), "format": format, "entry": entry, "binary_size": 1000,
        "binary_sha256": digest(binary), "deltas": [],
    })
}

fn release(version: &str, artifacts: Vec<Value>) -> Value {
    json!({
        "version": version, "yanked": false, "critical": false, "min_from": null, "rollout": null,
        "notes_url": null, "artifacts": artifacts, "bounds": null,
    })
}

fn document(releases: Vec<Value>) -> Value {
    json!({
        "type": "fetchd-manifest", "spec": 1, "product": "app", "channel": "stable", "epoch": 1, "seq": 7,
        "issued": "2026-11-18T00:00:00Z", "expires": null, "min_version": null, "crit": [], "revoked": [],
        "releases": releases,
    })
}

fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    *value.pointer_mut(pointer).expect("a place in the document") = new;
    value
}

fn delta(format: &str) -> Value {
    json!({
        "from_sha256": digest(3), "format": format, "urls": ["app-1.delta"], "size": 10, "sha256": digest(4),
        "mem_bytes": 1_000_000, "window_log": 27,
    })
}

fn deltas(deltas: Vec<Value>) -> Value {
    with(plain(), "/releases/0/artifacts/0/deltas", json!(deltas))
}

fn plain() -> Value {
    document(vec![release("1.0.0", vec![artifact("raw", Value::Null)])])
}

pub(super) fn manifest() -> Vec<Seed> {
    let text = |value: Value| value.to_string();
    let two = document(vec![
        with(
            release("2.0.0-rc.1", vec![artifact("tar.gz", json!("app"))]),
            "/rollout",
            json!({"percent": 10, "salt": "s"}),
        ),
        with(release("1.9.0", vec![artifact("zip", Value::Null)]), "/min_from", json!("1.0.0")),
        with(release("1.8.0+build.7", vec![artifact("tar.xz", json!("app-1.8.0/app"))]), "/yanked", json!(true)),
    ]);
    let revoked = json!([{"version": "1.9.0", "reason": "it eats data"}, {"sha256": digest(2), "reason": ""}]);
    let many = document((0..40).map(|n| release(&format!("1.0.{n}"), vec![artifact("zst", Value::Null)])).collect());
    vec![
        good("plain", text(plain())),
        good("deltas", text(deltas(vec![delta("fxd-1"), delta("dcz"), json!({"format": "fxd-2", "x": [1]})]))),
        bad("deltas-twice", text(deltas(vec![delta("dcz"), delta("dcz")]))),
        bad("deltas-window", text(deltas(vec![with(delta("dcz"), "/window_log", json!(32))]))),
        bad("deltas-many", text(deltas(vec![json!({"format": "x"}); 65]))),
        good("none", text(document(vec![]))),
        good("several", text(two.clone())),
        good("revoked", text(with(two.clone(), "/revoked", revoked))),
        good("expired", text(with(plain(), "/expires", json!("2026-11-18T00:00:00Z")))),
        good("least-version", text(with(two, "/min_version", json!("1.9.0")))),
        good("many", text(many)),
        good("spaced", serde_json::to_string_pretty(&plain()).unwrap()),
        bad("another-product", text(with(plain(), "/product", json!("other")))),
        bad("another-type", text(with(plain(), "/type", json!("fetchd-keys")))),
        bad("another-layout", text(with(plain(), "/spec", json!(2)))),
        bad("critical-part", text(with(plain(), "/crit", json!(["bounds"])))),
        bad("sequence-beyond", text(with(plain(), "/seq", json!(1_u64 << 53)))),
        bad("key-twice", text(plain()).replacen("\"seq\":7", "\"seq\":7,\"seq\":8", 1)),
        bad("fraction", text(plain()).replacen("\"seq\":7", "\"seq\":7.0", 1)),
        bad("byte-order-mark", format!("\u{feff}{}", plain())),
        bad("version-twice", text(document(vec![release("1.0.0", vec![]), release("1.0.0+b", vec![])]))),
        bad("deep", "[".repeat(64)),
    ]
}

pub(super) fn bundle() -> Vec<Seed> {
    let payload = plain().to_string().into_bytes();
    let of = |signatures: Vec<String>| Bundle::new(payload.clone(), signatures).to_file();
    let good_one = sign(&payload, "manifest");
    let text = String::from_utf8(of(vec![good_one.clone()])).unwrap();
    let typed = with(plain(), "/type", json!("fetchd-keys")).to_string().into_bytes();
    let typed_signature = sign(&typed, "");
    vec![
        good("signed", text.clone()),
        good("unsigned", of(vec![])),
        good("signed-twice", of(vec![good_one.clone(), sign(&payload, "again")])),
        good("garbage-beside", of(vec!["garbage".to_owned(), good_one.clone()])),
        good("seventeen", of(vec![good_one.clone(); 17])),
        good("another-payload", Bundle::new(b"{}".to_vec(), vec![good_one.clone()]).to_file()),
        good("another-type", Bundle::new(typed, vec![typed_signature]).to_file()),
        good("empty-payload", Bundle::new(vec![], vec![sign(b"", "")]).to_file()),
        good("spaced", text.replace(',', " ,\n ")),
        good("more-keys", text.replacen('{', "{\"more\":[1,[]],", 1)),
        bad("another-layout", text.replace("bundle/1", "bundle/2")),
        bad("no-list", text.replacen("\"minisig\"", "\"minisign\"", 1)),
        bad("not-base64", text.replacen("\"payload\":\"", "\"payload\":\"-", 1)),
        bad("trailing", format!("{text}x")),
        bad("manifest", payload.clone()),
        bad("empty", ""),
    ]
}
