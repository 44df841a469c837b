//! `fetchd run`: the supervisor's loop, the agent's thread and the control socket, put together.

mod embedded;
pub(crate) mod floor;
mod init;
pub(crate) mod lines;
mod machinery;
#[cfg(feature = "fleet")]
mod membership;
mod metrics;
mod prepared;
pub(crate) mod probe;
pub mod replace;
mod rest;
pub mod setup;
mod signals;
mod thread;
pub mod worker;

use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::agent::{Agent, Entered, Inbox, Ledger, Message, Observed, Observer, Post, Schedule, Shown, Wanted};
use crate::clock::Timestamp;
use crate::config::{Config, Restart};
use crate::control::{self, Backend, Server, Wish};
use crate::digest::Sha256;
use crate::failure::{Exit, Reported};
use crate::install::Installed;
use crate::restart::supervise::{self, Command, News, Supervise, Supervisor, Waker};
use crate::restart::{Registry, RestartDriver, Stop};
use crate::service::Inherited;
use crate::state::{Event, Store};
use embedded::FilesOnly;
pub(crate) use embedded::is_this_program;
pub use embedded::{Embedded, Outfit, Restarts};
use init::Strangers;
use machinery::{Machinery, machinery};
use metrics::{Endpoint, Facts};
pub use prepared::Prepared;
use prepared::control_socket;
use replace::{Becomes, Replacement};
use rest::Rest;
pub(crate) use rest::share_heap;
use signals::{Asked, Signals};
use thread::AgentThread;

/// Runs the service until it is told to stop. Returns the service's exit code.
///
/// Call it on the main thread, before any other thread is started.
pub fn run(config: &Config, wanted: Option<Wanted>) -> Result<u8, Reported> {
    run_with(config, wanted, &Registry::builtin())
}

/// The same with other restart drivers than those that come with fetchd.
pub fn run_with(config: &Config, wanted: Option<Wanted>, drivers: &Registry) -> Result<u8, Reported> {
    start(config, wanted, None, drivers)?.run()
}

/// The same for a program that can replace itself while it supervises: `itself` says how.
pub fn run_itself(loaded: Loaded, itself: Itself, drivers: &Registry) -> Result<u8, Reported> {
    let Loaded { config, wanted, text } = loaded;
    start(&config, wanted?, Some((itself, text)), drivers)?.run()
}

/// Goes on where an earlier program of this very process has stopped to make room for this one, and returns as
/// [`run_itself`] or [`Prepared::serve`] does. Nothing of the service ends in between; tests in `tests/replace` and
/// `tests/embed/replace.rs`.
///
/// What is `embedded` and the `drivers` are those of this program: functions do not go from one to the next.
///
/// If this program cannot go on, the earlier one does, and this function does not return.
pub fn resume(itself: Itself, embedded: Embedded, drivers: &Registry) -> Result<u8, Reported> {
    replace::resume(itself, embedded, drivers)?.run()
}

/// Reads a configuration.
pub type Load = dyn Fn(Option<&str>, &Path) -> Result<Loaded, Reported>;

/// How a supervisor replaces itself.
pub struct Itself {
    /// What it becomes.
    pub becomes: Becomes,
    /// Reads the configuration as it is now; given a text, with that in place of the configuration file's. The path is that
    /// of the service's program, for one that has the supervisor inside: what it was called by may lead to another by now.
    pub load: Box<Load>,
    /// Waits, a moment at most, until what was logged is written; false if it is not.
    pub flush_log: Box<dyn Fn() -> bool>,
}

impl std::fmt::Debug for Itself {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Itself").field("becomes", &self.becomes).finish_non_exhaustive()
    }
}

/// A configuration that was read.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What it wants of its source; a failure is one of a file that it names.
    pub wanted: Result<Option<Wanted>, Reported>,
    /// The text of its file, if there is one.
    pub text: Option<String>,
}

