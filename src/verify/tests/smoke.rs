use rustix::process::{Pid, Signal};

use super::*;

#[track_caller]
fn smoke_refused(verifier: &Verifier, body: &str, code: &str) -> VerifyError {
    let place = Place::new();
    let bytes = script(body);
    let error = place.verify(verifier, &bytes, "1.2.3").unwrap_err();
    assert_refused(&error, code, Exit::Smoke, true);
    assert_eq!(error.sha256(), Some(Sha256::of(&bytes)));
    place.assert_empty();
    error
}

fn quick() -> Verifier {
    let mut verifier = lenient();
    verifier.smoke.deadline = Duration::from_millis(300);
    verifier
}

/// Whoever is hung by it is hung for so long that a slow machine is told from it.
fn patient() -> Verifier {
    let mut verifier = lenient();
    verifier.smoke.deadline = Duration::from_secs(120);
    verifier
}

/// Waits until the process whose id stands in `file` is gone or at least dead.
fn wait_until_dead(file: &Path) {
    let pid = fs::read_to_string(file).unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    let deadline = Instant::now() + Duration::from_secs(10);
    // In a container nobody may reap an orphan: dead is enough.
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X ")) {
        assert!(Instant::now() < deadline, "process {pid} is alive");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn log_lines_before_the_version_pass() {
    let place = Place::new();
    let body = "echo '2026-11-22 INFO starting'; echo noise >&2; echo 'app v1.2.3 (built today)'";
    place.verify(&lenient(), &script(body), "1.2.3").unwrap();
}

#[test]
fn another_version_is_refused() {
    let error = smoke_refused(&lenient(), "echo app 1.2.30", "smoke.version");
    assert_eq!(error.to_string(), "the candidate says it is 1.2.30, 1.2.3 is signed");
    smoke_refused(&lenient(), "echo app", "smoke.version");
    let only_stderr = smoke_refused(&lenient(), "echo 1.2.3 >&2", "smoke.version");
    assert_eq!(only_stderr.output(), Some("1.2.3"));
}

#[test]
fn an_unsigned_version_is_found() {
    let place = Place::new();
    let bytes = script("echo listening on 127.0.0.1; echo app v3.1.4-rc.1");
    let sample = Sample { version: None, proof: Proof::Owner, ..Sample::raw(&bytes, "0.0.0") };
    let verified = lenient().verify(place.candidate(&bytes, sample.clone())).unwrap();
    assert_eq!(verified.version().unwrap().to_string(), "3.1.4-rc.1");
    let mute = script("true");
    let sample = Sample { version: None, ..Sample::raw(&mute, "0.0.0") };
    let error = lenient().verify(place.candidate(&mute, sample)).unwrap_err();
    assert_refused(&error, "smoke.version", Exit::Smoke, true);
}

#[test]
fn arguments_and_pattern_can_be_chosen() {
    let place = Place::new();
    let mut verifier = lenient();
    verifier.smoke.args = vec!["version".into(), "--short".into()];
    verifier.smoke.pattern = Some("app {version}".parse().unwrap());
    let bytes = script("echo lib 9.9.9; test \"$*\" = 'version --short' && echo app 1.2.3");
    place.verify(&verifier, &bytes, "1.2.3").unwrap();
    let error = place.verify(&verifier, &script("echo lib 1.2.3; echo app 1.2.4"), "1.2.3").unwrap_err();
    assert_refused(&error, "smoke.version", Exit::Smoke, true);
}

#[test]
fn a_failing_program_is_refused_with_what_it_said() {
    let error = smoke_refused(&lenient(), "echo 1.2.3; echo 'no \x1b[31mconfig' >&2; exit 1", "smoke.exit");
    assert_eq!(error.to_string(), "the smoke run ended with exit code 1");
    assert_eq!(error.output(), Some("no  [31mconfig"));
    let error = smoke_refused(&lenient(), "echo 1.2.3; kill -SEGV $$", "smoke.signal");
    assert!(error.to_string().contains("signal 11"), "{error}");
}

#[test]
fn a_program_that_hangs_is_killed_with_its_group() {
    let place = Place::new();
    let pid = place.outside("pid");
    let started = Instant::now();
    smoke_refused(&quick(), &format!("sleep 600 & echo $! > {}; echo 1.2.3; wait", pid.display()), "smoke.timeout");
    assert!(started.elapsed() < Duration::from_secs(60));
    wait_until_dead(&pid);
}

#[test]
fn a_child_that_holds_stdout_hangs_nobody() {
    let place = Place::new();
    let pid = place.outside("pid");
    let started = Instant::now();
    let body = format!("sleep 600 & echo $! > {}; echo app 1.2.3", pid.display());
    place.verify(&patient(), &script(&body), "1.2.3").unwrap();
    assert!(started.elapsed() < Duration::from_secs(60));
    wait_until_dead(&pid);
}

#[test]
fn a_child_that_leaves_the_session_and_holds_stdout_hangs_nobody() {
    let place = Place::new();
    let pid = place.outside("pid");
    let ready = place.outside("ready");
    let body = format!(
        "setsid sh -c 'echo $$ > {pid}; : > {ready}; exec sleep 600' &\nwhile ! test -e {ready}; do :; done; echo 1.2.3",
        pid = pid.display(),
        ready = ready.display()
    );
    let started = Instant::now();
    let verified = place.verify(&patient(), &script(&body), "1.2.3");
    let number = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(number).unwrap(), Signal::KILL).unwrap();
    verified.unwrap();
    assert!(started.elapsed() < Duration::from_secs(60));
    wait_until_dead(&pid);
}

