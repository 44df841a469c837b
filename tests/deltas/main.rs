//! Updates by deltas, with the real program: published, taken, and whatever can be wrong with one.

#![allow(clippy::unwrap_used, reason = "a test's own way to fail")]
#![allow(unreachable_pub, missing_debug_implementations, reason = "modules of one test program")]

mod bench;
mod by_hand;
mod choices;
mod faults;

use std::fs;
use std::process::Command;

use fetchd_delta::Format;
use fetchd_fetchers::conformance::scripted::ScriptedOrigin;
use serde_json::{Value, json};

use bench::{Bench, delta, ok, program};

/// What is done to a bench before a host looks at it.
type Damage = Box<dyn Fn(&Bench)>;

/// What is changed in a manifest.
type Edit = Box<dyn Fn(&mut Value)>;

/// The full artifact is not what was signed, so a silent way back to it would end in a failure.
#[test]
fn a_published_delta_takes_the_place_of_the_artifact() {
    for format in ["dcz", "fxd-1"] {
        for http in [false, true] {
            let mut bench = Bench::new();
            ok(bench.publish("1.1.0", &["--delta-from", "1"]));
            only(&bench, format);
            bench.corrupt_the_full_artifact();
            let origin = http.then(|| serve(&mut bench));
            bench.came_by(format, bench.apply(&[]));
            assert!(bench.failed().is_empty() && bench.record().bad_deltas.is_empty());
            if let Some(origin) = origin {
                let asked: Vec<String> = origin.requests().iter().map(|r| r.path_only().to_owned()).collect();
                let deltas = asked.iter().filter(|path| path.ends_with(format)).count();
                assert_eq!((deltas, asked.iter().any(|path| path.ends_with(bench::TARGET))), (1, false), "{asked:?}");
            }
        }
    }
}

/// Lists the deltas of one format alone, one made for the purpose if none was worth it.
fn only(bench: &Bench, format: &str) {
    bench.edit(|artifact| {
        artifact["deltas"].as_array_mut().unwrap().retain(|delta| delta["format"] == format);
    });
    if bench.deltas().is_empty() {
        let way: Format = format.parse().unwrap();
        bench.list(&format!("made.{format}"), format, &delta("1.0.0", "1.1.0", way), |_| {});
    }
}

/// A web server with everything that is published.
fn serve(bench: &mut Bench) -> ScriptedOrigin {
    let origin = ScriptedOrigin::start();
    for entry in fs::read_dir(bench.path("pub")).unwrap() {
        let path = entry.unwrap().path();
        origin.put(&format!("/{}", path.file_name().unwrap().to_str().unwrap()), fs::read(&path).unwrap());
    }
    bench.source = Some(origin.url("/stable.fetchd").to_string());
    origin
}

