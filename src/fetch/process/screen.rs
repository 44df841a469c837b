//! A worker's words, made fit for a log and a terminal.

use crate::fetch::failure::{FetchFailure, WorkerFault};
use crate::fetch::job::{DOCUMENT_LIMIT, PollReply, SIGNATURE_LIMIT};

/// The most bytes of a text from a worker.
const TEXT: usize = 2048;

/// `failure` without control characters and without endless texts.
pub(super) fn failure(failure: FetchFailure) -> FetchFailure {
    // Through JSON, because texts stand in many places of it and new ones will.
    let clean = serde_json::to_value(&failure).map(clean).and_then(serde_json::from_value);
    clean.unwrap_or_else(|_| WorkerFault::Protocol { what: "a failure that makes no sense".to_owned() }.into())
}

/// A poll's reply, if it keeps to the limits that the worker should have kept.
pub(super) fn poll_reply(reply: PollReply) -> Result<PollReply, FetchFailure> {
    if let PollReply::Offers(offered) = &reply {
        let longer = |bytes: &Option<Vec<u8>>, limit| bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 > limit);
        if longer(&offered.document, DOCUMENT_LIMIT) || longer(&offered.signature, SIGNATURE_LIMIT) {
            return Err(WorkerFault::Protocol { what: "a document beyond its limit".to_owned() }.into());
        }
    }
    Ok(reply)
}

/// A file's bytes, if they keep to the limit of its job.
pub(super) fn sibling(bytes: Option<Vec<u8>>, limit: u64) -> Result<Option<Vec<u8>>, FetchFailure> {
    if bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 > limit) {
        return Err(WorkerFault::Protocol { what: "a file beyond its limit".to_owned() }.into());
    }
    Ok(bytes)
}

fn clean(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(printable(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(clean).collect()),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (name, clean(value))).collect()),
        other => other,
    }
}

fn printable(text: &str) -> String {
    let mut kept: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if kept.len() > TEXT {
        kept.truncate(kept.floor_char_boundary(TEXT));
        kept.push('…');
    }
    kept
}
