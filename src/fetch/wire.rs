//! What supervisor and worker say to each other: JSON behind a length, over a socket pair.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::failure::FetchFailure;
use super::job::{DownloadJob, Downloaded, ExtractJob, Extracted, PollJob, PollReply, Progress, Sibling, SiblingJob};

/// The most bytes of one message.
pub(super) const MESSAGE_LIMIT: usize = 1 << 20;
/// The bytes that tell a message's length.
pub(super) const PREFIX: usize = 4;

/// What the supervisor asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    Poll(PollJob),
    Sibling(SiblingJob),
    Download(DownloadJob),
    Extract(ExtractJob),
}

/// What a job brought.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Poll(PollReply),
    Sibling(Sibling),
    Download(Downloaded),
    Extract(Extracted),
}

/// What the worker says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// It is alive.
    Alive,
    /// The job got this far.
    Progress(Progress),
    /// The job is done.
    Done(Answer),
    /// The job failed.
    Failed(FetchFailure),
}

/// `message` as it goes over the socket.
pub(super) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; PREFIX];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - PREFIX;
    if length > MESSAGE_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes is too large")));
    }
    bytes[..PREFIX].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(bytes)
}

/// The length that `prefix` announces.
pub(super) fn length(prefix: [u8; PREFIX]) -> io::Result<usize> {
    let length = u32::from_be_bytes(prefix) as usize;
    if length > MESSAGE_LIMIT {
        let text = format!("a message of {length} bytes is announced");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(length)
}

/// Takes the first whole message off `inbox`.
pub(super) fn decode<M: DeserializeOwned>(inbox: &mut Vec<u8>) -> io::Result<Option<M>> {
    let Some(prefix) = inbox.first_chunk::<PREFIX>() else { return Ok(None) };
    let end = PREFIX + length(*prefix)?;
    let Some(text) = inbox.get(PREFIX..end) else { return Ok(None) };
    let message = serde_json::from_slice(text)?;
    inbox.drain(..end);
    Ok(Some(message))
}
