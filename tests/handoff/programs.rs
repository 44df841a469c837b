//! Programs that were not written for fetchd: they know socket activation, and perhaps sd_notify.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::bench::{load, plain, restart, room_to_drain, script, serves_from, settled, tcp};
use crate::site::{PATIENCE, Site, Supervised, text};

pub(crate) const SERVER: &str = include_str!("server.py");

/// Five handoffs under the load of clients that open a connection for each request: what becomes of kept
/// connections is up to the program. At least so many `generations` of the six must have answered something.
#[track_caller]
fn hand_off_under_load(fetchd: &mut Supervised<'_>, generations: usize, slow_requests: bool) {
    let address = fetchd.address();
    let supervisor = fetchd.pid();
    let load = load(tcp(address), 8, 0);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    let mut slow = Vec::new();
    for number in 2..=6 {
        room_to_drain(fetchd);
        if slow_requests {
            slow.push(load.slow_request(Duration::from_secs(2)));
        }
        restart(fetchd);
        assert_eq!(serves_from(fetchd, number).0, number);
    }
    for slow in slow {
        slow.wait().expect("the slow request was answered");
    }
    let (number, _) = settled(fetchd);
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{:?}\n{}", report.totals, fetchd.log());
    let answered = report.versions.len();
    assert!(answered >= generations, "{:?}", report.versions);
    assert_eq!((number, fetchd.try_status().unwrap().pid), (6, supervisor));
}

#[test]
fn a_program_that_knows_only_socket_activation() {
    let site = Site::empty();
    let program = script(&site, "server", SERVER);
    let mut fetchd = site.supervise(plain(&site, &["--ready", "alive:300ms"], &program, &[]));
    // Alive is not ready: on a busy machine it may be told to go before it has begun, and its successor takes the
    // connections out of the queue. That loses nothing either.
    hand_off_under_load(&mut fetchd, 2, true);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_program_that_notifies_an_abstract_socket() {
    let site = Site::empty();
    let program = script(&site, "server", SERVER);
    let mut fetchd = site.supervise(plain(&site, &[], &program, &["notify"]));
    hand_off_under_load(&mut fetchd, 6, true);
    let status = fetchd.try_status().unwrap();
    assert_eq!(status.service.generations[0].status.as_deref(), Some("listening"));
    assert_eq!(fetchd.stop().code(), Some(0));
}

const APPLICATION: &str = r#"
import json, os

def app(environ, start_response):
    body = json.dumps({"version": "1.0.0", "pid": os.getpid()}, separators=(",", ":")).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"#;

/// gunicorn as it comes from PyPI: its own LISTEN_PID check, its own sd_notify, its own drain.
#[test]
fn gunicorn_unmodified() {
    let site = Site::empty();
    fs::write(site.path().join("application.py"), APPLICATION).unwrap();
    let directory = site.path().to_str().unwrap();
    let arguments = ["--workers", "2", "--chdir", directory, "application:app"];
    let mut command = plain(&site, &[], &gunicorn(), &arguments);
    // Whatever it keeps in the home directory of who runs it, it keeps here.
    command.env("HOME", site.path()).env("XDG_RUNTIME_DIR", site.path());
    let mut fetchd = site.supervise(command);
    hand_off_under_load(&mut fetchd, 6, false);
    assert_eq!(fetchd.stop().code(), Some(0));
}

/// Installs gunicorn once for all runs of the tests.
fn gunicorn() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gunicorn-23.0.0");
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let (complete, program) = (cache.join("complete"), cache.join("venv/bin/gunicorn"));
    if !complete.exists() {
        let step = |command: &mut Command| {
            let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
            assert!(output.status.success(), "this test needs python3 with venv, and PyPI: {}", text(&output));
        };
        step(Command::new("python3").args(["-m", "venv", "--clear"]).arg(cache.join("venv")));
        step(Command::new(cache.join("venv/bin/pip")).args(["install", "--quiet", "gunicorn==23.0.0"]));
        File::create(complete).unwrap();
    }
    program
}
