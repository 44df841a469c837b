//! A large artifact over loopback HTTP: the worker process against `curl`, with the same server.
//!
//! Then each part of the worker's pipeline alone, packed artifacts against `curl` and a program that unpacks, and one large
//! object from a distance over one connection and over four.
//!
//! `cargo bench --bench download`; `BENCH_MIB=1024` is the artifact's size, `BENCH_PACKED_MIB=256` that of a packed one.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

#[path = "../fetchers/tests/http/capped.rs"]
mod capped;
mod support;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use capped::{Capped, Manner};
use fetchd::digest::Sha256;
use fetchd::fetch::{ExtractJob, ProcessWorker, Settings, Source, Unattended, Worker as _};
use fetchd::trust::Format;
use fetchd_fetchers::Options;
use support::fetched::fetch;
use support::figure::{Figure, seconds};
use support::peer::Peer;
use support::{fetchd, print_machine, setting};

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
    println!("sha2 alone                         {hash:>9.0} MB/s, by {}", Sha256::instructions());

    pipeline(&peer, directory.path(), mib, rounds, expected);
    fs::remove_file(&artifact).unwrap();
    packed(&peer, directory.path(), setting("BENCH_PACKED_MIB", 256), rounds);
    distance(directory.path(), rounds);
}

/// The least, the middle and the largest of some numbers.
struct Spread(Vec<f64>);

impl Spread {
    fn row(&mut self, name: &str, unit: &str) {
        self.0.sort_unstable_by(f64::total_cmp);
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        println!("{name:<44} {least:>8.2} {:>8.2} {most:>8.2} {unit}", self.0[self.0.len() / 2]);
    }
}

/// Each part of what the worker does alone, and all of it, in rounds that alternate.
fn pipeline(peer: &Peer, directory: &Path, mib: u64, rounds: u64, sha256: Sha256) {
    let [mut receive, mut write, mut hash, mut whole, mut slowest, mut ratio, mut shared] = [const { Vec::new() }; 7];
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..rounds {
        let before = processor_time();
        let received = received_to_nothing(peer);
        let written = written(directory, mib);
        let begun = Instant::now();
        hashed(mib);
        let hashed = begun.elapsed();
        // The server's part is in it.
        let share = (processor_time() - before).as_secs_f64() / cores as f64;
        let all = fetch(source(peer), directory, mib << 20, sha256).0;
        slowest.push(received.max(written).max(hashed).as_secs_f64());
        ratio.push(slowest[slowest.len() - 1] / all.as_secs_f64());
        shared.push(share.max(slowest[slowest.len() - 1]));
        for (times, time) in [(&mut receive, received), (&mut write, written), (&mut hash, hashed), (&mut whole, all)] {
            times.push(time.as_secs_f64());
        }
    }
    Figure::new("download", &format!("receive, write and hash together, {mib} MiB"), "s", whole.clone())
        .against("the slowest of the three alone", slowest)
        .at_most(1.0 / 0.95)
        .record();
    // Three parts at once, and a server: with few processors they cannot all run at the slowest one's pace.
    Figure::new("download", &format!("the same, on {cores} processors"), "s", whole.clone())
        .against("the slowest, or the processor time of all of them shared out", shared.clone())
        .record();
    println!(
        "\n{:<44} {:>8} {:>8} {:>8}",
        format!("{mib} MiB, each part alone and all of them"),
        "least",
        "middle",
        "most"
    );
    Spread(receive).row("received to nothing", "s");
    Spread(write).row("written", "s");
    Spread(hash).row("SHA-256", "s");
    Spread(whole).row("the worker, its start included", "s");
    Spread(ratio).row("the slowest part / the worker, goal 0.95", "x");
    Spread(shared).row(&format!("at best, on {cores} processors"), "s");
}

/// What this process has used, the server's threads among it.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.cast_unsigned(), u32::try_from(used.tv_nsec).unwrap())
}

fn received_to_nothing(peer: &Peer) -> Duration {
    let begun = Instant::now();
    let url: url::Url = peer.url("artifact").parse().unwrap();
    let mut stream = TcpStream::connect(url.socket_addrs(|| None).unwrap()[0]).unwrap();
    stream.write_all(b"GET /artifact HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut buffer = vec![0; 256 * 1024];
    while stream.read(&mut buffer).unwrap() > 0 {}
    begun.elapsed()
}

fn written(directory: &Path, mib: u64) -> Duration {
    let (path, block) = (directory.join("written"), vec![7; 256 * 1024]);
    let begun = Instant::now();
    let mut file = File::create_new(&path).unwrap();
    for _ in 0..4 * mib {
        file.write_all(&block).unwrap();
    }
    let time = begun.elapsed();
    fs::remove_file(&path).unwrap();
    time
}

/// Digests zeros that are there already.
fn hashed(mib: u64) {
    struct There;
    impl std::io::Read for There {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            Ok(buffer.len())
        }
    }
    assert_eq!(Sha256::of_reader(&mut There.take(mib << 20)).unwrap().1, mib << 20);
}