impl Loaded {
    /// The same, if everything that the configuration names can be read.
    pub fn checked(self) -> Result<Loaded, Reported> {
        match self.wanted {
            Ok(wanted) => Ok(Loaded { wanted: Ok(wanted), ..self }),
            Err(report) => Err(report),
        }
    }
}

/// Blocks the signals that a supervisor reads, in this thread and in those that it starts. To be called before the first of
/// them, so that no other thread is the one that a signal ends.
///
/// From then on those threads share one heap.
pub fn hold_signals() -> Result<(), Reported> {
    rest::share_heap();
    Signals::listen(Signal::USR2).map(drop).map_err(|e| start_failure("start.signals", &e))
}

fn start(
    config: &Config,
    wanted: Option<Wanted>,
    itself: Option<(Itself, Option<String>)>,
    drivers: &Registry,
) -> Result<Daemon, Reported> {
    let inherited = Inherited::take_sockets().map_err(|e| start_failure("start.inherited", &e))?;
    let signals = Signals::listen(Signal::USR2).map_err(|e| start_failure("start.signals", &e))?;
    Prepared::with(config, wanted, inherited, Embedded::default(), drivers)?.start(signals, itself)
}

fn backend(
    config: &Config,
    began: Instant,
    service: &Arc<Mutex<supervise::Status>>,
    (post, shown): (Post, Shown),
    (wishes, waker): (Sender<Wish>, Waker),
    (trouble, stays): (&Trouble, &Trouble),
    metrics: &metrics::Shown,
) -> Backend {
    let (product, service, agent) = (config.place.product.clone(), Arc::clone(service), shown.clone());
    let (trouble, stays, metrics) = (Arc::clone(trouble), Arc::clone(stays), Arc::clone(metrics));
    let status = move || control::Status {
        schema: control::SCHEMA,
        product: product.clone(),
        fetchd: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        service: service.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        updates: agent.read(),
        configuration: trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        supervisor: stays.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        metrics: metrics.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    };
    let wish = move |wish| {
        let wished = wishes.send(wish).is_ok();
        waker.wake();
        wished
    };
    Backend { status: Arc::new(status), post, shown, wish: Arc::new(wish) }
}

/// Why the configuration as it is now is not applied, or why the supervisor is not the release that serves, if so.
type Trouble = Arc<Mutex<Option<Reported>>>;

/// What differs between a start and a resumption.
struct Parts {
    signals: Signals,
    supervisor: Supervisor,
    machinery: Machinery,
    /// Who makes somebody else restart the service; `None`: fetchd runs it.
    driver: Option<Box<dyn RestartDriver>>,
    stop: Stop,
    started: Option<Installed>,
    /// What lies at the program path, where that is known.
    at_path: Option<Sha256>,
    shown: Shown,
    began: Instant,
    observer: Option<Observer>,
    restarts: Restarts,
    ledger: Ledger,
}

/// The main thread.
struct Daemon {
    supervisor: Supervisor,
    signals: Signals,
    orders: Receiver<Command>,
    wishes: Receiver<Wish>,
    bell: PipeReader,
    control: Option<Server>,
    backend: Backend,
    post: Post,
    stop: Stop,
    /// How long the agent may take to end once the service has.
    agent_ends: Duration,
    service: Arc<Mutex<supervise::Status>>,
    /// Whether a restart is somebody else's business, and means the end here.
    ends_at_restart: bool,
    agent: AgentThread,
    /// Held for its lock where there is no source.
    store: Option<Store>,
    interrupts: u32,
    strangers: Strangers,
    reap_at: Option<Instant>,
    began: Instant,
    /// How fetchd replaces itself, and what the next one needs to know.
    itself: Option<Itself>,
    program: PathBuf,
    text: Option<String>,
    service_of: replace::Service,
    settles_within: Duration,
    replacement: Option<Replacement>,
    trouble: Trouble,
    stays: Trouble,
    /// The release that this supervisor is, or that it has tried to become.
    considered: Option<Sha256>,
    /// Whether there is a source of releases.
    sourced: bool,
    /// When it gives back what it does not need while it is idle.
    rest: Rest,
    metrics: Endpoint,
    ledger: Ledger,
}

