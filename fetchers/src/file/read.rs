//! The bytes of a file, and the proof that they are those that were offered.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;

use super::{Place, blocking, revision_of};
use crate::error::{FetchError, Kind};
use crate::fetcher::{Body, Revision, Start};
use crate::{DOCUMENT_LIMIT, options};

/// How much is read at a time: large enough that handing a chunk from one thread to another costs
/// nothing beside reading it.
const CHUNK: u64 = 512 * 1024;

/// Opens `place` and streams it; `expected` is the revision it must still have.
pub(super) fn body(place: Place, expected: Option<&Revision>, start: &Start) -> Result<Body, FetchError> {
    let (mut file, revision, size) = open(&place)?;
    if expected.is_some_and(|expected| *expected != revision) {
        return Err(changed(&place));
    }
    let resumed = start.validator.as_ref() == Some(&revision) && start.byte <= size;
    let from = if resumed { start.byte } else { 0 };
    file.seek(SeekFrom::Start(from)).map_err(|error| place.failed(error))?;
    let reading = Reading { file, revision: revision.clone(), left: size - from, place };
    Ok(Body { start: from, total: Some(size), validator: Some(revision), stream: reading.stream() })
}

/// Reads all of `place`, which is small and must have the revision `expected` before and after.
pub(super) fn document(place: &Place, expected: &Revision) -> Result<Bytes, FetchError> {
    let (file, revision, size) = open(place)?;
    if size > DOCUMENT_LIMIT {
        let (size, limit) = (options::grouped(size), options::grouped(DOCUMENT_LIMIT));
        return Err(place.error(Kind::TooLarge, format!("is {size} bytes; a document is at most {limit} bytes")));
    }
    let mut bytes = Vec::new();
    (&file).take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| place.failed(error))?;
    let after = revision_of(&file.metadata().map_err(|error| place.failed(error))?);
    if revision != *expected || after != revision || bytes.len() as u64 != size {
        return Err(changed(place));
    }
    Ok(bytes.into())
}

/// An open regular file with its revision and size.
fn open(place: &Place) -> Result<(File, Revision, u64), FetchError> {
    // Without `O_NONBLOCK` a pipe that took the file's place would hold this thread for ever.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&place.path);
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            if let Ok(seen) = std::fs::metadata(&place.path) {
                place.must_be_file(&seen)?;
            }
            return Err(place.failed(error));
        }
    };
    let seen = file.metadata().map_err(|error| place.failed(error))?;
    place.must_be_file(&seen)?;
    Ok((file, revision_of(&seen), seen.len()))
}

fn changed(place: &Place) -> FetchError {
    place.error(Kind::Changed, "was replaced or written to since the poll")
}

struct Reading {
    file: File,
    revision: Revision,
    left: u64,
    place: Place,
}

impl Reading {
    fn stream(self) -> stream::BoxStream<'static, Result<Bytes, FetchError>> {
        stream::unfold(Some(self), |reading| async move {
            let reading = reading?;
            let url = reading.place.url.clone();
            match blocking(&url, move || reading.next()).await {
                Ok(Some((chunk, rest))) => Some((Ok(chunk), Some(rest))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    /// The next chunk, or nothing once all bytes are read and the file still is what it was.
    fn next(mut self) -> Result<Option<(Bytes, Reading)>, FetchError> {
        if self.left == 0 {
            return self.must_be_unchanged().map(|()| None);
        }
        let mut chunk = Vec::new();
        let read = (&self.file).take(self.left.min(CHUNK)).read_to_end(&mut chunk);
        read.map_err(|error| self.place.failed(error))?;
        if chunk.is_empty() {
            self.must_be_unchanged()?;
            let left = options::grouped(self.left);
            return Err(self.place.error(Kind::Incomplete, format!("ended {left} bytes early")));
        }
        self.left -= chunk.len() as u64;
        Ok(Some((chunk.into(), self)))
    }

    fn must_be_unchanged(&self) -> Result<(), FetchError> {
        let seen = self.file.metadata().map_err(|error| self.place.failed(error))?;
        if revision_of(&seen) == self.revision { Ok(()) } else { Err(changed(&self.place)) }
    }
}