#[test]
fn endless_output_is_cut() {
    for body in ["while :; do echo 1.2.3; done", "while :; do echo 1.2.3; done >&2"] {
        let error = smoke_refused(&lenient(), body, "smoke.output");
        assert!(error.output().unwrap().len() <= 2048);
    }
    let place = Place::new();
    place.verify(&lenient(), &script("echo 1.2.3; head -c 60000 /dev/zero"), "1.2.3").unwrap();
}

#[test]
fn it_gets_an_empty_directory_no_environment_and_no_input() {
    let place = Place::new();
    let seen = place.outside("seen");
    let body = format!(
        "exec 3>{}\ntr '\\0' '\\n' </proc/$$/environ >&3\necho \"[$(cat)]\" >&3\n\
         echo \"[$(ls -A)]\" >&3\npwd >&3\nulimit -c >&3\nulimit -n >&3\n\
         read -r _ _ _ _ pgrp session _ </proc/$$/stat\necho $((pgrp - $$)) $((session - $$)) >&3\n\
         mkdir left; echo behind > left/file\necho 1.2.3",
        seen.display()
    );
    place.verify(&lenient(), &script(&body), "1.2.3").unwrap();
    let seen = fs::read_to_string(seen).unwrap();
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[..3], ["FETCHD_SMOKE=1", "[]", "[]"], "{seen}");
    assert!(Path::new(lines[3]).starts_with(place.custody().canonicalize().unwrap()));
    assert_eq!(lines[4..], ["0", "256", "0 0"]);
    place.assert_empty();
}

#[test]
fn what_the_kernel_refuses_is_refused_and_never_given_to_a_shell() {
    let place = Place::new();
    let canary = place.outside("canary");
    let plain = format!("echo ran > {}; echo 1.2.3\n", canary.display()).into_bytes();
    for (bytes, message) in [
        (&plain[..], "the candidate is nothing this kernel can execute"),
        (b"\x7fELF garbage", "the candidate is nothing this kernel can execute"),
        (b"#!/missing/interpreter\n", "the candidate needs an interpreter or loader that is not on this machine"),
    ] {
        let error = place.verify(&lenient(), bytes, "1.2.3").unwrap_err();
        assert_refused(&error, "smoke.exec", Exit::Smoke, true);
        assert_eq!(error.to_string(), message);
        place.assert_empty();
    }
    assert!(!canary.exists());
}

#[test]
fn the_smoke_run_can_be_switched_off() {
    let place = Place::new();
    let canary = place.outside("canary");
    let mut verifier = lenient();
    verifier.smoke.enabled = false;
    let bytes = script(&format!("echo ran > {}", canary.display()));
    let verified = place.verify(&verifier, &bytes, "1.2.3").unwrap();
    assert_eq!(verified.version(), Some(&Version::new(1, 2, 3)));
    assert!(!canary.exists());
}

/// Keeps a writing descriptor of the candidate open for a while.
#[derive(Debug)]
struct Busy(Duration);

impl Check for Busy {
    fn name(&self) -> &str {
        "busy"
    }

    fn check(&self, candidate: &Checked<'_>) -> Result<Verdict, Box<dyn std::error::Error + Send + Sync>> {
        let writer = OpenOptions::new().write(true).open(candidate.path())?;
        let time = self.0;
        std::thread::spawn(move || {
            std::thread::sleep(time);
            drop(writer);
        });
        Ok(Verdict::Pass)
    }
}

#[test]
fn a_busy_text_file_is_tried_again_for_a_while() {
    let place = Place::new();
    let bytes = fs::read("/bin/sh").unwrap();
    let mut verifier = lenient();
    verifier.smoke.args = vec!["-c".into(), "echo 1.2.3".into()];
    verifier.checks = vec![Box::new(Busy(Duration::from_millis(300)))];
    place.verify(&verifier, &bytes, "1.2.3").unwrap();

    verifier.checks = vec![Box::new(Busy(Duration::from_secs(5)))];
    let error = place.verify(&verifier, &bytes, "1.2.3").unwrap_err();
    assert_refused(&error, "smoke.start", Exit::Install, false);
    assert!(error.hint().unwrap().contains("open for writing"));
}
