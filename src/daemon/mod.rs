//! `fetchd run`: the supervisor's loop, the agent's thread and the control socket, put together.

mod embedded;
pub(crate) mod floor;
mod init;
pub(crate) mod lines;
pub(crate) mod probe;
pub mod setup;
mod signals;
pub mod worker;

use std::fs::File;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::agent::{Agent, Inbox, Line, Message, Observed, Post, Reopen, Schedule, Shown, Wanted};
use crate::clock::Timestamp;
use crate::config::{Config, Restart};
use crate::control::{self, Backend, Server};
use crate::digest::Sha256;
use crate::failure::{Exit, Reported};
use crate::install::Install;
use crate::restart::supervise::{self, Command, Listener, News, Supervise, Supervisor, Waker};
use crate::restart::{Launch, RestartDriver, none};
use crate::service::{Inherited, Socket};
use crate::state::{StateError, Store};
use embedded::FilesOnly;
pub(crate) use embedded::is_this_program;
pub use embedded::{Embedded, Outfit, Restarts};
use init::Strangers;
use rustix::process::Signal;
use signals::{Asked, Signals};

/// Runs the service until it is told to stop. Returns the service's exit code.
///
/// Call it on the main thread, before any other thread is started.
pub fn run(config: &Config, wanted: Option<Wanted>) -> Result<u8, Reported> {
    let inherited = Inherited::take_sockets().map_err(|e| start_failure("start.inherited", &e))?;
    let signals = Signals::listen(Signal::USR2).map_err(|e| start_failure("start.signals", &e))?;
    Prepared::of(config, wanted, inherited, Embedded::default())?.serve_with(signals)
}

/// A supervisor with everything that it needs, which has started nothing and touched no signal: until now it can be
/// dropped, and all is as before.
#[derive(Debug)]
pub struct Prepared {
    supervisor: Supervisor,
    orders: Receiver<Command>,
    bell: PipeReader,
    control: Option<Server>,
    backend: Backend,
    service: Arc<Mutex<supervise::Status>>,
    agent: Agent,
    /// What is started first, and how long ago it was confirmed.
    launch: Option<(Launch, Option<Duration>)>,
    ends_at_restart: bool,
    restart_signal: Signal,
    /// See [`Machinery`].
    _store: Option<Store>,
}

