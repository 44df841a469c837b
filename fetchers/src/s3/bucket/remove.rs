//! Objects that are removed, each only in the state that was read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::attempt::{Meaning, Patience, meaning};
use super::{Bucket, ETag};
use crate::error::{FetchError, Kind};
use crate::s3::error::refusal;

/// The time within which another round may begin.
const LIMIT: Duration = Duration::from_secs(30);

/// What became of an object that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Gone,
    /// There was none.
    Absent,
    /// It is in another state, and as it was.
    Lost,
}

impl Bucket {
    /// Removes the object at `key` if it is still in the state `found`. An error says nothing about what is there.
    ///
    /// Some stores do not look at the condition (`DELETE` always succeeds on them) and cannot be told from others
    /// by their answer.
    pub async fn remove(&self, key: &str, found: &ETag) -> Result<Removed, FetchError> {
        let mut patience = Patience::new(LIMIT);
        let mut unquoted = self.unquoted.load(Ordering::Relaxed);
        let (mut learning, mut pending) = (false, false);
        loop {
            let state = if unquoted { found.bare() } else { found.as_str() };
            let (meaning, error) = match self.send_delete(key, Some(state)).await? {
                None => return Ok(Removed::Gone),
                Some(failed) => failed,
            };
            match meaning {
                Meaning::Refused | Meaning::SourceChanged => return Err(error),
                Meaning::Condition => {}
                Meaning::Unclear => pending = true,
            }
            match self.head(key).await? {
                None => return Ok(if pending { Removed::Gone } else { Removed::Absent }),
                Some(stat) if stat.etag.as_ref() == Some(found) => {}
                Some(_) => return Ok(Removed::Lost),
            }
            if meaning == Meaning::Condition {
                if learning {
                    let why = "refuses to be removed although nobody has changed it: the store cannot compare";
                    return Err(FetchError::new(Kind::Other, &self.url_of(key), why));
                }
                (learning, unquoted) = (true, !unquoted);
            }
            patience.after(error).await?;
        }
    }

    /// Removes the object at `key`, whatever it is and whether or not there is one.
    pub async fn discard(&self, key: &str) -> Result<(), FetchError> {
        let mut patience = Patience::new(LIMIT);
        loop {
            match self.send_delete(key, None).await? {
                None => return Ok(()),
                Some((Meaning::Unclear, error)) => patience.after(error).await?,
                Some((_, error)) if error.kind() == Kind::NotFound => return Ok(()),
                Some((_, error)) => return Err(error),
            }
        }
    }

    /// Sends one `DELETE`; what a failed one says, if it failed.
    async fn send_delete(&self, key: &str, state: Option<&str>) -> Result<Option<(Meaning, FetchError)>, FetchError> {
        let at = self.url_of(key);
        let settings = &self.settings;
        let request = self
            .client
            .delete_object()
            .bucket(&settings.bucket)
            .key(key)
            .set_expected_bucket_owner(settings.expected_bucket_owner.clone())
            .set_request_payer(settings.request_payer.then_some(aws_sdk_s3::types::RequestPayer::Requester))
            .set_if_match(state.map(str::to_owned));
        match tokio::time::timeout(settings.timeout, request.send()).await {
            Ok(Ok(_)) => Ok(None),
            Ok(Err(error)) => Ok(Some((meaning(&error), refusal(&at, &error)))),
            Err(_) => Ok(Some((Meaning::Unclear, super::took_too_long(&at, settings.timeout)))),
        }
    }
}
