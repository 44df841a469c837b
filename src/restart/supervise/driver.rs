//! The agent's side of the built-in driver.

use std::io::{self, PipeWriter, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::restart::{Handoff, HandoffError, Launch, RestartDriver};

/// What the agent asks of the supervisor.
#[derive(Debug)]
pub enum Command {
    /// Bring the service to this.
    Handoff(Launch, Sender<Result<Handoff, HandoffError>>),
    /// Say how the watch ends, when it ends.
    Watch(Sender<Result<(), HandoffError>>),
    /// The release is recorded as good.
    Confirm,
    /// The release whose handoff failed is gone from the program path.
    Abort,
    /// Bring the service back to this; what failed is ended.
    RollBack(Launch, Sender<Result<Handoff, HandoffError>>),
    /// There is nothing to go back to: end, with the service's code.
    GiveUp,
}

/// Wakes the loop of another thread that polls the other end of a pipe.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Mutex<PipeWriter>>);

impl Waker {
    /// Wakes through `writer`, which must not block.
    pub fn new(writer: PipeWriter) -> io::Result<Waker> {
        rustix::io::ioctl_fionbio(&writer, true)?;
        Ok(Waker(Arc::new(Mutex::new(writer))))
    }

    /// Makes the other end readable. A full pipe is readable already.
    pub fn wake(&self) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write(&[0]);
    }
}

/// A handle on the supervisor for the agent's thread.
#[derive(Debug)]
pub struct Supervise {
    commands: Sender<Command>,
    waker: Waker,
    patience: Duration,
}

impl Supervise {
    /// `patience`: longer than any answer of the loop can take; only a defect exceeds it.
    pub fn new(commands: Sender<Command>, waker: Waker, patience: Duration) -> Supervise {
        Supervise { commands, waker, patience }
    }

    fn send(&self, command: Command) -> bool {
        let sent = self.commands.send(command).is_ok();
        self.waker.wake();
        sent
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<Result<T, HandoffError>>) -> Command) -> Result<T, HandoffError> {
        let (reply, answer): (_, Receiver<Result<T, HandoffError>>) = channel();
        if !self.send(command(reply)) {
            return Err(HandoffError::Stopping);
        }
        match answer.recv_timeout(self.patience) {
            Ok(result) => result,
            // The loop drops what it cannot answer only when it ends.
            Err(RecvTimeoutError::Disconnected) => Err(HandoffError::Stopping),
            Err(RecvTimeoutError::Timeout) => Err(HandoffError::Unanswered(self.patience)),
        }
    }
}

impl RestartDriver for Supervise {
    fn name(&self) -> &'static str {
        "supervise"
    }

    fn handoff(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        self.ask(|reply| Command::Handoff(to.clone(), reply))
    }

    fn watch(&mut self) -> Result<(), HandoffError> {
        self.ask(Command::Watch)
    }

    fn confirm(&mut self) {
        self.send(Command::Confirm);
    }

    fn abort(&mut self) {
        self.send(Command::Abort);
    }

    fn roll_back(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        self.ask(|reply| Command::RollBack(to.clone(), reply))
    }

    fn give_up(&mut self) {
        self.send(Command::GiveUp);
    }
}
