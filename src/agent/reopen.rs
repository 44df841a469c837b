//! Updates that are off because of the state come back by themselves once it has been put right.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::{Agent, Line, Verdict, chance, words};
use crate::clock::Timestamp;
use crate::failure::{Exit, Reported};
use crate::install::Installed;
use crate::state::Event;

type Open = dyn FnMut() -> Result<(Line, Installed), Reported> + Send;

/// Makes the machinery of updates for a service that runs without it. Fails as long as what is in the way is there.
pub struct Reopen(Box<Open>);

impl Reopen {
    /// `open` returns the machinery, with the binary that serves, which must lie at the program path still.
    pub fn new(open: impl FnMut() -> Result<(Line, Installed), Reported> + Send + 'static) -> Reopen {
        Reopen(Box::new(open))
    }
}

impl fmt::Debug for Reopen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reopen")
    }
}

impl Agent {
    /// One attempt. Says when the next thing is to be done: a pass at once, or another attempt.
    pub(super) fn reopen(&mut self) -> Instant {
        let Some(reopen) = &mut self.reopen else { return Instant::now() };
        let opened = catch_unwind(AssertUnwindSafe(|| (reopen.0)())).unwrap_or_else(|panic| {
            let message = format!("fetchd itself failed: {}", words(&*panic));
            Err(Reported { code: "internal.panic".to_owned(), exit: Exit::State, message, hint: None })
        });
        match opened {
            Ok((line, installed)) => {
                (self.line, self.started, self.reopen) = (Some(line), Some(installed), None);
                self.shown.write(|shown| shown.updates_off = None);
                self.learn();
                let message = "the state can be read again; updates go on";
                tracing::info!(event = "updates.on", "{message}");
                self.note(Event::new(Timestamp::now(), "updates.on").message(message));
                Instant::now()
            }
            Err(report) => {
                let known = self.shown.read().updates_off.is_some_and(|before| before.code == report.code);
                if !known {
                    tracing::error!(event = "updates.off", code = report.code, "{}; updates stay off", report.message);
                    self.shown.write(|shown| shown.updates_off = Some(report));
                }
                Instant::now() + self.schedule.next(Verdict::Settled, chance()).min(LONGEST)
            }
        }
    }
}

/// Whoever has repaired the state does not want to wait for a source that is asked once a day.
const LONGEST: Duration = Duration::from_secs(60);
