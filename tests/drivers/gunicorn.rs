//! `signal` with the real gunicorn: an application that brings its own server, upgraded as gunicorn is.

use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::processes::{runs, signal};
use crate::scene::{Foreign, LONG, gone, is_watched, load, nothing_was_lost, pid_in, python_program};
use crate::site::wait_until;

const APPLICATION: &str = include_str!("application.py");

fn application(version: &str, fault: &str) -> Vec<u8> {
    let python = python_program("python3");
    let head = format!("#!{}\nVERSION = \"{version}\"\nFAULT = \"{fault}\"\n", python.display());
    format!("{head}{APPLICATION}").into_bytes()
}

/// gunicorn serves version 1.0.0, in the foreground of nobody.
fn scene() -> Foreign {
    let scene = Foreign::with(&application("1.0.0", ""), "1.0.0");
    let mut gunicorn = Command::new("setsid");
    gunicorn.args(["--fork"]).arg(scene.site.program()).arg(scene.site.path());
    gunicorn.env("HOME", scene.site.path()).env("XDG_RUNTIME_DIR", scene.site.path()).stdin(Stdio::null());
    let log = std::fs::File::create(scene.path("gunicorn.log")).unwrap();
    gunicorn.stdout(log.try_clone().unwrap()).stderr(log);
    assert!(gunicorn.status().unwrap().success());
    wait_until("gunicorn has written its PID", || pid_in(&scene.path("app.pid")).is_some());
    scene.serves("1.0.0");
    scene
}

/// Waits until one process has the PID file to itself.
fn settled(scene: &Foreign) -> u32 {
    let alone = || pid_in(&scene.path("app.pid")).is_some_and(runs) && !scene.path("app.pid.2").exists();
    wait_until("one gunicorn runs", alone);
    scene.pid()
}

fn flags(pid_file: &str) -> Vec<&str> {
    vec!["--restart", "signal", "--restart-recipe", "gunicorn", "--restart-pid-file", pid_file]
}

#[test]
fn three_upgrades_of_gunicorn_under_load_lose_no_request() {
    let scene = scene();
    let pid_file = scene.text_path("app.pid");
    let mut fetchd = scene.run(&flags(&pid_file));
    let load = load(scene.address());
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        let before = settled(&scene);
        scene.publish(version, &application(version, ""));
        fetchd.wait(&format!("{version} is confirmed"), |status| status.updates.version.as_deref() == Some(version));
        gone(before);
        scene.serves(version);
    }
    nothing_was_lost(load, &fetchd);
    assert!(scene.site.record().quarantine.is_empty());
}

#[test]
fn what_gunicorn_cannot_start_leaves_the_old_one_serving() {
    let scene = scene();
    let pid_file = scene.text_path("app.pid");
    let mut fetchd = scene.run(&[&flags(&pid_file)[..], &["--restart-deadline", "8s", "--watch", "3s"]].concat());
    let (pid, load) = (scene.pid(), load(scene.address()));
    for (version, fault, codes) in [
        ("1.1.0", "crash", &["handoff.restart_failed"][..]),
        ("1.2.0", "hang", &["handoff.deadline"]),
        // A worker that cannot load its application ends the whole new server, sooner or later.
        ("1.3.0", "boot", &["handoff.restart_failed", "watch.died", "handoff.deadline"]),
    ] {
        scene.publish(version, &application(version, fault));
        scene.wait_for_quarantine(version, codes);
        scene.is_back_at(&mut fetchd, &application("1.0.0", ""));
        assert_eq!(scene.pid(), pid);
    }
    scene.publish("1.4.0", &application("1.4.0", ""));
    fetchd.wait_for_event("release.confirmed", "");
    gone(pid);
    scene.serves("1.4.0");
    nothing_was_lost(load, &fetchd);
}

#[test]
fn a_gunicorn_that_dies_in_its_watch_gives_way_to_the_old_process() {
    let scene = scene();
    let pid_file = scene.text_path("app.pid");
    let mut fetchd = scene.run(&[&flags(&pid_file)[..], &["--watch", LONG]].concat());
    let pid = scene.pid();
    scene.publish("1.1.0", &application("1.1.0", ""));
    is_watched(&fetchd);
    signal(pid_in(&scene.path("app.pid.2")).unwrap(), Signal::KILL);
    fetchd.wait_for_event("handoff.failed", "watch.died");
    scene.is_back_at(&mut fetchd, &application("1.0.0", ""));
    scene.serves("1.0.0");
    assert_eq!(scene.pid(), pid);
    scene.quarantined("1.1.0");
}
