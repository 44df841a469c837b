//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

use crate::failure::{Exit, Failure};

/// A configuration that cannot be used. Always exit 64, and nothing has been touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key in the file that no setting has.
    #[error("unknown key `{key}` in {at}")]
    UnknownKey {
        /// The key with its table: `worker.memroy`.
        key: String,
        /// Where it stands.
        at: Position,
        /// The key that may have been meant.
        meant: Option<String>,
    },
    /// An environment variable that begins as ours do and is none of them.
    #[error("unknown environment variable `{name}`")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The variable that may have been meant.
        meant: Option<String>,
    },
    /// A value that its setting does not take.
    #[error("{at}: {message}")]
    Value {
        /// The flag, variable or key.
        at: String,
        /// What is wrong, and what would be right.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A setting in a place where it may not be set.
    #[error("{at}: this can only be set by the flag `--{flag}`")]
    FlagOnly {
        /// The variable or key.
        at: String,
        /// The flag.
        flag: String,
    },
    /// Something that is needed is not set.
    #[error("{what}")]
    Missing {
        /// What is missing.
        what: String,
        /// How to set it.
        hint: String,
    },
    /// Settings that exclude each other.
    #[error("{what}")]
    Conflict {
        /// Which, and why.
        what: String,
        /// Which way out.
        hint: String,
    },
    /// The file cannot be read.
    #[error("the configuration file `{}` cannot be read", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("not valid TOML in {at}: {message}")]
    Syntax {
        /// Where the parser stopped.
        at: Position,
        /// What it said.
        message: String,
        /// What is probably meant.
        hint: Option<String>,
    },
}

/// A place in the configuration file. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file.
    pub path: PathBuf,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, line {}, column {}", self.path.display(), self.line, self.column)
    }
}

impl ConfigError {
    /// Adds what to do about a wrong value.
    #[must_use]
    pub(super) fn hinted(mut self, advice: &str) -> ConfigError {
        if let ConfigError::Value { hint, .. } = &mut self {
            *hint = Some(advice.to_owned());
        }
        self
    }
}

impl Failure for ConfigError {
    fn code(&self) -> &'static str {
        match self {
            ConfigError::UnknownKey { .. } => "config.unknown_key",
            ConfigError::UnknownVariable { .. } => "config.unknown_variable",
            ConfigError::Value { .. } => "config.value",
            ConfigError::FlagOnly { .. } => "config.flag_only",
            ConfigError::Missing { .. } => "config.missing",
            ConfigError::Conflict { .. } => "config.conflict",
            ConfigError::File { .. } => "config.file",
            ConfigError::Syntax { .. } => "config.syntax",
        }
    }

    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            ConfigError::UnknownKey { meant, .. } => Some(match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "`fetchd config init` prints every key".to_owned(),
            }),
            ConfigError::UnknownVariable { meant, .. } => Some(match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "every variable that begins with `FETCHD_` must be a setting; `fetchd config show` lists them"
                    .to_owned(),
            }),
            ConfigError::FlagOnly { .. } => Some("it is a decision for one start, not a setting".to_owned()),
            ConfigError::Missing { hint, .. } | ConfigError::Conflict { hint, .. } => Some(hint.clone()),
            ConfigError::Value { hint, .. } | ConfigError::Syntax { hint, .. } => {
                Some(hint.clone().unwrap_or_else(|| "`fetchd config init` explains every setting".to_owned()))
            }
            ConfigError::File { .. } => Some("check the path that `--config` or `FETCHD_CONFIG` names".to_owned()),
        }
    }
}

/// The one of `known` that `typed` probably stands for.
pub(super) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    known
        .map(|key| {
            // A key in the wrong table, or in none, is as near as one with a single wrong letter.
            let moved = if last(key) == last(typed) { 1 } else { usize::MAX };
            (strsim::damerau_levenshtein(typed, key).min(moved), key)
        })
        .filter(|(distance, key)| *distance <= 1 + key.len().min(typed.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key.to_owned())
}