impl Prepared {
    /// Opens the state, settles what a crash left, and binds the sockets that `inherited` does not hold.
    pub fn of(
        config: &Config,
        wanted: Option<Wanted>,
        inherited: Vec<crate::service::Listener>,
        embedded: Embedded,
    ) -> Result<Prepared, Reported> {
        let options = setup::options(config)?;
        let Embedded { outfit, observer, restarts, restart_signal } = embedded;
        let Machinery { line, off, reopen, _store } = machinery(config, wanted, &outfit)?;
        let started = match &line {
            Some(line) => line.install.startable(line.store.record())?,
            None => None,
        };
        let confirmed_for = line.as_ref().zip(started.as_ref()).and_then(|(line, started)| {
            let confirmed = line.store.record().confirmed.as_ref()?;
            (confirmed.sha256 == *started.sha256()).then(|| Timestamp::now().since(confirmed.at))
        });
        let launch = match (&line, &started) {
            (Some(_), None) => None,
            (_, Some(installed)) => Some(Launch::of(installed)),
            // What is in the way of updates is in the way of this start, too.
            (None, None) => Some(without_updates(config).map_err(|missing| off.clone().unwrap_or(missing))?),
        };
        let control = control_socket(config);
        let listeners = listeners(config, inherited)?;

        let (bell, writer) = io::pipe().map_err(|e| start_failure("start.pipe", &e))?;
        rustix::io::ioctl_fionbio(&bell, true).map_err(|e| start_failure("start.pipe", &io::Error::from(e)))?;
        let waker = Waker::new(writer).map_err(|e| start_failure("start.pipe", &e))?;
        let (commands, orders) = channel();
        let (inbox, post) = Inbox::new().map_err(|e| start_failure("start.pipe", &e))?;
        let shown = Shown::default();
        shown.write(|shown| shown.updates_off = off);
        let patience = options.ready_deadline * 10 + options.watch + options.drain_deadline + Duration::from_secs(60);
        let supervise = Box::new(Supervise::new(commands, waker, patience));
        let driver: Box<dyn RestartDriver> = match (config.serve.restart, restarts) {
            (Restart::None, _) => Box::new(none::None),
            (Restart::Supervise, Restarts::ByOthers) => {
                Box::new(FilesOnly::new(supervise, started.as_ref().map(|installed| *installed.sha256())))
            }
            (Restart::Supervise, _) => supervise,
        };
        let driver: Box<dyn RestartDriver> = match &observer {
            Some(observer) => Box::new(Observed::new(driver, observer.clone())),
            None => driver,
        };

        let supervisor = Supervisor::new(options, listeners).map_err(|e| start_failure("start.notify", &e))?;
        for (name, address) in supervisor.status().listeners {
            tracing::info!(event = "listen", name, address, "listening");
        }
        let agent = Agent {
            line,
            reopen,
            driver,
            schedule: Schedule::new(setup::rhythm(config)),
            worker_stays: config.worker.stay,
            shown: shown.clone(),
            inbox,
            program: config.program.path.clone(),
            started,
            observer,
        };
        let service = Arc::new(Mutex::new(supervisor.status()));
        Ok(Prepared {
            orders,
            bell,
            control,
            backend: backend(config, Arc::clone(&service), post, shown),
            service,
            agent,
            launch: launch.filter(|_| config.serve.restart == Restart::Supervise).map(|launch| (launch, confirmed_for)),
            supervisor,
            ends_at_restart: restarts == Restarts::ByOthers,
            restart_signal,
            _store,
        })
    }

    /// Runs the service until it is told to stop. Returns its exit code.
    ///
    /// Call it on the main thread, before any other thread is started.
    pub fn serve(self) -> Result<u8, Reported> {
        let signals = Signals::listen(self.restart_signal).map_err(|e| start_failure("start.signals", &e))?;
        self.serve_with(signals)
    }

    fn serve_with(self, mut signals: Signals) -> Result<u8, Reported> {
        let Prepared {
            mut supervisor, orders, bell, control, backend, service, agent, launch, ends_at_restart, ..
        } = self;
        if let Some((launch, confirmed_for)) = launch {
            supervisor.begin(launch, confirmed_for);
        }
        let agent = std::thread::Builder::new()
            .name("agent".to_owned())
            .spawn(move || agent.run())
            .map_err(|e| start_failure("start.thread", &e))?;
        let mut daemon = Daemon {
            supervisor,
            orders,
            bell,
            control,
            post: backend.post.clone(),
            backend,
            service,
            ends_at_restart,
            interrupts: 0,
            strangers: Strangers::default(),
            reap_at: None,
        };
        let code = daemon.serve(&mut signals);
        daemon.post.send(Message::Stop);
        // It may be in the middle of a disk operation, which the journal covers; a process that is told
        // to stop does not wait for a download.
        let give_up = Instant::now() + AGENT_ENDS;
        while !agent.is_finished() && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(daemon.control);
        daemon.supervisor.release();
        Ok(code)
    }
}

/// The control socket. A service runs without one rather than not at all.
fn control_socket(config: &Config) -> Option<Server> {
    let path = control::path(&config.place.state_dir);
    Server::bind(&path)
        .inspect_err(|e| {
            tracing::error!(event = "control.unavailable", error = %e, path = %path.display(), "no control socket: `fetchd status` and the like will not work");
        })
        .ok()
}

/// What updates need, or why there are none.
struct Machinery {
    line: Option<Line>,
    off: Option<Reported>,
    reopen: Option<Reopen>,
    /// Held for its lock where there is no source: two supervisors of one service are one too many.
    _store: Option<Store>,
}

