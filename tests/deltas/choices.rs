//! Which delta is tried, which is not tried again, and whose fault it is.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fetchd::digest::Sha256;
use fetchd_delta::Format;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::bench::{Bench, delta, ok, program};

/// The larger one, which is good, is listed first.
#[test]
fn the_smallest_delta_is_tried_first_however_they_are_listed() {
    let bench = Bench::new();
    ok(bench.publish("1.1.0", &[]));
    bench.list("x.dcz", "dcz", &delta("1.0.0", "1.1.0", Format::Dcz), |_| {});
    bench.list("x.fxd-1", "fxd-1", b"\x89fxd-1\r\n", |_| {});
    bench.came_by("dcz", bench.apply(&[]));
    assert_eq!(bench.failed(), ["delta.damaged"]);
}

#[test]
fn what_failed_for_an_earlier_release_is_not_kept() {
    let bench = Bench::new();
    for (from, version) in [("1.0.0", "1.1.0"), ("1.1.0", "1.2.0")] {
        ok(bench.publish(version, &[]));
        let wrong = delta(from, "6.6.6", Format::Dcz);
        bench.list(&format!("{version}.dcz"), "dcz", &wrong, |entry| {
            entry["from_sha256"] = json!(Sha256::of(&program(from)));
        });
        ok(bench.apply(&[]));
        assert!(fs::read(bench.program()).unwrap() == program(version));
        let bad: Vec<Sha256> = bench.record().bad_deltas.iter().map(|bad| bad.to_sha256).collect();
        assert_eq!(bad, [Sha256::of(&program(version))]);
    }
}

/// It is neither recorded nor made up for by the full artifact: the next pass takes the delta.
#[test]
fn that_a_pass_was_interrupted_is_not_the_deltas_fault() {
    let bench = Bench::new();
    ok(bench.publish("1.1.0", &[]));
    bench.list("x.dcz", "dcz", &delta("1.0.0", "1.1.0", Format::Dcz), |_| {});
    let marker = bench.path("checkpoint");
    let applied = thread::scope(|scope| {
        let apply = scope.spawn(|| {
            bench.apply_as(&[], |apply| {
                apply.env("FETCHD_TEST_CHECKPOINT", "Extracted").env("FETCHD_TEST_CHECKPOINT_FILE", &marker);
            })
        });
        // The worker has applied the delta.
        kill_process(parent(worker(&marker)), Signal::INT).unwrap();
        apply.join().unwrap()
    });
    assert!(!applied.status.success(), "{applied:#?}");
    assert!(fs::read(bench.program()).unwrap() == program("1.0.0"));
    assert_eq!((bench.failed(), bench.record().bad_deltas.len()), (Vec::new(), 0));
    bench.corrupt_the_full_artifact();
    bench.came_by("dcz", bench.apply(&[]));
}

/// The process that stopped at a checkpoint, once it has.
fn worker(marker: &Path) -> Pid {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let said = fs::read_to_string(marker).ok().and_then(|text| text.parse().ok());
        if let Some(process) = said.and_then(Pid::from_raw) {
            return process;
        }
        assert!(Instant::now() < until, "nothing stopped at the checkpoint");
        thread::sleep(Duration::from_millis(5));
    }
}

fn parent(process: Pid) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap();
    // The name, in parentheses, may have anything in it; the state and the parent follow.
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    Pid::from_raw(rest.split(' ').nth(1).unwrap().parse().unwrap()).unwrap()
}