/// Attack 96, and whatever else can be wrong: the full artifact is taken in the same pass.
#[test]
fn whatever_is_wrong_with_a_delta_the_full_artifact_is_taken_at_once() {
    let good = || delta("1.0.0", "1.1.0", Format::Dcz);
    let cases: Vec<(&str, Damage)> = vec![
        (
            "source.not_ready",
            Box::new(|b| {
                b.list("x.dcz", "dcz", &delta("1.0.0", "1.1.0", Format::Dcz), |_| {});
                fs::remove_file(b.published("x.dcz")).unwrap();
            }),
        ),
        (
            "download.digest",
            Box::new(move |b| {
                let mut changed = good();
                *changed.last_mut().unwrap() ^= 1;
                b.list("x.dcz", "dcz", &good(), |_| {});
                fs::write(b.published("x.dcz"), changed).unwrap();
            }),
        ),
        (
            "download.size",
            Box::new(move |b| {
                b.list("x.dcz", "dcz", &good(), |_| {});
                let whole = good();
                fs::write(b.published("x.dcz"), &whole[..whole.len() - 1]).unwrap();
            }),
        ),
        // Made from another binary than the manifest says.
        ("delta.damaged", Box::new(|b| b.list("x.dcz", "dcz", &delta("0.9.0", "1.1.0", Format::Dcz), |_| {}))),
        // It makes another program of the same length.
        ("delta.result", Box::new(|b| b.list("x.dcz", "dcz", &delta("1.0.0", "6.6.6", Format::Dcz), |_| {}))),
        ("delta.result", Box::new(|b| b.list("x.fxd-1", "fxd-1", &delta("1.0.0", "6.6.6", Format::Fxd1), |_| {}))),
        // Signed, and nothing that can be decoded.
        (
            "delta.damaged",
            Box::new(move |b| {
                let mut garbage = good();
                garbage[60..].fill(0x5a);
                b.list("x.dcz", "dcz", &garbage, |_| {});
            }),
        ),
        (
            "delta.damaged",
            Box::new(|b| {
                let whole = delta("1.0.0", "1.1.0", Format::Fxd1);
                b.list("x.fxd-1", "fxd-1", &whole[..whole.len() - 3], |_| {});
            }),
        ),
        ("delta.format", Box::new(move |b| b.list("x.dcz", "fxd-1", &good(), |_| {}))),
        // It makes more than the window that the manifest admits.
        ("delta.memory", Box::new(move |b| b.list("x.dcz", "dcz", &good(), |entry| entry["window_log"] = 10.into()))),
    ];
    for (code, break_it) in cases {
        let bench = Bench::new();
        ok(bench.publish("1.1.0", &[]));
        break_it(&bench);
        bench.came_by("full", bench.apply(&[]));
        assert_eq!(bench.failed(), [code]);
        assert_eq!(bench.record().bad_deltas.len(), 1, "{code}");
        // The next release is taken, and the next delta.
        ok(bench.publish("1.2.0", &["--delta-from", "1"]));
        bench.corrupt_the_full_artifact();
        ok(bench.apply(&[]));
        assert!(fs::read(bench.program()).unwrap() == program("1.2.0"));
    }
}

#[test]
fn a_delta_that_does_not_fit_is_not_tried() {
    let good = delta("1.0.0", "1.1.0", Format::Dcz);
    let other = fetchd::digest::Sha256::of(b"another binary");
    let edits: Vec<Edit> = vec![
        Box::new(move |entry| entry["from_sha256"] = json!(other)),
        Box::new(|entry| entry["mem_bytes"] = (1_u64 << 40).into()),
        Box::new(|entry| entry["window_log"] = 28.into()),
        Box::new(|entry| entry["size"] = (60 * program("1.1.0").len() as u64).div_ceil(100).into()),
        // Of a later fetchd.
        Box::new(|entry| *entry = json!({ "format": "fxd-2", "something": [1, 2] })),
    ];
    for edit in edits {
        let bench = Bench::new();
        ok(bench.publish("1.1.0", &[]));
        bench.list("x.dcz", "dcz", &good, |entry| edit(entry));
        bench.came_by("full", bench.apply(&[]));
        assert_eq!(bench.failed(), Vec::<String>::new());
    }
}

/// As the kernel does to one that takes too much memory.
#[test]
fn a_worker_that_dies_at_a_delta_costs_the_delta() {
    for (how, code) in [("abort", "worker.died"), ("panic", "worker.panicked"), ("exit", "worker.died")] {
        let bench = Bench::new();
        ok(bench.publish("1.1.0", &[]));
        bench.list("x.dcz", "dcz", &delta("1.0.0", "1.1.0", Format::Dcz), |_| {});
        let file = bench.path("misbehave");
        fs::write(&file, format!("{how}@patch")).unwrap();
        bench.came_by("full", bench.apply_as(&[], |apply| _ = apply.env("FETCHD_TEST_WORKER_FILE", &file)));
        assert_eq!(bench.failed(), [code]);
        assert!(!file.exists(), "it did not misbehave");
    }
}

