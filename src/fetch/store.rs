//! What a fleet's host asks of its bucket, carried out beside the downloads.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::failure::{FetchFailure, WorkerFault};
use super::job::Source;
use super::process::printable;
use super::wire;
use crate::fleet::names::Names;
use crate::fleet::store::{Reply, Request, What};

/// Carry one request to a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreJob {
    /// The bucket, as an `s3:` source.
    pub source: Source,
    /// Whose objects it is about.
    pub names: Names,
    /// What is asked.
    pub request: Request,
    /// How long it may take.
    pub deadline: Duration,
}

/// Does `job` within its deadline. A store that fails has answered; one that says nothing has not.
pub(super) async fn store(job: &StoreJob) -> Result<Reply, FetchFailure> {
    let limit = job.deadline;
    let asked = async {
        let _ = job;
        Ok(Reply { what: What::Absent, date: None })
    };
    tokio::time::timeout(limit, asked).await.unwrap_or(Err(FetchFailure::PollDeadline { limit })).map(fitting)
}

/// A reply that fits into one message: of a page that is too long the end is left for the next one.
fn fitting(mut reply: Reply) -> Reply {
    while wire::encode(&reply).is_err() || encoded(&reply) > wire::MESSAGE_LIMIT - SLACK {
        match &mut reply.what {
            What::Keys { keys, next } if keys.len() > 1 => {
                keys.truncate(keys.len() / 2);
                *next = keys.last().map(|(key, _)| key.clone());
            }
            _ => break,
        }
    }
    reply
}

fn encoded(reply: &Reply) -> usize {
    serde_json::to_vec(reply).map_or(usize::MAX, |bytes| bytes.len())
}

/// For what stands around a reply in its message.
const SLACK: usize = 1024;

/// The most bytes of a text that a worker says.
const TEXT: usize = 2048;

/// The most entries of a page.
const PAGE: usize = 1000;

/// A worker's reply, if it could be one to `request` and keeps to its limits. All of it is a claim still.
pub(super) fn screened(mut reply: Reply, request: &Request) -> Result<Reply, FetchFailure> {
    let text = |text: &str| text.len() <= TEXT && !text.chars().any(char::is_control);
    let fits = match (&mut reply.what, request) {
        (What::Object { body, tag }, Request::Get { limit, .. }) => body.len() as u64 <= *limit && text(&tag.0),
        (What::Keys { keys, next }, Request::List { .. }) => {
            keys.len() <= PAGE && keys.iter().map(|(key, _)| key).chain(&*next).all(|key| text(key))
        }
        (What::Evidence { found, next }, Request::Evidence { .. }) => {
            found.len() <= PAGE && next.iter().all(|next| text(next))
        }
        (What::Object { .. } | What::Keys { .. } | What::Evidence { .. }, _) => false,
        (What::Written(Some(tag)), _) => text(&tag.0),
        (What::Failed(trouble), _) => {
            trouble.code = printable(&trouble.code);
            trouble.message = printable(&trouble.message);
            true
        }
        (What::Written(None) | What::Unchanged | What::Absent | What::Gone | What::Conflict, _) => true,
    };
    let crossed = || WorkerFault::Protocol { what: "an answer that is none to its request".to_owned() }.into();
    if fits { Ok(reply) } else { Err(crossed()) }
}
