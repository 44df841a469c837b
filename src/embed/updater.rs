//! The loop alone, on a thread of the program's own.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fetchd_fetchers::Registry;

use super::driver::{Asking, RestartDecision};
use super::process::Process;
use super::service::warn_unsigned;
use super::settings::{Settings, no_source, settings_methods};
use super::source_check;
use crate::agent::{
    Agent, AgentStatus, Answer, Ask, Hooks, Inbox, Ledger, Message, Observed, Observer, Post, Reply, Schedule, Shown,
    UpdateEvent,
};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::daemon::{Outfit, setup, worker};
use crate::failure::{Exit, Reported};
use crate::fetch::{LocalWorker, Worker};
use crate::install::Install;
use crate::restart::Launch;
use crate::state::Store;
use crate::verify::{Check, Verified};

/// Keeps the program's own file on its newest release, and leaves it to the program when that is to run.
///
/// ```no_run
/// use std::time::Duration;
///
/// use fetchd::{Process, RestartDecision, Updater};
///
/// fn main() -> std::process::ExitCode {
///     let process = match Process::start() {
///         Ok(process) => process,
///         Err(ended) => return ended,
///     };
///     let updater = Updater::new("web")
///         .version(env!("CARGO_PKG_VERSION"))
///         .source("https://dl.example.com/web/stable.fetchd")
///         .key("RWTKG7iiOuSsTvJFGcUFqWzaI4MOPyVYDuohUp6y2ieJSGPoYnk3MiuW")
///         .interval(Duration::from_secs(600))
///         .start(&process, |_installed| RestartDecision::Exit(0));
///     // … the program; it is updated as long as `updater` lives …
/// #   drop(updater);
///     std::process::ExitCode::SUCCESS
/// }
/// ```
///
/// The program must print its version when it is called with `--version`, as every release of it is.
pub struct Updater {
    settings: Settings,
    outfit: Outfit,
    /// For a worker in this very process.
    fetchers: Option<Registry>,
}

impl fmt::Debug for Updater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updater")
            .field("settings", &self.settings)
            .field("outfit", &self.outfit)
            .finish_non_exhaustive()
    }
}

impl Updater {
    settings_methods!();

    /// An updater of the program whose releases are signed for `product`.
    pub fn new(product: &str) -> Updater {
        Updater { settings: Settings::new(product), outfit: Outfit::default(), fetchers: None }
    }

    /// How often the source is asked; 5 min by default.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Updater {
        self.settings.duration("interval", interval);
        self
    }

    /// Adds a condition that a release must meet before it is installed, and before it is run for the first time.
    /// [`check`](fn@super::check) makes one of a closure.
    #[must_use]
    pub fn check(mut self, check: impl Check + 'static) -> Updater {
        self.outfit.checks.push(Arc::new(check));
        self
    }

    /// Asked after every check has passed, and before anything is installed. `Err`: not now. The release is not blamed; it
    /// is asked about again at the next poll.
    #[must_use]
    pub fn before_install<F>(mut self, consent: F) -> Updater
    where
        F: FnMut(&Verified) -> Result<(), Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        self.outfit.consent = Some(Arc::new(Mutex::new(consent)));
        self
    }

    /// Does the work of the network in this very process, with these fetchers, instead of in a confined one of its own:
    /// what goes wrong there, goes wrong here.
    #[must_use]
    pub fn local_worker(mut self, fetchers: Registry) -> Updater {
        self.fetchers = Some(fetchers);
        self
    }

    /// Starts the loop. `decide` is asked, on its thread, whenever a release has been installed.
    ///
    /// The first poll is within the interval, and within 30 s. Polls, downloads and installations go on until what is
    /// returned is dropped.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings, and `state.locked` if another process updates this product here.
    pub fn start(
        mut self,
        process: &Process,
        decide: impl FnMut(&Launch) -> RestartDecision + Send + 'static,
    ) -> Result<Updating, Reported> {
        let builtin = Registry::builtin();
        let fetchers = self.fetchers.take();
        let (config, wanted) = self.settings.wanted(process, fetchers.as_ref().unwrap_or(&builtin))?;
        let wanted = wanted.ok_or_else(no_source)?;
        warn_unsigned(&config);
        if let Some(fetchers) = &fetchers {
            source_check::open(&self.settings, process, fetchers)?;
        }
        let (events, kept) = sync_channel(MOST_EVENTS);
        let exit = Arc::new(OnceLock::new());
        let hooks = Arc::<OnceLock<Hooks>>::default();
        let observer = observer(events, Arc::clone(&exit), Arc::clone(&hooks));
        let store = Store::open(&config.place.state_dir)?;
        let make = |install: &Install| working(&config, install, fetchers);
        let line = setup::line(&config, wanted, store, make).map_err(|(_store, report)| report)?;
        let version = self.settings.semver();
        let line = Outfit { observer: Some(observer.clone()), version, ..self.outfit }.fitted(line);
        let _ = hooks.set(line.hooks.clone());
        let started = line.install.startable(line.store.record())?;
        let (inbox, post) = Inbox::new().map_err(|e| start_failure(&e))?;
        let shown = Shown::default();
        let agent = Agent {
            line: Some(line),
            reopen: None,
            driver: Box::new(Observed::new(Box::new(Asking::new(decide, exit)), observer.clone())),
            schedule: Schedule::new(setup::rhythm(&config)),
            worker_stays: config.worker.stay,
            shown: shown.clone(),
            inbox,
            program: config.program.path,
            started,
            observer: Some(observer),
            ledger: Ledger::default(),
        };
        let thread = std::thread::Builder::new().name("fetchd-updater".to_owned());
        let run = move || agent.run().line.iter().for_each(|line| line.hooks.end());
        let agent = thread.spawn(run).map_err(|e| start_failure(&e))?;
        Ok(Updating { post, shown, events: Some(kept), agent: Some(agent) })
    }
}

