//! Candidates that do more than say their version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::bench::{Bench, FETCHD};
use crate::machine::PATIENCE;
use crate::maker::{PRODUCT, SEQ, script};
use crate::table::Verdict;

/// Shows a candidate that does this when it is asked for its version. `$dir` is the directory of the program.
fn show(bench: &mut Bench, lines: &str) {
    bench.show(&bench.maker.with_binary(SEQ, "1.1.0", &script("candidate", lines)));
}

/// Waits until the process whose number stands there is gone.
#[track_caller]
fn wait_for_death(file: &Path) {
    let pid = fs::read_to_string(file).unwrap();
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    let deadline = Instant::now() + PATIENCE;
    // One that is dead and that nobody has reaped has no command line.
    while fs::read(process.join("cmdline")).is_ok_and(|words| !words.is_empty()) {
        assert!(Instant::now() < deadline, "a child of the smoke run is left");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn hangs(bench: &mut Bench, verdict: &Verdict) {
    show(bench, "sleep 600 & echo $! > \"$dir/child\"; echo app 1.1.0; wait");
    let begun = Instant::now();
    let ended = bench.apply(&["--smoke-deadline", "500ms"]);
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
    bench.assert_verdict(&ended, verdict);
    wait_for_death(&bench.path().join("srv/child"));
    bench.assert_recovers();
}

/// It did what was asked of it; what it left behind is killed and waited for by nobody.
pub fn leaves_a_child(bench: &mut Bench, verdict: &Verdict) {
    show(bench, "sleep 600 & echo $! > \"$dir/child\"; echo app 1.1.0");
    let begun = Instant::now();
    let ended = bench.apply(&["--smoke-deadline", "2m"]);
    assert!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    bench.assert_verdict(&ended, verdict);
    wait_for_death(&bench.path().join("srv/child"));
    bench.assert_recovers();
}

/// How often the candidate was executed.
fn executions(bench: &Bench) -> usize {
    fs::read_to_string(bench.canary()).unwrap().lines().filter(|line| line.starts_with("candidate")).count()
}

/// A supervisor that is asked for its version by a supervisor: it says no, before it does anything.
pub fn starts_run(bench: &mut Bench, verdict: &Verdict) {
    let state = bench.path().join("inner");
    let lines = format!("exec '{FETCHD}' run --product inner --state-dir '{}' -- \"$dir/app\"", state.display());
    show(bench, &lines);
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    let reason = &bench.record().quarantine[0].reason;
    assert!(reason.contains("[start.smoke]"), "{reason}");
    assert!(!state.exists(), "it began");
    assert_eq!(executions(bench), 1);
    bench.assert_recovers();
}

/// A pass of the same service in the middle of a pass finds the state locked, so there is no second smoke run.
pub fn starts_apply(bench: &mut Bench, verdict: &Verdict) {
    let apply = bench.command("apply", &[]);
    let words: Vec<String> = apply.get_args().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let lines =
        format!("'{FETCHD}' {} -- \"$dir/{PRODUCT}\"; echo $? > \"$dir/inner\"; echo app 1.1.0", words.join(" "));
    show(bench, &lines);
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    assert_eq!(fs::read_to_string(bench.path().join("srv/inner")).unwrap().trim(), "75");
    assert_eq!(executions(bench), 1);
    bench.assert_recovers();
}
