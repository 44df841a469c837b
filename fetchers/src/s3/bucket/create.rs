//! Objects that are written once.

use std::time::Duration;

use super::attempt::{Failed, Meaning, Patience};
use super::upload::Condition;
use super::{Bucket, Compared, Content, Labels, Written};
use crate::error::FetchError;

/// The time within which another round may begin. The upload of a file counts, however long it takes.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// What became of an object that was to be written once.
#[derive(Debug)]
pub enum Created {
    /// It is there now, and was not before.
    New(Written),
    /// It is there with these bytes: from before, or from a request of ours whose answer was lost.
    Same,
    /// It is there with other bytes, which are as they were.
    Other,
    /// The file is not the one that was measured, and nothing was written.
    SourceChanged,
    /// Nobody can say: a request may have written it, and the store could not be asked.
    Unknown(FetchError),
}

impl Bucket {
    /// Writes `content` to `key` if nothing is there. An error says that this call has written nothing.
    ///
    /// The store is asked first, because not every store obeys the condition: on one that does not, two
    /// writers at the very same time can still overwrite each other.
    pub async fn create(&self, key: &str, content: Content<'_>, labels: Labels<'_>) -> Result<Created, FetchError> {
        let (size, sha256) = content.measured();
        let mut patience = Patience::new(LIMIT);
        // Whether a request of ours may still arrive, or has.
        let mut pending = false;
        loop {
            match self.settled(key, size, sha256, &mut patience).await {
                Ok(Compared::Absent) => {}
                Ok(Compared::Same) => return Ok(Created::Same),
                Ok(Compared::Other) => return Ok(Created::Other),
                Err(error) if pending => return Ok(Created::Unknown(error)),
                Err(error) => return Err(error),
            }
            let Failed { meaning, error } = match self.put(key, content, labels, &Condition::Absent).await {
                Ok(written) => return Ok(Created::New(written)),
                Err(failed) => failed,
            };
            match meaning {
                Meaning::SourceChanged if !pending => return Ok(Created::SourceChanged),
                Meaning::Refused if !pending => return Err(error),
                Meaning::Refused | Meaning::SourceChanged => return Ok(Created::Unknown(error)),
                Meaning::Condition => {}
                Meaning::Unclear => pending = true,
            }
            match self.settled(key, size, sha256, &mut patience).await {
                Ok(Compared::Absent) => {}
                Ok(Compared::Same) => return Ok(Created::Same),
                Ok(Compared::Other) => return Ok(Created::Other),
                Err(_) if pending => return Ok(Created::Unknown(error)),
                Err(_) => return Err(error),
            }
            if let Err(error) = patience.after(error).await {
                return if pending { Ok(Created::Unknown(error)) } else { Err(error) };
            }
        }
    }

    /// [`Bucket::compare`], again while the store is only out of breath.
    async fn settled(
        &self,
        key: &str,
        size: u64,
        sha256: [u8; 32],
        patience: &mut Patience,
    ) -> Result<Compared, FetchError> {
        loop {
            if let Some(found) = patience.passed(self.compare(key, size, sha256).await).await? {
                return Ok(found);
            }
        }
    }
}
