//! Objects that several writers replace, each only what it has read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::attempt::{Failed, Meaning, Patience};
use super::upload::Condition;
use super::{Bucket, Compared, Content, ETag, Labels, Object, Written};
use crate::error::{FetchError, Kind};

/// The time within which another round may begin.
const LIMIT: Duration = Duration::from_secs(60);

/// What became of an object that was to be replaced.
#[derive(Debug)]
pub enum Replaced {
    /// It has the new bytes, or had them when the store answered.
    Done(Written),
    /// It is in another state, of somebody else's making. Where an answer was lost, the new bytes may have been
    /// there in between.
    Lost {
        /// Whether there is none any more.
        absent: bool,
    },
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
                    return Ok(Replaced::Done(written));
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
                there => return Ok(Replaced::Lost { absent: there.is_none() }),
            }
            if meaning == Meaning::Condition {
                // Unchanged, and yet it does not match: perhaps for want of quotes, or because of them.
                if learning && !pending {
                    let why = "refuses to be replaced although nobody has changed it: the store cannot compare";
                    return Err(FetchError::new(Kind::Changed, &self.url_of(key), why));
                }
                (learning, unquoted) = (true, !unquoted);
            }
            if let Err(error) = patience.after(error).await {
                return if pending { Ok(Replaced::Unknown(error)) } else { Err(error) };
            }
        }
    }

    /// Whether the object at `key` is `bytes`, read whole. For a write that was confirmed: some stores confirm
    /// what they should refuse.
    pub async fn read_back(&self, key: &str, bytes: &[u8]) -> Result<Compared, FetchError> {
        Ok(match self.look_at(key, bytes, &mut Patience::new(LIMIT)).await? {
            Some(object) if object.bytes == bytes => Compared::Same,
            Some(_) => Compared::Other,
            None => Compared::Absent,
        })
    }

    /// What is there; anything longer than `ours` is only known to be something else.
    async fn look_at(&self, key: &str, ours: &[u8], patience: &mut Patience) -> Result<Option<Object>, FetchError> {
        // Room for what is replaced, which may be longer.
        let limit = (ours.len() as u64).max(crate::DOCUMENT_LIMIT);
        loop {
            if let Some(there) = patience.passed(self.get(key, limit).await).await? {
                return Ok(there);
            }
        }
    }
}

impl Written {
    fn of(object: Object) -> Written {
        Written { etag: Some(object.etag), version: object.version }
    }
}
