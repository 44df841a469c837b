//! One request: from the first byte that is missing to the last one.

use std::time::Duration;

use fetchd_fetchers::{Ahead, Body, Kind, Revision, Start};
use futures_util::StreamExt as _;
use sha2::Digest as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ahead::{Keeping, desk};
use super::pace::Pace;
use super::partial::{Note, Open};
use super::sink::{BATCH, Sink, Written};
use super::{Location, Run, blocking};
use crate::digest::Sha256;
use crate::fetch::failure::FetchFailure;
use crate::fetch::job::Progress;

/// The first batch is small, so that even a short artifact is on disk in part before it is there
/// in whole.
const FIRST_BATCH: usize = 4096;
/// How long bytes may wait for a batch to fill.
const PATIENCE: Duration = Duration::from_millis(100);

impl Run<'_> {
    /// One request, from where the partial file ends if `resume`. Also tells where it began.
    pub(super) async fn attempt(&self, location: &Location, resume: bool) -> (Result<Written, FetchFailure>, u64) {
        let mut resumed_from = 0;
        let result = self.receive(location, resume, &mut resumed_from).await;
        (result, resumed_from)
    }

    async fn receive(
        &self,
        location: &Location,
        resume: bool,
        resumed_from: &mut u64,
    ) -> Result<Written, FetchFailure> {
        let partial = self.partial.clone();
        let mut open = self.before_deadline(blocking(move || partial.open())).await??;
        let mut start = if resume { self.resumable(location, &open) } else { Start::default() };
        let mut kept = Vec::new();
        if start.byte > 0 {
            let (partial, size) = (self.partial.clone(), self.job.size);
            let taken = blocking(move || partial.take_ahead(&mut open, size).map(|kept| (open, kept)));
            (open, kept) = self.before_deadline(taken).await??;
            start.byte = open.length;
            if self.job.sha256.is_some() && self.job.size == Some(open.length) {
                // All of it had come, though not in order.
                *resumed_from = open.length;
                return self.whole_already(open);
            }
        }
        let (keeper, inbox) = desk();
        let ranges: Vec<(u64, u64)> = kept.iter().map(|(at, bytes)| (*at, at + bytes.len() as u64)).collect();
        let ahead = Ahead { kept, keeper: Some(keeper.clone()) };
        let anew = Ahead { kept: Vec::new(), keeper: Some(keeper) };
        let mut body = match self.request(location, &start, ahead).await {
            // Some sources refuse a resumption instead of starting over.
            Err(FetchFailure::Source { kind: Kind::Changed | Kind::Incomplete | Kind::Other, .. })
                if start.byte > 0 =>
            {
                self.request(location, &Start::default(), anew.clone()).await?
            }
            result => result?,
        };
        if body.start != 0 && body.start != start.byte {
            // Neither what was asked for nor the beginning: of no use.
            body = self.request(location, &Start::default(), anew.clone()).await?;
        }
        if body.start == 0 {
            let path = self.partial.part();
            self.partial.clear_ahead()?;
            self.partial.forget_note()?;
            open.reset().map_err(|error| FetchFailure::staging("empty", &path, &error))?;
        } else if body.start != open.length {
            return Err(broken(format!("the source began at byte {} although all was asked for", body.start)));
        }
        *resumed_from = open.length;
        self.check_total(body.total)?;
        let announced = body.total;
        let total = self.job.size.or(announced);
        self.room(total.unwrap_or(0).saturating_sub(open.length))?;
        if let (0, Some(validator)) = (body.start, body.validator.take()) {
            self.partial.write_note(&Note { location: location.id, validator })?;
        }
        let ranges = ranges.into_iter().filter(|_| body.start > 0);
        let room = (total, self.job.limits.reserve);
        let keeping = Keeping::start(&self.partial, &open, inbox, ranges, room)?;
        let written = self.pour(body, open, total, keeping).await?;
        self.check_end(&written, announced, location.claim())?;
        self.partial.finish()?;
        Ok(written)
    }

    fn whole_already(&self, open: Open) -> Result<Written, FetchFailure> {
        let written = Written { sha256: Sha256(open.hash.finalize().into()), size: open.length };
        self.check_end(&written, None, None)?;
        self.partial.finish()?;
        Ok(written)
    }

    /// Where to go on: nowhere but at 0 without a validator from this very location.
    fn resumable(&self, location: &Location, open: &Open) -> Start {
        let fits = open.length > 0 && self.job.size.is_none_or(|size| open.length < size);
        let validator = self.partial.read_note().filter(|note| note.location == location.id).map(|note| note.validator);
        match validator {
            Some(validator) if fits => Start { byte: open.length, validator: Some::<Revision>(validator) },
            _ => Start::default(),
        }
    }

    async fn request(&self, location: &Location, start: &Start, ahead: Ahead) -> Result<Body, FetchFailure> {
        let Location { fetcher, release, asset, .. } = location;
        self.answered(async { Ok(fetcher.open_ahead(release, asset, start, ahead).await?) }).await
    }

    /// Everything the body brings goes to disk; never a byte more than may come.
    async fn pour(
        &self,
        mut body: Body,
        open: Open,
        total: Option<u64>,
        keeping: Keeping,
    ) -> Result<Written, FetchFailure> {
        let mut size = open.length;
        let begun = size;
        let sink = Sink::start(open, self.partial.part(), total, keeping.passed.clone());
        let mut pace = Pace::new(self.job.limits.window, self.job.limits.min_rate, Instant::now());
        let mut meter = Meter { told: None, total };
        let mut batch = Vec::new();
        let mut since = Instant::now();
        let mut handed = false;
        let failure = loop {
            let chunk = match self.next(&mut body).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break None,
                Err(failure) => break Some(failure),
            };
            size += chunk.len() as u64;
            if let Err(failure) = self.check_size(size).and_then(|()| pace.arrived(size - begun, Instant::now())) {
                break Some(failure);
            }
            let mut rest = &chunk[..];
            let mut broken = None;
            while !rest.is_empty() {
                let limit = if handed { BATCH } else { FIRST_BATCH };
                if batch.is_empty() {
                    since = Instant::now();
                }
                let (now, later) = rest.split_at(rest.len().min(limit.saturating_sub(batch.len())));
                batch.extend_from_slice(now);
                rest = later;
                if batch.len() < limit && since.elapsed() < PATIENCE {
                    continue;
                }
                handed = true;
                if let Err(failure) = self.hand_over(&sink, std::mem::replace(&mut batch, sink.batch())).await {
                    broken = Some(failure);
                    break;
                }
            }
            if broken.is_some() {
                break broken;
            }
            meter.tell(&self.progress, size);
        };
        let written = self.close(sink, batch, failure).await;
        drop(body);
        let _ = self.before_deadline(keeping.finish()).await;
        written
    }

    /// Writes what is left, also when the source failed: it will be carried on with.
    async fn close(&self, sink: Sink, rest: Vec<u8>, failure: Option<FetchFailure>) -> Result<Written, FetchFailure> {
        let handed = if rest.is_empty() { Ok(()) } else { self.hand_over(&sink, rest).await };
        let written = self.before_deadline(sink.finish()).await.and_then(|written| written);
        // A failure to write is the cause of all others.
        match (written, failure) {
            (Err(cause), _) | (Ok(_), Some(cause)) => Err(cause),
            (Ok(written), None) => handed.map(|()| written),
        }
    }

    async fn hand_over(&self, sink: &Sink, batch: Vec<u8>) -> Result<(), FetchFailure> {
        if self.before_deadline(sink.write(batch)).await? { Ok(()) } else { Err(FetchFailure::Stopped) }
    }

    async fn next(&self, body: &mut Body) -> Result<Option<bytes::Bytes>, FetchFailure> {
        self.answered(async { Ok(body.stream.next().await.transpose()?) }).await
    }

    fn check_total(&self, announced: Option<u64>) -> Result<(), FetchFailure> {
        match (self.job.size, announced) {
            (Some(expected), Some(found)) if expected != found => Err(FetchFailure::Size { expected, found }),
            (None, Some(found)) => self.check_size(found),
            _ => Ok(()),
        }
    }

    fn check_size(&self, size: u64) -> Result<(), FetchFailure> {
        match self.job.size {
            Some(expected) if size > expected => Err(FetchFailure::Size { expected, found: expected + 1 }),
            None if size > self.job.limits.max_size => Err(FetchFailure::TooLarge { limit: self.job.limits.max_size }),
            _ => Ok(()),
        }
    }

    fn check_end(&self, written: &Written, announced: Option<u64>, claim: Option<Sha256>) -> Result<(), FetchFailure> {
        if let Some(announced) = announced.filter(|announced| written.size < *announced) {
            return Err(broken(format!("the body ended after {} of {announced} bytes", written.size)));
        }
        if let Some(expected) = self.job.size.or(announced).filter(|expected| written.size != *expected) {
            return Err(FetchFailure::Size { expected, found: written.size });
        }
        match self.job.sha256 {
            Some(expected) if expected != written.sha256 => {
                Err(FetchFailure::Digest { expected, found: written.sha256 })
            }
            Some(_) => Ok(()),
            None => match claim {
                Some(expected) if expected != written.sha256 => {
                    Err(FetchFailure::Claim { expected, found: written.sha256 })
                }
                _ => Ok(()),
            },
        }
    }
}

/// Tells how far it is, ten times a second at most.
struct Meter {
    told: Option<Instant>,
    total: Option<u64>,
}

impl Meter {
    fn tell(&mut self, progress: &mpsc::Sender<Progress>, bytes: u64) {
        let now = Instant::now();
        if self.total == Some(bytes) || self.told.is_none_or(|told| now - told >= Duration::from_millis(100)) {
            self.told = Some(now);
            // Whoever does not listen misses a number that the next one replaces.
            let _ = progress.try_send(Progress::Download { bytes, total: self.total });
        }
    }
}

fn broken(message: String) -> FetchFailure {
    FetchFailure::Source { kind: Kind::Incomplete, message, retry_after: None }
}
