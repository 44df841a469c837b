//! Logs: to stderr, as text or as JSON lines.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::out;
use crate::config::Effective;

/// Starts logging as `log` and `log_level` say. A second call changes nothing.
pub fn start(settings: &Effective) {
    start_with(settings, BoxMakeWriter::new(io::stderr));
}

/// The same for a supervisor, whose main thread must never wait for whoever reads its log: lines go to stderr on a thread
/// of their own, and those that find a thousand others waiting are counted and dropped.
///
/// Keep what is returned to the end: dropping it waits, for a second at most, until what was logged is written.
pub fn start_unblocked(settings: &Effective) -> Option<Unblocked> {
    let (lines, queue) = sync_channel(QUEUE);
    let counts = Arc::new(Counts::default());
    let writer_counts = Arc::clone(&counts);
    let thread = std::thread::Builder::new().name("log".to_owned()).stack_size(64 * 1024);
    if thread.spawn(move || write_out(&queue, &writer_counts)).is_err() {
        start(settings);
        return None;
    }
    start_with(settings, BoxMakeWriter::new(Lines { lines, counts: Arc::clone(&counts) }));
    Some(Unblocked(counts))
}

fn start_with(settings: &Effective, writer: BoxMakeWriter) {
    let level = match settings.text("log_level") {
        Some("error") => LevelFilter::ERROR,
        Some("warn") => LevelFilter::WARN,
        Some("debug") => LevelFilter::DEBUG,
        Some("trace") => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(writer);
    // The error says that a logger is set already: an embedder's, which is to stay.
    let _ = if settings.text("log") == Some("json") {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.with_ansi(out::colour(io::stderr().is_terminal())).with_target(false).try_init()
    };
}

/// A log that is written by a thread of its own.
#[derive(Debug, Clone)]
pub struct Unblocked(Arc<Counts>);

impl Unblocked {
    /// Waits, for a second at most, until what was logged is written; false if it is not.
    pub fn flush(&self) -> bool {
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
struct Lines {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.counts.waiting.fetch_add(1, Ordering::AcqRel);
        if self.lines.try_send(line.to_vec()).is_err() {
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
