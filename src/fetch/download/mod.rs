//! Brings an artifact into staging, whatever the source does.

mod ahead;
mod pace;
mod partial;
mod receive;
mod sink;

#[cfg(test)]
mod tests;

use fetchd_fetchers::{Asset, AssetName, Fetcher, Kind, Options, Polled, Registry, Release, redact};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use url::Url;

use self::partial::Partial;
use self::sink::Written;
use super::failure::FetchFailure;
use super::job::{DownloadJob, Downloaded, Progress};
use super::poll::{claimed, only, open};
use crate::checkpoint::Checkpoint;
use crate::digest::Sha256;

/// Does `job`. Bytes that are on disk when it fails half-way are carried on with next time.
pub(super) async fn download(
    registry: &Registry,
    job: &DownloadJob,
    progress: mpsc::Sender<Progress>,
) -> Result<Downloaded, FetchFailure> {
    let begun = Instant::now();
    let partial = Partial::new(&job.staging, &job.key)?;
    let run = Run { job, partial, progress, deadline: begun + job.limits.total };
    let (written, resumed_from) = run.whole(registry).await?;
    Checkpoint::DownloadComplete.reached();
    Ok(Downloaded {
        path: run.partial.artifact(),
        size: written.size,
        sha256: written.sha256,
        resumed_from,
        elapsed: begun.elapsed(),
    })
}

struct Run<'a> {
    job: &'a DownloadJob,
    partial: Partial,
    progress: mpsc::Sender<Progress>,
    deadline: Instant,
}

/// An artifact at one place.
struct Location {
    fetcher: Box<dyn Fetcher>,
    release: Release,
    asset: AssetName,
    id: Sha256,
}

impl Location {
    /// What the source says of the artifact.
    fn listed(&self) -> Option<&Asset> {
        self.release.assets.iter().find(|listed| listed.name == self.asset)
    }

    /// The digest that the source says the artifact has.
    fn claim(&self) -> Option<Sha256> {
        claimed(self.listed()?.digest.as_deref())
    }
}