#[test]
fn after_one_delta_comes_the_next() {
    let bench = Bench::new();
    ok(bench.publish("1.1.0", &[]));
    // The smaller one does not do.
    let good = delta("1.0.0", "1.1.0", Format::Dcz);
    bench.list("x.fxd-1", "fxd-1", b"\x89fxd-1\r\n", |_| {});
    bench.list("x.dcz", "dcz", &good, |_| {});
    bench.corrupt_the_full_artifact();
    bench.came_by("dcz", bench.apply(&[]));
    assert_eq!(bench.failed(), ["delta.damaged"]);
}

#[test]
fn a_delta_that_failed_is_not_tried_again_for_the_release() {
    let bench = Bench::new();
    ok(bench.publish("1.1.0", &[]));
    bench.list("x.dcz", "dcz", &delta("1.0.0", "6.6.6", Format::Dcz), |_| {});
    let full = bench.published(bench.artifact()["urls"][0].as_str().unwrap());
    fs::rename(&full, bench.path("aside")).unwrap();
    assert_eq!(bench.apply(&[]).status.code(), Some(30));
    assert_eq!(bench.apply(&[]).status.code(), Some(30));
    assert!(fs::read(bench.program()).unwrap() == program("1.0.0"), "the service's program was touched");
    bench.clean();
    fs::rename(bench.path("aside"), &full).unwrap();
    bench.came_by("full", bench.apply(&[]));
    assert_eq!(bench.failed(), ["delta.result"]);
}

#[test]
fn a_binary_that_somebody_changed_is_replaced_whole() {
    let bench = Bench::new();
    ok(bench.publish("1.1.0", &["--delta-from", "1"]));
    // As patchelf and strip do.
    let mut changed = program("1.0.0");
    changed.extend_from_slice(b"# patched\n");
    bench.put(&bench.program(), &changed);
    bench.came_by("full", bench.apply(&[]));
    assert_eq!(bench.failed(), Vec::<String>::new());
}

#[test]
fn deltas_can_be_switched_off() {
    let bench = Bench::new();
    ok(bench.publish("1.1.0", &["--delta-from", "1"]));
    bench.corrupt_the_full_artifact();
    assert_eq!(bench.apply(&["--deltas=false"]).status.code(), Some(23));
    assert_eq!(bench.apply_as(&[], |apply| _ = apply.env("FETCHD_DELTAS", "false")).status.code(), Some(23));
    assert!(fs::read(bench.program()).unwrap() == program("1.0.0"));
    assert_eq!(bench.failed(), Vec::<String>::new());
    ok(bench.publish("1.2.0", &["--delta-from", "2"]));
    ok(bench.apply(&["--deltas=false"]));
    assert_eq!(bench.history().last().unwrap().detail["fetched"], "full");
}

#[test]
fn deltas_of_packed_artifacts_lie_between_the_binaries() {
    let bench = Bench::new();
    let packed = |version: &str| {
        let file = bench.path(&format!("build/app-{version}.gz"));
        bench.put(&bench.path("build/app"), &program(version));
        let ran = Command::new("gzip").args(["-9", "-n", "-c"]).arg(bench.path("build/app")).output().unwrap();
        fs::write(&file, ok(ran).stdout).unwrap();
        file
    };
    ok(bench.publish_file("1.0.1", &packed("1.0.1"), &[]));
    ok(bench.apply(&[]));
    ok(bench.publish_file("1.1.0", &packed("1.1.0"), &["--delta-from", "2"]));
    bench.corrupt_the_full_artifact();
    let way = smallest(&bench);
    bench.came_by(&way, bench.apply(&[]));
}

/// The format of the smallest delta from what is installed.
fn smallest(bench: &Bench) -> String {
    let from = fetchd::digest::Sha256::of(&fs::read(bench.program()).unwrap()).to_string();
    let artifact = bench.artifact();
    let deltas = artifact["deltas"].as_array().unwrap().iter().filter(|delta| delta["from_sha256"] == from.as_str());
    deltas.min_by_key(|delta| delta["size"].as_u64()).unwrap()["format"].as_str().unwrap().to_owned()
}

