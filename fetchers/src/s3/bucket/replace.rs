//! Objects that several writers replace, each only what it has read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::attempt::{Failed, Meaning, Patience, passing};
use super::upload::Condition;
use super::{Bucket, Content, ETag, Labels, Object, Written};
use crate::error::{FetchError, Kind};

/// The time within which another round may begin.
const LIMIT: Duration = Duration::from_secs(60);

/// What became of an object that was to be replaced.
#[derive(Debug)]
pub enum Replaced {
    /// It has the new bytes; they have been read back.
    Done(Written),
    /// It is in another state, of somebody else's making.
    Lost,
    /// Nobody can say: a request may have replaced it, and the store could not be asked.
    Unknown(FetchError),
}

impl Bucket {
    /// Replaces the object at `key` by `bytes` if it is still in the state `found`. An error says that this
    /// call has written nothing.
    ///
    /// Its own write is known by its bytes, also when the answer was lost. So no two writers may ever write
    /// the same ones: a number, a time or a signature has to be in them.
    pub async fn replace(
        &self,
        key: &str,
        bytes: &[u8],
        labels: Labels<'_>,
        found: &ETag,
    ) -> Result<Replaced, FetchError> {
        let mut patience = Patience::new(LIMIT);
        let mut unquoted = self.unquoted.load(Ordering::Relaxed);
        let (mut learning, mut pending) = (false, false);
        loop {
            let state = if unquoted { found.bare() } else { found.as_str() };
            let condition = Condition::State(state.to_owned());
            let Failed { meaning, error } = match self.put(key, Content::Bytes(bytes), labels, &condition).await {
                Ok(written) => {
                    self.unquoted.store(unquoted, Ordering::Relaxed);
                    return Ok(self.read_back(key, bytes, written, &mut patience).await);
                }
                Err(failed) => failed,
            };
            match meaning {
                Meaning::Refused | Meaning::SourceChanged if pending => return Ok(Replaced::Unknown(error)),
                Meaning::Refused | Meaning::SourceChanged => return Err(error),
                Meaning::Condition => {}
                Meaning::Unclear => pending = true,
            }
            let there = match self.look_at(key, bytes, &mut patience).await {
                Ok(there) => there,
                Err(error) if pending => return Ok(Replaced::Unknown(error)),
                Err(error) => return Err(error),
            };
            match there {
                Some(object) if object.bytes == bytes => return Ok(Replaced::Done(Written::of(object))),
                Some(object) if object.etag == *found => {}
                _ => return Ok(Replaced::Lost),
            }
            if meaning == Meaning::Condition {
                // Unchanged, and yet it does not match: perhaps for want of quotes, or because of them.
                if learning && !pending {
                    let why = "refuses to be replaced although nobody has changed it: the store cannot compare";
                    return Err(FetchError::new(Kind::Other, &self.url_of(key), why));
                }
                (learning, unquoted) = (true, !unquoted);
            }
            if let Err(error) = patience.after(error).await {
                return if pending { Ok(Replaced::Unknown(error)) } else { Err(error) };
            }
        }
    }

    /// Writes `bytes` to `key` if nothing is there, and reads them back.
    pub async fn create_shared(&self, key: &str, bytes: &[u8], labels: Labels<'_>) -> Result<Replaced, FetchError> {
        use super::Created;
        Ok(match self.create(key, Content::Bytes(bytes), labels).await? {
            Created::New(written) => self.read_back(key, bytes, written, &mut Patience::new(LIMIT)).await,
            Created::Same => Replaced::Done(Written { etag: None, version: None }),
            Created::Other | Created::SourceChanged => Replaced::Lost,
            Created::Unknown(error) => Replaced::Unknown(error),
        })
    }

    /// What a write that was confirmed has really led to: some stores confirm what they should refuse.
    async fn read_back(&self, key: &str, bytes: &[u8], written: Written, patience: &mut Patience) -> Replaced {
        match self.look_at(key, bytes, patience).await {
            Ok(Some(object)) if object.bytes == bytes => Replaced::Done(written),
            Ok(_) => Replaced::Lost,
            Err(error) => Replaced::Unknown(error),
        }
    }

    /// What is there; anything longer than `ours` is only known to be something else.
    async fn look_at(&self, key: &str, ours: &[u8], patience: &mut Patience) -> Result<Option<Object>, FetchError> {
        loop {
            // Room for what is replaced, which may be longer.
            match self.get(key, (ours.len() as u64).max(crate::DOCUMENT_LIMIT)).await {
                Err(error) if passing(&error) => patience.after(error).await?,
                outcome => return outcome,
            }
        }
    }
}

impl Written {
    fn of(object: Object) -> Written {
        Written { etag: Some(object.etag), version: object.version }
    }
}
