//! Asks a source what it offers, and brings the small files that trust needs.

use bytes::Bytes;
use fetchd_fetchers::{AssetName, Body, Fetcher, Kind, Polled, Registry, Release, Start};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tracing::subscriber::{NoSubscriber, with_default};

use super::asset::{NoChoice, is_there, lists, sums_of};
use super::failure::FetchFailure;
use super::job::{
    DOCUMENT_LIMIT, NotReady, Offered, PollJob, PollReply, SIGNATURE_LIMIT, Sibling, SiblingJob, Source, Want,
};
use crate::digest::Sha256;
use crate::failure::chain;

/// Does `job` within its deadline.
pub(super) async fn poll(registry: &Registry, job: &PollJob) -> Result<PollReply, FetchFailure> {
    let limit = job.limits.poll;
    tokio::time::timeout(limit, ask(registry, job)).await.unwrap_or(Err(FetchFailure::PollDeadline { limit }))
}

/// Does `job` within its deadline. What cannot be told apart from a file that is there is a failure: only "there is no such
/// file" is an answer.
pub(super) async fn sibling(registry: &Registry, job: &SiblingJob) -> Result<Sibling, FetchFailure> {
    let bring = async {
        let fetcher = open(registry, &job.source)?;
        match fetcher.open(&job.release, &job.name, &Start::default()).await {
            Ok(body) => Ok(Sibling { bytes: Some(whole(body, &job.name, job.limit).await?) }),
            Err(error) if error.kind() == Kind::NotFound => Ok(Sibling { bytes: None }),
            Err(error) if error.kind() == Kind::Denied => {
                Err(FetchFailure::SiblingDenied { name: job.name.to_string(), message: chain(&error) })
            }
            Err(error) => Err(error.into()),
        }
    };
    let limit = job.deadline;
    tokio::time::timeout(limit, bring).await.unwrap_or(Err(FetchFailure::PollDeadline { limit }))
}

/// Opens the source of a job. What there is to warn about was said when it was configured, and is not said at each poll.
pub(super) fn open(registry: &Registry, source: &Source) -> Result<Box<dyn Fetcher>, FetchFailure> {
    Ok(with_default(NoSubscriber::default(), || registry.open(&source.url, &source.options))?)
}

async fn ask(registry: &Registry, job: &PollJob) -> Result<PollReply, FetchFailure> {
    let fetcher = open(registry, &job.source)?;
    let mut release = match fetcher.poll(job.since.as_ref()).await? {
        Polled::Unchanged if job.since.is_some() => return Ok(PollReply::Unchanged),
        Polled::Renewed(revision) if job.since.is_some() => return Ok(PollReply::Renewed(revision)),
        Polled::Unchanged | Polled::Renewed(_) => {
            let message = "the source says that nothing changed although nothing was known".to_owned();
            return Err(FetchFailure::Source { kind: Kind::Other, message, retry_after: None });
        }
        Polled::Offers(release) => release,
    };
    let shown = release.document.take();
    let found = match job.want {
        Want::Document => job.meant.bundle(&release),
        Want::Sidecar | Want::Nothing => job.meant.artifact(&release),
    };
    let asset = match found {
        Ok(asset) => asset,
        Err(NoChoice::None) => return Ok(not_ready(&release, job.described())),
        Err(NoChoice::Several(names)) => {
            return Err(FetchFailure::Ambiguous { names: names.iter().take(MOST_NAMES).map(display).collect() });
        }
    };
    if !is_there(&release, &asset) {
        return Ok(not_ready(&release, format!("`{asset}`, which is being uploaded")));
    }
    let (mut document, mut signature) = (None, None);
    match job.want {
        Want::Document => match manifest(&*fetcher, &release, &asset, shown).await {
            Err(FetchFailure::Source { kind: Kind::NotFound, .. }) if lists(&release) => {
                return Ok(not_ready(&release, format!("`{asset}`")));
            }
            read => {
                let read = read?;
                if is_bare(&asset, &read) {
                    signature = Some(sidecar(&*fetcher, &release, &sidecar_name(&asset)?).await?);
                }
                document = Some(read);
            }
        },
        Want::Sidecar => {
            let name = sidecar_name(&asset)?;
            if lists(&release) && !is_there(&release, &name) {
                return Ok(not_ready(&release, format!("`{name}`")));
            }
            match sidecar(&*fetcher, &release, &name).await {
                // Where nothing is uploaded yet, no handle tells so.
                Err(FetchFailure::NotReady { .. }) if lists(&release) => {
                    return Ok(not_ready(&release, format!("`{name}`")));
                }
                read => signature = Some(read?),
            }
        }
        Want::Nothing => {}
    }
    if job.want != Want::Document {
        compare_sums(&*fetcher, &mut release, &asset).await?;
    }
    Ok(PollReply::Offers(Offered { release, asset, document, signature }))
}

