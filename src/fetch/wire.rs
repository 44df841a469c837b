//! What supervisor and worker say to each other: JSON behind a length, over a socket pair.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::confine::Hardening;
use super::failure::FetchFailure;
use super::job::{DownloadJob, Downloaded, ExtractJob, Extracted, PollJob, PollReply, Progress, Sibling, SiblingJob};
#[cfg(feature = "deltas")]
use super::patch::{PatchJob, Patched};
#[cfg(feature = "fleet")]
use super::store::StoreJob;

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
    #[cfg(feature = "deltas")]
    Patch(PatchJob),
    #[cfg(feature = "fleet")]
    Store(StoreJob),
}

/// What a job brought.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Poll(PollReply),
    Sibling(Sibling),
    Download(Downloaded),
    Extract(Extracted),
    #[cfg(feature = "deltas")]
    Patch(Patched),
    #[cfg(feature = "fleet")]
    Store(crate::fleet::store::Reply),
}

impl Answer {
    /// Whether this is the kind of answer that `request` asks for.
    pub(super) fn answers(&self, request: &Request) -> bool {
        #[cfg(feature = "fleet")]
        if let (Answer::Store(_), Request::Store(_)) = (self, request) {
            return true;
        }
        #[cfg(feature = "deltas")]
        if let (Answer::Patch(_), Request::Patch(_)) = (self, request) {
            return true;
        }
        matches!(
            (self, request),
            (Answer::Poll(_), Request::Poll(_))
                | (Answer::Sibling(_), Request::Sibling(_))
                | (Answer::Download(_), Request::Download(_))
                | (Answer::Extract(_), Request::Extract(_))
        )
    }
}

/// What the worker says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// Its first message: what it has given up.
    Confined(Hardening),
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

/// Sends the beginning of `bytes`, and `files` with it. How many bytes were sent.
pub(super) fn send_files(socket: &UnixStream, bytes: &[u8], files: &[OwnedFd]) -> io::Result<usize> {
    let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); ANCILLARY];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many files for one message"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives into `bytes`, and adds the files that come with it to `files`.
pub(super) fn receive_files(socket: impl AsFd, bytes: &mut [u8], files: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); ANCILLARY];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights);
        }
    }
    Ok(received.bytes)
}

/// Room for the three files of a patch; an extraction has two.
const ANCILLARY: usize = rustix::cmsg_space!(ScmRights(3));

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
