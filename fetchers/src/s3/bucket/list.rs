//! Pages of keys.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Bucket;
use crate::error::{FetchError, Kind};
use crate::s3::error::refusal;

/// The most keys of a page.
pub const PAGE: u16 = 1000;

/// A key of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The whole key.
    pub key: String,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
    /// Its size in bytes.
    pub size: u64,
}

/// Some keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// At most as many as were asked for.
    pub keys: Vec<Listed>,
    /// After which key the next page begins; `None`: these were the last.
    pub next: Option<String>,
}

impl Bucket {
    /// Up to `limit` keys (at most 1000) that begin with `prefix`, from after the key `after`, in the store's order:
    /// that of the keys as text, or, on stores that keep directories, that of their parts.
    pub async fn list(&self, prefix: &str, after: Option<&str>, limit: u16) -> Result<Page, FetchError> {
        let settings = &self.settings;
        let ask = async {
            let request = self
                .client
                .list_objects_v2()
                .bucket(&settings.bucket)
                .prefix(prefix)
                .set_start_after(after.map(str::to_owned))
                .max_keys(i32::from(limit.clamp(1, PAGE)))
                .set_expected_bucket_owner(settings.expected_bucket_owner.clone())
                .set_request_payer(settings.request_payer.then_some(aws_sdk_s3::types::RequestPayer::Requester));
            let output = request.send().await.map_err(|error| refusal(&self.url_of(prefix), &error))?;
            let more = output.is_truncated() == Some(true);
            let mut keys = Vec::new();
            for object in output.contents.unwrap_or_default() {
                let Some(key) = object.key else { continue };
                let modified = object.last_modified.map_or(0, |time| u64::try_from(time.secs()).unwrap_or(0));
                let size = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                keys.push(Listed { key, modified: UNIX_EPOCH + Duration::from_secs(modified), size });
            }
            let next = keys.last().filter(|_| more).map(|last| last.key.clone());
            // A store that always begins at the same key would be listed for ever.
            if after.is_some_and(|after| keys.iter().any(|listed| listed.key == after)) {
                let why = "lists keys again that it was asked to leave out: the store does not know `start-after`";
                return Err(FetchError::new(Kind::Other, &self.url_of(prefix), why));
            }
            if more && next.is_none() {
                let why = "lists no key and says that there are more";
                return Err(FetchError::new(Kind::Other, &self.url_of(prefix), why));
            }
            Ok(Page { keys, next })
        };
        self.in_time(prefix, ask).await
    }
}
