//! A worker's words, made fit for a log and a terminal.

use crate::fetch::failure::{FetchFailure, WorkerFault};
use crate::fetch::job::{DOCUMENT_LIMIT, PollReply, Progress, SIGNATURE_LIMIT};

/// The most bytes of a text from a worker.
const TEXT: usize = 2048;
/// The most assets of one release: as many as GitHub allows.
const ASSETS: usize = 1000;
/// The most assets that are named where one is missing.
const SHOWN: usize = 10;
/// The most bytes that anything is said to have: an exbibyte.
const BYTES: u64 = 1 << 60;

/// `failure` without control characters and without endless texts.
pub(super) fn failure(failure: FetchFailure) -> FetchFailure {
    // Through JSON, because texts stand in many places of it and new ones will.
    let clean = serde_json::to_value(&failure).map(clean).and_then(serde_json::from_value);
    clean.unwrap_or_else(|_| WorkerFault::Protocol { what: "a failure that makes no sense".to_owned() }.into())
}

/// A poll's reply, if it keeps to the limits that the worker should have kept.
pub(super) fn poll_reply(reply: PollReply) -> Result<PollReply, FetchFailure> {
    let broken = |what: &str| Err(WorkerFault::Protocol { what: what.to_owned() }.into());
    match reply {
        PollReply::Offers(offered) => {
            let longer = |bytes: &Option<Vec<u8>>, limit| bytes.as_ref().is_some_and(|b| b.len() as u64 > limit);
            if longer(&offered.document, DOCUMENT_LIMIT) || longer(&offered.signature, SIGNATURE_LIMIT) {
                return broken("a document beyond its limit");
            }
            let release = &offered.release;
            if release.assets.len() > ASSETS {
                return broken("more assets than any release has");
            }
            // What is handed back to a source must not be changed, so it is fit as it is or not at all.
            let texts = release.assets.iter().flat_map(|asset| [&asset.digest, &asset.handle]).flatten();
            let texts = texts.chain(&release.label).chain([&release.revision.0]);
            if texts.into_iter().any(|text| text.len() > TEXT || text.chars().any(char::is_control)) {
                return broken("a text with control characters, or an endless one");
            }
            Ok(PollReply::Offers(offered))
        }
        PollReply::Renewed(revision) => {
            if revision.0.len() > TEXT || revision.0.chars().any(char::is_control) {
                return broken("a revision with control characters, or an endless one");
            }
            Ok(PollReply::Renewed(revision))
        }
        PollReply::NotReady(mut lacks) => {
            lacks.release = lacks.release.as_deref().map(printable);
            lacks.missing = printable(&lacks.missing);
            lacks.shown.truncate(SHOWN);
            Ok(PollReply::NotReady(lacks))
        }
        PollReply::Unchanged => Ok(PollReply::Unchanged),
    }
}

/// Progress that does not go beyond its end, in numbers that can be reckoned with.
pub(super) fn progress(progress: Progress) -> Progress {
    let Progress::Download { bytes, total } = progress;
    let total = total.map(|total| total.min(BYTES));
    Progress::Download { bytes: bytes.min(total.unwrap_or(BYTES)), total }
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

pub(in crate::fetch) fn printable(text: &str) -> String {
    let mut kept: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if kept.len() > TEXT {
        kept.truncate(kept.floor_char_boundary(TEXT));
        kept.push('…');
    }
    kept
}