/// What is wrong with the state or with the disk stops updates, never the service. The lock is not held then: `fetchd
/// state repair` needs it.
fn machinery(config: &Config, wanted: Option<Wanted>, outfit: &Outfit) -> Result<Machinery, Reported> {
    let mut machinery = Machinery { line: None, off: None, reopen: None, _store: None };
    let opened = Store::open(&config.place.state_dir);
    if let Err(locked @ StateError::Locked { .. }) = opened {
        return Err(locked.into());
    }
    let Some(wanted) = wanted else {
        match opened {
            Ok(store) => machinery._store = Some(store),
            Err(e) => machinery.off = Some(updates_off(config, e.into())?),
        }
        return Ok(machinery);
    };
    let again = wanted.clone();
    let made = match opened {
        Ok(store) => {
            let make = |install: &Install| worker::worker_process(config, install);
            // With the store goes its lock.
            setup::line(config, wanted, store, make).map_err(|(_store, report)| report)
        }
        Err(e) => Err(e.into()),
    };
    match made {
        Ok(line) => machinery.line = Some(outfit.fitted(line)),
        Err(report) if matches!(report.exit, Exit::State | Exit::Install) => {
            machinery.off = Some(updates_off(config, report)?);
            machinery.reopen = Some(reopen(config, again, outfit.clone()));
        }
        Err(report) => return Err(report),
    }
    Ok(machinery)
}

/// Fails if another supervisor looks after this service: without a state to lock, its control socket tells. In a
/// directory that others can write to, nobody's word keeps the service from starting.
fn updates_off(config: &Config, report: Reported) -> Result<Reported, Reported> {
    if report.code != "state.unsafe"
        && let Some(pid) = control::supervisor(&config.place.state_dir)
    {
        return Err(StateError::Locked { path: config.place.state_dir.clone(), pid: Some(pid) }.into());
    }
    tracing::error!(event = "updates.off", code = report.code, "{}; updates are off, the service runs", report.message);
    Ok(report)
}

/// Makes the line later. The service was started from what lies at the program path now.
fn reopen(config: &Config, wanted: Wanted, outfit: Outfit) -> Reopen {
    let config = config.clone();
    let digest = |path: &Path| File::open(path).and_then(|mut file| Sha256::of_reader(&mut file)).ok().map(|of| of.0);
    let served = digest(&config.program.path);
    Reopen::new(move || {
        let store = Store::open(&config.place.state_dir)?;
        let make = |install: &Install| worker::worker_process(&config, install);
        let line = setup::line(&config, wanted.clone(), store, make).map_err(|(_store, report)| report)?;
        let line = outfit.fitted(line);
        let found = line.install.startable(line.store.record())?;
        found.filter(|found| Some(*found.sha256()) == served).map(|found| (line, found)).ok_or_else(|| Reported {
            code: "program.changed".to_owned(),
            exit: Exit::Install,
            message: format!("what serves is not what lies at `{}`", config.program.path.display()),
            hint: Some("start fetchd again, and the service with it".to_owned()),
        })
    })
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
    for listener in inherited {
        let name = listener.name().to_owned();
        let socket = match listener.into_socket() {
            Socket::Tcp(socket) => OwnedFd::from(socket),
            Socket::Unix(socket) => OwnedFd::from(socket),
        };
        adopted.push(Listener::adopt(name, socket).map_err(|e| start_failure("start.inherited", &e))?);
    }
    let mut listeners = Vec::new();
    for listen in setup::listens(config) {
        match adopted.iter().position(|listener| listener.name() == listen.name) {
            Some(at) => listeners.push(adopted.remove(at)),
            None => listeners.push(Listener::bind(&listen)?),
        }
    }
    listeners.append(&mut adopted);
    Ok(listeners)
}

fn backend(config: &Config, service: Arc<Mutex<supervise::Status>>, post: Post, shown: Shown) -> Backend {
    let (product, agent) = (config.place.product.clone(), shown.clone());
    let began = Instant::now();
    let status = move || control::Status {
        schema: control::SCHEMA,
        product: product.clone(),
        fetchd: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        service: service.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        updates: agent.read(),
    };
    Backend { status: Arc::new(status), post, shown }
}

