use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::trust::Format;
use crate::trust::fixture::{NOW, code, manifest, read_bytes, read_value, release};
use crate::trust::manifest::DeltaFormat;

/// The verdict on a manifest after one change, by JSON pointer.
fn changed(pointer: &str, to: Value) -> (&'static str, u8) {
    let mut value = manifest(&["1.2.3", "1.2.2"]);
    *value.pointer_mut(pointer).unwrap() = to;
    code(read_value(&value))
}

#[test]
fn a_whole_manifest_is_read() {
    let mut value = manifest(&["1.2.3"]);
    value["expires"] = json!("2099-01-01T00:00:00Z");
    value["min_version"] = json!("1.0.0");
    value["revoked"] =
        json!([{ "version": "1.1.0", "reason": "a hole" }, { "sha256": Sha256::of(b"x"), "reason": "" }]);
    value["releases"][0]["rollout"] = json!({ "percent": 10, "salt": "s" });
    value["releases"][0]["artifacts"][0]["format"] = json!("tar.gz");
    value["releases"][0]["artifacts"][0]["entry"] = json!("bin/app");
    value["releases"][0]["artifacts"][0]["binary_size"] = json!(99);
    value["something"] = json!({ "new": [1, 2] });
    let read = read_value(&value).unwrap();
    assert_eq!((read.epoch(), read.seq(), read.issued()), (1, Some(7), Some(NOW)));
    assert_eq!(read.sha256(), Sha256::of(value.to_string().as_bytes()));
    assert_eq!(read.expires(), Some("2099-01-01T00:00:00Z".parse::<Timestamp>().unwrap()));
    assert_eq!(read.min_version().unwrap().to_string(), "1.0.0");
    assert_eq!(read.revocation(Some(&"1.1.0+x".parse().unwrap()), &[]), Some("a hole"));
    assert_eq!(read.revocation(None, &[Sha256::of(b"x")]), Some(""));
    assert_eq!(read.revocation(Some(&"1.1.1".parse().unwrap()), &[Sha256::of(b"y")]), None);
    let artifact = &read.releases()[0].artifacts[0];
    assert_eq!(
        (artifact.format, artifact.entry.as_deref(), artifact.binary_size),
        (Format::TarGz, Some("bin/app"), Some(99))
    );
}

/// Attack 67.
#[test]
fn text_that_could_be_read_in_two_ways_is_refused() {
    let good = manifest(&["1.2.3"]).to_string();
    assert!(read_bytes(good.as_bytes()).is_ok());
    assert!(read_bytes(format!("{good}\n").as_bytes()).is_ok());
    let cases = [
        good.replace("\"seq\":7", "\"seq\":7,\"seq\":8"),
        good.replace("\"seq\":7", "\"seq\":7,\"\\u0073eq\":8"),
        good.replace("\"seq\":7", "\"seq\":7.0"),
        good.replace("\"seq\":7", "\"seq\":7e0"),
        good.replace("\"seq\":7", "\"seq\":NaN"),
        good.replace("\"seq\":7", "\"seq\":-7"),
        good.replace("\"seq\":7", "\"seq\":7,\"x\":\"\\ud800\""),
        good.replace("\"seq\":7", "\"seq\":7,\"x\":[[[[[[[[]]]]]]]]"),
        format!("\u{feff}{good}"),
        format!("{good}{good}"),
        format!("{good}x"),
        good[..good.len() - 1].to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        String::new(),
    ];
    for case in cases {
        let (found, exit) = code(read_bytes(case.as_bytes()));
        assert_eq!((found, exit), ("manifest.malformed", 20), "{case}");
    }
    let padded = |to: usize| format!("{good}{}", " ".repeat(to - good.len()));
    assert!(read_bytes(padded(256 * 1024).as_bytes()).is_ok());
    assert_eq!(code(read_bytes(padded(256 * 1024 + 1).as_bytes())), ("manifest.too_large", 20));
}

/// Attack 38, the first half.
#[test]
fn integers_end_where_other_readers_lose_precision() {
    assert_eq!(changed("/seq", json!(9_007_199_254_740_991_u64)), ("ok", 0));
    assert_eq!(changed("/seq", json!(9_007_199_254_740_992_u64)), ("manifest.malformed", 20));
    assert_eq!(changed("/epoch", json!(u64::MAX)), ("manifest.malformed", 20));
}

/// Attacks 22 and 24: the same key signs other things too.
#[test]
fn another_document_of_the_same_key_is_no_manifest() {
    assert_eq!(changed("/type", json!("fetchd-keys")), ("manifest.wrong_type", 20));
    let keys = br#"{"type":"fetchd-keys","spec":1,"product":"app","version":1,"keys":[],"roles":{}}"#;
    assert_eq!(code(read_bytes(keys)), ("manifest.wrong_type", 20));
    assert_eq!(code(read_bytes(b"{}")), ("manifest.wrong_type", 20));
    let sums = format!("{}  app-1.2.3\n", Sha256::of(b""));
    assert_eq!(code(read_bytes(sums.as_bytes())), ("manifest.malformed", 20));
}

/// Attacks 23 and 46.
#[test]
fn another_product_or_channel_is_refused_with_21() {
    assert_eq!(changed("/product", json!("other")), ("manifest.wrong_product", 21));
    assert_eq!(changed("/channel", json!("beta")), ("manifest.wrong_channel", 21));
}

#[test]
fn what_must_be_understood_and_is_not_is_refused() {
    assert_eq!(changed("/crit", json!(["quorum"])), ("manifest.unsupported", 20));
    assert_eq!(changed("/spec", json!(2)), ("manifest.unsupported", 20));
    assert_eq!(changed("/spec", json!("1")), ("manifest.malformed", 20));
}

