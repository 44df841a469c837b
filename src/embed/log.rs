//! The supervisor's log, where the program has no other for it: lines on stderr.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

use crate::clock::Timestamp;
use crate::daemon::lines::{self, Lines, Unblocked};

/// The log, unless the program has set a subscriber of `tracing`, which is to stay. `level`: as the setting `log_level`.
///
/// It is not the whole process's yet: a program that runs alone in the end may want another. It writes by itself until the
/// second value lets it [`begin`](Later::begin) otherwise.
pub(super) fn make(product: &str, level: Option<&str>) -> Option<(Dispatch, Later)> {
    if tracing::dispatcher::has_been_set() {
        return None;
    }
    let level = level.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let lines = Arc::new(Mutex::new(None));
    let log = Log { prefix: format!("{product} supervisor"), level, lines: Arc::clone(&lines) };
    Some((Dispatch::new(log), Later(lines)))
}

/// A log that has no thread yet.
#[derive(Debug)]
pub(super) struct Later(Arc<Mutex<Option<Lines>>>);

impl Later {
    /// From now on a thread of its own writes it, and nobody waits for whoever reads it. To be called once the signals that
    /// a supervisor reads are blocked. Keep what is returned to the end; `None`: there is no thread to be had.
    pub(super) fn begin(self) -> Option<Unblocked> {
        let (lines, unblocked) = lines::start().ok()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines);
        Some(unblocked)
    }
}

#[derive(Debug)]
struct Log {
    prefix: String,
    level: LevelFilter,
    lines: Arc<Mutex<Option<Lines>>>,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with("fetchd")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut said = Said::default();
        event.record(&mut said);
        let Said { message, fields } = said;
        let (now, level, prefix) = (Timestamp::now(), event.metadata().level(), &self.prefix);
        let line = format!("{now} {level:>5} {prefix}: {message}{fields}\n");
        // Lines never fail: those that nobody reads are counted. A stderr that is closed loses the log, and nothing else.
        let _ = match &mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(lines) => lines.write_all(line.as_bytes()),
            None => io::stderr().write_all(line.as_bytes()),
        };
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The words of an event, on one line.
#[derive(Default)]
struct Said {
    message: String,
    fields: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A writer into a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value}"),
        };
    }
}
