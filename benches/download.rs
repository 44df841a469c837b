//! A large artifact over loopback HTTP: the worker process against `curl`, with the same server.
//!
//! `cargo bench --bench download`; `BENCH_MIB=1024` is the artifact's size.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fetchd::digest::Sha256;
use fetchd::fetch::Source;
use fetchd_fetchers::Options;
use support::fetched::fetch;
use support::figure::{Figure, seconds};
use support::peer::Peer;
use support::{print_machine, setting};

pub(crate) fn main() {
    let (mib, rounds) = (setting("BENCH_MIB", 1024), setting("BENCH_ROUNDS", 3));
    print_machine();
    let hash = hash_rate();
    let directory = tempfile::tempdir().unwrap();
    for name in ["origin", "staging"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    let artifact = directory.path().join("origin/artifact");
    fill(&artifact, mib);
    let expected = Sha256::of(&fs::read(&artifact).unwrap());
    let peer = Peer::start(&directory.path().join("origin"));

    let (mut curl, mut both, mut worker) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let (mut peak, mut cpu) = (0, u64::MAX);
    let (mut ours, mut curls, mut boths) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let fetched = fetch(source(&peer), directory.path(), mib << 20, expected);
        worker = worker.min(fetched.0);
        peak = peak.max(fetched.1);
        cpu = cpu.min(fetched.2);
        let (alone, then) = curl_and_sha256sum(&peer.url("artifact"), &directory.path().join("fetched"), expected);
        curl = curl.min(alone);
        both = both.min(alone + then);
        ours.push(fetched.0);
        curls.push(alone);
        boths.push(alone + then);
    }

    let of = |what: &str| format!("{what}, {mib} MiB");
    let figure = || Figure::new("download", &of("download, hash and write"), "s", seconds(&ours));
    figure().against("curl -o, then sha256sum", seconds(&boths)).at_most(1.0).record();
    figure().against("curl -o", seconds(&curls)).record();
    Figure::new("download", &of("peak RSS of the worker"), "MB", vec![peak as f64 / 1024.0]).at_most(24.0).record();

    let rate = |time: Duration| (mib << 20) as f64 / 1e6 / time.as_secs_f64();
    println!("{mib} MiB over loopback HTTP, best of {rounds} rounds that alternate\n");
    println!("{:<34} {:>9} {:>8}", "", "MB/s", "seconds");
    let rows = [("fetchd worker (hashed and on disk)", worker), ("curl -o", curl), ("curl -o, then sha256sum", both)];
    for (name, time) in rows {
        println!("{name:<34} {:>9.0} {:>8.2}", rate(time), time.as_secs_f64());
    }
    println!();
    println!("worker / (curl, then sha256sum)    {:>9.2} x", both.as_secs_f64() / worker.as_secs_f64());
    println!("worker / curl                      {:>9.2} x", curl.as_secs_f64() / worker.as_secs_f64());
    println!("worker, CPU time                   {:>9.2} s", cpu as f64 / 1e9);
    let verdict = if peak <= 24 * 1024 { "met" } else { "MISSED" };
    println!("worker, peak RSS                   {:>9.1} MB, goal 24 MB: {verdict}", peak as f64 / 1024.0);
    println!("sha2 alone                         {hash:>9.0} MB/s, SHA-NI {}", if has_sha_ni() { "yes" } else { "no" });
}

/// Bytes that no file system and no network compresses, the same in every run.
fn fill(path: &Path, mib: u64) {
    let mut file = File::create_new(path).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = vec![0_u8; 1 << 20];
    for _ in 0..mib {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).unwrap();
    }
    // What is still to be written must not disturb the measurement.
    file.sync_all().unwrap();
}

fn source(peer: &Peer) -> Source {
    Source { url: peer.url("artifact").parse().unwrap(), options: Options::new() }
}

fn curl_and_sha256sum(url: &str, to: &Path, sha256: Sha256) -> (Duration, Duration) {
    let begun = Instant::now();
    let status = Command::new("curl").args(["-sS", "-f", "-o"]).arg(to).arg(url).status().expect("curl is installed");
    let alone = begun.elapsed();
    assert!(status.success());
    let begun = Instant::now();
    let output = Command::new("sha256sum").arg(to).stderr(Stdio::inherit()).output().unwrap();
    let then = begun.elapsed();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(&sha256.to_string()));
    fs::remove_file(to).unwrap();
    (alone, then)
}

/// MB/s of the hash alone, in this process, best of three.
fn hash_rate() -> f64 {
    let bytes = vec![7_u8; 256 << 20];
    let time = (0..3)
        .map(|_| {
            let begun = Instant::now();
            std::hint::black_box(Sha256::of(std::hint::black_box(&bytes)));
            begun.elapsed()
        })
        .min();
    bytes.len() as f64 / 1e6 / time.unwrap_or_default().as_secs_f64()
}

fn has_sha_ni() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(not(target_arch = "x86_64"))]
    false
}
