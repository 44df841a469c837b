//! Logs: to stderr, as text or as JSON lines.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::out;
use crate::config::Effective;
use crate::daemon::lines::{self, Lines, Unblocked};

/// Starts logging as `log` and `log_level` say. A second call changes nothing.
pub fn start(settings: &Effective) {
    start_with(settings, BoxMakeWriter::new(io::stderr));
}

/// The same for a supervisor, whose main thread must never wait for whoever reads its log.
///
/// Keep what is returned to the end: dropping it waits, for a second at most, until what was logged is written.
pub(super) fn start_unblocked(settings: &Effective) -> Option<Unblocked> {
    let Ok((lines, unblocked)) = lines::start() else {
        start(settings);
        return None;
    };
    start_with(settings, BoxMakeWriter::new(lines));
    Some(unblocked)
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

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}
