//! What the benchmarks share. They measure the program as it is shipped: build it first, with
//! `cargo build --release`.

pub(crate) mod answer;
pub(crate) mod direct;
pub(crate) mod fetched;
pub(crate) mod figure;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod site;

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long anything may take before a benchmark gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program that is measured: `BENCH_PROGRAM`, or the one that cargo built.
pub(crate) fn fetchd() -> PathBuf {
    let program = std::env::var_os("BENCH_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_fetchd").into());
    let program = PathBuf::from(program).canonicalize().unwrap();
    if program.components().any(|part| part.as_os_str() == "debug") {
        println!("NOTE: this is a debug build of fetchd; its numbers mean nothing");
    }
    program
}

/// A program in PATH, or where the tests install what Debian does not have.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ci/python/bin");
    std::env::split_paths(&path).chain([ours]).map(|place| place.join(program)).find(|program| program.is_file())
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

/// Milliseconds with one decimal.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The middle one and the longest.
pub(crate) fn middle_and_longest(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

/// What a reader needs to know of the machine.
pub(crate) fn print_machine() {
    let first = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        line.split_once(':').map_or(line.clone(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    println!("{cores} cores of {}, load average {load}", first("/proc/cpuinfo", "model name"));
}
