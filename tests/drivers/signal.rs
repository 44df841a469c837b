//! `signal` with the Python server: the same process goes on, or another one takes over.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::command::RESTART;
use crate::processes::{runs, signal};
use crate::scene::{Foreign, gone, server, start};

fn scene() -> Foreign {
    let scene = Foreign::new();
    start(&mut std::process::Command::new(scene.script("restart", RESTART)));
    scene.serves("1.0.0");
    scene
}

fn flags<'a>(pid_file: &'a str, recipe: &'a str) -> Vec<&'a str> {
    vec!["--restart", "signal", "--restart-pid-file", pid_file, "--restart-recipe", recipe]
}

#[test]
fn the_same_process_goes_on_with_the_new_binary() {
    let scene = scene();
    let (pid_file, pid) = (scene.text_path("app.pid"), scene.pid());
    let mut fetchd = scene.run(&flags(&pid_file, "reload"));
    for version in ["1.1.0", "1.2.0"] {
        scene.publish_server(version, "");
        fetchd.wait(&format!("{version} is confirmed"), |status| status.updates.version.as_deref() == Some(version));
        scene.serves(version);
        assert_eq!(scene.pid(), pid);
    }
}

#[test]
fn another_process_takes_over() {
    let scene = scene();
    let (pid_file, pid) = (scene.text_path("app.pid"), scene.pid());
    let mut fetchd = scene.run(&flags(&pid_file, "successor"));
    scene.publish_server("1.1.0", "");
    fetchd.wait_for_event("release.confirmed", "");
    scene.serves("1.1.0");
    assert_ne!(scene.pid(), pid);
    gone(pid);
}

/// The limit of a process that becomes the new release itself: nobody is left to get a signal.
#[test]
fn a_process_that_ended_is_found_out_and_the_previous_binary_lies_ready() {
    let scene = scene();
    let pid_file = scene.text_path("app.pid");
    let mut fetchd = scene.run(&[&flags(&pid_file, "reload")[..], &["--watch", "20s"]].concat());
    scene.publish_server("1.1.0", "dies");
    fetchd.wait_for_event("handoff.failed", "");
    scene.wait_for_quarantine("1.1.0", &["watch.died", "handoff.restart_failed"]);
    scene.is_back_at(&mut fetchd, &server("1.0.0", ""));
    assert!(fetchd.log().contains("cannot restart the service"), "{}", fetchd.log());
    // Whoever runs the service starts it again.
    start(&mut std::process::Command::new(scene.path("bin/restart")));
    scene.serves("1.0.0");
    scene.publish_server("1.2.0", "");
    fetchd.wait_for_event("release.confirmed", "");
    scene.serves("1.2.0");
}

#[test]
fn without_a_process_nothing_is_signalled_and_no_release_is_blamed() {
    let scene = scene();
    let (pid_file, pid) = (scene.path("app.pid"), scene.pid());
    let fetchd = scene.run(&[&flags(pid_file.to_str().unwrap(), "reload")[..], &["--interval", "1h"]].concat());
    scene.publish_server("1.1.0", "");
    // Of a process that ended, and of one that was given the number of the service later.
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let mut stranger = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let past = SystemTime::now() - Duration::from_secs(3600);
    for (text, said) in [
        (None, "there is no PID file"),
        (Some("nothing".to_owned()), "holds no number"),
        (Some(dead.id().to_string()), "does not run"),
        (Some(stranger.id().to_string()), "was left behind"),
    ] {
        fs::remove_file(&pid_file).unwrap_or_default();
        if let Some(text) = &text {
            // Old before it is there: fetchd may look at any time.
            let aside = scene.path("aside");
            fs::write(&aside, text).unwrap();
            fs::File::options().write(true).open(&aside).unwrap().set_modified(past).unwrap();
            fs::rename(&aside, &pid_file).unwrap();
        }
        scene.is_unreachable(&fetchd, said);
    }
    assert!(runs(stranger.id()) && runs(pid));
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    fs::write(&pid_file, pid.to_string()).unwrap();
    scene.goes_live(&fetchd);
    scene.serves("1.1.0");
    signal(pid, Signal::TERM);
}
