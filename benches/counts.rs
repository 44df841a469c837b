//! How many instructions the parts take that are the same in every run, counted by callgrind and held against the baseline in
//! `benches/counts/baseline.txt`, or `baseline-debug.txt` for a debug build. A machine that is busy counts as many as one that is not.
//!
//! `cargo bench --bench counts`; `BENCH_BASELINE=write` makes the baseline anew. What is read is pinned in `benches/counts`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fetchd::clock::Timestamp;
use fetchd::config::{Config, Effective, Host, Layer};
use fetchd::publish::Publisher;
use fetchd::state::Record;
use fetchd::trust::bundle::Bundle;
use fetchd::trust::{
    self, Choice, Expect, KeySet, Manifest, Offer, Policy, PublicKey, Signature, Trust, blake2b512, strict_json,
};
use fetchd_fetchers::{Release, Revision};
use support::figure::{Figure, missing};
use support::{find, print_machine};

/// A count may be this much above its baseline.
const TOLERANCE: f64 = 1.05;
/// Once, and once more as often: the difference leaves out the start of the program.
const FEW: u64 = 2;
const MANY: u64 = 22;
/// The time at which the pinned manifest is read: a day after it was issued.
const LATER: u64 = 24 * 3600;

/// A name, and something that is done once.
type Part = (&'static str, fn(&Pinned));

const PARTS: [Part; 7] = [
    ("minisign file, parse", |pinned| drop(black_box(Signature::parse(&pinned.signature)))),
    ("bundle of 64 releases, parse", |pinned| drop(black_box(Bundle::parse(&pinned.document)))),
    ("manifest of 64 releases, strict JSON", |pinned| drop(black_box(strict_json(&pinned.payload, 8)))),
    ("signature of a manifest, verify", |pinned| {
        pinned.keys.verify(&pinned.hash, &[&pinned.signature]).expect("it was signed");
    }),
    ("manifest of 64 releases, verify and read", |pinned| drop(black_box(pinned.read()))),
    ("decision of a poll, 64 releases", |pinned| {
        let chosen = trust::choose(&pinned.manifest, &pinned.record, &pinned.policy, &pinned.expect, pinned.now);
        assert!(matches!(black_box(chosen), Choice::UpToDate { .. }), "the newest one runs");
    }),
    ("configuration, parse and check", |pinned| {
        let path = Path::new("/etc/fetchd/app.toml");
        let host = Host { directory: "/".into(), root: true, variables: Vec::new() };
        let settings =
            Effective::load_text(Layer::default(), Some(path), Some(&pinned.config), host).expect("it is right");
        drop(black_box(Config::of(&settings).expect("it is right")));
    }),
];

/// What the parts work on.
struct Pinned {
    document: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
    hash: [u8; 64],
    keys: KeySet,
    manifest: Manifest,
    record: Record,
    policy: Policy,
    expect: Expect,
    now: Timestamp,
    config: String,
}

impl Pinned {
    fn load() -> Pinned {
        let text = |name: &str| std::fs::read_to_string(directory().join(name)).expect("it is in the repository");
        let document = text("manifest.fetchd").into_bytes();
        let key = PublicKey::parse(text("key.pub").lines().last().expect("a key")).expect("a key");
        let keys = KeySet::new(vec![key], 1).expect("one key");
        let bundle = Bundle::parse(&document).expect("a bundle");
        let payload = bundle.claimed_payload().to_vec();
        let words: serde_json::Value = serde_json::from_slice(&document).expect("a bundle is JSON");
        let signature = words["minisig"][0].as_str().expect("a signature").as_bytes().to_vec();
        let claimed: serde_json::Value = serde_json::from_slice(&payload).expect("a manifest is JSON");
        let issued: Timestamp = claimed["issued"].as_str().expect("a time").parse().expect("a time");
        let now = issued.plus(std::time::Duration::from_secs(LATER));
        let (product, channel, target) = ("app".to_owned(), "stable".to_owned(), TARGET.to_owned());
        let expect = Expect { product, channel, target, epoch: None, max_size: 1 << 30 };
        let manifest = read(&document, &keys, &expect, now);
        let newest = manifest.releases().iter().filter_map(|release| release.version.clone()).max();
        let policy = Policy { running: newest, ..Policy::default() };
        let (hash, record, config) = (blake2b512(&payload), Record::default(), text("fetchd.toml"));
        Pinned { document, payload, signature, hash, keys, manifest, record, policy, expect, now, config }
    }

    fn read(&self) -> Manifest {
        read(&self.document, &self.keys, &self.expect, self.now)
    }
}

/// Not this machine's: what is pinned is the same everywhere.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn read(document: &[u8], keys: &KeySet, expect: &Expect, now: Timestamp) -> Manifest {
    let release = Release { revision: Revision(String::new()), label: None, assets: Vec::new(), document: None };
    let offer = Offer { release: &release, document: Some(document), signature: None, asset: None };
    trust::read(&offer, &Trust::Bundle { keys: keys.clone() }, expect, now).expect("it was signed")
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/counts")
}