/// It ended before the pointer was replaced: everything else is there already.
#[test]
fn an_interrupted_publish_is_taken_up_again() {
    let bench = Bench::new();
    let before = fs::read(bench.published("stable.fetchd")).unwrap();
    ok(bench.publish("1.1.0", &["--delta-from", "1"]));
    let first = bench.deltas();
    assert!(!first.is_empty());
    // One delta had not been put there yet.
    fs::remove_file(&first[0].1).unwrap();
    fs::write(bench.published("stable.fetchd"), before).unwrap();
    ok(bench.publish("1.1.0", &["--delta-from", "1"]));
    assert_eq!(bench.deltas(), first);
    assert!(first.iter().all(|(_, file)| file.exists()));
    bench.corrupt_the_full_artifact();
    let way = smallest(&bench);
    bench.came_by(&way, bench.apply(&[]));
}

#[test]
fn only_what_is_as_it_was_signed_becomes_the_base_of_a_delta() {
    let bench = Bench::new();
    ok(bench.publish("1.1.0", &[]));
    ok(bench.publish("1.2.0", &[]));
    // One earlier artifact is damaged, another one gone.
    let name = |version: &str| bench.published(&format!("app-{version}-{}", bench::TARGET));
    fs::write(name("1.2.0"), program("6.6.6")).unwrap();
    fs::remove_file(name("1.1.0")).unwrap();
    let said: Value = serde_json::from_slice(&ok(bench.publish("1.3.0", &["--delta-from", "3"])).stdout).unwrap();
    let deltas = said["deltas"].as_array().unwrap();
    let of = |version: &str| deltas.iter().filter(|delta| delta["from"] == version).collect::<Vec<_>>();
    let left_out = |version: &str| of(version)[0]["left_out"].as_str().unwrap_or_default().to_owned();
    assert!(left_out("1.2.0").ends_with("is not what was signed"), "{said:#}");
    assert_eq!(left_out("1.1.0"), "its artifact is not there any more");
    assert_eq!(of("1.0.0")[0]["listed"], true, "{said:#}");
    let from = fetchd::digest::Sha256::of(&program("1.0.0")).to_string();
    assert!(bench.artifact()["deltas"].as_array().unwrap().iter().all(|delta| delta["from_sha256"] == from.as_str()));
}

#[test]
fn a_delta_that_is_no_gain_is_left_out_and_old_releases_lose_theirs() {
    let bench = Bench::new();
    let other = bench.path("build/other");
    // Nothing in common with what was there, and nothing that could be compressed.
    let mut state = 1_u64;
    let noise = (0..60_000).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    bench.put(&other, &b"#!/bin/sh\necho 1.1.0\nexit 0\n".iter().copied().chain(noise).collect::<Vec<u8>>());
    let said = ok(bench.publish_file("1.1.0", &other, &["--delta-from", "1"]));
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    let deltas = said["deltas"].as_array().unwrap();
    assert!(!deltas.is_empty());
    for delta in deltas {
        assert_eq!(
            (&delta["listed"], &delta["left_out"]),
            (&json!(false), &json!("more than 60 % of the full artifact"))
        );
    }
    assert_eq!(bench.artifact()["deltas"], json!([]));
    for version in ["1.2.0", "1.3.0", "1.4.0", "1.5.0"] {
        ok(bench.publish(version, &["--delta-from", "1"]));
    }
    let bytes = fs::read(bench.published("stable.fetchd")).unwrap();
    let bundle = fetchd::trust::bundle::Bundle::parse(&bytes).unwrap();
    let manifest: Value = serde_json::from_slice(bundle.claimed_payload()).unwrap();
    let counts: Vec<usize> = manifest["releases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|release| release["artifacts"][0]["deltas"].as_array().unwrap().len())
        .collect();
    assert!(counts[..3].iter().all(|count| *count > 0), "{counts:?}");
    assert!(counts[3..].iter().all(|count| *count == 0), "{counts:?}");
}
