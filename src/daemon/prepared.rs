//! What a supervisor needs before it starts anything.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::embedded::{Embedded, Restarts};
use super::machinery::{Machinery, machinery};
use super::signals::Signals;
use super::{Daemon, Itself, Parts, setup, start_failure};
use crate::agent::{Ledger, Observer, Shown, Wanted};
use crate::clock::Timestamp;
use crate::config::{Config, Restart};
use crate::control::{self, Server};
use crate::failure::{Exit, Reported};
use crate::install::Installed;
use crate::restart::supervise::{Listener, Supervisor};
use crate::restart::{Launch, Registry, RestartDriver, Stop};
use crate::service::Socket;
use crate::state::Store;

/// A supervisor with everything that it needs, which has started nothing and touched no signal: until now it can be
/// dropped, and all is as before.
#[derive(Debug)]
pub struct Prepared {
    config: Config,
    supervisor: Supervisor,
    machinery: Machinery,
    driver: Option<Box<dyn RestartDriver>>,
    stop: Stop,
    started: Option<Installed>,
    control: Option<Server>,
    /// What is started first, and how long ago it was confirmed.
    launch: Option<(Launch, Option<Duration>)>,
    observer: Option<Observer>,
    restarts: Restarts,
    restart_signal: Signal,
}

impl Prepared {
    /// Opens the state, settles what a crash left, and binds the sockets that `inherited` does not hold.
    pub fn of(
        config: &Config,
        wanted: Option<Wanted>,
        inherited: Vec<crate::service::Listener>,
        embedded: Embedded,
    ) -> Result<Prepared, Reported> {
        Prepared::with(config, wanted, inherited, embedded, &Registry::builtin())
    }

    pub(super) fn with(
        config: &Config,
        wanted: Option<Wanted>,
        inherited: Vec<crate::service::Listener>,
        embedded: Embedded,
        drivers: &Registry,
    ) -> Result<Prepared, Reported> {
        let stop = Stop::default();
        let driver = setup::driver(config, drivers, &stop)?;
        let options = setup::options(config)?;
        let Embedded { outfit, observer, restarts, restart_signal } = embedded;
        let machinery = machinery(config, wanted, || Store::open(&config.place.state_dir), None, &outfit)?;
        let (line, off) = (&machinery.line, &machinery.off);
        let started = match line {
            Some(line) => line.install.startable(line.store.record())?,
            None => None,
        };
        let confirmed_for = line.as_ref().zip(started.as_ref()).and_then(|(line, started)| {
            let confirmed = line.store.record().confirmed.as_ref()?;
            (confirmed.sha256 == *started.sha256()).then(|| Timestamp::now().since(confirmed.at))
        });
        let launch = match (line, &started) {
            (Some(_), None) => None,
            (_, Some(installed)) => Some(Launch::of(installed)),
            // What is in the way of updates is in the way of this start, too.
            (None, None) => Some(without_updates(config).map_err(|missing| off.clone().unwrap_or(missing))?),
        };
        let control = control_socket(config);
        let listeners = listeners(config, inherited)?;
        let supervisor = Supervisor::new(options, listeners).map_err(|e| start_failure("start.notify", &e))?;
        for (name, address) in supervisor.status().listeners {
            tracing::info!(event = "listen", name, address, "listening");
        }
        Ok(Prepared {
            config: config.clone(),
            supervisor,
            machinery,
            driver,
            stop,
            started,
            control,
            launch: launch.map(|launch| (launch, confirmed_for)),
            observer,
            restarts,
            restart_signal,
        })
    }

    /// Runs the service until it is told to stop. Returns its exit code. `itself` says how this program replaces itself,
    /// and comes with the text of its configuration file, if there is one.
    ///
    /// Call it on the main thread: the kernel ends the service with the thread that started it.
    pub fn serve(self, itself: Itself, text: Option<String>) -> Result<u8, Reported> {
        let signals =
            Signals::listen_among_threads(self.restart_signal).map_err(|e| start_failure("start.signals", &e))?;
        self.start(signals, Some((itself, text)))?.run()
    }

    pub(super) fn start(self, signals: Signals, itself: Option<(Itself, Option<String>)>) -> Result<Daemon, Reported> {
        let Prepared { config, mut supervisor, machinery, driver, stop, started, control, launch, .. } = self;
        match launch {
            _ if driver.is_some() => supervisor.begin_nothing(),
            Some((launch, confirmed_for)) => supervisor.begin(launch, confirmed_for),
            None => {}
        }
        let parts = Parts {
            signals,
            supervisor,
            machinery,
            driver,
            stop,
            at_path: started.as_ref().map(|installed| *installed.sha256()),
            started,
            shown: Shown::default(),
            began: Instant::now(),
            observer: self.observer,
            restarts: self.restarts,
            ledger: Ledger::default(),
        };
        let mut daemon = Daemon::of(&config, parts, itself)?;
        daemon.control = control;
        Ok(daemon)
    }
}

/// The control socket. A service runs without one rather than not at all.
pub(super) fn control_socket(config: &Config) -> Option<Server> {
    let path = control::path(&config.place.state_dir);
    Server::bind(&path)
        .inspect_err(|e| {
            tracing::error!(event = "control.unavailable", error = %e, path = %path.display(), "no control socket: `fetchd status` and the like will not work");
        })
        .ok()
}

/// A service that is run as it is.
fn without_updates(config: &Config) -> Result<Launch, Reported> {
    let program = config.program.path.clone();
    if !program.is_file() {
        return Err(Reported {
            code: "program.missing".to_owned(),
            exit: Exit::Usage,
            message: format!("there is no program at `{}`", program.display()),
            hint: Some(
                "give its path after `--`; with a `source`, fetchd installs the first release itself".to_owned(),
            ),
        });
    }
    Ok(Launch { program, sha256: None, version: None, stamp: None })
}

/// What systemd passed, by name, and the rest bound here.
fn listeners(config: &Config, inherited: Vec<crate::service::Listener>) -> Result<Vec<Listener>, Reported> {
    let mut adopted = Vec::new();
    let mut seen = HashSet::new();
    for listener in inherited {
        let name = listener.name().to_owned();
        let socket = match listener.into_socket() {
            Socket::Tcp(socket) => OwnedFd::from(socket),
            Socket::Unix(socket) => OwnedFd::from(socket),
            Socket::Udp(socket) => OwnedFd::from(socket),
        };
        // After a crash the same one comes from its socket unit and from the descriptor store.
        let stat = rustix::fs::fstat(&socket).map_err(|e| start_failure("start.inherited", &io::Error::from(e)))?;
        if !seen.insert((stat.st_dev, stat.st_ino)) {
            continue;
        }
        adopted.push(Listener::adopt(name, socket).map_err(|e| start_failure("start.inherited", &e))?);
    }
    let mut listeners = Vec::new();
    if config.serve.restart != Restart::Supervise {
        if !adopted.is_empty() {
            tracing::warn!(
                event = "listen.unused",
                "systemd passed sockets, and the service that they are for is not run by fetchd"
            );
        }
        return Ok(listeners);
    }
    for listen in setup::listens(config) {
        match adopted.iter().position(|listener| listener.name() == listen.name) {
            Some(at) => listeners.push(adopted.remove(at)),
            None => listeners.push(Listener::bind(&listen)?),
        }
    }
    listeners.append(&mut adopted);
    Ok(listeners)
}
