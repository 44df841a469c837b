//! `command`: a script of the operator's stops the server and starts it again.

use std::fs;

use crate::processes::runs;
use crate::scene::{Foreign, server};

/// Ends the server if it runs, starts what lies at the program path, and waits until it serves.
pub(crate) const RESTART: &str = r#"#!/bin/sh
cd "$(dirname "$0")/.." || exit 1
echo "$FETCHD_ACTION $FETCHD_VERSION $FETCHD_DIGEST" >>calls
[ -e later ] && exit 75
for file in app.pid started.pid; do
    old=$(cat $file 2>/dev/null) || continue
    kill "$old" 2>/dev/null
    while grep -q '^State:.[^ZX]' "/proc/$old/status" 2>/dev/null; do sleep 0.02; done
done
rm -f app.pid
setsid "${FETCHD_PROGRAM:-$PWD/srv/app}" "$PWD" </dev/null >/dev/null 2>&1 &
echo $! >started.pid
while [ ! -e app.pid ]; do
    grep -q '^State:.[^ZX]' "/proc/$(cat started.pid)/status" 2>/dev/null || exit 1
    sleep 0.02
done
"#;

/// The server runs, and a script that restarts it is there.
pub(crate) fn scene() -> (Foreign, String) {
    let scene = Foreign::new();
    let restart = scene.script("restart", RESTART);
    crate::scene::start(&mut std::process::Command::new(&restart));
    scene.serves("1.0.0");
    fs::remove_file(scene.path("calls")).unwrap();
    (scene, restart)
}

fn calls(scene: &Foreign) -> Vec<String> {
    let calls = fs::read_to_string(scene.path("calls")).unwrap_or_default();
    calls.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn a_command_brings_each_release_to_life_and_is_told_which() {
    let (scene, restart) = scene();
    let mut fetchd = scene.run(&["--restart", "command", "--restart-command", &restart]);
    let before = scene.pid();
    scene.publish_server("1.1.0", "");
    fetchd.wait_for_event("release.confirmed", "");
    scene.serves("1.1.0");
    assert_ne!(scene.pid(), before);
    let output = fetchd.fetchd("rollback", &[]);
    assert!(output.status.success(), "{}", crate::site::text(&output));
    scene.serves("1.0.0");
    scene.quarantined("1.1.0");
    let output = fetchd.fetchd("restart", &[]);
    assert!(output.status.success(), "{}", crate::site::text(&output));
    assert_eq!(calls(&scene), ["handoff 1.1.0", "handoff 1.0.0", "handoff 1.0.0"]);
    let digest = fetchd::digest::Sha256::of(&fs::read(scene.site.program()).unwrap()).to_string();
    assert!(fs::read_to_string(scene.path("calls")).unwrap().trim_end().ends_with(&digest));
    let status = fetchd.fetchd("status", &[]);
    assert!(crate::site::text(&status).contains("run by somebody else, restarted by `command`"));
    // fetchd goes, the service stays.
    let pid = scene.pid();
    assert_eq!(fetchd.stop().code(), Some(0));
    assert!(runs(pid));
}

/// The program that follows makes the driver anew, and knows what runs.
#[test]
fn a_supervisor_that_replaces_itself_goes_on_with_its_driver() {
    let (scene, restart) = scene();
    let mut fetchd = scene.run(&["--restart", "command", "--restart-command", &restart]);
    scene.publish_server("1.1.0", "");
    fetchd.wait_for_event("release.confirmed", "");
    let (supervisor, before) = (fetchd.pid(), scene.pid());
    let output = fetchd.fetchd("restart", &["--supervisor"]);
    assert!(output.status.success(), "{}", crate::site::text(&output));
    assert_eq!((fetchd.try_status().unwrap().pid, scene.pid()), (supervisor, before), "nobody has noticed");
    scene.publish_server("1.2.0", "");
    scene.serves("1.2.0");
    assert_eq!(calls(&scene), ["handoff 1.1.0", "handoff 1.2.0"]);
    assert_eq!(fetchd.stop().code(), Some(0));
}

#[test]
fn a_command_is_told_to_go_back_after_a_release_that_did_not_start_or_was_not_well() {
    let (scene, restart) = scene();
    let health = format!("http://{}/health", scene.address());
    let flags = ["--restart", "command", "--restart-command", &restart, "--interval", "1h"];
    let fetchd = scene.run(&[&flags[..], &["--health", &health, "--health-interval", "50ms"]].concat());
    for (version, fault) in [("1.1.0", "crash"), ("1.2.0", "unhealthy")] {
        scene.publish_server(version, fault);
        assert!(!fetchd.fetchd("apply", &[]).status.success());
        scene.serves("1.0.0");
    }
    let expected = ["handoff 1.1.0", "rollback", "handoff 1.2.0", "rollback 1.0.0"];
    // What lies at the path is known once a watch has told, and not before.
    assert!(calls(&scene).iter().zip(expected).all(|(call, start)| call.starts_with(start)), "{:?}", calls(&scene));
    assert_eq!(calls(&scene).len(), expected.len(), "{:?}", calls(&scene));
}

#[test]
fn a_command_that_cannot_run_or_says_later_blames_no_release() {
    let (scene, restart) = scene();
    let before = scene.pid();
    let aside = scene.path("aside");
    fs::rename(&restart, &aside).unwrap();
    let fetchd = scene.run(&["--restart", "command", "--restart-command", &restart, "--interval", "1h"]);
    scene.publish_server("1.1.0", "");
    scene.is_unreachable(&fetchd, "is not there");
    fs::write(scene.path("later"), "").unwrap();
    fs::rename(&aside, &restart).unwrap();
    scene.is_unreachable(&fetchd, "try again later");
    assert_eq!((scene.pid(), fs::read(scene.site.program()).unwrap()), (before, server("1.0.0", "")));
    fs::remove_file(scene.path("later")).unwrap();
    scene.goes_live(&fetchd);
    scene.serves("1.1.0");
}

#[test]
fn a_stop_in_the_watch_is_not_kept_waiting() {
    let (scene, restart) = scene();
    let fetchd_flags = ["--restart", "command", "--restart-command", &restart, "--watch", "1h"];
    let fetchd = scene.run(&fetchd_flags);
    scene.publish_server("1.1.0", "");
    scene.serves("1.1.0");
    assert_eq!(fetchd.stop().code(), Some(0));
    // It goes on where it was: the release was never confirmed.
    let mut fetchd = scene.run(&["--restart", "command", "--restart-command", &restart]);
    fetchd.wait("1.1.0 is confirmed", |status| status.updates.version.as_deref() == Some("1.1.0"));
    scene.serves("1.1.0");
}

#[test]
fn apply_restarts_the_service_where_no_supervisor_runs() {
    let (scene, restart) = scene();
    let apply = |health: &str| {
        let health = format!("http://{}{health}", scene.address());
        let flags = ["--restart", "command", "--restart-command", &restart, "--health", &health];
        let mut command = scene.command("apply", &[&flags[..], &["--health-interval", "50ms"]].concat());
        command.arg("--").arg(scene.site.program()).output().unwrap()
    };
    scene.publish_server("1.1.0", "");
    let output = apply("/health");
    assert!(output.status.success(), "{}", crate::site::text(&output));
    scene.serves("1.1.0");
    scene.publish_server("1.2.0", "unhealthy");
    let output = apply("/health");
    assert_eq!(output.status.code(), Some(42), "{}", crate::site::text(&output));
    scene.serves("1.1.0");
    scene.quarantined("1.2.0");
}
