//! Why fetchd goes on with the program it has.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Exit, Failure, Reported};

/// fetchd was not replaced. The supervisor that was asked goes on, and the service has noticed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The kernel would not run the file.
    #[error("`{}` could not be executed", program.display())]
    Exec {
        /// Where fetchd lies.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It was asked whether it can take over, and did not say yes.
    #[error("`{}` cannot take over: it {status}{}", program.display(), said(stderr))]
    Unfit {
        /// Where fetchd lies.
        program: PathBuf,
        /// How it ended, in words.
        status: String,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// It was asked whether it can take over, and did not answer.
    #[error("`{}` did not say within {} s whether it can take over{}", program.display(), waited.as_secs(), said(stderr))]
    Silent {
        /// Where fetchd lies.
        program: PathBuf,
        /// How long it was given.
        waited: Duration,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// It said yes, took over, and gave up before it served.
    #[error("the new fetchd gave up and the old one serves again: {}", why.message)]
    GaveUp {
        /// Why.
        why: Reported,
    },
    /// Something that must not be interrupted did not end in time.
    #[error("fetchd was not replaced within {} s: {why}", waited.as_secs())]
    Busy {
        /// What goes on.
        why: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A release could not be brought to its end, and only this process knows how far it is.
    #[error("a release has not been confirmed or rolled back yet")]
    Unfinished,
    /// Nobody reads what this process and its services write to stderr.
    #[error("what was written to stderr is not taken, and would be lost")]
    Unread,
    /// The state cannot be written down or read.
    #[error("the state of the supervisor cannot be handed over")]
    State {
        /// Why.
        source: io::Error,
    },
    /// The state is of another layout.
    #[error("the state of the supervisor has schema {found}, this fetchd reads schema {known}")]
    Schema {
        /// What it has.
        found: u32,
        /// What is known here.
        known: u32,
    },
    /// The configuration by now is that of another service, or asks for what only a new start can give.
    #[error("the configuration changed `{setting}`, which needs a stop and a start")]
    Setting {
        /// The setting.
        setting: &'static str,
    },
    /// What would be executed is not what was confirmed, or nothing was.
    #[error("{} was not confirmed as a release, and is not executed", named(program.as_deref()))]
    Unverified {
        /// Where it lies; `None`: nothing serves yet.
        program: Option<PathBuf>,
    },
    /// It is part of another program, which replaces itself in its own way.
    #[error("this supervisor does not know the program it is")]
    Unsupported,
    /// It is stopping.
    #[error("the supervisor is stopping")]
    Stopping,
}

impl Failure for ReplaceError {
    fn code(&self) -> &'static str {
        match self {
            ReplaceError::Exec { .. } => "replace.exec",
            ReplaceError::Unfit { .. } => "replace.unfit",
            ReplaceError::Silent { .. } => "replace.silent",
            ReplaceError::GaveUp { .. } => "replace.gave_up",
            ReplaceError::Busy { .. } => "replace.busy",
            ReplaceError::Unfinished => "replace.unfinished",
            ReplaceError::Unread => "replace.unread",
            ReplaceError::State { .. } => "replace.state",
            ReplaceError::Schema { .. } => "replace.schema",
            ReplaceError::Setting { .. } => "replace.setting",
            ReplaceError::Unverified { .. } => "replace.unverified",
            ReplaceError::Unsupported => "replace.unsupported",
            ReplaceError::Stopping => "replace.stopping",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            ReplaceError::Exec { .. } => Exit::Install,
            ReplaceError::Unverified { .. } => Exit::Content,
            ReplaceError::Setting { .. } | ReplaceError::Unsupported => Exit::Usage,
            _ => Exit::Handoff,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            ReplaceError::Exec { .. } => "put a fetchd for this machine there, executable for the supervisor's user",
            ReplaceError::Unfit { .. } | ReplaceError::Silent { .. } => {
                "fetchd runs on as it was; repair what lies there"
            }
            ReplaceError::Busy { .. } => "ask again when `fetchd status` says that nothing is going on",
            ReplaceError::Unfinished => "`fetchd status` says what is in its way; free the disk or repair the state",
            ReplaceError::Schema { .. } | ReplaceError::Setting { .. } => {
                "stop fetchd and start it again, at a quiet hour"
            }
            ReplaceError::Unverified { .. } => "publish it as a release; the supervisor becomes what was confirmed",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn named(program: Option<&Path>) -> String {
    program.map_or_else(|| "what serves".to_owned(), |path| format!("`{}`", path.display()))
}

fn said(stderr: &str) -> String {
    let stderr = stderr.trim_end();
    if stderr.is_empty() { String::new() } else { format!("; it said:\n{stderr}") }
}
