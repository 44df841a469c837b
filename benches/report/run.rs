//! Runs the benchmarks one after the other, each in a process of its own with a deadline.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::catalogue::Bench;
use super::{Wanted, descendants, machine};

/// How often somebody who waits hears that it goes on.
const NEWS: Duration = Duration::from_secs(10);

/// Runs them, and leaves results and texts in the directory. Whether all of them came to their end.
pub(crate) fn all(wanted: &Wanted) -> bool {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).expect("a signal that can be caught");
    }
    descendants::adopt();
    fs::create_dir_all(&wanted.directory).unwrap();
    let directory = wanted.directory.canonicalize().unwrap();
    for left in fs::read_dir(&directory).unwrap().flatten() {
        let name = left.file_name();
        if [".txt", ".svg", ".jsonl", ".md"].iter().any(|end| name.to_string_lossy().ends_with(end)) {
            fs::remove_file(left.path()).unwrap();
        }
    }
    let mut head = machine::describe(wanted.quick);
    let begun = Instant::now();
    let mut failed = Vec::new();
    let many = wanted.benches.len();
    for (number, bench) in wanted.benches.iter().enumerate() {
        println!("[{}/{many}] {}: {}", number + 1, bench.name, bench.about);
        if let Err(why) = one(bench, &directory, wanted.quick, &stop) {
            println!("      {}: {why}; what it said is in {}.txt", bench.name, bench.name);
            failed.push(format!("{}: {why}", bench.name));
        }
        if stop.load(Ordering::Relaxed) {
            println!("      stopped");
            break;
        }
    }
    head.push(("load average after".to_owned(), machine::load()));
    head.push(("took".to_owned(), format!("{} s", begun.elapsed().as_secs())));
    for what in &failed {
        head.push(("**failed**".to_owned(), what.clone()));
    }
    let text: String = head.iter().map(|(name, value)| format!("{name}\t{value}\n")).collect();
    fs::write(directory.join("machine.txt"), text).unwrap();
    failed.is_empty() && !stop.load(Ordering::Relaxed)
}

fn one(bench: &Bench, directory: &Path, quick: bool, stop: &AtomicBool) -> Result<(), String> {
    // A benchmark that is killed cannot clear up after itself.
    let scratch = tempfile::Builder::new().prefix("fetchd-bench-").tempdir().unwrap();
    let text = directory.join(format!("{}.txt", bench.name));
    let output = File::create(&text).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--one", bench.name]).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    command.env("BENCH_RESULTS", directory.join("results.jsonl")).env("TMPDIR", scratch.path());
    for (name, value) in bench.quick.iter().filter(|(name, _)| quick && std::env::var_os(name).is_none()) {
        command.env(name, value);
    }
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(bench.seconds);
    let mut child = command.spawn().map_err(|error| format!("it was not started: {error}"))?;
    let mut news = begun + NEWS;
    let outcome = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) };
        }
        if Instant::now() >= deadline || stop.load(Ordering::Relaxed) {
            let _ = child.kill();
            let _ = child.wait();
            break Err(format!("it was ended after {} s", begun.elapsed().as_secs()));
        }
        if Instant::now() >= news {
            println!("      {} s of at most {} s", begun.elapsed().as_secs(), bench.seconds);
            let _ = std::io::stdout().flush();
            news += NEWS;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let left = descendants::end();
    if left > 0 {
        println!("      {left} processes that it left behind were ended");
    }
    if outcome.is_ok() {
        println!("      done after {:.1} s", begun.elapsed().as_secs_f64());
    }
    outcome
}
