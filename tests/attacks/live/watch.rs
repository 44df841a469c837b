//! Releases that pass every check and do not stay.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::{Command, Output};

use fetchd::demo::Fault;
use fetchd::digest::Sha256;

use super::service::{BROKEN, SERVING, Service, program, release};
use crate::bench::{Bench, Ended, FETCHD};
use crate::table::Verdict;

pub fn dies_in_the_watch(bench: &mut Bench, verdict: &Verdict) {
    does_not_hold(bench, Fault::CrashAfterReady, verdict);
}

pub fn exits_before_ready(bench: &mut Bench, verdict: &Verdict) {
    does_not_hold(bench, Fault::ExitBeforeReady, verdict);
}

fn does_not_hold(bench: &mut Bench, fault: Fault, verdict: &Verdict) {
    let (seq, serving) = SERVING;
    let mut service = Service::start(bench, &[]);
    bench.show(&release(bench, seq + 1, "1.1.0", Some(fault)));
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    service.wait_for_version(serving);
    let quarantine = bench.record().quarantine;
    let bad = Sha256::of(&program(bench, "1.1.0", Some(fault)));
    assert_eq!(quarantine.iter().map(|bad| (bad.sha256, bad.count)).collect::<Vec<_>>(), [(bad, 1)]);

    // It is not tried again, also not in a manifest with a higher number.
    let tries = starts(bench, "1.1.0");
    for seq in [seq + 1, seq + 2] {
        bench.show(&release(bench, seq, "1.1.0", Some(fault)));
        let again = bench.apply(&[]);
        assert_eq!((again.exit, again.code.as_str()), (22, "release.quarantined"), "{again:#?}");
    }
    assert_eq!(starts(bench, "1.1.0"), tries);
    // A repaired one with a higher version is.
    bench.show(&release(bench, seq + 3, "1.1.1", None));
    let fixed = bench.apply(&[]);
    assert_eq!((fixed.exit, fixed.code.as_str()), (0, ""), "{fixed:#?}");
    service.wait_for_version("1.1.1");
    service.stop();
    bench.assert_recovers();
}

/// How often this version was executed.
fn starts(bench: &Bench, version: &str) -> usize {
    let executed = fs::read_to_string(bench.canary()).unwrap_or_default();
    executed.lines().filter(|line| line.split(' ').next() == Some(version)).count()
}

/// It stays for its watch and dies, again and again; and what served before it does not start any more.
pub fn nothing_holds(bench: &mut Bench, verdict: &Verdict) {
    let (seq, serving) = SERVING;
    let service = Service::start(bench, &["--crash-backoff", "10ms", "--watch", "100ms"]);
    let bad = script_that_breaks(bench, "");
    bench.show(&bench.maker.with_binary(seq + 1, "1.1.0", &bad));
    let ended = bench.apply(&[]);
    assert_eq!((ended.exit, ended.code.as_str()), (0, ""), "{ended:#?}");
    let status = service.wait_for_end();
    let told = bench.history().into_iter().find(|event| event.event == verdict.event);
    let code = told.and_then(|event| event.code).unwrap_or_default();
    let output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    bench.assert_verdict(&Ended { exit: status.code().unwrap_or(-1), code, output }, verdict);
    gave_up(bench, serving, &bad);
}

/// It dies in its watch, and has killed the process that waited for that.
pub fn predecessor_is_gone(bench: &mut Bench, verdict: &Verdict) {
    let (seq, serving) = SERVING;
    let service = Service::start(bench, &[]);
    let kill = format!("( sleep 0.1; kill -KILL {} ) &", service.serving());
    let bad = script_that_breaks(bench, &kill);
    bench.show(&bench.maker.with_binary(seq + 1, "1.1.0", &bad));
    let ended = bench.apply(&[]);
    bench.assert_verdict(&ended, verdict);
    assert_eq!(service.wait_for_end().code(), Some(i32::from(BROKEN)));
    gave_up(bench, serving, &bad);
}

/// The previous release was tried, and that is told; then there was an end.
fn gave_up(bench: &mut Bench, serving: &str, bad: &[u8]) {
    for version in [serving, "1.1.0"] {
        // The smoke run is one of them.
        assert!(starts(bench, version) <= 5, "{version} was started {} times", starts(bench, version));
    }
    let record = bench.record();
    assert_eq!(record.quarantine.iter().map(|bad| bad.sha256).collect::<Vec<_>>(), [Sha256::of(bad)]);
    assert_eq!(record.journal, None);
    assert!(fs::read(bench.program()).unwrap() == program(bench, serving, None), "the program path holds it again");
    fs::remove_file(bench.path().join("srv/broken")).unwrap();
    bench.assert_recovers();
}

/// As a service it leaves the file that keeps others from starting, and dies 300 ms after it is ready.
fn script_that_breaks(bench: &Bench, lines: &str) -> Vec<u8> {
    let text = String::from_utf8(program(bench, "1.1.0", Some(Fault::CrashAfterReady))).unwrap();
    let test = format!("test ! -e \"$dir/broken\" || exit {BROKEN}");
    assert!(text.contains(&test));
    text.replace(&test, &format!("echo > \"$dir/broken\"\n{lines}")).into_bytes()
}

/// Asked to go back, it says why not, and what serves goes on serving.
pub fn previous_modified(bench: &mut Bench, verdict: &Verdict) {
    let (seq, _) = SERVING;
    let mut service = Service::start(bench, &[]);
    bench.show(&release(bench, seq + 1, "1.0.2", None));
    let ended = bench.apply(&[]);
    assert_eq!((ended.exit, ended.code.as_str()), (0, ""), "{ended:#?}");
    service.wait_for_version("1.0.2");
    bench.mark();
    let pid = service.serving();
    let previous = bench.path().join("srv/.fetchd/app/previous");
    OpenOptions::new().append(true).open(previous).unwrap().write_all(b"# more\n").unwrap();
    let mut rollback = Command::new(FETCHD);
    rollback.args(["rollback", "--json", "--product", "app", "--state-dir"]).arg(bench.state_dir());
    let ended = bench.end(&mut rollback);
    bench.assert_verdict(&ended, verdict);
    assert_eq!(service.serving(), pid);
    service.stop();
    bench.assert_recovers();
}
