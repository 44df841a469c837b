//! The columns whose server is the one in Python.

use std::fs;

use super::{GARBAGE, code_of};
use crate::command;
use crate::failures::{COMMAND, Column, Fault, NONE, RELOAD, SUCCESSOR, SUPERVISORD, SYSTEMD, Stage, play};
use crate::scene::{Foreign, server, start};
use crate::site::Supervised;
use crate::{supervisord, systemd};

/// The server with a fault.
pub(super) fn program(version: &str, fault: Option<Fault>) -> Vec<u8> {
    let words = match fault {
        None => "",
        Some(Fault::ExitsAtOnce) => "crash",
        Some(Fault::ExitsLater) => "crash later",
        Some(Fault::Hangs) => "hang",
        Some(Fault::DiesInWatch) => "fatal check",
        Some(Fault::Unhealthy) => "unhealthy",
        Some(Fault::WrongVersion) => "wrong version",
        Some(Fault::WrongFormat) => return GARBAGE.to_vec(),
        Some(Fault::NotExecutable) => panic!("fetchd installs nothing like it"),
    };
    server(version, words)
}

/// The server, somebody who runs it, and fetchd.
struct Python<'a> {
    scene: &'a Foreign,
    flags: Vec<String>,
    fetchd: Option<Supervised<'a>>,
    smoke: bool,
    /// Whether fetchd restarts it.
    restarts: bool,
}

impl<'a> Python<'a> {
    fn start(scene: &'a Foreign, flags: &[&str]) -> Python<'a> {
        let health = format!("http://{}/health", scene.address());
        let mut all = vec!["--interval", "1h"];
        if !flags.ends_with(&["none"]) {
            // A good one has this long to come, on a busy machine, too.
            all.extend(["--restart-deadline", "4s", "--health-interval", "50ms"]);
            if !flags.contains(&"--health") {
                all.extend(["--health", &health]);
            }
        }
        let flags: Vec<String> = flags.iter().chain(&all).map(|flag| (*flag).to_owned()).collect();
        let restarts = !flags.iter().any(|flag| flag == "none");
        let mut python = Python { scene, flags, fetchd: None, smoke: true, restarts };
        python.run();
        python
    }

    /// fetchd, with or without a smoke run.
    fn run(&mut self) {
        self.fetchd = None;
        let mut flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        if !self.smoke {
            flags.extend(["--smoke", "off"]);
        }
        // Where a program plays systemctl, it lies there.
        let path = format!("{}:{}", self.scene.path("bin").display(), std::env::var("PATH").unwrap());
        self.fetchd = Some(self.scene.run_with(&flags, &[("PATH", &path)]));
    }
}

impl Stage for Python<'_> {
    fn let_pass(&mut self, fault: Fault) {
        if fault == Fault::WrongFormat {
            self.smoke = false;
            self.run();
        }
    }

    fn bring(&mut self, version: &str, fault: Option<Fault>) -> String {
        self.scene.publish(version, &program(version, fault));
        let code = code_of(&self.fetchd.as_ref().unwrap().fetchd("apply", &["--json"]));
        if fault.is_none() && !self.restarts {
            self.start_again();
        }
        code
    }

    fn serves(&mut self, version: &str) -> u32 {
        self.scene.serves(version);
        let installed = fs::read(self.scene.site.program()).unwrap();
        assert!(
            !self.restarts || installed == program(version, None),
            "{version} is not what lies at the program path"
        );
        self.scene.pid()
    }

    fn start_again(&mut self) {
        let log = self.fetchd.as_ref().unwrap().log();
        assert!(!self.restarts || log.contains("rollback.failed"), "nobody is told that nothing serves: {log}");
        start(std::process::Command::new(self.scene.path("bin/restart")).arg("by hand"));
    }
}

fn played(column: &Column, scene: &Foreign, flags: &[&str]) {
    play(column, &mut Python::start(scene, flags));
}

#[test]
fn every_failure_under_systemd() {
    played(&SYSTEMD, &systemd::scene(), &["--restart", "systemd", "--restart-unit", "web.service"]);
}

#[test]
fn every_failure_of_a_successor() {
    let (scene, _) = command::scene();
    let pid_file = scene.text_path("app.pid");
    let flags = ["--restart", "signal", "--restart-recipe", "successor", "--restart-pid-file", &pid_file];
    played(&SUCCESSOR, &scene, &flags);
}

#[test]
fn every_failure_of_a_reload() {
    let (scene, _) = command::scene();
    let pid_file = scene.text_path("app.pid");
    // What hangs has a queue of connections all the same: nobody waits long for an answer.
    let health = format!("curl -fsS -m 2 http://{}/health", scene.address());
    let flags =
        ["--restart", "signal", "--restart-recipe", "reload", "--health", &health, "--restart-pid-file", &pid_file];
    played(&RELOAD, &scene, &flags);
}

#[test]
fn every_failure_under_supervisord() {
    let scene = supervisord::scene();
    let flags = supervisord::flags(&scene, "web", &[]);
    played(&SUPERVISORD, &scene, &supervisord::borrowed(&flags));
}

#[test]
fn every_failure_under_a_command() {
    let (scene, restart) = command::scene();
    played(&COMMAND, &scene, &["--restart", "command", "--restart-command", &restart]);
}

#[test]
fn every_failure_where_nothing_is_restarted() {
    let (scene, _) = command::scene();
    played(&NONE, &scene, &["--restart", "none"]);
}
