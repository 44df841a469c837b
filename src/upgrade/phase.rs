//! Where this process is in its life, and who may change that.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::pipe::PipeFlags;

use super::{Shared, UpgradeError, channel, lock, pid_file};
use crate::service::Notify;

/// The life of a process that serves. It only moves forward, but for the two that an upgrade passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not ready yet.
    Starting,
    /// It accepts.
    Serving,
    /// It accepts, and a successor prepares.
    Upgrading,
    /// The successor accepts, and is watched.
    Paused,
    /// It drains.
    Leaving,
}

/// The phase, and something to wait for its end.
#[derive(Debug)]
pub(super) struct Stage {
    phase: Mutex<Phase>,
    /// Readable, as end of file, once this process leaves.
    left: OwnedFd,
    stay: Mutex<Option<OwnedFd>>,
}

impl Stage {
    pub(super) fn new() -> io::Result<Stage> {
        let (left, stay) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Stage { phase: Mutex::new(Phase::Starting), left, stay: Mutex::new(Some(stay)) })
    }

    pub(super) fn phase(&self) -> MutexGuard<'_, Phase> {
        lock(&self.phase)
    }

    /// Becomes readable when this process leaves.
    pub(super) fn left(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd as _;
        self.left.as_fd()
    }

    fn leave(&self) {
        drop(lock(&self.stay).take());
    }
}

/// The right to upgrade, which one thread has at a time. However it ends, a panic of a hook included, the
/// process accepts again and may upgrade again, unless it leaves.
#[derive(Debug)]
pub(super) struct Claim<'a>(&'a Shared);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.resume();
    }
}

impl Shared {
    pub(super) fn claim(&self) -> Result<Claim<'_>, UpgradeError> {
        let mut phase = self.stage.phase();
        match *phase {
            Phase::Starting => Err(UpgradeError::NotReady),
            Phase::Upgrading | Phase::Paused => Err(UpgradeError::Busy),
            Phase::Leaving => Err(UpgradeError::Leaving),
            Phase::Serving => {
                *phase = Phase::Upgrading;
                Ok(Claim(self))
            }
        }
    }

    /// Stops accepting in favour of a successor.
    pub(super) fn pause(&self) -> Result<(), UpgradeError> {
        let mut phase = self.stage.phase();
        if *phase == Phase::Leaving {
            return Err(UpgradeError::Leaving);
        }
        *phase = Phase::Paused;
        self.elsewhere.store(true, Ordering::SeqCst);
        self.order("pause");
        Ok(())
    }

    /// Ends an upgrade that did not succeed. Nothing if this process leaves.
    fn resume(&self) {
        let mut phase = self.stage.phase();
        match *phase {
            Phase::Upgrading => *phase = Phase::Serving,
            Phase::Paused => {
                *phase = Phase::Serving;
                self.elsewhere.store(false, Ordering::SeqCst);
                self.order("resume");
                drop(phase);
                self.place_pid_file();
                // Heard only where the unit lets others than its main process speak.
                self.told(self.notify.send(&format!("MAINPID={}", std::process::id())));
            }
            _ => {}
        }
    }

    /// Drains in favour of a successor that stayed.
    pub(super) fn leave(&self) {
        *self.stage.phase() = Phase::Leaving;
        self.stage.leave();
        lock(&self.ancestors).make_room();
        self.kept().clear();
        let within = self.options.drain_deadline;
        self.order(&format!("drain {}", within.as_millis()));
        let end = move || {
            std::thread::sleep(within);
            tracing::warn!(event = "upgrade.drain_deadline", ms = within.as_millis() as u64);
            std::process::exit(0);
        };
        // Nobody else ends a process that does not drain. Without a thread for it, it is left to the limit of four.
        if let Err(error) = std::thread::Builder::new().name("fetchd-drain".to_owned()).spawn(end) {
            tracing::warn!(event = "upgrade.no_thread", error = %error);
        }
    }

    pub(super) fn stop(&self) {
        let mut phase = self.stage.phase();
        let before = std::mem::replace(&mut *phase, Phase::Leaving);
        drop(phase);
        if before == Phase::Leaving {
            return;
        }
        self.stage.leave();
        self.kept().clear();
        // A parent that says it would stop its successor too (HANDOFF, part 3).
        if before != Phase::Paused {
            self.told(self.notify.stopping());
        }
        self.order(&format!("drain {}", self.options.drain_deadline.as_millis()));
    }

    /// Makes this process the one in the PID file. It serves in any case.
    pub(super) fn place_pid_file(&self) {
        let Some(path) = &self.options.pid_file else { return };
        if let Err(error) = pid_file::Prepared::beside(path).and_then(pid_file::Prepared::place) {
            tracing::warn!(event = "upgrade.pid_file", path = %path.display(), error = %error);
        }
    }

    /// Tells the program what to do.
    fn order(&self, order: &str) {
        let Some(orders) = &self.orders else { return };
        if let Err(error) = channel::send(orders, order, None, Instant::now()) {
            tracing::warn!(event = "upgrade.order_lost", order, error = %error);
        }
    }

    pub(super) fn told(&self, sent: Result<(), crate::service::NotifyError>) {
        if let Err(error) = sent {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(event = "upgrade.notify_failed", error = %error, cause);
        }
    }

    /// Makes `pid` the main process for systemd, and returns when that is so.
    pub(super) fn main_process(&self, pid: u32) {
        let notify: &Notify = &self.notify;
        if !notify.is_wanted() {
            return;
        }
        self.told(notify.send(&format!("MAINPID={pid}")));
        self.told(notify.barrier(BARRIER));
    }
}

/// systemd reads at once; one older than the barrier, or another program in its place, may never answer.
const BARRIER: Duration = Duration::from_secs(5);
