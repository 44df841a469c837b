//! How a pass ends.

use std::time::Duration;

use fetchd_fetchers::Retry;
use semver::Version;

use super::bring::Brought;
use super::schedule::Verdict;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::{Exit, Failure, Reported};
use crate::fetch::FetchFailure;
use crate::install::InstallError;
use crate::restart::HandoffError;
use crate::state::{Event, StateError};
use crate::trust::Refused;
use crate::verify::VerifyError;

/// A pass that came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The source shows what it showed last time.
    Unchanged,
    /// What runs is the newest there is for this machine.
    UpToDate {
        /// Its version, where known.
        version: Option<Version>,
    },
    /// There is something to take, and this pass was not to take it.
    Available {
        /// Its version, where it is known before the download.
        version: Option<Version>,
    },
    /// There may be something, and it is not taken now. The service is left alone.
    Held(Reported),
    /// A release is listed, and what this machine needs of it is not there, or not yet.
    NotReady(Reported),
    /// The source shows something older than it did, for the first time in a row. It is not used.
    Stale(Reported),
    /// A new release serves and is confirmed.
    Updated {
        /// What ran before.
        from: Option<Version>,
        /// What runs now.
        to: Option<Version>,
        /// Its digest.
        sha256: Sha256,
        /// The generation that serves; 0 where the driver has none.
        generation: u64,
        /// From the start of the new process to its readiness.
        ready_in: Duration,
        /// How it came here.
        brought: Option<Brought>,
    },
}

impl Outcome {
    /// The exit code of a command that ends with it.
    pub fn exit(&self) -> Exit {
        match self {
            Outcome::Unchanged | Outcome::UpToDate { .. } | Outcome::Updated { .. } => Exit::Done,
            Outcome::Available { .. } => Exit::Available,
            Outcome::Held(why) | Outcome::NotReady(why) | Outcome::Stale(why) => why.exit,
        }
    }

    /// The word in `--json` and in `status`.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Unchanged => "unchanged",
            Outcome::UpToDate { .. } => "up_to_date",
            Outcome::Available { .. } => "available",
            Outcome::Held(_) => "held",
            Outcome::NotReady(_) => "not_ready",
            Outcome::Stale(_) => "stale",
            Outcome::Updated { .. } => "updated",
        }
    }

    /// One sentence for a person.
    pub fn sentence(&self) -> String {
        match self {
            Outcome::Unchanged => "the source shows nothing new".to_owned(),
            Outcome::UpToDate { version: None } => "what runs is the newest there is".to_owned(),
            Outcome::UpToDate { version } => format!("{} is the newest there is", named(version.as_ref())),
            Outcome::Available { version } => format!("{} is available", named(version.as_ref())),
            Outcome::Held(why) => format!("held: {}", why.message),
            Outcome::NotReady(why) => format!("not ready: {}", why.message),
            Outcome::Stale(why) => format!("stale: {}", why.message),
            Outcome::Updated { from, to, ready_in, brought, .. } => {
                let (from, to) = (named(from.as_ref()), named(to.as_ref()));
                let by = brought.as_ref().map(Brought::sentence).unwrap_or_default();
                format!("{to} serves instead of {from}, ready after {} ms{by}", ready_in.as_millis())
            }
        }
    }

    /// Why nothing was taken although there is something.
    pub fn held_back(&self) -> Option<&Reported> {
        match self {
            Outcome::Held(why) | Outcome::NotReady(why) | Outcome::Stale(why) => Some(why),
            _ => None,
        }
    }

    /// The line of the history that tells it, where it is worth one.
    pub fn event(&self, at: Timestamp) -> Option<Event> {
        match self {
            Outcome::Updated { to, sha256, generation, ready_in, from, brought } => Some({
                let event = Event::new(at, "release.confirmed")
                    .version(to.as_ref())
                    .sha256(Some(*sha256))
                    .message(self.sentence())
                    .detail("from", from.as_ref().map(ToString::to_string))
                    .detail("generation", *generation)
                    .detail("ready_ms", u64::try_from(ready_in.as_millis()).unwrap_or(u64::MAX));
                match brought {
                    Some(brought) => {
                        let event = event
                            .detail("fetched", brought.by.as_str())
                            .detail("fetched_bytes", brought.bytes)
                            .detail("full_bytes", brought.full);
                        brought.no_delta.iter().fold(event, |event, why| event.detail("no_delta", why.as_str()))
                    }
                    None => event,
                }
            }),
            Outcome::Held(why) => Some(Event::new(at, "release.held").failure(why)),
            Outcome::NotReady(why) => Some(Event::new(at, "release.not_ready").failure(why)),
            Outcome::Stale(why) => Some(Event::new(at, "source.stale").failure(why)),
            Outcome::Unchanged | Outcome::UpToDate { .. } | Outcome::Available { .. } => None,
        }
    }

    /// The version it is about, where there is one.
    pub fn version(&self) -> Option<&Version> {
        match self {
            Outcome::Unchanged | Outcome::Held(_) | Outcome::NotReady(_) | Outcome::Stale(_) => None,
            Outcome::UpToDate { version } | Outcome::Available { version } => version.as_ref(),
            Outcome::Updated { to, .. } => to.as_ref(),
        }
    }
}

