//! The deltas of real releases beside those of the programs that everybody has: bytes, processor time, memory.
//!
//! `cargo bench -p fetchd-delta --bench budget -- NAME…` measures the pairs of `budget/releases.toml` whose names hold a
//! NAME; prints Markdown; fails if a budget is exceeded. What an earlier run measured of other pairs is printed with it.
//! Without arguments, as in `cargo bench --workspace`, it says how it is run and does nothing.
//!
//! - `--all`: all pairs, which takes an hour.
//! - `--only CONTESTANT` (may be repeated): that one alone; `--slice`: the pairs of CI; `--missing`: what was not measured yet.
//! - `--report`: measures nothing, prints what there is.
//! - `BENCH_WHEELS`: where the wheels and the measurements are kept; `BENCH_PYTHON`: the Python whose pip gets them.
//!
//! Needs zstd, bsdiff, xdelta3, GNU time and Python 3.11 or later with pip.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::expect_used, reason = "a bench prints and may fail")]

mod child;
mod contestants;
mod process;
mod releases;
mod report;
mod rows;

use std::path::Path;
use std::process::{Command, ExitCode};

use contestants::{Contestant, Files};
use releases::{Pair, Releases, wheels};
use rows::Row;

const USAGE: &str = "budget: nothing measured; cargo bench -p fetchd-delta --bench budget -- \
    (--all | NAME... | --slice | --missing | --report) [--only CONTESTANT]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let done = match arguments.split_first() {
        Some((first, rest)) if first == "--child" => child::run(rest),
        // An hour, and a gigabyte of downloads: never by the way.
        None => {
            println!("{USAGE}");
            Ok(())
        }
        _ => measure_and_report(&arguments),
    };
    if let Err(error) = &done {
        eprintln!("error: {error}");
    }
    ExitCode::from(u8::from(done.is_err()))
}

fn measure_and_report(arguments: &[String]) -> Result<(), String> {
    let releases = Releases::kept();
    let wheels = wheels();
    let rows = wheels.join("measured");
    std::fs::create_dir_all(&rows).map_err(|error| format!("{}: {error}", rows.display()))?;
    let (mut names, mut only) = (Vec::new(), Vec::new());
    let (mut slice, mut missing, mut report_alone) = (false, false, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match &word[..] {
            "--only" => only.extend(words.next()),
            "--slice" => slice = true,
            "--missing" => missing = true,
            "--all" => {}
            "--report" => report_alone = true,
            _ => names.push(word),
        }
    }
    let contestants =
        Contestant::ALL.into_iter().filter(|one| only.is_empty() || only.iter().any(|name| one.name() == *name));
    let contestants: Vec<Contestant> = contestants.collect();
    let named = |pair: &Pair| names.is_empty() || names.iter().any(|name| pair.name().contains(*name));
    let chosen = |pair: &Pair| named(pair) && (pair.in_ci || !slice);
    let mut seen = Vec::new();
    for pair in &releases.pair {
        let kept = rows.join(pair.name());
        let mut row = Row::read(&kept);
        let wanted = |one: &Contestant| !missing || row.of(*one).is_none();
        let contestants: Vec<Contestant> = contestants.iter().copied().filter(wanted).collect();
        if chosen(pair) && !report_alone && !contestants.is_empty() {
            measure(pair, &wheels, &contestants, &mut row, &kept)?;
        }
        seen.push((pair, row));
    }
    seen.retain(|(_, row)| row.length > 0);
    println!("{}\n", machine());
    report::print_bytes(&seen);
    report::print_costs(&seen);
    report::print_goals(&seen);
    let above = report::above_budget(&seen, &releases.tolerance);
    if above.is_empty() { Ok(()) } else { Err(format!("above the budget:\n{}", above.join("\n"))) }
}

fn measure(pair: &Pair, wheels: &Path, contestants: &[Contestant], row: &mut Row, kept: &Path) -> Result<(), String> {
    pair.fetch(wheels)?;
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = |name| scratch.path().join(name);
    let [old, new] = pair.programs(wheels)?;
    row.length = new.len() as u64;
    let lengths = [old.len() as u64, new.len() as u64];
    let files = Files { old: file("old"), new: file("new"), delta: file("delta"), out: file("out"), lengths };
    for (path, bytes) in [(&files.old, old), (&files.new, new)] {
        std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    for &contestant in contestants {
        let measured = contestant.measure(&files).map_err(|error| format!("{}: {error}", pair.name()))?;
        eprintln!("{}: {}: {measured:?}", pair.name(), contestant.name());
        row.put(contestant, measured);
        row.write(kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    }
    Ok(())
}

/// The machine and its programs, in one line.
fn machine() -> String {
    let line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned()
    };
    let packages = ["zstd", "bsdiff", "xdelta3"]
        .map(|name| format!("{name} {}", line("dpkg-query", &["--show", "--showformat=${Version}", name])));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processor = line("sh", &["-c", "sed -n 's/^model name.*: //p' /proc/cpuinfo"]);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    format!("{cores} cores of {processor}, load average {load}; {}", packages.join(", "))
}