/// The main thread.
struct Daemon {
    supervisor: Supervisor,
    orders: Receiver<Command>,
    bell: PipeReader,
    control: Option<Server>,
    backend: Backend,
    post: Post,
    service: Arc<Mutex<supervise::Status>>,
    /// Whether a restart is somebody else's business, and means the end here.
    ends_at_restart: bool,
    interrupts: u32,
    strangers: Strangers,
    reap_at: Option<Instant>,
}

impl Daemon {
    /// Until nothing runs any more.
    fn serve(&mut self, signals: &mut Signals) -> u8 {
        loop {
            let ping = self.supervisor.turn(Instant::now());
            self.tell_agent();
            *self.service.lock().unwrap_or_else(PoisonError::into_inner) = self.supervisor.status();
            if let Some(code) = self.supervisor.finished() {
                return u8::try_from(code).unwrap_or(1);
            }
            if self.reap_at.is_some_and(|at| Instant::now() >= at) {
                self.reap_at = self.strangers.reap(Instant::now());
            }
            let until = [self.supervisor.deadline(), ping, self.reap_at].into_iter().flatten().min();
            self.wait(until, signals);
            let mut rung = [0; 64];
            while matches!(self.bell.read(&mut rung), Ok(1..)) {}
            while let Ok(command) = self.orders.try_recv() {
                self.supervisor.command(command);
            }
            for asked in signals.take() {
                self.signalled(asked);
            }
            if let Some(control) = &self.control {
                control.accept(&self.backend);
            }
        }
    }

    fn signalled(&mut self, asked: Asked) {
        match asked {
            Asked::Stop => self.stop(),
            Asked::Interrupt => {
                self.interrupts += 1;
                self.stop();
                if self.interrupts > 1 {
                    self.supervisor.kill();
                }
            }
            Asked::Restart => self.restart(),
            Asked::Forward(signal) => self.supervisor.forward(signal),
            Asked::Child => self.reap_at = self.strangers.reap(Instant::now()),
        }
    }

    /// The agent ends while the service drains: a download is not waited for.
    fn stop(&mut self) {
        self.supervisor.stop();
        self.post.send(Message::Stop);
    }

    fn restart(&mut self) {
        if self.ends_at_restart {
            return self.stop();
        }
        self.post.send(Message::Restart(None));
    }

    fn tell_agent(&mut self) {
        for news in self.supervisor.take_news() {
            match news {
                News::Serving { .. } => {}
                News::Crashed { generation, status, .. } => {
                    self.post.send(Message::Crashed { generation, status });
                }
                News::CrashLoop { sha256, failure } => {
                    self.post.send(Message::CrashLoop { sha256, failure });
                }
                News::ProgramChanged => {
                    self.post.send(Message::ProgramChanged);
                }
                News::RestartWanted => self.restart(),
            }
        }
    }

    /// Sleeps until something is readable or `until` has come.
    fn wait(&self, until: Option<Instant>, signals: &Signals) {
        let mut wanted: Vec<BorrowedFd<'_>> = self.supervisor.descriptors();
        wanted.extend([signals.as_fd(), self.bell.as_fd()]);
        wanted.extend(self.control.as_ref().map(Server::as_fd));
        let mut polled: Vec<PollFd<'_>> =
            wanted.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let timeout = until.map(|until| {
            // Rounded up: a poll that ends a moment early would only be repeated.
            let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(500);
            Timespec { tv_sec: left.as_secs().min(86_400).cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        // An interrupted wait is a wait that is over.
        let _ = poll(&mut polled, timeout.as_ref());
    }
}

fn start_failure(code: &str, error: &(dyn std::error::Error + 'static)) -> Reported {
    Reported {
        code: code.to_owned(),
        exit: Exit::Usage,
        message: format!("fetchd could not start: {}", crate::failure::chain(error)),
        hint: None,
    }
}

/// How long the agent may take to end once the service has.
const AGENT_ENDS: Duration = Duration::from_secs(5);
