//! What a fleet's host asks of its bucket, carried out beside the downloads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fetchd_fetchers::Kind;
use serde::{Deserialize, Serialize};

use super::failure::{FetchFailure, WorkerFault};
use super::job::Source;
use super::process::printable;
use super::wire;
use crate::failure::Failure as _;
use crate::fleet::store::s3::{Carrier, Deletes};
use crate::fleet::store::{Reply, Request, What};

/// Carry one request to a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreJob {
    /// The bucket and the prefix in it, as an `s3:` source.
    pub source: Source,
    /// What is asked.
    pub request: Request,
    /// Objects are removed by bytes that stand for none: the store does not look at the condition of a `DELETE`.
    pub tombstones: bool,
    /// How long it may take.
    pub deadline: Duration,
}

/// The connection to the bucket that was asked last: a gate asks a handful of things one after the other.
#[derive(Debug, Default)]
pub(super) struct Carriers(Mutex<Option<(Source, bool, Arc<Carrier>)>>);

impl Carriers {
    fn known(&self, job: &StoreJob) -> Option<Arc<Carrier>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(source, tombstones, _): &&_| (source, tombstones) == (&job.source, &job.tombstones);
        last.as_ref().filter(same).map(|(_, _, carrier)| Arc::clone(carrier))
    }

    async fn get(&self, job: &StoreJob) -> Result<Arc<Carrier>, FetchFailure> {
        if let Some(known) = self.known(job) {
            return Ok(known);
        }
        let deletes = if job.tombstones { Deletes::Tombstone } else { Deletes::Conditional };
        let opened = Carrier::open(&job.source.url, &job.source.options, deletes).await;
        let carrier = Arc::new(opened.map_err(|refused| {
            let kind = if refused.code() == "fleet.store" { Kind::Misconfigured } else { Kind::Denied };
            FetchFailure::Source { kind, message: refused.to_string(), retry_after: None }
        })?);
        self.set(Some((job.source.clone(), job.tombstones, Arc::clone(&carrier))));
        Ok(carrier)
    }

    fn set(&self, last: Option<(Source, bool, Arc<Carrier>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

/// Does `job` within its deadline. A store that fails has answered; one that says nothing has not.
pub(super) async fn store(carriers: &Carriers, job: &StoreJob) -> Result<Reply, FetchFailure> {
    let limit = job.deadline;
    let asked = async { Ok(carriers.get(job).await?.carry(job.request.clone()).await) };
    let reply = tokio::time::timeout(limit, asked).await.unwrap_or(Err(FetchFailure::PollDeadline { limit }))?;
    if matches!(reply.what, What::Failed(_)) {
        // Credentials may be others by now.
        carriers.set(None);
    }
    Ok(fitting(reply))
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
