//! What the supervisor tells PID 1, when it runs as a unit of `Type=notify` or `notify-reload`.
//!
//! Only the supervisor talks to systemd; services get the private socket of [`super::notify`].

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The line to systemd. Without `NOTIFY_SOCKET` every message goes nowhere.
#[derive(Debug)]
pub(super) struct Systemd {
    present: bool,
    ready_sent: bool,
    watchdog: Option<Duration>,
    ping_at: Option<Instant>,
}

impl Systemd {
    pub(super) fn new() -> Systemd {
        let present = std::env::var_os("NOTIFY_SOCKET").is_some();
        let watchdog = sd_notify::watchdog_enabled().map(|interval| interval / 2);
        Systemd { present, ready_sent: false, watchdog, ping_at: watchdog.map(|_| Instant::now()) }
    }

    /// The line of a supervisor that goes on where another program of this process stopped.
    pub(super) fn resume(ready_sent: bool) -> Systemd {
        Systemd { ready_sent, ..Systemd::new() }
    }

    /// Whether systemd was told that the service is ready.
    pub(super) fn was_ready(&self) -> bool {
        self.ready_sent
    }

    /// The first service is ready, or a handoff has ended, well or not.
    pub(super) fn ready(&mut self, status: &str) {
        self.ready_sent = true;
        self.send(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// A handoff begins. systemd wants the time with it, for `Type=notify-reload`.
    pub(super) fn reloading(&self, status: &str) {
        if !self.ready_sent {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now, NotifyState::Status(status)]),
            Err(e) => tracing::warn!(event = "systemd.notify", error = %e, "cannot read the monotonic clock"),
        }
    }

    pub(super) fn stopping(&self, drain: Duration) {
        self.send(&[NotifyState::Stopping]);
        self.extend(drain);
    }

    /// Asks for `by` more time to stop.
    pub(super) fn extend(&self, by: Duration) {
        let by = by.saturating_add(Duration::from_secs(5));
        self.send(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
    }

    /// Hands a copy of a listening socket to PID 1, which gives it back at the next start even if
    /// this process was killed: no queued connection is lost (`FileDescriptorStoreMax=`).
    pub(super) fn store(&self, name: &str, socket: BorrowedFd<'_>) {
        if !self.present || std::env::var_os("FDSTORE").is_none_or(|most| most == "0") {
            return;
        }
        let message = [NotifyState::FdStore, NotifyState::FdName(name)];
        if let Err(e) = sd_notify::notify_with_fds(&message, &[socket]) {
            tracing::warn!(event = "systemd.fdstore", error = %e, name, "systemd did not take a listening socket");
        }
    }

    /// Takes back every copy of this name.
    pub(super) fn forget(&self, name: &str) {
        if std::env::var_os("FDSTORE").is_some_and(|most| most != "0") {
            self.send(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
        }
    }

    /// Sends the watchdog message if it is time; says when the next one is due.
    pub(super) fn ping(&mut self, now: Instant) -> Option<Instant> {
        let interval = self.watchdog?;
        if self.ping_at.is_none_or(|at| now >= at) {
            self.send(&[NotifyState::Watchdog]);
            self.ping_at = Some(now + interval);
        }
        self.ping_at
    }

    fn send(&self, message: &[NotifyState<'_>]) {
        if self.present
            && let Err(e) = sd_notify::notify(message)
        {
            tracing::warn!(event = "systemd.notify", error = %e, "systemd did not take a message");
        }
    }
}
