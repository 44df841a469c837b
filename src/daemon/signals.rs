//! Signals to the supervisor, as values.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::process::Signal;

use crate::spawn::hold_signals;

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
///
/// They are blocked in every thread and read from a descriptor: what is sent while fetchd replaces its own program stays
/// with the kernel and is read by the next one (`a_signal_sent_meanwhile_is_not_lost`).
#[derive(Debug)]
pub(super) struct Signals {
    arrived: OwnedFd,
    restart: Signal,
}

impl Signals {
    /// `restart` asks for a graceful restart: `HUP`, `USR1` or `USR2`. The other two are passed on.
    pub(super) fn listen(restart: Signal) -> io::Result<Signals> {
        Ok(Signals { arrived: hold_signals(&WANTED)?, restart })
    }

    /// Readable when something has arrived.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }

    /// What has arrived since the last call.
    pub(super) fn take(&mut self) -> Vec<Asked> {
        let mut taken = Vec::new();
        // A `signalfd_siginfo`, whose first member is the number.
        let mut arrived = [0; 128];
        while let Ok(128) = rustix::io::retry_on_intr(|| rustix::io::read(&self.arrived, &mut arrived)) {
            let [a, b, c, d, ..] = arrived;
            let number = u32::from_ne_bytes([a, b, c, d]).cast_signed();
            taken.extend(
                WANTED.into_iter().find(|signal| signal.as_raw() == number).and_then(|signal| self.asked(signal)),
            );
        }
        taken
    }

    fn asked(&self, signal: Signal) -> Option<Asked> {
        match signal {
            Signal::TERM => Some(Asked::Stop),
            Signal::INT => Some(Asked::Interrupt),
            Signal::HUP | Signal::USR1 | Signal::USR2 if signal == self.restart => Some(Asked::Restart),
            Signal::HUP | Signal::USR1 | Signal::USR2 => Some(Asked::Forward(signal)),
            Signal::CHILD => Some(Asked::Child),
            _ => None,
        }
    }
}

const WANTED: [Signal; 6] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1, Signal::USR2, Signal::CHILD];
