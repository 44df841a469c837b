//! A driver that fetchd does not know, registered by whoever embeds it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fetchd::agent::{Ask, Line, Outcome};
use fetchd::config::{self, Config, Effective, Host, Layer};
use fetchd::daemon::setup;
use fetchd::failure::Failure as _;
use fetchd::fetch::{Attend, LocalWorker, Progress};
use fetchd::restart::external::{Action, External, Switch, Wait};
use fetchd::restart::{HandoffError, Known, Launch, Options, Registry, RestartDriver, Setup, SetupError, Stop};
use fetchd::state::Store;

use crate::scene::Foreign;

/// Writes down what it was asked, and cannot start what is called `1.1.0`.
#[derive(Debug)]
struct Mine {
    calls: PathBuf,
}

fn make(setup: Setup) -> Result<Box<dyn RestartDriver>, SetupError> {
    let known = Known::check("mine", &setup.options, &["calls"])?;
    let calls = PathBuf::from(known.required("calls", "/tmp/calls")?);
    Ok(Box::new(External::new(Mine { calls }, setup)))
}

impl Switch for Mine {
    fn name(&self) -> &'static str {
        "mine"
    }

    fn prepare(&mut self, _: Action, wait: &Wait) -> Result<(), HandoffError> {
        if self.calls.parent().is_some_and(Path::is_dir) { Ok(()) } else { Err(wait.unreachable("there is no place")) }
    }

    fn switch(&mut self, to: &Launch, action: Action, wait: &Wait) -> Result<(), HandoffError> {
        let version = to.version.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut calls = OpenOptions::new().create(true).append(true).open(&self.calls).unwrap();
        writeln!(calls, "{} {version}", action.word()).unwrap();
        if version == "1.1.0" { Err(wait.failed("it is called 1.1.0")) } else { Ok(()) }
    }

    fn look(&mut self, _: &Wait) -> Result<(), String> {
        let calls = fs::read_to_string(&self.calls).unwrap();
        if calls.ends_with("1.2.0\n") { Err("ended because it is called 1.2.0".to_owned()) } else { Ok(()) }
    }
}

pub(crate) struct Quiet;

impl Attend for Quiet {
    fn progress(&mut self, _: Progress) {}

    fn stop(&mut self) -> bool {
        false
    }
}

/// What `fetchd apply` is made of, for a registry of the embedder's, with `more` settings.
pub(crate) fn line(scene: &Foreign, more: &str) -> (Line, Config) {
    let file = scene.path("app.toml");
    let site = &scene.site;
    let text = format!(
        "program = [{:?}]\nproduct = \"app\"\nstate_dir = {:?}\nsource = {:?}\nkey = \"{}\"\ntarget_check = \"off\"\n\
         {more}",
        site.program(),
        site.state_dir(),
        site.source(),
        site.publisher.public_key()
    );
    fs::write(&file, text).unwrap();
    let host = Host { directory: site.path().to_owned(), root: true, variables: Vec::new() };
    let settings = Effective::load(Layer::default(), Some(&file), host).unwrap();
    let config = Config::of(&settings).unwrap();
    let wanted = setup::wanted(&settings, &config, config.require_source().unwrap()).unwrap();
    let store = Store::open(&config.place.state_dir).unwrap();
    let worker = |_: &_| Ok(Box::new(LocalWorker::new(fetchd_fetchers::Registry::builtin()).unwrap()) as Box<_>);
    let mut line = setup::line(&config, wanted, store, worker).map_err(|(_, report)| report).unwrap();
    let started = line.install.startable(line.store.record()).unwrap().unwrap();
    line.learn_what_runs(&started).unwrap();
    (line, config)
}

#[test]
fn a_driver_of_ones_own_is_registered_and_gets_the_watch_and_the_way_back() {
    let scene = Foreign::new();
    let (mut line, mut config) = line(&scene, "smoke = \"off\"\nwatch = \"100ms\"\nrestart = \"none\"\n");
    let calls = scene.path("calls");
    let mut drivers = Registry::builtin();
    drivers.register("mine", make).unwrap();
    let options = Options::from([("calls".to_owned(), vec![calls.to_str().unwrap().to_owned()])]);
    let deadline = std::time::Duration::from_secs(10);
    config.serve.restart = config::Restart::By(config::Driver { name: "mine".to_owned(), options, deadline });
    let mut driver = setup::driver(&config, &drivers, &Stop::default()).unwrap().unwrap();
    assert_eq!(driver.name(), "mine");

    let mut pass = |line: &mut Line| line.pass(Ask { afresh: true, ..Ask::default() }, &mut *driver, &mut Quiet);
    scene.publish_server("1.1.0", "");
    assert_eq!(pass(&mut line).unwrap_err().code(), "handoff.restart_failed");
    scene.publish_server("1.2.0", "");
    assert_eq!(pass(&mut line).unwrap_err().code(), "watch.died");
    scene.publish_server("1.3.0", "");
    assert!(matches!(pass(&mut line).unwrap(), Outcome::Updated { .. }));
    let expected = "handoff 1.1.0\nrollback \nhandoff 1.2.0\nrollback 1.0.0\nhandoff 1.3.0\n";
    let written = fs::read_to_string(&calls).unwrap();
    assert!(written.starts_with("handoff 1.1.0\nrollback "), "{written}");
    assert_eq!(written.lines().count(), expected.lines().count(), "{written}");
    assert!(written.ends_with("handoff 1.3.0\n"), "{written}");
    assert_eq!(line.store.record().quarantine.len(), 2);

    // Nothing to restart: nothing is blamed.
    let nowhere = Options::from([("calls".to_owned(), vec!["/nowhere/calls".to_owned()])]);
    config.serve.restart = config::Restart::By(config::Driver { name: "mine".to_owned(), options: nowhere, deadline });
    let mut lost = setup::driver(&config, &drivers, &Stop::default()).unwrap().unwrap();
    scene.publish_server("1.4.0", "");
    let failure = line.pass(Ask { afresh: true, ..Ask::default() }, &mut *lost, &mut Quiet).unwrap_err();
    assert_eq!((failure.code(), line.store.record().quarantine.len()), ("handoff.unreachable", 2));
    config.serve.restart =
        config::Restart::By(config::Driver { name: "yours".to_owned(), options: Options::new(), deadline });
    assert_eq!(setup::driver(&config, &drivers, &Stop::default()).unwrap_err().code, "driver.unknown");
}
