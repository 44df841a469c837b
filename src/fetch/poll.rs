//! Asks a source what it offers, and brings the small files that trust needs.

use bytes::Bytes;
use fetchd_fetchers::{AssetName, Body, Fetcher, Kind, Polled, Registry, Release, Start};
use futures_util::StreamExt as _;

use super::failure::FetchFailure;
use super::job::{DOCUMENT_LIMIT, Offered, PollJob, PollReply, SIGNATURE_LIMIT, Want};

/// Does `job` within its deadline.
pub(super) async fn poll(registry: &Registry, job: &PollJob) -> Result<PollReply, FetchFailure> {
    let limit = job.limits.poll;
    tokio::time::timeout(limit, ask(registry, job)).await.unwrap_or(Err(FetchFailure::PollDeadline { limit }))
}

async fn ask(registry: &Registry, job: &PollJob) -> Result<PollReply, FetchFailure> {
    let fetcher = registry.open(&job.source.url, &job.source.options)?;
    let mut release = match fetcher.poll(job.since.as_ref()).await? {
        Polled::Unchanged if job.since.is_some() => return Ok(PollReply::Unchanged),
        Polled::Unchanged => {
            let message = "the source says that nothing changed although nothing was known".to_owned();
            return Err(FetchFailure::Source { kind: Kind::Other, message, retry_after: None });
        }
        Polled::Offers(release) => release,
    };
    let shown = release.document.take();
    let (Want::Document { asset } | Want::Sidecar { asset } | Want::Nothing { asset }) = &job.want;
    let asset = meant(&release, asset.as_ref())?;
    let (mut document, mut signature) = (None, None);
    match &job.want {
        Want::Document { .. } => document = Some(manifest(&*fetcher, &release, &asset, shown).await?),
        Want::Sidecar { .. } => signature = Some(sidecar(&*fetcher, &release, &asset).await?),
        Want::Nothing { .. } => {}
    }
    Ok(PollReply::Offers(Offered { release, asset, document, signature }))
}

/// The asset that is meant: the named one, or the only one.
pub(super) fn meant(release: &Release, named: Option<&AssetName>) -> Result<AssetName, FetchFailure> {
    match (named, release.assets.as_slice()) {
        (Some(name), _) => Ok(name.clone()),
        (None, [only]) => Ok(only.name.clone()),
        (None, several) => Err(FetchFailure::Ambiguous { count: several.len() }),
    }
}

async fn manifest(
    fetcher: &dyn Fetcher,
    release: &Release,
    asset: &AssetName,
    shown: Option<Bytes>,
) -> Result<Vec<u8>, FetchFailure> {
    // What a poll shows is the release's only object; a named asset of many is another file.
    match shown {
        Some(bytes) if bytes.len() as u64 > DOCUMENT_LIMIT => Err(too_large(asset, DOCUMENT_LIMIT)),
        Some(bytes) if release.assets.iter().all(|shown| shown.name == *asset) => Ok(bytes.to_vec()),
        _ => small(fetcher, release, asset, DOCUMENT_LIMIT).await,
    }
}

async fn sidecar(fetcher: &dyn Fetcher, release: &Release, asset: &AssetName) -> Result<Vec<u8>, FetchFailure> {
    let not_ready = || FetchFailure::NotReady { asset: format!("{asset}.minisig") };
    let name = AssetName::new(format!("{asset}.minisig")).map_err(|_| not_ready())?;
    match small(fetcher, release, &name, SIGNATURE_LIMIT).await {
        Err(FetchFailure::Source { kind: Kind::NotFound, .. }) => Err(not_ready()),
        other => other,
    }
}

/// The whole of a small asset, or a failure once it is larger than `limit`.
async fn small(
    fetcher: &dyn Fetcher,
    release: &Release,
    asset: &AssetName,
    limit: u64,
) -> Result<Vec<u8>, FetchFailure> {
    let Body { start, total, mut stream, .. } = fetcher.open(release, asset, &Start::default()).await?;
    if start != 0 {
        let message = format!("`{asset}` begins at byte {start} although all of it was asked for");
        return Err(FetchFailure::Source { kind: Kind::Incomplete, message, retry_after: None });
    }
    if total.is_some_and(|total| total > limit) {
        return Err(too_large(asset, limit));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(too_large(asset, limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    match total {
        Some(total) if total != bytes.len() as u64 => {
            let message = format!("`{asset}` ended after {} of {total} bytes", bytes.len());
            Err(FetchFailure::Source { kind: Kind::Incomplete, message, retry_after: None })
        }
        _ => Ok(bytes),
    }
}

fn too_large(asset: &AssetName, limit: u64) -> FetchFailure {
    FetchFailure::DocumentTooLarge { name: asset.to_string(), limit }
}
