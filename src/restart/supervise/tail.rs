//! The end of what a service wrote to stderr, for the report when it fails.
//!
//! The service writes into a pipe; a thread of its own copies it to the supervisor's stderr, so
//! that a log that is slow to take it blocks nobody but the service, as it would without us (the supervisor's own lines
//! are written by another thread, too). The
//! service keeps a read end as well: should the supervisor be killed, its writes never end it with
//! SIGPIPE in the middle of its drain, and the pipe has room for what it may say until then.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Follows one process's stderr until everybody who writes to it is gone.
#[derive(Debug)]
pub(super) struct Tail {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
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
        let shared = Arc::new(Shared::default());
        let thread_shared = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("stderr".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || follow(reader, &thread_shared))?;
        Ok((Tail { shared }, ServiceEnds { writer, keeper }))
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

fn follow(mut reader: PipeReader, shared: &Shared) {
    let mut buffer = [0_u8; 4096];
    loop {
        let read = match reader.read(&mut buffer) {
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