impl Daemon {
    /// Puts the parts together, and starts the agent.
    fn of(config: &Config, parts: Parts, itself: Option<(Itself, Option<String>)>) -> Result<Daemon, Reported> {
        let Parts { signals, supervisor, machinery, driver, stop, started, at_path, .. } = parts;
        let Parts { shown, began, observer, restarts, ledger, .. } = parts;
        let pipe = |e: io::Error| start_failure("start.pipe", &e);
        let (bell, writer) = io::pipe().map_err(pipe)?;
        rustix::io::ioctl_fionbio(&bell, true).map_err(|e| pipe(e.into()))?;
        let waker = Waker::new(writer).map_err(pipe)?;
        let (commands, orders) = channel();
        let (wish, wishes) = channel();
        let (inbox, post) = Inbox::new().map_err(pipe)?;
        let serve = &config.serve;
        let patience = serve.ready_deadline * 10 + serve.watch + serve.drain_deadline + Duration::from_secs(60);
        let agent_ends = match &serve.restart {
            Restart::Supervise => AGENT_ENDS,
            // A restart that has begun is brought to its end, and so is the way back should it fail: nothing would run else.
            Restart::By(driver) => AGENT_ENDS + driver.deadline * 2,
        };
        let Machinery { line, off, reopen, store } = machinery;
        shown.write(|shown| {
            shown.updates_off = off;
            shown.driver = driver.as_ref().map(|driver| driver.name().to_owned());
        });
        let supervise = Box::new(Supervise::new(commands, waker.clone(), patience));
        let driver: Box<dyn RestartDriver> = match (driver, restarts) {
            (Some(driver), _) => driver,
            (None, Restarts::ByOthers) => Box::new(FilesOnly::new(supervise, at_path)),
            (None, _) => supervise,
        };
        let driver = Box::new(Entered::new(driver, ledger.clone()));
        let driver: Box<dyn RestartDriver> = match &observer {
            Some(observer) => Box::new(Observed::new(driver, observer.clone())),
            None => driver,
        };
        let agent = Box::new(Agent {
            line,
            reopen,
            driver,
            schedule: Schedule::new(setup::rhythm(config)),
            worker_stays: config.worker.stay,
            shown: shown.clone(),
            inbox,
            program: config.program.path.clone(),
            started,
            observer: Some(rest::wakes_after_passes(observer, waker.clone())),
            ledger: ledger.clone(),
        });
        let service = Arc::new(Mutex::new(supervisor.status()));
        let (trouble, stays) = (Trouble::default(), Trouble::default());
        let (shown, measured) = ((post.clone(), shown), metrics::Shown::default());
        let troubles = (&trouble, &stays);
        let backend = backend(config, began, &service, shown, (wish, waker.clone()), troubles, &measured);
        let (itself, text) = itself.map_or((None, None), |(itself, text)| (Some(itself), text));
        let program = match &itself {
            Some(Itself { becomes: Becomes::OwnPath, .. }) => {
                replace::own_path().map_err(|e| start_failure("start.own_program", &e))?
            }
            Some(_) => config.program.path.clone(),
            None => PathBuf::new(),
        };
        let mut daemon = Daemon {
            considered: supervisor.current().and_then(|launch| launch.sha256),
            sourced: config.source.is_some(),
            supervisor,
            signals,
            orders,
            wishes,
            bell,
            control: None,
            backend,
            post,
            stop,
            agent_ends,
            ends_at_restart: restarts == Restarts::ByOthers,
            service,
            agent: AgentThread::new(waker),
            store,
            interrupts: 0,
            strangers: Strangers::default(),
            reap_at: None,
            began,
            itself,
            program,
            text,
            service_of: replace::service_of(config),
            settles_within: serve.ready_deadline + serve.watch + SETTLES,
            replacement: None,
            trouble,
            stays,
            rest: Rest::after_start(Instant::now()),
            metrics: Endpoint::open(config.metrics.as_ref(), measured),
            ledger,
        };
        daemon.agent.start(agent);
        if daemon.agent.is_kept() {
            return Err(start_failure("start.thread", &io::Error::from(io::ErrorKind::WouldBlock)));
        }
        Ok(daemon)
    }

