//! Writes that may be sent again without a look at what is there: nobody takes them back.

use std::time::Duration;

use super::attempt::{Failed, Meaning, Patience};
use super::upload::Condition;
use super::{Bucket, Content, Labels, Written};
use crate::error::FetchError;

/// The time within which another round may begin.
const LIMIT: Duration = Duration::from_secs(30);

/// What became of an object that was to be made.
#[derive(Debug)]
pub enum Made {
    /// It is there now, and was not before.
    New(Written),
    /// Something is there.
    There {
        /// Whether it may be ours: a request of this call was not answered clearly.
        perhaps_ours: bool,
    },
}

impl Bucket {
    /// Writes `bytes` to `key` if nothing is there, with one request where the store answers clearly. It needs no
    /// right to read. An error says nothing about what is there.
    pub async fn make(&self, key: &str, bytes: &[u8], labels: Labels<'_>) -> Result<Made, FetchError> {
        let mut patience = Patience::new(LIMIT);
        let mut pending = false;
        loop {
            let Failed { meaning, error } = match self.put(key, Content::Bytes(bytes), labels, &Condition::Absent).await
            {
                Ok(written) => return Ok(Made::New(written)),
                Err(failed) => failed,
            };
            match meaning {
                Meaning::Condition => return Ok(Made::There { perhaps_ours: pending }),
                Meaning::Refused | Meaning::SourceChanged => return Err(error),
                Meaning::Unclear => pending = true,
            }
            patience.after(error).await?;
        }
    }

    /// Writes `bytes` to `key` whatever is there. An error says nothing about what is there.
    pub async fn overwrite(&self, key: &str, bytes: &[u8], labels: Labels<'_>) -> Result<Written, FetchError> {
        let mut patience = Patience::new(LIMIT);
        loop {
            match self.put(key, Content::Bytes(bytes), labels, &Condition::None).await {
                Ok(written) => return Ok(written),
                Err(Failed { meaning: Meaning::Unclear, error }) => patience.after(error).await?,
                Err(Failed { error, .. }) => return Err(error),
            }
        }
    }
}