impl PollJob {
    fn described(&self) -> String {
        match self.want {
            Want::Document => format!("the bundle `{}.fetchd`", self.meant.channel),
            Want::Sidecar | Want::Nothing => self.meant.described(),
        }
    }
}

/// The most names that a message lists.
const MOST_NAMES: usize = 10;

fn not_ready(release: &Release, missing: String) -> PollReply {
    let shown = release.assets.iter().take(MOST_NAMES).map(|asset| asset.name.clone()).collect();
    PollReply::NotReady(NotReady { release: release.label.clone(), missing, shown })
}

fn display(name: &AssetName) -> String {
    name.to_string()
}

/// The only asset of a release that is one file at one place.
pub(super) fn only(release: &Release) -> Result<AssetName, FetchFailure> {
    match release.assets.as_slice() {
        [only] => Ok(only.name.clone()),
        several => Err(FetchFailure::Ambiguous { names: several.iter().map(|asset| asset.name.to_string()).collect() }),
    }
}

/// Adds what the release's checksum file says of `asset` to what the source says; a contradiction is
/// noticed before a byte of the artifact is asked for. A file that cannot be read says nothing.
async fn compare_sums(fetcher: &dyn Fetcher, release: &mut Release, asset: &AssetName) -> Result<(), FetchFailure> {
    let Some(sums) = sums_of(release, asset).filter(|sums| is_there(release, &sums.name)) else { return Ok(()) };
    let text = match small(fetcher, release, &sums.name, sums.limit).await {
        Ok(text) => text,
        Err(failure) => {
            tracing::debug!(sums = %sums.name, %failure, "a checksum file cannot be read");
            return Ok(());
        }
    };
    let Some(written) = sums.digest(&text, asset) else { return Ok(()) };
    let Some(listed) = release.assets.iter_mut().find(|listed| listed.name == *asset) else { return Ok(()) };
    match claimed(listed.digest.as_deref()) {
        Some(claimed) if claimed != written => {
            Err(FetchFailure::Contradiction { asset: asset.to_string(), sums: sums.name.to_string(), written, claimed })
        }
        Some(_) => Ok(()),
        None => {
            listed.digest = Some(format!("sha256:{written}"));
            Ok(())
        }
    }
}

/// A SHA-256 in a source's notation.
pub(super) fn claimed(digest: Option<&str>) -> Option<Sha256> {
    digest?.strip_prefix("sha256:")?.to_ascii_lowercase().parse().ok()
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

/// Whether this is a manifest as it was signed, whose signature is a file of its own, and no bundle.
///
/// Only decides what is asked for next: the verifier reads nothing before a signature holds.
fn is_bare(asset: &AssetName, document: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Marked {
        #[serde(default)]
        fetchd: Option<IgnoredAny>,
    }
    asset.as_str().ends_with(".json")
        && serde_json::from_slice::<Marked>(document).is_ok_and(|marked| marked.fetchd.is_none())
}

fn sidecar_name(asset: &AssetName) -> Result<AssetName, FetchFailure> {
    let name = format!("{asset}.minisig");
    AssetName::new(name.clone()).map_err(|_| FetchFailure::NotReady { asset: name })
}

async fn sidecar(fetcher: &dyn Fetcher, release: &Release, name: &AssetName) -> Result<Vec<u8>, FetchFailure> {
    match small(fetcher, release, name, SIGNATURE_LIMIT).await {
        Err(FetchFailure::Source { kind: Kind::NotFound, .. }) => {
            Err(FetchFailure::NotReady { asset: name.to_string() })
        }
        // No verifier would read it: refused as one that cannot be read, not as a source that cannot be reached.
        Err(FetchFailure::DocumentTooLarge { name, limit }) => Err(FetchFailure::SignatureTooLarge { name, limit }),
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
    whole(fetcher.open(release, asset, &Start::default()).await?, asset, limit).await
}

async fn whole(body: Body, asset: &AssetName, limit: u64) -> Result<Vec<u8>, FetchFailure> {
    let Body { start, total, mut stream, .. } = body;
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
