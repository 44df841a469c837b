//! What every failure carries: a stable code, an exit code, and a hint.
//!
//! Error types stay typed enums in the stage that makes them; this module is only what the
//! command line, the history and the control socket need to know about any of them.

use std::error::Error;
use std::fmt::Write as _;

/// Exit codes of the command line. The numbers are part of the interface.
///
/// In JSON an exit code is its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[non_exhaustive]
pub enum Exit {
    /// Done; for `check`: up to date.
    Done,
    /// `check`: an update is available.
    Available,
    /// Signature or trust refused.
    Trust,
    /// Rollback or equivocation refused.
    Rollback,
    /// Stale or expired; held.
    Stale,
    /// Digest, size or format refused.
    Content,
    /// Source unreachable or incomplete.
    Unreachable,
    /// Rate limited.
    Throttled,
    /// Install failed: permission, space, path.
    Install,
    /// Smoke run failed.
    Smoke,
    /// Handoff failed, rolled back.
    Handoff,
    /// State damaged.
    State,
    /// Usage or configuration.
    Usage,
    /// Another fetchd has this service.
    Locked,
}

impl Exit {
    /// Every exit code, in ascending order; the table in the docs is made from it.
    pub const ALL: [Exit; 14] = [
        Exit::Done,
        Exit::Available,
        Exit::Trust,
        Exit::Rollback,
        Exit::Stale,
        Exit::Content,
        Exit::Unreachable,
        Exit::Throttled,
        Exit::Install,
        Exit::Smoke,
        Exit::Handoff,
        Exit::State,
        Exit::Usage,
        Exit::Locked,
    ];

    /// The number handed to the operating system.
    pub const fn number(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Available => 10,
            Exit::Trust => 20,
            Exit::Rollback => 21,
            Exit::Stale => 22,
            Exit::Content => 23,
            Exit::Unreachable => 30,
            Exit::Throttled => 31,
            Exit::Install => 40,
            Exit::Smoke => 41,
            Exit::Handoff => 42,
            Exit::State => 50,
            Exit::Usage => 64,
            Exit::Locked => 75,
        }
    }

    /// One line for the table in the docs.
    pub const fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done; `check`: up to date",
            Exit::Available => "`check`: an update is available",
            Exit::Trust => "signature or trust refused",
            Exit::Rollback => "rollback or equivocation refused",
            Exit::Stale => "stale or expired; held",
            Exit::Content => "digest, size or format refused",
            Exit::Unreachable => "source unreachable or incomplete",
            Exit::Throttled => "rate limited",
            Exit::Install => "install failed (permission, space, path)",
            Exit::Smoke => "smoke run failed",
            Exit::Handoff => "handoff failed, rolled back",
            Exit::State => "state damaged",
            Exit::Usage => "usage or configuration",
            Exit::Locked => "locked: another fetchd has this service",
        }
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> u8 {
        exit.number()
    }
}

impl TryFrom<u8> for Exit {
    type Error = String;

    fn try_from(number: u8) -> Result<Exit, String> {
        let known = Exit::ALL.into_iter().find(|exit| exit.number() == number);
        known.ok_or_else(|| format!("{number} is not an exit code of fetchd"))
    }
}

/// An error a person or a program may have to act on.
///
/// `Display` is one lower-case sentence without a final stop and without the source's text;
/// the source chain is printed by [`report`].
pub trait Failure: Error + Send + Sync + 'static {
    /// Stable, lower-case, dotted: `signature.unknown_key`, `smoke.timeout`. Scripts match on it.
    fn code(&self) -> &'static str;
    /// The exit code of a command that ends with this failure.
    fn exit(&self) -> Exit;
    /// What to do about it, as one line, where something can be done.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// A failure with its type erased, as it crosses a thread, a socket or the history.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Reported {
    /// The stable code of the original failure.
    pub code: String,
    /// Its exit code.
    pub exit: Exit,
    /// Its whole chain of messages, one after the other.
    pub message: String,
    /// Its hint.
    pub hint: Option<String>,
}

impl Reported {
    /// Takes what matters of `failure`.
    pub fn of(failure: &dyn Failure) -> Reported {
        Reported {
            code: failure.code().to_owned(),
            exit: failure.exit(),
            message: chain(failure),
            hint: failure.hint(),
        }
    }
}

impl<F: Failure> From<F> for Reported {
    fn from(failure: F) -> Reported {
        Reported::of(&failure)
    }
}

/// The message of `error` and of each of its sources, joined by `: `.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        // A writer into a String cannot fail.
        let _ = write!(text, ": {source}");
        next = source.source();
    }
    text
}

/// The two or three lines a person sees on stderr.
pub fn report(failure: &Reported) -> String {
    let mut text = format!("error: {} [{}]", failure.message, failure.code);
    if let Some(hint) = &failure.hint {
        let _ = write!(text, "\nhint: {hint}");
    }
    text
}
