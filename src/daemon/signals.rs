//! Signals to the supervisor, as values.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

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
    /// What the kernel gave to a thread that was there before the signals were blocked.
    strayed: Option<SignalDelivery<UnixStream, SignalOnly>>,
    restart: Signal,
}

impl Signals {
    /// `restart` asks for a graceful restart: `HUP`, `USR1` or `USR2`. The other two are passed on.
    pub(super) fn listen(restart: Signal) -> io::Result<Signals> {
        Ok(Signals { arrived: hold_signals(&WANTED)?, strayed: None, restart })
    }

    /// The same inside a program of somebody else's, which may have threads already. They block nothing, and a signal that one of
    /// them gets would end the process (`a_thread_of_the_programs_own_does_not_cost_the_drain`).
    pub(super) fn listen_among_threads(restart: Signal) -> io::Result<Signals> {
        let signals = Signals::listen(restart)?;
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        let numbers = WANTED.map(Signal::as_raw);
        Ok(Signals { strayed: Some(SignalDelivery::with_pipe(read, write, SignalOnly, numbers)?), ..signals })
    }

    /// Each is readable when something has arrived.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let strayed = self.strayed.iter().map(|strayed| strayed.get_read().as_fd());
        strayed.chain([self.arrived.as_fd()])
    }

    /// What has arrived since the last call.
    pub(super) fn take(&mut self) -> Vec<Asked> {
        let mut numbers: Vec<i32> = self.strayed.iter_mut().flat_map(SignalDelivery::pending).collect();
        // A `signalfd_siginfo`, whose first member is the number.
        let mut arrived = [0; 128];
        while let Ok(128) = rustix::io::retry_on_intr(|| rustix::io::read(&self.arrived, &mut arrived)) {
            let [a, b, c, d, ..] = arrived;
            numbers.push(u32::from_ne_bytes([a, b, c, d]).cast_signed());
        }
        let named = |number: i32| WANTED.into_iter().find(|signal| signal.as_raw() == number);
        numbers.into_iter().filter_map(named).filter_map(|signal| self.asked(signal)).collect()
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
