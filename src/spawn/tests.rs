use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

fn sh(script: &str) -> Spawn {
    Spawn::new("/bin/sh", ["-c".into(), script.into()])
}

/// Runs it to its end; what it wrote to stdout.
fn output(mut spawn: Spawn) -> String {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    spawn.fds.push((write, 1));
    let mut child = spawn.spawn().unwrap();
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap(), Exited::Code(0), "{text}");
    text
}

fn executable(dir: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.join(name);
    crate::durable::write(&path, 0o755, content).unwrap();
    path
}

/// Like `spawn`, for files that another test's child may still have open for writing.
fn refused(program: &Path) -> SpawnError {
    loop {
        let error = Spawn::new(program, []).spawn().unwrap_err();
        if error.errno() != libc::ETXTBSY {
            return error;
        }
        std::thread::yield_now();
    }
}

#[test]
fn the_environment_is_exactly_what_was_given() {
    let mut spawn = Spawn::new("/usr/bin/env", []);
    spawn.env = vec![("A".into(), "1".into()), ("B".into(), "two words".into())];
    assert_eq!(output(spawn), "A=1\nB=two words\n");
}

#[test]
fn the_pid_variable_is_the_childs_own_pid() {
    let mut spawn = sh("test \"$LISTEN_PID\" = $$ && echo \"$LISTEN_FDS\"");
    spawn.env = vec![("LISTEN_PID".into(), "1".into()), ("LISTEN_FDS".into(), "2".into())];
    spawn.pid_variable = Some("LISTEN_PID".to_owned());
    assert_eq!(output(spawn), "2\n");
}

#[test]
fn descriptors_have_their_exact_numbers_and_no_other_is_inherited() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        fs::write(dir.path().join(name), name).unwrap();
        OwnedFd::from(File::open(dir.path().join(name)).unwrap())
    };
    // One that is not close-on-exec, as a careless library leaves it.
    let leaked = rustix::io::dup(file("leaked")).unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let mut spawn = sh("read a <&3; read b <&4; read c <&9; echo $a $b $c; cd /proc/self/fd; echo *");
    spawn.fds = vec![(file("four"), 4), (file("three"), 3), (file("nine"), 9)];
    let text = output(spawn);
    let (read, open) = text.trim().split_once('\n').unwrap();
    assert_eq!(read, "three four nine");
    // The shell itself has one more open while it lists the directory.
    let extra: Vec<_> = open.split(' ').filter(|n| !["0", "1", "2", "3", "4", "9"].contains(n)).collect();
    assert!(extra.len() <= 1, "{text}");
    drop(leaked);
}

#[test]
fn descriptors_can_trade_places() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), "x").unwrap();
    let x = OwnedFd::from(File::open(dir.path().join("x")).unwrap());
    let number = x.as_raw_fd();
    let y = OwnedFd::from(File::open("/dev/null").unwrap());
    // Not `sh`: dash knows descriptors of one digit only.
    let script = format!("read a <&{}; read b <&{number}; echo \"[$a][$b]\"", y.as_raw_fd());
    let mut spawn = Spawn::new("/bin/bash", ["-c".into(), script.into()]);
    spawn.fds = vec![(rustix::io::dup(&x).unwrap(), y.as_raw_fd()), (rustix::io::dup(&y).unwrap(), number)];
    assert_eq!(output(spawn), "[x][]\n");
}

#[test]
fn signals_are_unblocked_and_default() {
    let text = output(sh("exec /bin/grep -E '^Sig(Blk|Ign):' /proc/self/status"));
    let mask = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk:"), 0);
    // The test harness, like every Rust program, ignores SIGPIPE. Numbers 32 and up are the C library's.
    assert_eq!(mask("SigIgn:") & 0x7fff_ffff, 0);
}

#[test]
fn working_directory_session_and_limits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let mut spawn =
        sh("pwd; ulimit -n; ulimit -c; read -r _ _ _ _ pgrp session _ </proc/$$/stat; echo $((pgrp - $$)) \
                        $((session - $$))");
    spawn.cwd = Some(path.clone());
    spawn.session = true;
    spawn.rlimits = vec![(Resource::Nofile, 99), (Resource::Core, 0)];
    assert_eq!(output(spawn), format!("{}\n99\n0\n0 0\n", path.display()));
}

#[test]
fn what_is_missing_is_named_by_step_and_errno() {
    let dir = tempfile::tempdir().unwrap();
    let error = refused(&dir.path().join("missing"));
    assert_eq!((error.step(), error.errno()), (SpawnStep::Exec, libc::ENOENT));
    let plain = executable(dir.path(), "plain", b"#!/bin/sh\n");
    fs::set_permissions(&plain, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(refused(&plain).errno(), libc::EACCES);
    let interpreter = executable(dir.path(), "interpreter", b"#!/missing/interpreter\n");
    assert_eq!(refused(&interpreter).errno(), libc::ENOENT);
    let mut spawn = sh("true");
    spawn.cwd = Some(dir.path().join("missing"));
    assert_eq!(spawn.spawn().unwrap_err().step(), SpawnStep::WorkingDirectory);
    let nul = Spawn::new("/bin/true", ["a\0b".into()]).spawn().unwrap_err();
    assert_eq!(nul.step(), SpawnStep::Prepare);
}

#[test]
fn a_file_that_is_no_program_is_never_given_to_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let canary = dir.path().join("canary");
    let script = executable(dir.path(), "script", format!("echo ran > {}\n", canary.display()).as_bytes());
    let error = refused(&script);
    assert_eq!((error.step(), error.errno()), (SpawnStep::Exec, libc::ENOEXEC));
    assert!(!canary.exists());
}

#[test]
fn the_end_is_seen_and_told_apart() {
    let mut child = sh("exit 7").spawn().unwrap();
    assert!(child.ended_by(Instant::now() + Duration::from_secs(10)).unwrap());
    assert_eq!(child.try_wait().unwrap(), Some(Exited::Code(7)));
    assert_eq!(child.wait().unwrap(), Exited::Code(7));

    let mut child = Spawn::new("/bin/sleep", ["600".into()]).spawn().unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill(Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap(), Exited::Signal(libc::SIGTERM));
    child.kill(Signal::KILL).unwrap();
}

#[test]
fn the_death_signal_ends_it_with_the_thread_that_started_it() {
    let thread = std::thread::spawn(|| {
        let mut spawn = Spawn::new("/bin/sleep", ["600".into()]);
        spawn.death_signal = Some(Signal::KILL);
        spawn.spawn().unwrap()
    });
    let mut child = thread.join().unwrap();
    assert_eq!(child.wait().unwrap(), Exited::Signal(libc::SIGKILL));
}

#[test]
fn a_signal_is_called_by_its_name() {
    assert_eq!(Exited::Signal(9).to_string(), "signal 9 (SIGKILL)");
    assert_eq!(Exited::Signal(4242).to_string(), "signal 4242");
}
