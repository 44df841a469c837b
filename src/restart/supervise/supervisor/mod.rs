//! The supervisor: sockets, generations, and the order in which one follows another.
//!
//! It never blocks: the loop of [`crate::daemon`] polls [`Supervisor::descriptors`] until
//! [`Supervisor::deadline`] and then calls [`Supervisor::turn`], which does whatever is due.

mod carry;
mod commands;
mod hearing;
mod listeners;
mod status;
mod timing;

pub use status::{GenerationStatus, News, Status};

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::crash::Crashes;
use super::driver::Command;
use super::generation::{Generation, Phase};
use super::notify::{NotifySocket, Strangers};
use super::options::Options;
use super::probe::Probe;
use super::sockets::Listener;
use super::systemd::Systemd;
use super::watch::Watch;
use crate::digest::Sha256;
use crate::restart::{Handoff, HandoffError, Launch};
use listeners::Before;

type Reply = Sender<Result<Handoff, HandoffError>>;

/// Owns the service.
#[derive(Debug)]
pub struct Supervisor {
    options: Options,
    listeners: Vec<Arc<Listener>>,
    /// What the next generation is not to have any more, until it has passed its watch.
    before: Option<Before>,
    notify: NotifySocket,
    systemd: Systemd,
    generations: Vec<Generation>,
    next_number: u64,
    /// What a crash starts again.
    current: Option<Launch>,
    start: Option<Start>,
    watch: Option<Watch>,
    /// The generation that accepts again since the watch failed, until the agent has been told.
    resumed: Option<u64>,
    /// The generation that failed its watch last.
    failed_watch: Option<u64>,
    crashes: Crashes,
    /// What was confirmed last, and until when its crashes count as a loop.
    confirmed: Option<Sha256>,
    /// What the agent went back to last; it has served before.
    returned_to: Option<Sha256>,
    probation_until: Instant,
    restart_at: Option<Instant>,
    /// After a crash loop: how long the agent has to say what to do.
    verdict_by: Option<Instant>,
    news: Vec<News>,
    /// How the last process ended that nobody had asked to.
    last_code: i32,
    stop: Option<Stop>,
    strangers: Strangers,
}

/// A generation on its way to readiness.
#[derive(Debug)]
struct Start {
    number: u64,
    begun: Instant,
    reply: Option<Reply>,
    probe: Option<Probe>,
    next_probe: Instant,
    /// Why it failed, while it is being ended.
    failure: Option<HandoffError>,
    /// Whether what takes over is watched.
    watched: bool,
}

#[derive(Debug)]
struct Stop {
    code: i32,
    /// The generation whose code it is: the newest one wins.
    of: u64,
}

impl Supervisor {
    /// A supervisor of `listeners` that has started nothing yet.
    pub fn new(options: Options, listeners: Vec<Listener>) -> io::Result<Supervisor> {
        let systemd = Systemd::new();
        for listener in &listeners {
            systemd.store(listener.name(), listener.as_fd());
        }
        Ok(Supervisor {
            crashes: Crashes::new(options.crash),
            options,
            listeners: listeners.into_iter().map(Arc::new).collect(),
            before: None,
            notify: NotifySocket::bind()?,
            systemd,
            generations: Vec::new(),
            next_number: 1,
            current: None,
            start: None,
            watch: None,
            resumed: None,
            failed_watch: None,
            confirmed: None,
            returned_to: None,
            probation_until: Instant::now(),
            restart_at: None,
            verdict_by: None,
            news: Vec::new(),
            last_code: 0,
            stop: None,
            strangers: Strangers::default(),
        })
    }

    /// Starts the service for the first time. `confirmed_for`: how long ago this binary was confirmed, if it was.
    pub fn begin(&mut self, launch: Launch, confirmed_for: Option<Duration>) {
        let probation = self.options.crash.probation.saturating_sub(confirmed_for.unwrap_or_default());
        self.probation_until = Instant::now() + probation;
        self.confirmed = launch.sha256;
        self.current = Some(launch.clone());
        self.launch(launch, None, false);
    }

    /// There is nothing to start: the service is somebody else's. systemd is told that all is well.
    pub fn begin_nothing(&mut self) {
        self.systemd.ready("looking after a service that somebody else runs");
    }

    /// Carries out what the agent asks.
    pub fn command(&mut self, command: Command) {
        match command {
            Command::Handoff(to, reply) => self.hand_off(to, reply),
            Command::RollBack(to, reply) => self.roll_back(to, reply),
            Command::Watch(reply) => match &mut self.watch {
                Some(watch) => {
                    if watch.answer_to(reply) {
                        self.watch_delivered();
                    }
                }
                // What was handed off to was the first generation, or the watch was given up.
                None => {
                    let result = if self.stop.is_some() { Err(HandoffError::Stopping) } else { Ok(()) };
                    // The agent has gone: nobody is told.
                    let _ = reply.send(result);
                }
            },
            Command::Confirm => self.confirm(),
            Command::Abort => self.serve_again(),
            Command::GiveUp => {
                self.stop();
                // The code of the crash, not that of an older process that drains in good order.
                self.stop = Some(Stop { code: self.last_code, of: u64::MAX });
            }
        }
    }