/// A version in a sentence.
pub(crate) fn named(version: Option<&Version>) -> String {
    version.map_or_else(|| "an unnamed version".to_owned(), |version| format!("`{version}`"))
}

/// A pass that broke off. The service is what it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassFailure {
    /// Could not get it.
    #[error(transparent)]
    Fetch(#[from] FetchFailure),
    /// Got it, and it is not believed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Got it, and it is bad.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// This machine is in the way.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The new process did not take over, or did not stay; the old one serves.
    #[error(transparent)]
    Handoff(#[from] HandoffError),
    /// What must be remembered cannot be.
    #[error(transparent)]
    State(#[from] StateError),
    /// A defect of fetchd, caught.
    #[error("fetchd itself failed: {0}")]
    Panicked(String),
}

impl PassFailure {
    /// Whether these bytes were found bad on this host before anything was begun with them, and are not tried again.
    #[cfg(feature = "fleet")]
    pub(super) fn condemns(&self) -> bool {
        matches!(self, PassFailure::Verify(failure) if failure.quarantine())
    }

    fn inner(&self) -> Option<&dyn Failure> {
        Some(match self {
            PassFailure::Fetch(e) => e,
            PassFailure::Refused(e) => e,
            PassFailure::Verify(e) => e,
            PassFailure::Install(e) => e,
            PassFailure::Handoff(e) => e,
            PassFailure::State(e) => e,
            PassFailure::Panicked(_) => return None,
        })
    }

    /// Whether it was broken off for something more urgent and failed in no other way.
    pub fn was_interrupted(&self) -> bool {
        matches!(self, PassFailure::Fetch(FetchFailure::Stopped) | PassFailure::Handoff(HandoffError::Stopping))
    }

    /// The line of the history that tells it; `None` for one that was broken off.
    pub fn event(&self, at: Timestamp) -> Option<Event> {
        if self.was_interrupted() {
            return None;
        }
        let event = match self {
            PassFailure::Fetch(_) => "fetch.failed",
            PassFailure::Refused(_) | PassFailure::Verify(_) => "release.refused",
            PassFailure::Install(_) => "install.failed",
            PassFailure::Handoff(_) => "handoff.failed",
            PassFailure::State(_) | PassFailure::Panicked(_) => "pass.failed",
        };
        Some(Event::new(at, event).failure(&Reported::of(self)))
    }

    /// What it means for the next poll.
    pub fn verdict(&self) -> Verdict {
        match self {
            failure if failure.was_interrupted() => Verdict::Interrupted,
            PassFailure::Fetch(e) => match e.retry() {
                Retry::Soon => Verdict::Failed(e.exit()),
                Retry::After(wait) => Verdict::Told(e.exit(), wait),
                Retry::Never => Verdict::Settled,
            },
            // The same bytes will not get better: the next release will.
            PassFailure::Refused(_) => Verdict::Settled,
            PassFailure::Handoff(e) if e.blames_release() => Verdict::Settled,
            PassFailure::Verify(e) if e.quarantine() => Verdict::Settled,
            other => Verdict::Failed(other.exit()),
        }
    }
}

impl Failure for PassFailure {
    fn code(&self) -> &'static str {
        self.inner().map_or("internal.panic", Failure::code)
    }

    fn exit(&self) -> Exit {
        self.inner().map_or(Exit::State, Failure::exit)
    }

    fn hint(&self) -> Option<String> {
        match self.inner() {
            Some(inner) => inner.hint(),
            None => Some("this is a defect; please report it with the log".to_owned()),
        }
    }
}
