//! A manifest and its signature as two files, as plain minisign makes them: `manifest.json` and `manifest.json.minisig`.

#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

#[path = "support/site.rs"]
mod site;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use fetchd::demo::Trailer;
use fetchd::trust::bundle::Bundle;
use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Step};
use fetchd_stand_ins::s3::S3Server;
use site::{FETCHD, Site, text};

const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.json.minisig";

/// Publishes `version` and takes its bundle apart: the manifest, its signature.
fn taken_apart(site: &Site, version: &str) -> (Vec<u8>, String) {
    site.publish(&Trailer::version(version));
    let bundle = Bundle::parse(&site.publisher.document().unwrap()).unwrap();
    (bundle.claimed_payload().to_vec(), bundle.signatures()[0].clone())
}

/// The files of `dir`, for a server.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn apply(site: &Site, source: &str, options: &[String]) -> Output {
    let mut command = Command::new(FETCHD);
    command.args(["apply", "--product", "app", "--source", source, "--state-dir"]).arg(site.state_dir());
    command.args(["--key", &site.publisher.public_key().to_string()]);
    for option in options {
        command.args(["--source-options", option]);
    }
    command.arg("--").arg(site.program()).current_dir(site.path()).output().unwrap()
}

#[track_caller]
fn installs(site: &Site, source: &str, options: &[String], version: &str) {
    let output = apply(site, source, options);
    assert_eq!(output.status.code(), Some(0), "{source}: {}", text(&output));
    assert!(fs::read(site.program()).unwrap() == site.binary(&Trailer::version(version)), "{source}");
}

#[test]
fn two_files_are_as_good_as_a_bundle_from_every_source() {
    let origin = ScriptedOrigin::start();
    let s3 = S3Server::start();
    for source in ["file", "http", "s3"] {
        let site = Site::new();
        let (manifest, signature) = taken_apart(&site, "1.1.0");
        let dir = site.path().join("pub");
        fs::remove_file(site.publisher.pointer()).unwrap();
        fs::write(dir.join(MANIFEST), manifest).unwrap();
        fs::write(dir.join(SIGNATURE), signature).unwrap();
        let (url, options) = match source {
            "file" => (format!("file:{}/{MANIFEST}", dir.display()), Vec::new()),
            "http" => {
                files(&dir).iter().for_each(|(name, bytes)| origin.put(&format!("/{name}"), bytes));
                (origin.url(&format!("/{MANIFEST}")).to_string(), Vec::new())
            }
            _ => {
                files(&dir).into_iter().for_each(|(name, bytes)| drop(s3.put(&name, bytes)));
                let of = |(name, values): (String, Vec<String>)| values.into_iter().map(move |v| format!("{name}={v}"));
                (s3.source(MANIFEST).to_string(), s3.options().into_iter().flat_map(of).collect())
            }
        };
        installs(&site, &url, &options, "1.1.0");
    }
}

/// The two cannot be replaced at once: a host that polls in between sees the one without the other.
#[test]
fn files_that_do_not_fit_each_other_are_both_asked_for_again_once() {
    let site = Site::new();
    let origin = ScriptedOrigin::start();
    let (_, old) = taken_apart(&site, "1.1.0");
    let (manifest, signature) = taken_apart(&site, "1.2.0");
    files(&site.path().join("pub")).iter().for_each(|(name, bytes)| origin.put(&format!("/{name}"), bytes));
    origin.put("/manifest.json", &manifest);
    origin.put("/manifest.json.minisig", &signature);
    origin.script("/manifest.json.minisig", vec![Step::Instead(old.clone().into_bytes())]);
    let url = origin.url("/manifest.json").to_string();
    installs(&site, &url, &[], "1.2.0");
    let asked = |path: &str| origin.requests().iter().filter(|request| request.path_only() == path).count();
    assert_eq!((asked("/manifest.json"), asked("/manifest.json.minisig")), (2, 2));

    // What does not fit the second time either is refused, and not asked for a third time.
    let before = fs::read(site.program()).unwrap();
    let (newer, right) = taken_apart(&site, "1.3.0");
    files(&site.path().join("pub")).iter().for_each(|(name, bytes)| origin.put(&format!("/{name}"), bytes));
    origin.put("/manifest.json", &newer);
    origin.put("/manifest.json.minisig", &old);
    origin.clear_requests();
    let output = apply(&site, &url, &[]);
    assert_eq!(output.status.code(), Some(20), "{}", text(&output));
    assert_eq!((asked("/manifest.json"), asked("/manifest.json.minisig")), (2, 2));
    assert!(fs::read(site.program()).unwrap() == before, "the program was changed");

    origin.put("/manifest.json.minisig", &right);
    installs(&site, &url, &[], "1.3.0");
}

#[test]
fn a_bundle_of_any_name_needs_no_second_file() {
    let site = Site::new();
    let origin = ScriptedOrigin::start();
    site.publish(&Trailer::version("1.1.0"));
    files(&site.path().join("pub")).iter().for_each(|(name, bytes)| origin.put(&format!("/{name}"), bytes));
    origin.put("/manifest.json", site.publisher.document().unwrap());
    installs(&site, origin.url("/manifest.json").as_str(), &[], "1.1.0");
    assert!(origin.requests().iter().all(|request| !request.path_only().ends_with(".minisig")));
}

#[test]
fn a_manifest_whose_signature_is_not_there_yet_is_asked_for_again() {
    let site = Site::new();
    let origin = ScriptedOrigin::start();
    let (manifest, _) = taken_apart(&site, "1.1.0");
    origin.put("/manifest.json", manifest);
    let before = fs::read(site.program()).unwrap();
    let output = apply(&site, origin.url("/manifest.json").as_str(), &[]);
    assert_eq!(output.status.code(), Some(30), "{}", text(&output));
    assert!(text(&output).contains("source.not_ready"), "{}", text(&output));
    assert!(fs::read(site.program()).unwrap() == before, "the program was changed");
}
