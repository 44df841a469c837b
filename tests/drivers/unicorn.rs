//! `signal` with the real unicorn: a Ruby application that brings its own server.

use std::fs;
use std::process::{Command, Stdio};

use fetchd::load::{Load, LoadPlan, Target};

use crate::processes::{children, runs};
use crate::scene::{Foreign, gone, nothing_was_lost, pid_in};
use crate::site::{PATIENCE, wait_until};

const APPLICATION: &str = include_str!("application.rb");

fn application(version: &str, fault: &str) -> Vec<u8> {
    format!("#!/usr/bin/ruby\nVERSION = \"{version}\"\nFAULT = \"{fault}\"\n{APPLICATION}").into_bytes()
}

/// unicorn serves version 1.0.0 on a unix socket.
fn scene() -> (Foreign, Load) {
    let scene = Foreign::with(&application("1.0.0", ""), "1.0.0");
    let home = scene.site.path().display();
    let settings = format!("listen \"{home}/web.sock\"\npid \"{home}/app.pid\"\nworker_processes 2\n");
    fs::write(scene.path("unicorn.rb"), settings).unwrap();
    let log = fs::File::create(scene.path("unicorn.log")).unwrap();
    let mut unicorn = Command::new("setsid");
    unicorn.arg("--fork").arg(scene.site.program()).arg(scene.site.path()).stdin(Stdio::null());
    assert!(unicorn.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap().success());
    wait_until("unicorn has started its workers", || {
        pid_in(&scene.path("app.pid")).is_some_and(|pid| children(pid).len() == 2) && scene.path("web.sock").exists()
    });
    let plan = LoadPlan { fresh: 3, keep_alive: 0, ..LoadPlan::new(Target::Unix(scene.path("web.sock"))) };
    let load = Load::start(plan).unwrap();
    load.wait_for_version("1.0.0", PATIENCE).unwrap();
    (scene, load)
}

#[test]
fn unicorn_is_upgraded_under_load_and_taken_back_without_losing_a_request() {
    let (scene, load) = scene();
    let pid_file = scene.text_path("app.pid");
    let flags = ["--restart", "signal", "--restart-recipe", "unicorn", "--restart-pid-file", &pid_file];
    let mut fetchd = scene.run(&flags);
    for version in ["1.1.0", "1.2.0"] {
        let before = scene.pid();
        scene.publish(version, &application(version, ""));
        fetchd.wait(&format!("{version} is confirmed"), |status| status.updates.version.as_deref() == Some(version));
        load.wait_for_version(version, PATIENCE).unwrap();
        gone(before);
        assert!(runs(scene.pid()));
    }
    let before = scene.pid();
    scene.publish("1.3.0", &application("1.3.0", "crash"));
    scene.wait_for_quarantine("1.3.0", &["handoff.restart_failed"]);
    scene.is_back_at(&mut fetchd, &application("1.2.0", ""));
    assert_eq!(scene.pid(), before);
    scene.publish("1.4.0", &application("1.4.0", ""));
    load.wait_for_version("1.4.0", PATIENCE).unwrap();
    gone(before);
    nothing_was_lost(load, &fetchd);
}
