//! Why a source could not be read, and whether trying again makes sense.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What went wrong, named for what a caller can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Nothing is there (yet).
    NotFound,
    /// The source refuses us: credentials or permission.
    Denied,
    /// The source asks for fewer requests.
    Throttled,
    /// The source moved on since the poll: poll again.
    Changed,
    /// The body ended early, or is not what the source announced.
    Incomplete,
    /// No connection, a time-out, a server error.
    Unreachable,
    /// A document is larger than any honest one.
    TooLarge,
    /// The URL or an option cannot work, however often it is tried.
    Misconfigured,
    /// Anything else.
    Other,
}

impl Kind {
    /// Its stable code.
    pub fn code(self) -> &'static str {
        match self {
            Kind::NotFound => "source.not_found",
            Kind::Denied => "source.denied",
            Kind::Throttled => "source.throttled",
            Kind::Changed => "source.changed",
            Kind::Incomplete => "source.incomplete",
            Kind::Unreachable => "source.unreachable",
            // Whoever notices it first, fetcher or worker, it is the same to whoever reads the code.
            Kind::TooLarge => "source.document_too_large",
            Kind::Misconfigured => "source.misconfigured",
            Kind::Other => "source.other",
        }
    }

    /// Whether it may be over when the same is asked again.
    pub fn passes(self) -> bool {
        matches!(self, Kind::Throttled | Kind::Unreachable | Kind::Incomplete | Kind::Changed)
    }
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// After the caller's own backoff.
    Soon,
    /// Not before this much time has passed: the source said so.
    After(Duration),
    /// Not until the configuration changes.
    Never,
}

/// A source could not be read.
///
/// Display is one line with the source redacted; it never holds a secret and never the text of
/// [`Error::source`].
#[derive(Debug)]
pub struct FetchError {
    kind: Kind,
    source_url: String,
    detail: String,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl FetchError {
    /// An error of `kind` at `source` (redacted here), with what happened in plain words.
    pub fn new(kind: Kind, source: &url::Url, detail: impl Into<String>) -> FetchError {
        FetchError {
            kind,
            source_url: crate::redact::redact(source),
            detail: detail.into(),
            retry_after: None,
            cause: None,
        }
    }

    /// Adds the error underneath.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> FetchError {
        self.cause = Some(cause.into());
        self
    }

    /// Adds how long the source asked us to stay away.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> FetchError {
        self.retry_after = wait;
        self
    }

    /// Says that it is about `source` (redacted here), and not about the address that failed.
    #[cfg(feature = "http")]
    #[must_use]
    pub(crate) fn about(mut self, source: &url::Url) -> FetchError {
        self.source_url = crate::redact::redact(source);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether and when to try again.
    pub fn retry(&self) -> Retry {
        match (self.kind, self.retry_after) {
            (Kind::Misconfigured, _) => Retry::Never,
            (_, Some(wait)) => Retry::After(wait),
            _ => Retry::Soon,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.source_url, self.detail)
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}
