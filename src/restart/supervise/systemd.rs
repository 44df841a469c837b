//! What the supervisor tells PID 1, when it runs as a unit of `Type=notify` or `notify-reload`.
//!
//! Only the supervisor talks to systemd; services get the private socket of [`super::notify`].

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::failure::chain;
use crate::service::Notify;

/// The line to systemd. No message holds the supervisor up for longer than a second
/// (`nobody_waits_for_ever_for_one_that_does_not_read`). Without `NOTIFY_SOCKET` every message goes nowhere.
#[derive(Debug)]
pub(super) struct Systemd {
    to: Notify,
    ready_sent: bool,
    watchdog: Option<Duration>,
    ping_at: Option<Instant>,
}

impl Systemd {
    pub(super) fn new() -> Systemd {
        let to = std::env::var_os("NOTIFY_SOCKET").map(|address| Notify::to(&address)).transpose();
        let to = to.unwrap_or_else(|error| {
            tracing::warn!(event = "systemd.notify", %error, "systemd cannot be told anything");
            None
        });
        let watchdog = watchdog().map(|interval| interval / 2);
        let ping_at = watchdog.map(|_| Instant::now());
        Systemd { to: to.unwrap_or_default(), ready_sent: false, watchdog, ping_at }
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
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A handoff begins. systemd wants the time with it, for `Type=notify-reload`.
    pub(super) fn reloading(&self, status: &str) {
        if !self.ready_sent {
            return;
        }
        let now = clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS={}", one_line(status)));
    }

    pub(super) fn stopping(&self, drain: Duration) {
        self.send("STOPPING=1");
        self.extend(drain);
    }

    /// Asks for `by` more time to stop.
    pub(super) fn extend(&self, by: Duration) {
        let by = by.saturating_add(Duration::from_secs(5));
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", by.as_micros()));
    }

    /// Hands a copy of a listening socket to PID 1, which gives it back at the next start even if
    /// this process was killed: no queued connection is lost (`FileDescriptorStoreMax=`).
    pub(super) fn store(&self, name: &str, socket: BorrowedFd<'_>) {
        if std::env::var_os("FDSTORE").is_none_or(|most| most == "0") {
            return;
        }
        if let Err(e) = self.to.send_with(&format!("FDSTORE=1\nFDNAME={name}"), socket) {
            tracing::warn!(
                event = "systemd.fdstore",
                error = chain(&e),
                name,
                "systemd did not take a listening socket"
            );
        }
    }

    /// Takes back every copy of this name.
    pub(super) fn forget(&self, name: &str) {
        if std::env::var_os("FDSTORE").is_some_and(|most| most != "0") {
            self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
        }
    }

    /// Sends the watchdog message if it is time; says when the next one is due.
    pub(super) fn ping(&mut self, now: Instant) -> Option<Instant> {
        let interval = self.watchdog?;
        if self.ping_at.is_none_or(|at| now >= at) {
            self.send("WATCHDOG=1");
            self.ping_at = Some(now + interval);
        }
        self.ping_at
    }

    fn send(&self, message: &str) {
        if let Err(e) = self.to.send(message) {
            tracing::warn!(event = "systemd.notify", error = chain(&e), "systemd did not take a message");
        }
    }
}

/// How often systemd wants to hear of this process, if it does (`sd_watchdog_enabled(3)`).
fn watchdog() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let mine = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|every| mine && *every > 0).map(Duration::from_micros)
}

/// A newline would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}