pub(crate) fn main() {
    match std::env::var("BENCH_PART") {
        Ok(part) if part == "pin" => return pin(),
        Ok(part) => return run(&part),
        Err(_) => {}
    }
    print_machine();
    if let Err(why) = able() {
        return missing("counts", "instruction counts", &why);
    }
    // Without optimisation other instructions are counted, and they are as steady.
    let path = directory().join(if cfg!(debug_assertions) { "baseline-debug.txt" } else { "baseline.txt" });
    let baseline = std::fs::read_to_string(&path).unwrap_or_default();
    let mut lines = String::from(HEAD);
    let mut worse = Vec::new();
    println!("\n{:<44} {:>12} {:>12} {:>8}", "instructions, by callgrind", "counted", "baseline", "ratio");
    for (name, _) in PARTS {
        let count = (collected(name, MANY) - collected(name, FEW)) / (MANY - FEW);
        lines.push_str(&format!("{name}\t{count}\n"));
        let known = baseline.lines().find_map(|line| line.split_once('\t').filter(|(known, _)| *known == name));
        let Some(known) = known.and_then(|(_, count)| count.parse::<u64>().ok()) else {
            println!("{name:<44} {count:>12} {:>12}", "new");
            continue;
        };
        let ratio = count as f64 / known as f64;
        println!("{name:<44} {count:>12} {known:>12} {ratio:>8.3}");
        Figure::new("counts", name, "instructions", vec![count as f64])
            .against("the baseline", vec![known as f64])
            .at_most(TOLERANCE)
            .record();
        if ratio > TOLERANCE {
            worse.push(name);
        }
    }
    if std::env::var("BENCH_BASELINE").is_ok_and(|what| what == "write") {
        std::fs::write(&path, lines).unwrap();
        println!("\nwritten: {}", path.display());
    } else if !worse.is_empty() {
        println!("\nmore than {TOLERANCE} x the baseline: {}", worse.join(", "));
        // In a report it is a goal that was missed.
        if std::env::var_os("BENCH_RESULTS").is_none() {
            std::process::exit(1);
        }
    }
}

const HEAD: &str = "\
# Instructions of one operation, as callgrind counts them on x86-64 with AVX2: `baseline.txt` of a program as `cargo bench`
# builds it, `baseline-debug.txt` of one as the tests build it.
# `BENCH_BASELINE=write cargo bench --bench counts` writes this file; `docs/performance.md` says when that is right.
";

/// Whether counts can be compared with the baseline here.
fn able() -> Result<(), String> {
    if find("valgrind").is_none() {
        return Err("`valgrind` is not here: apt-get install valgrind".to_owned());
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return Ok(());
    }
    Err("the baseline is of x86-64 with AVX2; curve arithmetic takes other instructions here".to_owned())
}

/// All instructions of a process that does one part so often.
fn collected(part: &str, times: u64) -> u64 {
    let mut valgrind = Command::new("timeout");
    valgrind.args(["300", "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(std::env::current_exe().unwrap()).args(std::env::args_os().skip(1));
    // Nothing that differs from run to run or from user to user: the environment is on the stack as well.
    valgrind.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    valgrind.env("BENCH_PART", format!("{times} {part}"));
    // The C library chooses its copying by the processor.
    valgrind.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-AVX512F,-AVX512VL");
    let output = valgrind.stdin(Stdio::null()).output().expect("valgrind starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{part}: {text}");
    let line = text.lines().find_map(|line| line.split_once("Collected : ")).expect("what callgrind collected");
    line.1.trim().parse().expect("a number")
}

/// What runs under callgrind.
fn run(order: &str) {
    let (times, part) = order.split_once(' ').expect("a number and a name");
    let (_, part) = PARTS.iter().find(|(name, _)| *name == part).expect("a part");
    let pinned = Pinned::load();
    for _ in 0..times.parse::<u64>().expect("a number") {
        part(black_box(&pinned));
    }
}

/// Writes a new manifest and its key. The baseline has to be written anew after that: another signature takes another way
/// through the arithmetic.
fn pin() {
    let scratch = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(scratch.path()).unwrap().target(TARGET);
    publisher.publish("1.0.0", b"a binary of a few bytes").unwrap();
    let many = |manifest: &mut serde_json::Value| {
        let first = manifest["releases"][0].clone();
        let numbered = |number: u64| {
            let mut release = first.clone();
            release["version"] = format!("1.{number}.0").into();
            release
        };
        manifest["releases"] = (0..64).map(numbered).collect();
    };
    publisher.forge(many).unwrap();
    std::fs::write(directory().join("manifest.fetchd"), publisher.document().unwrap()).unwrap();
    std::fs::write(directory().join("key.pub"), format!("{}\n", publisher.public_key())).unwrap();
}
