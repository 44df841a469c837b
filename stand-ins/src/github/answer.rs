//! An answer that is not sent yet.

use bytes::Bytes;
use serde_json::Value;

/// A status, headers and a body that is in memory as a whole.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Bytes,
    /// What the body does at its half.
    pub(super) half: Half,
    /// The bytes of an asset, which are counted while they are on their way.
    pub(super) is_asset: bool,
}

/// What a body does when half of it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    GoesOn,
    Ends,
    Resets,
    Stalls,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
        let headers = Vec::new();
        let mut answer = Answer { status, headers, body: body.into(), half: Half::GoesOn, is_asset: false };
        answer.set("content-type", content_type);
        answer
    }

    pub(super) fn json(status: u16, value: &Value) -> Answer {
        Answer::new(status, "application/json; charset=utf-8", value.to_string())
    }

    /// GitHub's words for `status`.
    pub(super) fn error(status: u16) -> Answer {
        let message = match status {
            401 => "Bad credentials",
            403 => "Resource not accessible by personal access token",
            404 => "Not Found",
            500 => "Server Error",
            503 => "Service unavailable",
            _ => "Problems",
        };
        Answer::json(status, &super::shapes::error(status, message))
    }

    pub(super) fn empty(status: u16) -> Answer {
        let mut answer = Answer::new(status, "", Bytes::new());
        answer.headers.clear();
        answer
    }

    pub(super) fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
    }

    pub(super) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Answer {
        self.set(name, value);
        self
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }
}
