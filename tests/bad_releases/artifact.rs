//! Bad releases without a bundle: a signature beside each artifact, or none; as files and over HTTP.
//!
//! Each pass is asked for, so that it does not come between the artifact and its signature.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use fetchd::demo::{Fault, Trailer};
use fetchd::publish::Publisher;
use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Step};

use crate::scene::{Scene, Wiring, binary, only_quarantined};
use crate::site::{FETCHD, Site, text};

const BY_HAND: &[&str] = &["--interval", "1h"];

/// The published artifact.
fn app(site: &Site) -> PathBuf {
    site.path().join("pub/app")
}

fn signature(site: &Site) -> PathBuf {
    site.path().join("pub/app.minisig")
}

fn file_source(site: &Site) -> String {
    format!("file:{}?settle=0s", app(site).display())
}

fn bound(site: &Site, trailer: &Trailer) {
    site.publisher.publish_bound("app", &trailer.version, &site.binary(trailer)).unwrap();
}

fn faulty(version: &str, fault: Fault) -> Trailer {
    Trailer::version(version).with_fault(fault)
}

/// A service on 1.0.0 that follows `pub/app`.
fn scene<'a>(site: &'a Site, more: &[&str]) -> Scene<'a> {
    let scene = Scene::start(site, Wiring::keyed(site, &file_source(site), more), BY_HAND);
    assert_eq!(scene.apply(), (0, String::new()));
    scene
}

/// One pass over something bad: this exit code, this code, and the old process serves as before.
#[track_caller]
fn refused(scene: &mut Scene<'_>, exit: i32, code: &str) {
    assert_eq!(scene.apply(), (exit, code.to_owned()));
    scene.assert_old_process_serves();
    scene.assert_program_untouched();
    scene.assert_no_stray_process();
    scene.assert_tidy(true);
}

#[test]
fn signatures_that_bind_something_else_are_refused() {
    let site = Site::new();
    bound(&site, &Trailer::version("1.0.0"));
    let mut scene = scene(&site, &[]);
    let next = binary(&site, "1.1.0");
    let others: [(Publisher, i32, &str); 4] = [
        (Publisher::new(site.path().join("pub")).unwrap(), 20, "signature.unknown_key"),
        (site.publisher.clone().product("other"), 21, "comment.wrong_product"),
        (site.publisher.clone().channel("beta"), 21, "comment.wrong_channel"),
        (site.publisher.clone().target("riscv64gc-unknown-linux-gnu"), 23, "comment.wrong_target"),
    ];
    for (publisher, exit, code) in others {
        publisher.publish_bound("app", "1.1.0", &next).unwrap();
        refused(&mut scene, exit, code);
    }
    site.publisher.publish_bound("another", "1.1.0", &next).unwrap();
    fs::rename(site.path().join("pub/another"), app(&site)).unwrap();
    fs::rename(site.path().join("pub/another.minisig"), signature(&site)).unwrap();
    refused(&mut scene, 20, "comment.wrong_file");

    bound(&site, &Trailer::version("0.9.0"));
    refused(&mut scene, 21, "release.downgrade");

    fs::write(signature(&site), "untrusted comment: nothing\n").unwrap();
    refused(&mut scene, 20, "signature.malformed");
    fs::remove_file(signature(&site)).unwrap();
    refused(&mut scene, 30, "source.not_ready");

    assert_eq!(site.record().quarantine, []);
    bound(&site, &Trailer::version("1.2.0"));
    assert_eq!(scene.apply(), (0, String::new()));
    scene.goes_live("1.2.0", 0);
}

#[test]
fn bytes_that_were_not_signed_are_refused_and_not_blamed() {
    let site = Site::new();
    bound(&site, &Trailer::version("1.0.0"));
    let mut scene = scene(&site, &[]);
    bound(&site, &Trailer::version("1.1.0"));
    let whole = fs::read(app(&site)).unwrap();

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(app(&site), &flipped).unwrap();
    refused(&mut scene, 20, "signature.wrong");
    fs::write(app(&site), &whole[..whole.len() - 1000]).unwrap();
    refused(&mut scene, 23, "download.size");

    assert_eq!(site.record().quarantine, []);
    fs::write(app(&site), &whole).unwrap();
    assert_eq!(scene.apply(), (0, String::new()));
    scene.goes_live("1.1.0", 0);
}

