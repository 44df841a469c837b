//! `fetchd demo`, as anybody runs it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// `fetchd demo` with `dir` as the directory for temporary files.
fn demo(dir: &Path) -> Command {
    let mut fetchd = Command::new(env!("CARGO_BIN_EXE_fetchd"));
    fetchd.arg("demo").current_dir("/").env("TMPDIR", dir).stdin(Stdio::null());
    // What a caller has set must not reach the demo's supervisor.
    fetchd.env("HTTP_PROXY", "http://127.0.0.1:9").env("FETCHD_INTERVAL", "nonsense").env("LISTEN_FDS", "1");
    fetchd
}

/// Waits until no process works with a file below `dir`, and nothing lies there.
fn assert_nothing_left(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let name = dir.to_str().expect("a path that is text");
    let running = || {
        let all = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
            let cwd = fs::read_link(entry.path().join("cwd")).ok()?;
            let exe = fs::read_link(entry.path().join("exe")).ok()?;
            [cwd, exe].iter().any(|path| path.to_string_lossy().contains(name)).then(|| entry.file_name())
        });
        all.collect::<Vec<_>>()
    };
    while !running().is_empty() {
        assert!(Instant::now() < deadline, "left behind: {:?}", running());
        std::thread::sleep(Duration::from_millis(10));
    }
    let files: Vec<_> = fs::read_dir(dir).expect("the directory").flatten().map(|entry| entry.path()).collect();
    assert!(files.is_empty(), "left behind: {files:?}");
}

#[test]
fn good_releases_go_live_bad_ones_do_not_and_no_request_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let output = demo(dir.path()).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["failed"], 0, "{report:#}");
    assert!(report["requests"].as_u64().unwrap() > 500, "{report:#}");
    assert_eq!(report["supervisor_pid_before"], report["supervisor_pid_after"]);
    assert!(report["supervisor_pid_before"].as_u64().unwrap() > 1);
    let steps = report["steps"].as_array().unwrap();
    let of = |outcome: &str| steps.iter().filter(|step| step["outcome"] == outcome).collect::<Vec<_>>();
    assert_eq!((of("live").len(), of("rolled_back").len(), of("refused").len()), (4, 4, 4), "{report:#}");
    assert_eq!((&report["handoffs"], &report["rollbacks"], &report["refused"]), (&6.into(), &4.into(), &4.into()));
    assert_eq!(report["handoff_ms"].as_array().unwrap().len(), 6);
    for code in [
        "handoff.exited",
        "handoff.not_ready",
        "watch.died",
        "signature.unknown_key",
        "smoke.version",
        "download.size",
        "download.digest",
        "worker.died",
        "operator.rollback",
    ] {
        assert!(steps.iter().any(|step| step["code"] == code), "{code}: {report:#}");
    }
    assert!(steps.iter().all(|step| step["requests"].as_u64().unwrap() > 0), "{report:#}");
    let resumed = steps.iter().find(|step| step["code"] == "worker.died").unwrap();
    assert!(resumed["did"].as_str().unwrap().starts_with("resumed at "), "{resumed}");
    assert_nothing_left(dir.path());
}

#[test]
fn a_lost_request_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let output = demo(dir.path()).arg("--json").env("FETCHD_TEST_DEMO_BREAK", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(42), "{said}");
    assert!(said.contains("requests failed [demo.lost_requests]"), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert!(report["failed"].as_u64().unwrap() > 0, "{report:#}");
    assert_eq!(report["error"]["code"], "demo.lost_requests");
    assert_nothing_left(dir.path());
}

#[test]
fn an_interrupt_cleans_up() {
    for signal in [Signal::INT, Signal::KILL] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = demo(dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.map_while(Result::ok).find(|line| line.contains("1.1.0"));
        assert!(first.is_some_and(|line| line.contains("live")), "the first update goes live");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = child.wait().unwrap();
        if signal == Signal::INT {
            assert_eq!(ended.code(), Some(130));
        } else {
            // Files stay, processes do not.
            let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
            assert_eq!(left.len(), 1);
            let gone = || fs::remove_dir_all(left[0].path()).is_ok();
            let deadline = Instant::now() + Duration::from_secs(20);
            while !gone() {
                assert!(Instant::now() < deadline, "it is still written to");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        assert_nothing_left(dir.path());
    }
}

#[test]
fn text_is_plain_in_a_pipe_and_the_directory_can_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let output = demo(dir.path()).arg("--keep").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains('\x1b') && !text.contains('\r'), "{text}");
    for line in ["1.8.0     nothing", "signature.unknown_key", "0 failed", "the same process", "kept "] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    let kept: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.path()).collect();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].join("supervisor.log").is_file() && kept[0].join("fetchd.toml").is_file());
    fs::remove_dir_all(&kept[0]).unwrap();
    assert_nothing_left(dir.path());
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let output = demo(Path::new("/nonexistent/tmp")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(40), "{said}");
    assert!(said.contains("/nonexistent/tmp") && said.contains("TMPDIR"), "{said}");
}
