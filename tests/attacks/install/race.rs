//! Somebody does something at the same time.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fetchd::checkpoint::Checkpoint;

use crate::bench::{Bench, Ended, FETCHD};
use crate::live::service::{SERVING, Service, release};
use crate::machine::Stopped;
use crate::maker::{SEQ, program, script};
use crate::table::Verdict;

/// The one candidate in custody.
fn candidate(bench: &Bench) -> PathBuf {
    let entries = fs::read_dir(bench.path().join("srv/.fetchd/app/custody")).unwrap();
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.pop().unwrap()
}

/// Something else takes the place of the candidate while the pass waits at `checkpoint`.
fn swapped_at(bench: &mut Bench, checkpoint: Checkpoint) -> Ended {
    bench.show(&bench.maker.good(SEQ, "1.1.0"));
    let stopped = Stopped::at(bench, checkpoint);
    let evil = bench.path().join("evil");
    // It says what is expected, and is as long as what was checked.
    fs::write(&evil, other("1.1.0")).unwrap();
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(evil, candidate(bench)).unwrap();
    stopped.go_on().unwrap();
    stopped.end(bench)
}

/// As long as the program of this version, and another one.
fn other(version: &str) -> Vec<u8> {
    let text = String::from_utf8(program(version)).unwrap();
    text.replacen("app", "evl", 1).into_bytes()
}

#[track_caller]
fn assert_refused(bench: &mut Bench, ended: &Ended, verdict: &Verdict) {
    bench.assert_verdict(ended, verdict);
    assert_eq!(bench.record().journal, None);
    assert_eq!(bench.record().quarantine, [], "nobody knows whose fault it was, and the signed bytes are good");
    bench.assert_recovers();
}

pub fn swapped_before_smoke(bench: &mut Bench, verdict: &Verdict) {
    let ended = swapped_at(bench, Checkpoint::BeforeSmoke);
    assert_refused(bench, &ended, verdict);
}

pub fn swapped_verified(bench: &mut Bench, verdict: &Verdict) {
    let ended = swapped_at(bench, Checkpoint::Verified);
    assert!(!fs::read_to_string(bench.canary()).unwrap().contains("evl"), "what was not verified was executed");
    assert_refused(bench, &ended, verdict);
}

pub fn swapped_before_rename(bench: &mut Bench, verdict: &Verdict) {
    let ended = swapped_at(bench, Checkpoint::JournalBegun);
    assert!(!fs::read_to_string(bench.canary()).unwrap().contains("evl"), "what was not verified was executed");
    assert_refused(bench, &ended, verdict);
}

/// The same inode with other bytes.
pub fn written_to(bench: &mut Bench, verdict: &Verdict) {
    bench.show(&bench.maker.good(SEQ, "1.1.0"));
    let stopped = Stopped::at(bench, Checkpoint::Verified);
    fs::write(candidate(bench), other("1.1.0")).unwrap();
    stopped.go_on().unwrap();
    let ended = stopped.end(bench);
    assert_refused(bench, &ended, verdict);
}

/// The candidate itself is signed, and puts something else in its place once it is executed.
pub fn swaps_itself(bench: &mut Bench, verdict: &Verdict) {
    let binary = script(
        "swaps itself",
        "cp \"$0\" \"$0.new\"; echo '# more' >> \"$0.new\"; mv \"$0.new\" \"$0\"; echo app 1.1.0",
    );
    bench.show(&bench.maker.with_binary(SEQ, "1.1.0", &binary));
    let ended = bench.apply(&[]);
    assert_refused(bench, &ended, verdict);
}

/// The first pass has the state; the second one is told so, and the first one comes to its end.
pub fn two_at_once(bench: &mut Bench, verdict: &Verdict) {
    bench.show(&bench.maker.good(SEQ, "1.1.0"));
    let first = Stopped::at(bench, Checkpoint::BeforeSmoke);
    let second = bench.apply(&[]);
    assert_eq!((second.exit, second.code.as_str()), (i32::from(verdict.exit), verdict.code), "{second:#?}");
    first.go_on().unwrap();
    let first = first.end(bench);
    assert_eq!((first.exit, first.code.as_str()), (0, ""), "{first:#?}");
    assert!(fs::read(bench.program()).unwrap() == program("1.1.0"));
    bench.assert_recovers();
}

pub fn text_busy(bench: &mut Bench, verdict: &Verdict) {
    bench.show(&bench.maker.good(SEQ, "1.1.0"));
    let stopped = Stopped::at(bench, Checkpoint::BeforeSmoke);
    let writer = OpenOptions::new().write(true).open(candidate(bench)).unwrap();
    stopped.go_on().unwrap();
    let (begun, busy) = (Instant::now(), Duration::from_millis(300));
    let held = std::thread::spawn(move || {
        std::thread::sleep(busy);
        drop(writer);
    });
    let ended = stopped.end(bench);
    assert!(begun.elapsed() >= busy, "it was executed while it was open for writing");
    held.join().unwrap();
    bench.assert_verdict(&ended, verdict);
    bench.assert_recovers();
}

/// What `/proc/self/exe` says ends in "(deleted)" then, and so does what it says of each program that was replaced.
pub fn own_file_is_gone(bench: &mut Bench, verdict: &Verdict) {
    let own = bench.path().join("fetchd");
    fs::copy(FETCHD, &own).unwrap();
    let mut service = Service::start_as(bench, &own, &[]);
    fs::remove_file(own).unwrap();
    for (more, version) in [(1, "1.1.0"), (2, "1.2.0")] {
        bench.show(&release(bench, SERVING.0 + more, version, None));
        let ended = bench.apply(&[]);
        bench.assert_verdict(&ended, verdict);
        service.wait_for_version(version);
        bench.mark();
    }
    service.stop();
    bench.assert_recovers();
}
