//! Signals to the supervisor, as values.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// What a signal asks for (HANDOFF 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Drain and end.
    Stop,
    /// Drain and end; a second time: end at once.
    Interrupt,
    /// A graceful restart of the service.
    Restart,
    /// Passed on to the service.
    Forward(Signal),
    /// Some child ended.
    Child,
}

/// The signals that have arrived.
#[derive(Debug)]
pub(super) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
    restart: Signal,
}

impl Signals {
    /// `restart` asks for a graceful restart: `HUP`, `USR1` or `USR2`. The other two are passed on.
    pub(super) fn listen(restart: Signal) -> io::Result<Signals> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        let wanted = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD];
        Ok(Signals { delivery: SignalDelivery::with_pipe(read, write, SignalOnly, wanted)?, restart })
    }

    /// Readable when something has arrived.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }

    /// What has arrived since the last call.
    pub(super) fn take(&mut self) -> Vec<Asked> {
        let restart = self.restart;
        let other = |signal| if signal == restart { Asked::Restart } else { Asked::Forward(signal) };
        let asked = |signal| match signal {
            SIGTERM => Some(Asked::Stop),
            SIGINT => Some(Asked::Interrupt),
            SIGUSR2 => Some(other(Signal::USR2)),
            SIGHUP => Some(other(Signal::HUP)),
            SIGUSR1 => Some(other(Signal::USR1)),
            SIGCHLD => Some(Asked::Child),
            _ => None,
        };
        self.delivery.pending().filter_map(asked).collect()
    }
}
