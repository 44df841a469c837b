//! What trust costs: reading a signed manifest, and taking a release into custody, against `sha256sum`.
//!
//! `cargo bench --bench trust`; `BENCH_MIB=100` is the release's size.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fetchd::clock::Timestamp;
use fetchd::digest::Sha256;
use fetchd::publish::Publisher;
use fetchd::trust::manifest::Manifest;
use fetchd::trust::{self, Offer, Trust};
use fetchd::verify;
use fetchd_fetchers::{Release, Revision};
use serde_json::Value;
use support::figure::{Figure, millis};
use support::{ms, print_machine, setting};

const ROUNDS: usize = 7;

pub(crate) fn main() {
    let mib = setting("BENCH_MIB", 100);
    print_machine();
    let directory = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(directory.path().join("published")).unwrap();
    fs::create_dir(directory.path().join("published")).unwrap();

    let binary: Vec<u8> = (0..mib << 20).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    publisher.publish("1.0.0", &binary).unwrap();
    println!("\nreading a signed manifest (BLAKE2b, Ed25519 twice, strict JSON), best of 200\n");
    println!("{:<34} {:>9} {:>9}", "", "bytes", "µs");
    for releases in [1, 10, 100, 256] {
        let document = of_releases(&publisher, releases);
        let time = best(200, || drop(read(&publisher, &document)));
        let what = format!("reading a manifest of {releases} releases");
        Figure::new("trust", &what, "ms", vec![ms(time)]).at_most(1.0).record();
        let verdict = if ms(time) <= 1.0 { "" } else { "  beyond the goal of 1 ms" };
        println!("{:<34} {:>9} {:>9.0}{verdict}", format!("{releases} releases"), document.len(), ms(time) * 1000.0);
    }

    let (mut all_sums, mut digests, mut all_taken) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sums, mut digest, mut taken) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let (staged, custody) = (directory.path().join("staged"), directory.path().join("custody"));
    fs::create_dir(&custody).unwrap();
    for _ in 0..ROUNDS {
        fs::write(&staged, &binary).unwrap();
        // What is still to be written must not disturb the measurement.
        File::open(&staged).unwrap().sync_all().unwrap();
        all_sums.push(sha256sum(&staged));
        sums = sums.min(all_sums[all_sums.len() - 1]);
        let begun = Instant::now();
        let document = publisher.document().unwrap();
        read(&publisher, &document);
        Sha256::of_reader(&mut File::open(&staged).unwrap()).unwrap();
        digests.push(begun.elapsed());
        digest = digest.min(digests[digests.len() - 1]);
        let chosen = publisher.newest().unwrap();
        let begun = Instant::now();
        let artifact = verify::take(&staged, chosen, &custody).unwrap();
        all_taken.push(begun.elapsed());
        taken = taken.min(all_taken[all_taken.len() - 1]);
        drop(artifact);
    }
    let figure = |what: &str, times: &[Duration]| {
        let what = format!("{what}, {mib} MiB");
        Figure::new("trust", &what, "ms", millis(times)).against("sha256sum", millis(&all_sums))
    };
    figure("manifest and digest", &digests).at_most(1.1).record();
    figure("manifest, digest and the copy in custody", &all_taken).record();
    println!("\n{mib} MiB in the page cache, best of {ROUNDS} rounds that alternate\n");
    println!("{:<34} {:>9} {:>12}", "", "ms", "x sha256sum");
    let rows = [("sha256sum", sums), ("manifest and digest", digest), ("the same with the copy in custody", taken)];
    for (name, time) in rows {
        println!("{name:<34} {:>9.1} {:>12.2}", ms(time), time.as_secs_f64() / sums.as_secs_f64());
    }
    let ratio = digest.as_secs_f64() / sums.as_secs_f64();
    println!("\ngoal: trust and digest at most 1.10 x sha256sum: {}", if ratio <= 1.1 { "met" } else { "MISSED" });
}

/// The publisher's manifest with `count` releases in it, signed.
fn of_releases(publisher: &Publisher, count: u64) -> Vec<u8> {
    publisher
        .forge(|manifest| {
            let first = manifest["releases"][0].clone();
            let numbered = |number| {
                let mut release = first.clone();
                release["version"] = Value::from(format!("1.0.{number}"));
                release
            };
            manifest["releases"] = (0..count).map(numbered).collect();
        })
        .unwrap();
    let document = publisher.document().unwrap();
    publisher.forge(|manifest| manifest["releases"].as_array_mut().unwrap().truncate(1)).unwrap();
    document
}

fn read(publisher: &Publisher, document: &[u8]) -> Manifest {
    let release = Release { revision: Revision(String::new()), label: None, assets: Vec::new(), document: None };
    let offer = Offer { release: &release, document: Some(document), signature: None, asset: None };
    let trust = Trust::Bundle { keys: publisher.keys().unwrap() };
    trust::read(&offer, &trust, &publisher.expect(), Timestamp::now()).unwrap()
}

fn best(rounds: usize, mut what: impl FnMut()) -> Duration {
    let times = (0..rounds).map(|_| {
        let begun = Instant::now();
        what();
        begun.elapsed()
    });
    times.min().unwrap_or_default()
}

fn sha256sum(file: &Path) -> Duration {
    let begun = Instant::now();
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    assert!(output.status.success());
    begun.elapsed()
}