#[test]
fn a_bound_release_that_does_not_hold_is_undone_and_shut_out() {
    let site = Site::new();
    bound(&site, &Trailer::version("1.0.0"));
    let mut scene = scene(&site, &[]);
    bound(&site, &faulty("1.1.0", Fault::ExitBeforeReady));
    assert_eq!(scene.apply(), (42, "handoff.exited".to_owned()));
    scene.assert_old_process_serves();
    scene.assert_program_restored();
    assert_eq!(only_quarantined(&site).sha256, crate::scene::sha256_of(&app(&site)));
    assert_eq!(scene.apply(), (22, "release.quarantined".to_owned()));
    scene.assert_tidy(false);
    bound(&site, &Trailer::version("1.2.0"));
    assert_eq!(scene.apply(), (0, String::new()));
    scene.goes_live("1.2.0", 0);
}

#[test]
fn a_plain_signature_is_bound_to_the_version_that_is_printed() {
    let site = Site::new();
    let plain = |bytes: &[u8]| site.publisher.publish_plain("app", bytes).unwrap();
    plain(&binary(&site, "1.0.0"));
    let mut scene = scene(&site, &["--signature", "plain"]);

    plain(&binary(&site, "0.9.0"));
    refused(&mut scene, 21, "release.downgrade");
    plain(&site.binary(&faulty("1.1.0", Fault::VersionExit1)));
    refused(&mut scene, 41, "smoke.exit");
    plain(&binary(&site, "1.1.0"));
    let mut flipped = fs::read(app(&site)).unwrap();
    flipped[100_000] ^= 1;
    fs::write(app(&site), flipped).unwrap();
    refused(&mut scene, 20, "signature.wrong");

    plain(&binary(&site, "1.2.0"));
    assert_eq!(scene.apply(), (0, String::new()));
    scene.goes_live("1.2.0", 0);
}

#[test]
fn over_http_a_broken_download_is_resumed_and_a_bad_one_is_not_run() {
    let site = Site::new();
    let origin = ScriptedOrigin::start();
    let put = |trailer: &Trailer| {
        bound(&site, trailer);
        origin.put("/app", fs::read(app(&site)).unwrap());
        origin.put("/app.minisig", fs::read(signature(&site)).unwrap());
    };
    put(&Trailer::version("1.0.0"));
    let wiring = Wiring::keyed(&site, origin.url("/app").as_str(), &[]);
    let mut scene = Scene::start(&site, wiring, BY_HAND);
    assert_eq!(scene.apply(), (0, String::new()));

    put(&faulty("1.1.0", Fault::NoNotify));
    origin.script_every("/app.minisig", vec![Step::Status(404)]);
    refused(&mut scene, 30, "source.not_ready");
    origin.script_every("/app.minisig", vec![Step::Status(503)]);
    refused(&mut scene, 30, "source.unreachable");
    origin.clear_scripts();
    origin.script_every("/app", vec![Step::FlipBit(8 * 100_000)]);
    refused(&mut scene, 20, "signature.wrong");
    origin.clear_scripts();
    assert_eq!(site.record().quarantine, []);

    put(&faulty("1.1.0", Fault::Reject));
    assert_eq!(scene.apply(), (42, "handoff.rejected".to_owned()));
    scene.assert_old_process_serves();
    scene.assert_program_restored();

    put(&Trailer::version("1.2.0"));
    // The poll gets its answer, the download is cut off.
    origin.script("/app", vec![]);
    origin.script_every("/app", vec![Step::Send(1_000_000), Step::Close]);
    let (exit, code) = scene.apply();
    assert_eq!((exit, code.as_str()), (30, "source.incomplete"));
    scene.assert_tidy(true);
    scene.assert_old_process_serves();
    origin.clear_scripts();
    origin.clear_requests();
    assert_eq!(scene.apply(), (0, String::new()));
    let ranges: Vec<_> = origin.requests().iter().filter_map(|r| r.header("range").map(str::to_owned)).collect();
    let begins = |range: &String| range["bytes=".len()..].split('-').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(ranges.first().map(String::as_str), Some("bytes=1000000-"), "{:#?}", origin.requests());
    assert!(ranges.iter().all(|range| begins(range) >= 1_000_000), "what is there is not fetched again: {ranges:?}");
    scene.goes_live("1.2.0", 0);
}