    /// Runs the service until it is told to stop. Returns its exit code.
    fn run(mut self) -> Result<u8, Reported> {
        let code = self.serve();
        self.stop_agent();
        // It may be in the middle of a disk operation, which the journal covers; a process that is told
        // to stop does not wait for a download.
        let give_up = Instant::now() + self.agent_ends;
        while !self.agent.is_finished() && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some(line) = self.agent.take_back().and_then(|agent| agent.line) {
            line.hooks.end();
        }
        drop(self.control);
        self.supervisor.release();
        Ok(code)
    }

    /// Until nothing runs any more.
    fn serve(&mut self) -> u8 {
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
            self.follow_release();
            self.move_replacement();
            let replacement = self.replacement.as_ref().map(Replacement::next);
            self.rest.turn(Instant::now());
            let until = [self.supervisor.deadline(), ping, self.reap_at, replacement, self.rest.at()];
            self.wait(until.into_iter().chain([self.metrics.deadline()]).flatten().min());
            let mut rung = [0; 64];
            while matches!(self.bell.read(&mut rung), Ok(1..)) {
                self.rest.busy(Instant::now());
            }
            while let Ok(command) = self.orders.try_recv() {
                self.supervisor.command(command);
            }
            for asked in self.signals.take() {
                self.signalled(asked);
            }
            while let Ok(wish) = self.wishes.try_recv() {
                match wish {
                    Wish::Replace(asker) => self.replace(asker),
                }
            }
            if let Some(control) = &self.control
                && control.accept(&self.backend)
            {
                self.rest.busy(Instant::now());
            }
            let facts = Facts {
                supervisor: &self.supervisor,
                backend: &self.backend,
                ledger: &self.ledger,
                sourced: self.sourced,
            };
            if self.metrics.turn(&facts) {
                self.rest.busy(Instant::now());
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
            Asked::Forward(Signal::HUP) => self.hung_up(),
            Asked::Forward(signal) => self.supervisor.forward(signal),
            Asked::Child => self.reap_at = self.strangers.reap(Instant::now()),
        }
    }

    /// The agent ends while the service drains: a download is not waited for.
    fn stop(&mut self) {
        self.supervisor.stop();
        self.stop_agent();
    }

    /// Tells the agent, which may be waiting for a message or for a driver.
    fn stop_agent(&self) {
        self.stop.ask();
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
            metrics::count(&self.ledger, &news);
            match news {
                News::Serving { .. } => {}
                News::Crashed { generation, status, .. } => {
                    let event = Event::new(Timestamp::now(), "service.crashed").message(status);
                    self.post.send(Message::Note(Box::new(event.detail("generation", generation))));
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
    fn wait(&self, until: Option<Instant>) {
        let mut wanted: Vec<BorrowedFd<'_>> = self.supervisor.descriptors();
        wanted.extend(self.signals.descriptors());
        wanted.push(self.bell.as_fd());
        wanted.extend(self.control.as_ref().map(Server::as_fd));
        wanted.extend(self.replacement.as_ref().and_then(Replacement::descriptor));
        let wanted = wanted.into_iter().map(|fd| (fd, PollFlags::IN)).chain(self.metrics.awaits());
        let mut polled: Vec<PollFd<'_>> = wanted.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)).collect();
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

/// Beside the deadlines of a handoff: how long the agent may take to come to rest before fetchd replaces itself.
const SETTLES: Duration = Duration::from_secs(60);
