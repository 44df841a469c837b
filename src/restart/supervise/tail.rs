//! The end of what a service wrote to stderr, for the report when it fails.
//!
//! The service writes into a pipe; a thread of its own copies it to the supervisor's stderr, so
//! that a log that is slow to take it blocks nobody but the service, as it would without us (the supervisor's own lines
//! are written by another thread, too). The
//! service keeps a read end as well: should the supervisor be killed, its writes never end it with
//! SIGPIPE in the middle of its drain, and the pipe has room for what it may say until then.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

/// Follows one process's stderr until everybody who writes to it is gone.
#[derive(Debug)]
pub(super) struct Tail {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    reader: PipeReader,
    /// Held from before some bytes are read until they are written: whoever has it knows that none are on their way.
    copying: Mutex<()>,
    kept: Mutex<Kept>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    ended: bool,
}

/// What the service gets: the end it writes to, and the read end that keeps the pipe alive.
#[derive(Debug)]
pub(super) struct ServiceEnds {
    pub(super) writer: PipeWriter,
    pub(super) keeper: PipeReader,
}

impl Tail {
    pub(super) fn start() -> io::Result<(Tail, ServiceEnds)> {
        let (reader, writer) = io::pipe()?;
        // A smaller one works as well; only a service without its supervisor fills it.
        let _ = rustix::pipe::fcntl_setpipe_size(&writer, PIPE);
        let keeper = reader.try_clone()?;
        let tail = Tail::resume(reader.into(), Vec::new());
        tail.begin()?;
        Ok((tail, ServiceEnds { writer, keeper }))
    }

    /// Goes on with a pipe that an earlier program of this process has followed, once [`Tail::begin`] is called.
    pub(super) fn resume(reader: OwnedFd, kept: Vec<u8>) -> Tail {
        let kept = Mutex::new(Kept { bytes: kept.into(), ended: false });
        Tail {
            shared: Arc::new(Shared { reader: reader.into(), copying: Mutex::new(()), kept, ended: Condvar::new() }),
        }
    }

    /// Starts the thread that copies.
    pub(super) fn begin(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("stderr".to_owned()).stack_size(64 * 1024);
        thread.spawn(move || follow(&shared)).map(drop)
    }

    /// Holds the copying up while nothing is on its way from the pipe to stderr. `None`: something is, and stderr does
    /// not take it.
    pub(super) fn hold(&self) -> Option<Holding<'_>> {
        self.shared.copying.try_lock().ok().map(Holding)
    }

    /// The end of the pipe that is read.
    pub(super) fn reader(&self) -> BorrowedFd<'_> {
        self.shared.reader.as_fd()
    }

    /// What is kept so far.
    pub(super) fn kept(&self) -> Vec<u8> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner).bytes.iter().copied().collect()
    }

    /// The last [`KEPT`] bytes. Waits up to `patience` for the last of them if the process has
    /// just ended.
    pub(super) fn end(&self, patience: Duration) -> String {
        let kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut kept, _) = self
            .shared
            .ended
            .wait_timeout_while(kept, patience, |kept| !kept.ended)
            .unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.bytes.make_contiguous()).into_owned()
    }
}

/// The copying is held up for as long as this lives.
#[derive(Debug)]
#[must_use]
pub(super) struct Holding<'a>(#[allow(dead_code, reason = "it is held, not read")] MutexGuard<'a, ()>);

fn follow(shared: &Shared) {
    let mut buffer = [0_u8; 4096];
    loop {
        // Nobody waits for the next bytes while they keep somebody else from holding the copying up.
        let mut waited = [PollFd::new(&shared.reader, PollFlags::IN)];
        if poll(&mut waited, None).is_err() {
            continue;
        }
        let _copying = shared.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match (&shared.reader).read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        {
            let mut kept = shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.bytes.extend(&buffer[..read]);
            let excess = kept.bytes.len().saturating_sub(KEPT);
            kept.bytes.drain(..excess);
        }
        // A closed stderr loses the copy, as it would lose the service's own writes.
        let _ = io::stderr().write_all(&buffer[..read]);
    }
    shared.kept.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
    shared.ended.notify_all();
}

/// HANDOFF 1.4 step 2: quarantined "with the last 4 KiB of its stderr".
const KEPT: usize = 4096;

/// What a service may write while it drains without a supervisor before its writes wait for ever. Four times
/// the usual; much more would use up what the kernel grants a user for all of his pipes (64 MiB).
const PIPE: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_bounded() {
        let (tail, mut ends) = Tail::start().unwrap();
        for line in 0..1000 {
            writeln!(ends.writer, "line {line}").unwrap();
        }
        drop(ends);
        let end = tail.end(Duration::from_secs(10));
        assert!(end.ends_with("line 999\n"), "{end}");
        assert_eq!(end.len(), KEPT);
    }

    #[test]
    fn a_process_that_still_writes_is_not_waited_for() {
        let (tail, ends) = Tail::start().unwrap();
        assert_eq!(tail.end(Duration::from_millis(1)), "");
        drop(ends);
    }
}