#[test]
fn over_http_a_bundle_survives_what_an_origin_can_do_to_it() {
    let site = Site::new();
    let origin = ScriptedOrigin::start();
    let put = || {
        for entry in fs::read_dir(site.path().join("pub")).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("app") || name.ends_with(".fetchd") {
                origin.put(&format!("/{name}"), fs::read(entry.path()).unwrap());
            }
        }
    };
    site.publish(&Trailer::version("1.0.0"));
    put();
    let wiring = Wiring::keyed(&site, origin.url("/stable.fetchd").as_str(), &[]);
    let mut scene = Scene::start(&site, wiring, BY_HAND);
    assert_eq!(scene.apply(), (0, String::new()));

    site.publish(&Trailer::version("1.1.0"));
    put();
    let artifact = format!("/app-1.1.0-{}", fetchd::publish::host_target());
    for (path, steps, exit, code) in [
        ("/stable.fetchd", vec![Step::Status(500)], 30, "source.unreachable"),
        ("/stable.fetchd", vec![Step::Instead(b"<html>maintenance</html>".to_vec())], 20, "bundle.malformed"),
        (artifact.as_str(), vec![Step::Status(404)], 30, "source.not_ready"),
        (&artifact, vec![Step::FlipBit(800_000)], 23, "download.digest"),
        (&artifact, vec![Step::Instead(b"<html>blocked by your provider</html>".to_vec())], 23, "download.size"),
    ] {
        origin.script_every(path, steps);
        refused(&mut scene, exit, code);
        origin.clear_scripts();
    }
    assert_eq!(site.record().quarantine, []);
    assert_eq!(scene.apply(), (0, String::new()));
    scene.goes_live("1.1.0", 0);
}

#[test]
fn what_nobody_signed_needs_a_flag_and_is_warned_about_at_every_start() {
    let site = Site::new();
    fs::write(app(&site), binary(&site, "1.0.0")).unwrap();
    let source = file_source(&site);
    for command in ["run", "apply", "check"] {
        let mut fetchd = Command::new(FETCHD);
        fetchd.arg(command).args(["--product", "app", "--source", &source, "--state-dir"]).arg(site.state_dir());
        let output = fetchd.arg("--").arg(site.program()).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("[config.missing]") && said.contains("hint: ") && said.contains("--key"), "{said}");
    }
    for next in ["1.1.0", "1.2.0"] {
        let unsigned = Wiring::new(&site, &["--source", &source, "--insecure-unsigned"]);
        fs::copy(site.path().join("pub/app"), site.path().join("srv/next")).unwrap();
        fs::remove_file(site.program()).unwrap();
        site.put(&site.program(), &Trailer::version("1.0.0"));
        fs::remove_file(site.path().join("srv/next")).unwrap();
        let mut scene = Scene::start(&site, unsigned, BY_HAND);
        assert!(scene.fetchd.log().contains("RELEASES ARE NOT CHECKED"), "{}", scene.fetchd.log());
        let put = |bytes: Vec<u8>| {
            fs::write(site.path().join("bin/app"), bytes).unwrap();
            fs::rename(site.path().join("bin/app"), app(&site)).unwrap();
        };
        put(vec![0xa5; 4096]);
        refused(&mut scene, 23, "candidate.target");
        put(binary(&site, "0.9.0"));
        refused(&mut scene, 21, "release.downgrade");
        put(binary(&site, next));
        assert_eq!(scene.apply(), (0, String::new()));
        scene.goes_live(next, 0);
    }
}