/// A packed artifact: downloaded, hashed, unpacked by a second worker, against `curl` and a program that unpacks.
fn packed(peer: &Peer, directory: &Path, mib: u64, rounds: u64) {
    println!("\n{:<44} {:>8} {:>8} {:>8}", format!("{mib} MiB unpacked"), "least", "middle", "most");
    let origin = directory.join("origin");
    let plain = origin.join("app");
    // Programs are what artifacts hold.
    let program = fs::read(fetchd()).unwrap();
    let mut file = File::create_new(&plain).unwrap();
    let mut left = usize::try_from(mib << 20).unwrap();
    while left > 0 {
        let now = left.min(program.len());
        file.write_all(&program[..now]).unwrap();
        left -= now;
    }
    drop(file);
    let ways = [
        ("zstd", Format::Zst, "zstd -q -f -3 app -o artifact", "zstd -q -d -c"),
        ("tar.gz", Format::TarGz, "tar czf artifact app", "tar xzO"),
    ];
    for (name, format, pack, unpack) in ways {
        assert!(Command::new("sh").args(["-c", pack]).current_dir(&origin).status().unwrap().success());
        let artifact = fs::read(origin.join("artifact")).unwrap();
        let (size, sha256) = (artifact.len() as u64, Sha256::of(&artifact));
        let [mut worker, mut peers, mut ratio] = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            let (downloading, ..) = fetch(source(peer), directory, size, sha256);
            let ours = downloading + unpacked(&origin.join("artifact"), directory, format, mib << 20);
            let theirs = piped(&peer.url("artifact"), unpack, &directory.join("fetched"), mib << 20);
            worker.push(ours.as_secs_f64());
            peers.push(theirs.as_secs_f64());
            ratio.push(theirs.as_secs_f64() / ours.as_secs_f64());
        }
        Figure::new("download", &format!("{name} of {mib} MiB, hashed and unpacked"), "s", worker.clone())
            .against(&format!("curl | {unpack}"), peers.clone())
            .record();
        Spread(worker).row(&format!("{name}: workers, hashed and unpacked"), "s");
        Spread(peers).row(&format!("{name}: curl | {unpack}"), "s");
        Spread(ratio).row(&format!("{name}: curl | … / workers"), "x");
        fs::remove_file(origin.join("artifact")).unwrap();
    }
}

fn unpacked(artifact: &Path, directory: &Path, format: Format, size: u64) -> Duration {
    let out: PathBuf = directory.join("staging/unpacked");
    let job = ExtractJob {
        format,
        entry: None,
        program: None,
        binary_size: Some(size),
        max_size: size,
        artifact: artifact.to_owned(),
        out: out.clone(),
    };
    let mut worker = ProcessWorker::new(fetchd(), directory.join("staging"), Settings::default());
    let begun = Instant::now();
    worker.extract(&job, &mut Unattended).unwrap();
    let time = begun.elapsed();
    worker.dismiss();
    fs::remove_file(out).unwrap();
    time
}

fn piped(url: &str, unpack: &str, to: &Path, size: u64) -> Duration {
    let begun = Instant::now();
    let line = format!("curl -sSf '{url}' | {unpack} > '{}'", to.display());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
    let time = begun.elapsed();
    assert_eq!(fs::metadata(to).unwrap().len(), size);
    fs::remove_file(to).unwrap();
    time
}

/// An origin 50 ms away that gives each connection 4 MiB/s.
fn distance(directory: &Path, rounds: u64) {
    const MIB: usize = 32;
    let object: Vec<u8> = (0..MIB << 20).map(|index: usize| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sha256 = Sha256::of(&object);
    let [mut one, mut four, mut ratio] = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        let took = |connections: &str, accept_ranges| {
            let origin = Capped::start(&object, Manner { accept_ranges, rate: 4 << 20, ..Manner::default() });
            let options = Options::from([("connections".to_owned(), vec![connections.to_owned()])]);
            let source = Source { url: origin.url(), options };
            fetch(source, directory, object.len() as u64, sha256).0.as_secs_f64()
        };
        let (alone, together) = (took("1", false), took("4", true));
        one.push(alone);
        four.push(together);
        ratio.push(alone / together);
    }
    Figure::new("download", "four connections, 50 ms away, 4 MiB/s each", "s", four.clone())
        .against("one connection", one.clone())
        .at_most(1.0 / 3.0)
        .record();
    let title = format!("{MIB} MiB, 50 ms away, 4 MiB/s a connection");
    println!("\n{title:<44} {:>8} {:>8} {:>8}", "least", "middle", "most");
    Spread(one).row("one connection", "s");
    Spread(four).row("four connections", "s");
    Spread(ratio).row("one / four, goal 3", "x");
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
