//! The way a release came: by which delta, or whole and why.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use fetchd::digest::Sha256;
use fetchd_delta::{Format, Options, create};
use serde_json::json;

use crate::client::{endpoint, scrape};
use crate::site::{Site, Supervised};

/// A program that says its version, and most of which stays the same.
fn program(version: &str) -> Vec<u8> {
    let mut text = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo {version}; exit 0; fi\ntrap 'exit 0' TERM\nsleep 600 & wait\nexit 0\n"
    );
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..1500 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("# {state:016x}\n"));
    }
    text.into_bytes()
}

/// Publishes `version`, with `deltas` listed, each with its format, as what makes it of `from`.
fn publish(site: &Site, version: &str, from: &str, deltas: &[(&str, &[u8])]) {
    site.publisher.publish(version, &program(version)).unwrap();
    let listed = deltas.iter().map(|(format, delta)| {
        let name = format!("{version}-{}.{format}", delta.len());
        fs::write(site.publisher.pointer().with_file_name(&name), delta).unwrap();
        json!({
            "from_sha256": Sha256::of(&program(from)), "format": format, "urls": [name], "size": delta.len(),
            "sha256": Sha256::of(delta), "mem_bytes": null, "window_log": null,
        })
    });
    let listed: Vec<_> = listed.collect();
    site.publisher.forge(|manifest| manifest["releases"][0]["artifacts"][0]["deltas"] = listed.into()).unwrap();
}

/// One pass, which takes `version`; the codes and the way that the history tells of it.
#[track_caller]
fn apply(fetchd: &mut Supervised<'_>, version: &str) -> (String, Option<String>) {
    let applied = fetchd.fetchd("apply", &["--target-check", "off"]);
    assert!(applied.status.success(), "{applied:?}");
    fetchd.wait_for_version(version);
    let confirmed = fetchd.site.history().into_iter().rfind(|event| event.event == "release.confirmed").unwrap();
    let text = |name: &str| confirmed.detail.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    (text("fetched").unwrap(), text("no_delta"))
}

#[test]
fn the_way_a_release_came_is_in_the_history_and_in_the_metrics() {
    let site = Site::empty();
    fs::write(site.program(), program("1.0.0")).unwrap();
    fs::set_permissions(site.program(), fs::Permissions::from_mode(0o755)).unwrap();
    let flags = ["--metrics", "127.0.0.1:0", "--ready", "alive:50ms", "--target-check", "off", "--watch", "0s"];
    let mut fetchd = site.run(&[&flags[..], &["--interval", "1h"]].concat());
    let at = endpoint(&mut fetchd);
    fetchd.wait_for_version("1.0.0");
    let made =
        |from: &str, to: &str, format| create(&program(from), &program(to), format, &Options::default()).unwrap();
    let way = |by: &str, why: Option<&str>| (by.to_owned(), why.map(str::to_owned));
    let size = |version: &str| program(version).len() as f64;

    // A delta of each format.
    let first = made("1.0.0", "1.1.0", Format::Dcz);
    publish(&site, "1.1.0", "1.0.0", &[("dcz", &first)]);
    assert_eq!(apply(&mut fetchd, "1.1.0"), way("dcz", None));
    let second = made("1.1.0", "1.2.0", Format::Fxd1);
    publish(&site, "1.2.0", "1.1.0", &[("fxd-1", &second)]);
    assert_eq!(apply(&mut fetchd, "1.2.0"), way("fxd-1", None));
    let now = scrape(at);
    let saved = size("1.1.0") + size("1.2.0") - (first.len() + second.len()) as f64;
    for (name, labels, value) in [
        ("fetchd_releases_fetched_total", &[("path", "dcz")][..], 1.0),
        ("fetchd_releases_fetched_total", &[("path", "fxd-1")], 1.0),
        ("fetchd_releases_fetched_total", &[("path", "full")], 0.0),
        ("fetchd_received_bytes_total", &[("path", "dcz")], first.len() as f64),
        ("fetchd_received_bytes_total", &[("path", "fxd-1")], second.len() as f64),
        ("fetchd_received_bytes_total", &[("path", "full")], 0.0),
        ("fetchd_saved_bytes_total", &[], saved),
        ("fetchd_deltas_given_up_total", &[("code", "delta.result")], 0.0),
    ] {
        assert_eq!(now.of(name, labels), value, "{name} {labels:?}");
    }

    // Whole, for every reason that there is without changing the machine.
    let wrong = made("1.2.0", "6.6.6", Format::Dcz);
    publish(&site, "1.3.0", "1.2.0", &[("dcz", &wrong)]);
    assert_eq!(apply(&mut fetchd, "1.3.0"), way("full", Some("delta.result")));
    publish(&site, "1.4.0", "1.2.0", &[("dcz", &wrong)]);
    assert_eq!(apply(&mut fetchd, "1.4.0"), way("full", Some("delta.other_base")));
    publish(&site, "1.5.0", "1.4.0", &[]);
    assert_eq!(apply(&mut fetchd, "1.5.0"), way("full", Some("delta.unlisted")));
    publish(&site, "1.6.0", "1.5.0", &[("dcz", &program("1.6.0"))]);
    assert_eq!(apply(&mut fetchd, "1.6.0"), way("full", Some("delta.no_gain")));
    let now = scrape(at);
    for (name, labels, value) in [
        ("fetchd_releases_fetched_total", &[("path", "full")][..], 4.0),
        ("fetchd_releases_fetched_total", &[("path", "dcz")], 1.0),
        ("fetchd_received_bytes_total", &[("path", "full")], size("1.3.0") * 4.0),
        ("fetchd_received_bytes_total", &[("path", "dcz")], (first.len() + wrong.len()) as f64),
        ("fetchd_saved_bytes_total", &[], saved),
        ("fetchd_deltas_given_up_total", &[("code", "delta.result")], 1.0),
        ("fetchd_full_artifacts_total", &[("reason", "delta.result")], 1.0),
        ("fetchd_full_artifacts_total", &[("reason", "delta.other_base")], 1.0),
        ("fetchd_full_artifacts_total", &[("reason", "delta.unlisted")], 1.0),
        ("fetchd_full_artifacts_total", &[("reason", "delta.no_gain")], 1.0),
        ("fetchd_full_artifacts_total", &[("reason", "delta.off")], 0.0),
    ] {
        assert_eq!(now.of(name, labels), value, "{name} {labels:?}");
    }
    let status = fetchd.try_status().unwrap();
    assert_eq!(status.updates.brought.unwrap().no_delta.as_deref(), Some("delta.no_gain"));
    assert_eq!(fetchd.stop().code(), Some(0));
}
