//! The column of a driver that fetchd does not know: it runs a script, as a program that embeds fetchd may do.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use fetchd::agent::{Ask, Line};
use fetchd::config::{self, Config};
use fetchd::daemon::setup;
use fetchd::failure::Failure as _;
use fetchd::restart::external::{Action, External, Switch, Wait};
use fetchd::restart::{HandoffError, Known, Launch, Options, Registry, RestartDriver, Setup, SetupError, Stop};

use super::python::program;
use crate::command;
use crate::failures::{Fault, OWN, Stage, play};
use crate::own::{Quiet, line};
use crate::processes::runs;
use crate::scene::{Foreign, pid_in};

/// Restarts by a script, and looks for the process in the PID file.
#[derive(Debug)]
struct Script {
    script: PathBuf,
    pid_file: PathBuf,
    runs: Option<u32>,
}

fn make(setup: Setup) -> Result<Box<dyn RestartDriver>, SetupError> {
    let known = Known::check("script", &setup.options, &["script", "pid_file"])?;
    let script = PathBuf::from(known.required("script", "/srv/restart")?);
    let pid_file = PathBuf::from(known.required("pid_file", "/run/web.pid")?);
    Ok(Box::new(External::new(Script { script, pid_file, runs: None }, setup)))
}

impl Switch for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn prepare(&mut self, _: Action, wait: &Wait) -> Result<(), HandoffError> {
        if self.script.is_file() { Ok(()) } else { Err(wait.unreachable("there is no script")) }
    }

    fn switch(&mut self, _: &Launch, _: Action, wait: &Wait) -> Result<(), HandoffError> {
        let mut child = Command::new(&self.script).stdin(Stdio::null()).spawn().unwrap();
        let ended = wait.find("the script still ran", || Ok(child.try_wait().unwrap()));
        if ended.is_err() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if !ended?.success() {
            return Err(wait.failed("the script failed"));
        }
        self.runs = pid_in(&self.pid_file);
        Ok(())
    }

    fn look(&mut self, _: &Wait) -> Result<(), String> {
        if self.runs.is_some_and(runs) { Ok(()) } else { Err("ended".to_owned()) }
    }
}

struct Own<'a> {
    scene: &'a Foreign,
    script: String,
    /// The line and the driver; replaced as one, as whoever embeds them starts anew.
    parts: Option<(Line, Box<dyn RestartDriver>)>,
}

impl Own<'_> {
    fn start(&mut self, smoke: &str) {
        // The state belongs to one at a time.
        self.parts = None;
        // Not by URL: only a program that fetchd is part of knows how to ask one.
        let health = format!("[\"curl\", \"-fsS\", \"-m\", \"5\", \"http://{}/health\"]", self.scene.address());
        let settings = format!(
            "watch = \"300ms\"\nhealth = {health}\nhealth_interval = \"50ms\"\nrestart = \"command\"\n\
             restart_command = [\"true\"]\n{smoke}"
        );
        let (line, mut config) = line(self.scene, &settings);
        let mut drivers = Registry::builtin();
        drivers.register("script", make).unwrap();
        self.parts = Some((line, driver(self.scene, &self.script, &mut config, &drivers)));
    }
}

fn driver(scene: &Foreign, script: &str, config: &mut Config, drivers: &Registry) -> Box<dyn RestartDriver> {
    let options = [("script", script.to_owned()), ("pid_file", scene.text_path("app.pid"))];
    let options = Options::from(options.map(|(name, value)| (name.to_owned(), vec![value])));
    let deadline = Duration::from_secs(5);
    config.serve.restart = config::Restart::By(config::Driver { name: "script".to_owned(), options, deadline });
    setup::driver(config, drivers, &Stop::default()).unwrap().unwrap()
}

impl Stage for Own<'_> {
    fn let_pass(&mut self, fault: Fault) {
        if fault == Fault::WrongFormat {
            self.start("smoke = \"off\"\n");
        }
    }

    fn bring(&mut self, version: &str, fault: Option<Fault>) -> String {
        self.scene.publish(version, &program(version, fault));
        let (line, driver) = self.parts.as_mut().unwrap();
        let outcome = line.pass(Ask { afresh: true, ..Ask::default() }, &mut **driver, &mut Quiet);
        outcome.map_or_else(|failure| failure.code().to_owned(), |_| String::new())
    }

    fn serves(&mut self, version: &str) -> u32 {
        self.scene.serves(version);
        assert!(std::fs::read(self.scene.site.program()).unwrap() == program(version, None));
        self.scene.pid()
    }
}

#[test]
fn every_failure_under_a_driver_of_ones_own() {
    let (scene, script) = command::scene();
    let mut own = Own { scene: &scene, script, parts: None };
    own.start("");
    play(&OWN, &mut own);
}