/// A loop that runs. Dropping it ends it, as [`stop`](Updating::stop) does.
#[derive(Debug)]
pub struct Updating {
    post: Post,
    shown: Shown,
    events: Option<Receiver<UpdateEvent>>,
    agent: Option<JoinHandle<()>>,
}

impl Updating {
    /// Asks the source now, and goes on as far as there is something to take. Waits for the end of that, which is bounded by
    /// the deadlines that are configured; a hold holds.
    ///
    /// # Errors
    ///
    /// `updater.stopped`: the loop has ended. How the pass ended, well or not, is in the answer.
    pub fn poll_now(&self) -> Result<Answer, Reported> {
        self.ask(|reply| Message::Apply(Ask { afresh: true, ..Ask::default() }, reply))
    }

    /// Installs nothing, for ever or for as long as `time`. Recorded: it outlives this process.
    ///
    /// # Errors
    ///
    /// As those of [`poll_now`](Updating::poll_now), like the two below.
    pub fn hold(&self, reason: Option<&str>, time: Option<Duration>) -> Result<Answer, Reported> {
        let until = time.map(|time| Timestamp::now().plus(time));
        let reason = reason.map(str::to_owned);
        self.ask(|reply| Message::Hold { reason, until, reply })
    }

    /// Installs again.
    pub fn unhold(&self) -> Result<Answer, Reported> {
        self.ask(Message::Unhold)
    }

    /// Puts the previous release back, quarantines the one that is there, and asks how to restart.
    pub fn roll_back(&self) -> Result<Answer, Reported> {
        self.ask(Message::RollBack)
    }

    /// The next thing that happened, if it has or does within this time. The first 1,024 that nobody has asked for are
    /// kept, and none beyond.
    pub fn next_event(&self, within: Duration) -> Option<UpdateEvent> {
        self.events.as_ref()?.recv_timeout(within).ok()
    }

    /// Everything that happens, for another thread; [`next_event`](Updating::next_event) has nothing any more. It ends with
    /// the loop.
    pub fn take_events(&mut self) -> Option<Receiver<UpdateEvent>> {
        self.events.take()
    }

    /// What the loop does, and what it last did.
    pub fn status(&self) -> AgentStatus {
        self.shown.read()
    }

    /// Ends the loop. A poll or a download is broken off, an installation is completed; waits for that, at most 5 s. What
    /// takes longer is settled by the next start.
    pub fn stop(mut self) {
        self.end();
    }

    fn ask(&self, message: impl FnOnce(Reply) -> Message) -> Result<Answer, Reported> {
        let stopped = || Reported {
            code: "updater.stopped".to_owned(),
            exit: Exit::Usage,
            message: "the updater has ended".to_owned(),
            hint: None,
        };
        let (reply, answer) = channel();
        if !self.post.send(message(reply)) {
            return Err(stopped());
        }
        // The agent answers or ends: its end drops the other side.
        answer.recv().map_err(|_| stopped())
    }

    fn end(&mut self) {
        let Some(agent) = self.agent.take() else { return };
        self.post.send(Message::Stop);
        let give_up = Instant::now() + PATIENCE;
        while !agent.is_finished() && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Updating {
    fn drop(&mut self) {
        self.end();
    }
}

/// Keeps what happens, and ends the process when that was decided and everything about it is written down.
fn observer(events: SyncSender<UpdateEvent>, exit: Arc<OnceLock<u8>>, hooks: Arc<OnceLock<Hooks>>) -> Observer {
    Observer::new(move |event| {
        // Nobody may listen, or not fast enough.
        let _ = events.try_send(event.clone());
        if let (UpdateEvent::Finished(_), Some(code)) = (event, exit.get()) {
            // They would end with this process.
            hooks.get().iter().for_each(|hooks| hooks.settle());
            std::process::exit(i32::from(*code));
        }
    })
}

fn working(config: &Config, install: &Install, local: Option<Registry>) -> Result<Box<dyn Worker>, Reported> {
    match local {
        None => worker::worker_process(config, install),
        Some(fetchers) => Ok(Box::new(LocalWorker::new(fetchers).map_err(|e| start_failure(&e))?)),
    }
}

fn start_failure(error: &io::Error) -> Reported {
    Reported {
        code: "start.updater".to_owned(),
        exit: Exit::Usage,
        message: format!("the updater could not be started: {error}"),
        hint: None,
    }
}

const MOST_EVENTS: usize = 1024;

const PATIENCE: Duration = Duration::from_secs(5);
