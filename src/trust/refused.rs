//! Why something that was received is not believed.

use crate::failure::{Exit, Failure};

/// Received, and bad. What a stage refuses is never installed and never run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    code: &'static str,
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Refused {
    /// A refusal. `code` is stable and dotted; `message` is one lower-case sentence.
    pub fn new(code: &'static str, exit: Exit, message: impl Into<String>) -> Refused {
        Refused { code, exit, message: message.into(), hint: None }
    }

    /// The same refusal with the exit code of another situation.
    #[must_use]
    pub fn exiting(self, exit: Exit) -> Refused {
        Refused { exit, ..self }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Refused {
        self.hint = Some(hint.into());
        self
    }
}

impl Failure for Refused {
    fn code(&self) -> &'static str {
        self.code
    }

    fn exit(&self) -> Exit {
        self.exit
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}
