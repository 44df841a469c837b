//! The whole line over GitHub's releases: signed archives among the files that release tools put beside them, a
//! private repository, limits, and releases that are not ready.

#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

#[path = "support/site.rs"]
mod site;

use std::fs;
use std::time::{Duration, Instant};

use fetchd::clock::Timestamp;
use fetchd::demo::Trailer;
use fetchd::failure::Reported;
use fetchd::load::{Load, LoadPlan, Target};
use fetchd::publish::host_target;
use fetchd_stand_ins::github::{Fault, GitHub, On};
use site::{PATIENCE, Site, text, wait_until};

const REPOSITORY: &str = "acme/app";
/// Appears nowhere but in the environment and in requests to the API.
const TOKEN: &str = "ghp_hunter2InTheEnvironment";

/// A tar.gz as cargo-dist and GoReleaser pack it: a directory with the binary and what belongs to it.
fn archive(version: &str, binary: &[u8]) -> Vec<u8> {
    let gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    let mut tar = tar::Builder::new(gz);
    for (name, mode, bytes) in [("LICENSE", 0o644, &b"MIT"[..]), ("app", 0o755, binary), ("README.md", 0o644, b"read")]
    {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        tar.append_data(&mut header, format!("app-{version}/{name}"), bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// The name of the archive for this machine.
fn name() -> String {
    format!("app-{}.tar.gz", host_target())
}

/// The archive of a release and its bound signature.
fn signed(site: &Site, trailer: &Trailer) -> (Vec<u8>, Vec<u8>) {
    let archive = archive(&trailer.version, &site.binary(trailer));
    let path = site.publisher.publish_bound(&name(), &trailer.version, &archive).unwrap();
    let signature = fs::read(path.with_file_name(format!("{}.minisig", name()))).unwrap();
    (archive, signature)
}

/// A release with everything a release tool adds to it.
fn publish(site: &Site, github: &GitHub, trailer: &Trailer) {
    let (archive, signature) = signed(site, trailer);
    let sums = format!("{}  {}\n", fetchd::digest::Sha256::of(&archive), name());
    github
        .release(REPOSITORY, &format!("v{}", trailer.version))
        .asset("app-riscv64gc-unknown-linux-gnu.tar.gz", b"for another machine")
        .asset("app-installer.sh", b"#!/bin/sh")
        .asset("dist-manifest.json", b"{}")
        .asset(&name(), &archive)
        .asset(&format!("{}.minisig", name()), &signature)
        .asset("sha256.sum", sums)
        .asset("source.tar.gz", b"the source")
        .publish();
}

/// A service that follows the repository, and the repository's host.
fn site() -> (Site, GitHub) {
    let github = GitHub::start();
    (Site::new().following(github.source(REPOSITORY).as_str()), github)
}

#[test]
fn two_releases_of_a_private_repository_go_live_under_load_and_no_request_fails() {
    let (site, github) = site();
    github.repository(REPOSITORY);
    github.make_private(REPOSITORY);
    github.token(TOKEN);
    let flags = ["--source-options", "proxy=none", "--log-level", "trace"];
    let mut fetchd = site.run_with(&flags, &[("GITHUB_TOKEN", TOKEN)]);
    let address = fetchd.address();
    let load = Load::start(LoadPlan { fresh: 4, keep_alive: 4, ..LoadPlan::new(Target::Tcp(address)) }).unwrap();
    for version in ["1.1.0", "1.2.0"] {
        publish(&site, &github, &Trailer::version(version));
        let status = fetchd.wait_for_version(version);
        assert_eq!(status.pid, fetchd.pid());
        load.wait_for_version(version, PATIENCE).unwrap();
    }
    let worker = fetchd.pid();
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{report:?}");
    assert!(report.totals.requests > 0, "{report:?}");

    // The host's own downloads have changed the ETag of the list; polls are free again all the same.
    wait_until("a poll is answered `not modified`", || {
        github.requests().last().is_some_and(|request| request.status == 304)
    });

    // The token went to the API with every request, and nowhere else.
    let requests = github.requests();
    let (api, storage): (Vec<_>, Vec<_>) =
        requests.iter().partition(|request| request.side == fetchd_stand_ins::github::Side::Api);
    assert!(api.iter().all(|request| request.header("authorization") == Some(&format!("Bearer {TOKEN}"))));
    assert!(storage.len() >= 4 && storage.iter().all(|request| request.header("authorization").is_none()));
    assert_nowhere(&site, &fetchd.log(), worker);
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// The token is in no log, no file of the state and of staging, and no process's arguments.
fn assert_nowhere(site: &Site, log: &str, pid: u32) {
    assert!(log.contains("release.confirmed") && !log.contains(TOKEN), "{log}");
    let mut directories = vec![site.path().to_owned()];
    let mut files = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).unwrap_or_default();
                let found = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
                assert!(!found, "the token is in {}", entry.path().display());
                files += 1;
            }
        }
    }
    assert!(files > 5, "{files} files were looked at");
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains(TOKEN));
}

