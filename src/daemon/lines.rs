//! A log whose writer never waits for its reader.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Starts the thread that writes lines to stderr. A supervisor's main thread must never wait for whoever reads its log:
/// lines that find a thousand others waiting are counted and dropped.
///
/// Keep the second value to the end: dropping it waits, for a second at most, until what was logged is written.
pub(crate) fn start() -> io::Result<(Lines, Unblocked)> {
    // Room for each line when it comes: a queue with a thousand places takes 32 KiB for as long as the supervisor lives.
    let (lines, queue) = channel();
    let counts = Arc::new(Counts::default());
    let writer_counts = Arc::clone(&counts);
    let thread = std::thread::Builder::new().name("log".to_owned()).stack_size(64 * 1024);
    thread.spawn(move || write_out(&queue, &writer_counts))?;
    Ok((Lines { lines, counts: Arc::clone(&counts) }, Unblocked(counts)))
}

/// A log that is written by a thread of its own.
#[derive(Debug, Clone)]
pub(crate) struct Unblocked(Arc<Counts>);

impl Unblocked {
    /// Waits, for a second at most, until what was logged is written; false if it is not.
    pub(crate) fn flush(&self) -> bool {
        let give_up = Instant::now() + Duration::from_secs(1);
        loop {
            match self.0.waiting.load(Ordering::Acquire) {
                0 => return true,
                _ if Instant::now() >= give_up => return false,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl Drop for Unblocked {
    fn drop(&mut self) {
        self.flush();
    }
}

#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicUsize,
    lost: AtomicUsize,
}

/// Where the subscriber writes to: one call of `write` for each line.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    lines: Sender<Vec<u8>>,
    counts: Arc<Counts>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let full = self.counts.waiting.fetch_add(1, Ordering::AcqRel) >= QUEUE;
        if full || self.lines.send(line.to_vec()).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::AcqRel);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_out(queue: &Receiver<Vec<u8>>, counts: &Counts) {
    for line in queue {
        // A stderr that is closed loses the log, and nothing else.
        let _ = io::stderr().write_all(&line);
        counts.waiting.fetch_sub(1, Ordering::AcqRel);
        let lost = counts.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(io::stderr(), "{lost} lines of this log were lost: nobody read it for a while");
        }
    }
}

/// How many lines may wait to be written.
const QUEUE: usize = 1024;