#[test]
fn a_field_that_makes_no_sense_is_refused() {
    for (pointer, to) in [
        ("/issued", json!("yesterday")),
        ("/issued", json!(1_795_000_000)),
        ("/issued", Value::Null),
        ("/expires", json!("")),
        ("/min_version", json!("1")),
        ("/revoked", json!([{}])),
        ("/revoked", json!([{ "version": "1.0.0", "sha256": Sha256::of(b"") }])),
        ("/releases", json!({})),
        ("/releases/0/version", json!("1.2")),
        ("/releases/0/version", json!("1.2.2")),
        ("/releases/0/version", json!("1.2.2+build")),
        ("/releases/0/yanked", json!("false")),
        ("/releases/0/rollout", json!({ "percent": 101, "salt": "" })),
        ("/releases/0/rollout", json!({ "percent": 300, "salt": "" })),
        ("/releases/0/artifacts/0/target", json!("")),
        ("/releases/0/artifacts/0/target", json!("../x")),
        ("/releases/0/artifacts/0/urls", json!([])),
        ("/releases/0/artifacts/0/urls", json!(["../up"])),
        ("/releases/0/artifacts/0/urls", json!(["/etc/passwd"])),
        ("/releases/0/artifacts/0/urls", json!(["http://["])),
        ("/releases/0/artifacts/0/urls", json!(vec!["a"; 17])),
        ("/releases/0/artifacts/0/size", json!(0)),
        ("/releases/0/artifacts/0/sha256", json!("abc")),
        ("/releases/0/artifacts/0/format", json!("rar")),
        ("/releases/0/artifacts/0/entry", json!("bin/app")),
        ("/releases/0/artifacts/0/binary_size", json!(6)),
        ("/releases/0/artifacts/0/binary_sha256", json!(Sha256::of(b"other"))),
    ] {
        assert_eq!(changed(pointer, to.clone()), ("manifest.malformed", 20), "{pointer} {to}");
    }
    let twice = json!([release("1.2.3")["artifacts"][0], release("1.2.3")["artifacts"][0]]);
    assert_eq!(changed("/releases/0/artifacts", twice), ("manifest.malformed", 20));
}

#[test]
fn at_most_512_releases_are_listed() {
    let versions = |n: usize| (0..n).map(|i| format!("1.0.{i}")).collect::<Vec<_>>();
    let of = |n: usize| {
        let versions = versions(n);
        let mut value = manifest(&versions.iter().map(String::as_str).collect::<Vec<_>>());
        // Small enough for the bound on bytes.
        value["releases"].as_array_mut().unwrap().iter_mut().for_each(|release| release["artifacts"] = json!([]));
        code(read_value(&value)).0
    };
    assert_eq!(of(512), "ok");
    assert_eq!(of(513), "manifest.malformed");
}

fn delta(format: &str) -> Value {
    json!({
        "from_sha256": Sha256::of(b"old"), "format": format, "urls": ["app.delta"], "size": 10,
        "sha256": Sha256::of(b"delta"), "mem_bytes": null, "window_log": 27,
    })
}

fn with_deltas(deltas: Value) -> Result<Vec<DeltaFormat>, (&'static str, u8)> {
    let mut value = manifest(&["1.2.3"]);
    value["releases"][0]["artifacts"][0]["deltas"] = deltas;
    match read_value(&value) {
        Ok(read) => Ok(read.releases()[0].artifacts[0].deltas.iter().map(|delta| delta.format).collect()),
        failed => Err(code(failed)),
    }
}

/// The host has the full artifact all the same.
#[test]
fn a_delta_of_a_format_that_is_not_known_is_passed_over() {
    let later = json!({ "format": "fxd-2", "from": 1, "urls": "none" });
    let all = json!([delta("fxd-1"), later, delta("dcz")]);
    assert_eq!(with_deltas(all), Ok(vec![DeltaFormat::Fxd1, DeltaFormat::Dcz]));
    assert_eq!(with_deltas(json!([])), Ok(vec![]));
    let mut none = manifest(&["1.2.3"]);
    none["releases"][0]["artifacts"][0].as_object_mut().unwrap().remove("deltas");
    assert_eq!(code(read_value(&none)), ("ok", 0));
}

#[test]
fn a_delta_of_a_known_format_is_read_strictly() {
    let refused = Err(("manifest.malformed", 20));
    for (field, wrong) in [
        ("from_sha256", json!("ab")),
        ("from_sha256", Value::Null),
        ("format", json!(1)),
        ("urls", json!([])),
        ("urls", json!(["../x"])),
        ("urls", json!(vec!["a"; 17])),
        ("size", json!(0)),
        ("size", json!(9_007_199_254_740_992_u64)),
        ("sha256", json!(1)),
        ("mem_bytes", json!(-1)),
        ("window_log", json!(9)),
        ("window_log", json!(32)),
    ] {
        let mut entry = delta("dcz");
        entry[field] = wrong.clone();
        assert_eq!(with_deltas(json!([entry])), refused, "{field}: {wrong}");
    }
    assert_eq!(with_deltas(json!([delta("dcz"), delta("dcz")])), refused, "one way twice");
    assert_eq!(with_deltas(json!([{ "size": 1 }])), refused);
    assert_eq!(with_deltas(Value::Null), refused);
    assert!(with_deltas(json!(vec![json!({ "format": "x" }); 64])).is_ok());
    assert_eq!(with_deltas(json!(vec![json!({ "format": "x" }); 65])), refused);
}