impl Run<'_> {
    async fn whole(&self, registry: &Registry) -> Result<(Written, u64), FetchFailure> {
        self.partial.clear_others()?;
        if let Some(done) = self.found_complete().await? {
            return Ok(done);
        }
        if let Err(failure) = self.room(self.job.size.unwrap_or(0).saturating_sub(self.partial.length())) {
            self.partial.discard()?;
            return Err(failure);
        }
        let mut first = None;
        for url in self.in_order() {
            let failure = match self.one(registry, &url).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            // A file without a byte is no part of anything.
            if !failure.keeps_partial() || self.partial.length() == 0 {
                self.partial.discard()?;
            }
            if !failure.worth_another_location() {
                return Err(failure);
            }
            tracing::warn!(location = shown(&url), %failure, "a location of the artifact failed");
            first.get_or_insert(failure);
        }
        Err(first.unwrap_or_else(|| FetchFailure::Location {
            url: "nothing".into(),
            why: "so there is nothing to fetch".into(),
        }))
    }

    /// The artifact that an earlier attempt completed, if its digest is the signed one.
    async fn found_complete(&self) -> Result<Option<(Written, u64)>, FetchFailure> {
        let Some(expected) = self.job.sha256 else { return Ok(None) };
        let partial = self.partial.clone();
        let found = blocking(move || Ok(partial.complete())).await?;
        Ok(found
            .filter(|(sha256, size)| *sha256 == expected && self.job.size.is_none_or(|signed| signed == *size))
            .map(|(sha256, size)| (Written { sha256, size }, size)))
    }

    /// The locations, with the one that a partial file came from in front.
    fn in_order(&self) -> Vec<String> {
        let mut urls = self.job.urls.clone();
        let noted = self.partial.read_note().map(|note| note.location);
        urls.sort_by_key(|url| noted != Some(self.id(url)));
        urls
    }

    fn id(&self, url: &str) -> Sha256 {
        Sha256::of(format!("{}\n{url}", self.job.source.url).as_bytes())
    }

    async fn one(&self, registry: &Registry, url: &str) -> Result<(Written, u64), FetchFailure> {
        let location = self.answered(self.locate(registry, url)).await?;
        // What the source says of itself can save a download, and never vouch for one.
        if let (Some(expected), Some(found)) = (self.job.size, location.listed().and_then(|listed| listed.size))
            && expected != found
        {
            return Err(FetchFailure::Size { expected, found });
        }
        if let (Some(expected), Some(found)) = (self.job.sha256, location.claim())
            && expected != found
        {
            return Err(FetchFailure::Digest { expected, found });
        }
        let (result, resumed_from) = self.attempt(&location, true).await;
        match result {
            // The bytes of the earlier attempt may be the wrong ones.
            Err(
                FetchFailure::Digest { .. }
                | FetchFailure::Claim { .. }
                | FetchFailure::Size { .. }
                | FetchFailure::TooLarge { .. },
            ) if resumed_from > 0 => {
                tracing::warn!(resumed_from, "a resumed download does not match; it starts over once");
                self.partial.discard()?;
                self.attempt(&location, false).await.0.map(|written| (written, 0))
            }
            // The release names it: it is not uploaded yet, or it was taken away.
            Err(FetchFailure::Source { kind: Kind::NotFound, .. }) => {
                Err(FetchFailure::NotReady { asset: location.asset.to_string() })
            }
            result => result.map(|written| (written, resumed_from)),
        }
    }

    async fn locate(&self, registry: &Registry, text: &str) -> Result<Location, FetchFailure> {
        let refused = |why: &str| FetchFailure::Location { url: shown(text), why: why.to_owned() };
        let id = self.id(text);
        let source = &self.job.source;
        if !text.contains("://") {
            let asset = AssetName::new(text).map_err(|_| refused("which is neither a URL nor an asset's name"))?;
            let fetcher = open(registry, source)?;
            return Ok(Location { fetcher, release: self.job.release.clone(), asset, id });
        }
        let url = Url::parse(text).map_err(|_| refused("which is not a URL"))?;
        let web = matches!(url.scheme(), "http" | "https");
        if !web && (url.scheme() != "file" || source.url.scheme() != "file") {
            return Err(refused("a kind of URL that a manifest at this source may not name"));
        }
        let fetcher = registry.open(&url, &Options::new())?;
        match fetcher.poll(None).await? {
            Polled::Offers(release) => {
                let asset = only(&release)?;
                Ok(Location { fetcher, release, asset, id })
            }
            Polled::Unchanged | Polled::Renewed(_) => Err(refused("which shows nothing")),
        }
    }

    /// A request to the source may take as long as it may go without a byte.
    async fn answered<T>(&self, request: impl Future<Output = Result<T, FetchFailure>>) -> Result<T, FetchFailure> {
        let stall = self.job.limits.stall;
        let late = |_| Err(FetchFailure::Stalled { after: stall });
        self.before_deadline(tokio::time::timeout(stall, request)).await?.unwrap_or_else(late)
    }

    async fn before_deadline<T>(&self, work: impl Future<Output = T>) -> Result<T, FetchFailure> {
        let late = |_| FetchFailure::DownloadDeadline { limit: self.job.limits.total };
        timeout_at(self.deadline, work).await.map_err(late)
    }

    /// Whether `bytes` more fit into staging with the reserve left free.
    fn room(&self, bytes: u64) -> Result<(), FetchFailure> {
        let directory = self.partial.directory();
        let space = rustix::fs::statvfs(directory)
            .map_err(|errno| FetchFailure::staging("measure", directory, &errno.into()))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let needed = bytes.saturating_add(self.job.limits.reserve);
        if free < needed { Err(FetchFailure::DiskFull { needed, free }) } else { Ok(()) }
    }
}

fn shown(text: &str) -> String {
    Url::parse(text).map_or_else(|_| text.to_owned(), |url| redact(&url))
}

/// Runs file work beside the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchFailure> + Send + 'static,
) -> Result<T, FetchFailure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(FetchFailure::Stopped),
    }
}
