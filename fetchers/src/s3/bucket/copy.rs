//! An object into a file, however long it is.

use std::io::Write;

use super::{Bucket, Dated, Opened, cut_short};
use crate::error::{FetchError, Kind};

impl Bucket {
    /// Writes the object at `key` into `to`; `false` if there is none. One of more than `limit` bytes is an error.
    pub async fn copy(&self, key: &str, limit: u64, to: &mut (dyn Write + Send)) -> Result<bool, FetchError> {
        let opened = self.in_time(key, self.open_object(key, &Dated::default(), None)).await?;
        let Opened::Body(mut output) = opened else { return Ok(false) };
        let at = self.url_of(key);
        let mut left = limit;
        // Not limited in time as a whole, since it may be large: the read time-out ends a silence.
        while let Some(piece) = self.in_time(key, async { Ok(output.body.next().await) }).await? {
            let piece = piece.map_err(|_| cut_short(&at))?;
            let too_large = || FetchError::new(Kind::TooLarge, &at, format!("has more than {limit} bytes"));
            left = left.checked_sub(piece.len() as u64).ok_or_else(too_large)?;
            to.write_all(&piece)
                .map_err(|error| FetchError::new(Kind::Other, &at, format!("cannot be kept: {error}")))?;
        }
        Ok(true)
    }
}