#[test]
fn r66_a_release_whose_files_are_not_all_there_is_not_ready_and_then_goes_live() {
    let (site, github) = site();
    let (archive, signature) = signed(&site, &Trailer::version("1.1.0"));
    let (asset, sidecar) = (name(), format!("{}.minisig", name()));
    let apply = || {
        let output = site.command("apply", &["--", site.program().to_str().unwrap()]).output();
        output.unwrap()
    };
    let release = |tag: &str| github.release(REPOSITORY, tag);
    release("v1.1.0").publish();
    for (step, expected) in [
        ("nothing", "it shows nothing"),
        ("begun", ".minisig`"),
        ("open", "which is being uploaded"),
        ("unsigned", ".minisig`"),
    ] {
        github.delete_release(REPOSITORY, "v1.1.0");
        match step {
            "nothing" => release("v1.1.0").publish(),
            "begun" => release("v1.1.0").open_asset(&asset).starter_asset(&sidecar).publish(),
            "open" => release("v1.1.0").open_asset(&asset).asset(&sidecar, &signature).publish(),
            _ => release("v1.1.0").asset(&asset, &archive).starter_asset(&sidecar).publish(),
        };
        let output = apply();
        assert_eq!(output.status.code(), Some(0), "{step}: {}", text(&output));
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("[source.not_ready]") && shown.contains(expected), "{step}: {shown}");
    }
    github.delete_release(REPOSITORY, "v1.1.0");
    release("v1.1.0").asset(&asset, &archive).asset(&sidecar, &signature).publish();
    let output = apply();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(fs::read(site.program()).unwrap(), site.binary(&Trailer::version("1.1.0")));
}

/// Each download is counted, and GitHub's ETag changes with the count: the release is the same all the same.
#[test]
fn a_download_that_broke_off_is_resumed_at_the_next_pass() {
    let (site, github) = site();
    publish(&site, &github, &Trailer::version("1.1.0"));
    // After the signature and the checksums: the archive.
    github.inject(On::storage().after(2).times(1), Fault::Reset);
    // With several connections the break would be made good in the same pass.
    let program = site.program();
    let flags = ["--source-options", "connections=1", "--", program.to_str().unwrap()];
    let apply = || site.command("apply", &flags).output().unwrap();
    let output = apply();
    assert_eq!(output.status.code(), Some(30), "{}", text(&output));
    github.clear_requests();
    let output = apply();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(fs::read(site.program()).unwrap(), site.binary(&Trailer::version("1.1.0")));
    let resumed: Vec<u16> =
        github.requests().iter().filter(|r| r.header("range").is_some()).map(|r| r.status).collect();
    assert!(resumed.contains(&206), "{resumed:?}: it began again from the first byte");
}

#[test]
fn a_tag_that_is_moved_to_other_bytes_is_noticed_and_refused() {
    let (site, github) = site();
    publish(&site, &github, &Trailer::version("1.1.0"));
    let mut fetchd = site.run(&[]);
    fetchd.wait_for_version("1.1.0");
    github.delete_release(REPOSITORY, "v1.1.0");
    // Signed by the right key, under the same version, and not the same: a build that was done again.
    publish(&site, &github, &Trailer::version("1.1.0").with_boot(Duration::from_millis(1)));
    let before = github.requests().len();
    wait_until("the moved tag was looked at", || {
        github.requests()[before..].iter().any(|request| request.path.contains("/releases/assets/"))
    });
    assert_eq!(fs::read(site.program()).unwrap(), site.binary(&Trailer::version("1.1.0")));
    publish(&site, &github, &Trailer::version("1.2.0"));
    fetchd.wait_for_version("1.2.0");
    let confirmed: Vec<String> = site
        .history()
        .into_iter()
        .filter(|e| e.event == "release.confirmed")
        .filter_map(|e| e.version)
        .map(|version| version.to_string())
        .collect();
    assert_eq!(confirmed, ["1.1.0", "1.2.0"], "the other build never ran");
}

#[test]
fn r63_an_exhausted_quota_is_waited_for_and_stops_nothing_else() {
    let (site, github) = site();
    publish(&site, &github, &Trailer::version("1.1.0"));
    github.inject(On::api("*"), Fault::PrimaryLimit(Duration::from_secs(2400)));
    let mut fetchd = site.run(&[]);
    fetchd.wait("it is told, and waits", |status| {
        let told = |error: &Reported| error.code == "source.throttled";
        status.updates.last.as_ref().is_some_and(|last| last.error.as_ref().is_some_and(told))
            && status.updates.next_poll.is_some_and(|next| next.since(Timestamp::now()) > Duration::from_secs(2000))
    });
    let asked = github.requests().len();
    // The loop does not sleep: it answers, restarts and ends at once.
    let output = fetchd.fetchd("restart", &[]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(github.requests().len(), asked, "nothing was asked before its time");
    let begun = Instant::now();
    assert_eq!(fetchd.stop().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn several_assets_for_this_machine_are_listed_and_a_pattern_decides() {
    let (site, github) = site();
    let (archive, signature) = signed(&site, &Trailer::version("1.1.0"));
    let asset = name();
    github
        .release(REPOSITORY, "v1.1.0")
        .asset("app-full-linux-x86_64", b"one")
        .asset("app-lite-linux-x86_64", b"two")
        .asset("app-full-linux-aarch64", b"one")
        .asset("app-lite-linux-aarch64", b"two")
        .publish();
    let apply = |more: &[&str]| {
        let program = site.program();
        site.command("apply", &[more, &["--", program.to_str().unwrap()]].concat()).output().unwrap()
    };
    let output = apply(&[]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("app-full-linux-") && said.contains("app-lite-linux-") && said.contains("--asset"), "{said}");

    github.delete_release(REPOSITORY, "v1.1.0");
    github
        .release(REPOSITORY, "v1.1.0")
        .asset("app-full.tar.gz", b"another")
        .asset(&asset, &archive)
        .asset(&format!("{asset}.minisig"), &signature)
        .publish();
    let output = apply(&["--asset", "{name}-{target}.tar.gz"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(fs::read(site.program()).unwrap(), site.binary(&Trailer::version("1.1.0")));
}
