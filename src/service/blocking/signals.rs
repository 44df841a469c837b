//! SIGTERM and SIGINT as bytes that a readiness loop sees.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// The read ends. The registration lasts as long as the process.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: UnixStream,
    interrupt: UnixStream,
}

impl Signals {
    pub(super) fn register() -> io::Result<Signals> {
        Ok(Signals { terminate: registered(SIGTERM)?, interrupt: registered(SIGINT)? })
    }

    pub(super) fn each(&self) -> [BorrowedFd<'_>; 2] {
        [self.terminate.as_fd(), self.interrupt.as_fd()]
    }

    /// Whether each has come since the last call.
    pub(super) fn come(&self) -> (bool, bool) {
        (came(&self.terminate), came(&self.interrupt))
    }
}

fn registered(signal: i32) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    pipe::register(signal, write)?;
    Ok(read)
}

fn came(mut read: &UnixStream) -> bool {
    let mut any = false;
    while read.read(&mut [0; 16]).is_ok_and(|length| length > 0) {
        any = true;
    }
    any
}
