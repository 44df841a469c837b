//! One whole update from the command line to the new program in its place: `fetchd apply` against the crate `self_update`,
//! with the same program from the same web server, one after the other.
//!
//! fetchd does more: it verifies a signature, digests a second time while it copies into custody, runs `--version` of the new
//! program, keeps the old one, and syncs file and directory. `self_update` reads an unsigned list and compares a digest.
//!
//! `cargo bench --bench update`; `BENCH_ROUNDS=10`. Builds `benches/self_update` if `BENCH_SELF_UPDATE` names no program.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fetchd::demo::{Trailer, trailer};
use fetchd::digest::Sha256;
use fetchd::publish::host_target;
use support::figure::{Figure, millis, missing};
use support::site::Site;
use support::{fetchd, ms, print_machine, setting};

pub(crate) fn main() {
    let rounds = setting("BENCH_ROUNDS", 10);
    print_machine();
    let peer = match peer() {
        Ok(peer) => peer,
        Err(why) => return missing("update", "the crate self_update", &why),
    };
    let site = Site::new();
    let staged = tempfile::tempdir().unwrap();
    let theirs = staged.path().join("app");
    fs::write(&theirs, b"the old one").unwrap();
    applied(&site);

    let (mut ours, mut peers, mut size) = (Vec::new(), Vec::new(), 0);
    for round in 1..=rounds {
        let version = format!("1.0.{round}");
        let new = staged.path().join(&version);
        trailer::append(&fetchd(), &new, &Trailer::version(&version)).unwrap();
        let program = fs::read(&new).unwrap();
        fs::remove_file(&new).unwrap();
        size = program.len() as u64;
        site.publisher().publish(&version, &program).unwrap();
        ours.push(applied(&site));
        assert!(fs::read(site.program()).unwrap() == program, "fetchd installed another program");

        let list = offer(&site, &version, &program);
        let begun = Instant::now();
        let status = Command::new(&peer).args([Path::new(&site.peer.url(&list)), &theirs]).status().unwrap();
        peers.push(begun.elapsed());
        assert!(status.success() && fs::read(&theirs).unwrap() == program, "self_update installed another program");
    }
    let what = format!("a whole update of a program of {:.1} MB", size as f64 / 1e6);
    Figure::new("update", &what, "ms", millis(&ours)).against("self_update 1.3.3", millis(&peers)).record();

    println!("{what}, {rounds} rounds that alternate\n");
    println!("{:<58} {:>8} {:>8} {:>8}", "", "least", "middle", "most");
    row("fetchd apply: signature, two digests, --version, synced", &mut ours);
    row("self_update 1.3.3: unsigned list, one digest", &mut peers);
}

fn row(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let [least, middle, most] = [times[0], times[times.len() / 2], times[times.len() - 1]].map(ms);
    println!("{name:<58} {least:>8.1} {middle:>8.1} {most:>8.1} ms");
}

/// How long one pass takes that installs what there is.
fn applied(site: &Site) -> Duration {
    // The new program is a role of fetchd, and says its own version in that role.
    let mut apply = site.command("apply", &["--smoke-args", "demo-service --version"]);
    // Of a failure somebody wants to read more than its code.
    apply.stderr(Stdio::inherit());
    let begun = Instant::now();
    let status = apply.status().unwrap();
    let time = begun.elapsed();
    assert!(status.success(), "fetchd apply ended with {status}");
    time
}

/// Puts the program where the peer finds it, and tells the name of the list that it reads.
fn offer(site: &Site, version: &str, program: &[u8]) -> String {
    let name = format!("app-{}", host_target());
    let asset = serde_json::json!({"name": name, "url": name, "digest": format!("sha256:{}", Sha256::of(program))});
    let list = serde_json::json!({"schema": 1, "releases": [{"version": version, "assets": [asset]}]});
    fs::write(site.publications().join(&name), program).unwrap();
    fs::write(site.publications().join("self_update.json"), list.to_string()).unwrap();
    "self_update.json".to_owned()
}

/// A program that does nothing but update another by the crate.
fn peer() -> Result<PathBuf, String> {
    if let Some(program) = std::env::var_os("BENCH_SELF_UPDATE") {
        return Ok(program.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/peers");
    println!("building benches/self_update");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]);
    cargo.arg(root.join("benches/self_update/Cargo.toml")).arg("--target-dir").arg(&target);
    match cargo.status() {
        Ok(status) if status.success() => Ok(target.join("release/self-update-peer")),
        Ok(status) => Err(format!("cargo build of benches/self_update ended with {status}")),
        Err(error) => Err(format!("cargo was not started: {error}")),
    }
}