    /// Everything whose readiness should end a wait.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut descriptors = vec![self.notify.as_fd()];
        for generation in &self.generations {
            descriptors.push(generation.pidfd());
            descriptors.extend(generation.control());
        }
        descriptors.extend(self.start.as_ref().and_then(|start| start.probe.as_ref()).map(Probe::pidfd));
        descriptors.extend(self.watch.as_ref().and_then(Watch::probe).map(Probe::pidfd));
        descriptors
    }

    /// When [`Supervisor::turn`] has something to do, at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let starting = self.start.as_ref().filter(|start| start.failure.is_none());
        let start = starting.and_then(|start| self.start_deadline(start));
        let generations = self.generations.iter().filter_map(Generation::deadline).min();
        let watch = self.watch.as_ref().and_then(Watch::deadline);
        let watchdog = self.generations.iter().filter_map(|g| self.watchdog_deadline(g)).min();
        [start, generations, watch, watchdog, self.restart_at, self.verdict_by].into_iter().flatten().min()
    }

    /// Does what is due. Returns when systemd wants to hear from us next.
    pub fn turn(&mut self, now: Instant) -> Option<Instant> {
        for generation in &mut self.generations {
            generation.read_control();
        }
        self.hear();
        self.reap(now);
        self.enforce_deadlines(now);
        self.move_start(now);
        self.move_watch(now);
        self.restart_if_due(now);
        self.systemd.ping(now)
    }

    /// What happened since it was last asked.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Drains everything; nothing is started any more.
    pub fn stop(&mut self) {
        if self.stop.is_some() {
            return;
        }
        let now = Instant::now();
        self.stop = Some(Stop { code: self.last_code, of: 0 });
        self.restart_at = None;
        self.verdict_by = None;
        self.systemd.stopping(self.options.drain_deadline);
        if let Some(start) = self.start.take() {
            if let Some(mut probe) = start.probe {
                probe.kill();
            }
            answer(start.reply, Err(HandoffError::Stopping));
        }
        if let Some(watch) = &mut self.watch {
            watch.end(Err(HandoffError::Stopping));
            watch.deliver();
        }
        self.watch = None;
        for generation in &mut self.generations {
            match generation.phase {
                Phase::Starting { .. } => generation.end(now),
                Phase::Serving | Phase::Paused => generation.drain(self.options.drain_deadline, now),
                Phase::Draining { .. } | Phase::Ending { .. } | Phase::Killed { .. } => {}
            }
        }
    }

    /// Ends everything at once.
    pub fn kill(&mut self) {
        self.stop();
        self.generations.iter_mut().for_each(Generation::kill);
    }

    /// The exit code, once it was stopped and nothing runs any more.
    pub fn finished(&self) -> Option<i32> {
        self.stop.as_ref().filter(|_| self.generations.is_empty()).map(|stop| stop.code)
    }

    /// Gives back what it holds in the file system.
    pub fn release(self) {
        let before = self.before.into_iter().flat_map(|before| before.listeners);
        self.listeners.into_iter().chain(before).for_each(|listener| listener.release());
    }

    /// Passes a signal on to the serving process.
    pub fn forward(&self, signal: Signal) {
        if let Some(generation) = self.serving() {
            generation.signal(signal);
        }
    }

    /// The same, unless the signal would simply end the process. `false`: it would, and was not sent.
    pub fn forward_if_taken(&self, signal: Signal) -> bool {
        let taken = self.serving().is_none_or(|generation| !generation.is_ended_by(signal));
        if taken {
            self.forward(signal);
        }
        taken
    }

    /// What a crash starts again: the release that serves, once nothing is watched.
    pub fn current(&self) -> Option<&Launch> {
        self.current.as_ref()
    }

    /// The same, if it was confirmed, now or before it was gone back to.
    pub fn proven(&self) -> Option<&Launch> {
        let holds = |launch: &&Launch| launch.sha256 == self.confirmed || launch.sha256 == self.returned_to;
        self.current().filter(|launch| launch.sha256.is_some()).filter(holds)
    }

    /// The number of the generation that serves, and whether it has failed its watch: then another is on its way.
    pub fn serves(&self) -> Option<(u64, bool)> {
        self.serving().map(|generation| (generation.number, self.failed_watch == Some(generation.number)))
    }

    fn serving(&self) -> Option<&Generation> {
        self.generations.iter().rev().find(|g| g.phase == Phase::Serving)
    }
}

fn answer(reply: Option<Reply>, result: Result<Handoff, HandoffError>) {
    if let Some(reply) = reply {
        // Whoever asked has stopped waiting: the supervisor is stopping.
        let _ = reply.send(result);
    }
}

/// How long the agent may take to decide before the supervisor helps itself.
const AGENT_PATIENCE: Duration = Duration::from_secs(10);
