//! `systemd`, with a program on the path that plays systemctl: where the tests run there is no systemd.

use std::fs;
use std::process::Command;

use crate::scene::{Foreign, server, start};
use crate::site::Supervised;

fn scene() -> Foreign {
    let scene = Foreign::new();
    let systemctl = scene.script("systemctl", include_str!("systemctl.py"));
    start(Command::new(systemctl).args(["restart", "--", "web.service"]));
    scene.serves("1.0.0");
    fs::remove_file(scene.path("calls")).unwrap();
    scene
}

fn run<'a>(scene: &'a Foreign, more: &[&str]) -> Supervised<'a> {
    let path = format!("{}:{}", scene.path("bin").display(), std::env::var("PATH").unwrap());
    let flags = [&["--restart", "systemd", "--restart-unit", "web.service"], more].concat();
    scene.run_with(&flags, &[("PATH", &path)])
}

fn asked_for(scene: &Foreign, verb: &str) -> usize {
    fs::read_to_string(scene.path("calls")).unwrap_or_default().lines().filter(|call| *call == verb).count()
}

#[test]
fn a_unit_is_restarted_and_known_to_run() {
    for verb in ["restart", "try-restart"] {
        let scene = scene();
        let mut fetchd = run(&scene, &["--restart-verb", verb]);
        let before = scene.pid();
        scene.publish_server("1.1.0", "");
        fetchd.wait_for_event("release.confirmed", "");
        scene.serves("1.1.0");
        assert_ne!(scene.pid(), before);
        assert_eq!(asked_for(&scene, verb), 1);
    }
}

#[test]
fn a_unit_is_reloaded_in_the_same_process() {
    let scene = scene();
    let mut fetchd = run(&scene, &["--restart-verb", "reload"]);
    let before = scene.pid();
    scene.publish_server("1.1.0", "");
    fetchd.wait_for_event("release.confirmed", "");
    scene.serves("1.1.0");
    assert_eq!((scene.pid(), asked_for(&scene, "restart")), (before, 0));
}

#[test]
fn a_release_that_the_unit_cannot_run_is_taken_back() {
    let scene = scene();
    let health = format!("http://{}/health", scene.address());
    let more = ["--health", &health, "--health-interval", "100ms", "--watch", "4s", "--restart-deadline", "6s"];
    let mut fetchd = run(&scene, &more);
    for (version, fault, codes) in [
        ("1.1.0", "crash", &["handoff.restart_failed"][..]),
        ("1.2.0", "hang", &["handoff.deadline"]),
        ("1.3.0", "dies", &["watch.died", "watch.unhealthy", "handoff.restart_failed"]),
        ("1.4.0", "unhealthy", &["watch.unhealthy"]),
    ] {
        scene.publish_server(version, fault);
        scene.wait_for_quarantine(version, codes);
        scene.is_back_at(&mut fetchd, &server("1.0.0", ""));
        scene.serves("1.0.0");
    }
    scene.publish_server("1.5.0", "");
    fetchd.wait_for_event("release.confirmed", "");
    scene.serves("1.5.0");
}

#[test]
fn without_the_unit_or_systemctl_no_release_is_blamed() {
    let scene = scene();
    let pid = scene.pid();
    fs::write(scene.path("no-unit"), "").unwrap();
    let fetchd = run(&scene, &["--interval", "1h"]);
    scene.publish_server("1.1.0", "");
    scene.is_unreachable(&fetchd, "the unit `web.service` is not-found");
    fs::remove_file(scene.path("no-unit")).unwrap();
    fs::rename(scene.path("bin/systemctl"), scene.path("bin/aside")).unwrap();
    scene.is_unreachable(&fetchd, "systemctl");
    assert_eq!((scene.pid(), asked_for(&scene, "restart")), (pid, 0));
    fs::rename(scene.path("bin/aside"), scene.path("bin/systemctl")).unwrap();
    scene.goes_live(&fetchd);
    scene.serves("1.1.0");
}
