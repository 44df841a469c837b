//! `systemd`, with a program on the path that plays systemctl: where these tests run there is no systemd.

use std::fs;
use std::process::Command;

use crate::scene::{Foreign, start};
use crate::site::Supervised;

pub(crate) fn scene() -> Foreign {
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
