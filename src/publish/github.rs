//! A release of a GitHub repository, each artifact signed by itself: artifact mode.

mod assets;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use fetchd_fetchers::github::{Draft, Hosted, HostedAsset, Repository};
use fetchd_fetchers::{FetchError, Kind};
use semver::Version;
use url::Url;

use self::assets::{Wanted, prepare};
use super::{ArtifactFile, PublishError, Sending, SigningKey, Unpack};
use crate::clock::Timestamp;
use crate::digest::Sha256;

/// A release to make in a repository.
pub struct HostedRelease<'a> {
    /// The repository, with a token that may write to it.
    pub repository: &'a Repository,
    /// The tag; `None` = `v` and the version.
    pub tag: Option<&'a str>,
    /// The product.
    pub product: &'a str,
    /// The channel that hosts must expect.
    pub channel: &'a str,
    /// The version. One with a prerelease part makes a release that is never the latest.
    pub version: &'a Version,
    /// Its artifacts, at least one.
    pub artifacts: &'a [ArtifactFile],
    /// Signs each of them.
    pub key: &'a SigningKey,
    /// The time to sign.
    pub now: Timestamp,
    /// Looks into archives.
    pub unpack: &'a Unpack<'a>,
    /// Told when an asset begins to be sent and when all of it has arrived.
    pub progress: &'a dyn Fn(Sending<'_>),
    /// Go through everything, and write nothing.
    pub dry_run: bool,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRelease {
    /// The tag.
    pub tag: String,
    /// The release's page; `None` if it is not made yet.
    pub page: Option<Url>,
    /// The artifacts, their signatures and `SHA256SUMS`.
    pub assets: Vec<PublishedAsset>,
}

/// An asset of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedAsset {
    /// Its name.
    pub name: String,
    /// The target that it is the artifact for; `None` for signatures and `SHA256SUMS`.
    pub target: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of an artifact.
    pub sha256: Option<Sha256>,
    /// Whether it was there already.
    pub kept: bool,
}

impl fmt::Debug for HostedRelease<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostedRelease")
            .field("repository", &self.repository)
            .field("product", &self.product)
            .field("version", &self.version)
            .field("artifacts", &self.artifacts)
            .finish_non_exhaustive()
    }
}

/// Uploads the artifacts, a signature for each and their checksums to a draft, and makes it public
/// once all of them are there.
///
/// Nobody sees a part of a release: whatever fails leaves a draft, and publishing again picks up where
/// it was. What arrived is kept if it is the same bytes, else it is [`PublishError::Exists`]; what broke
/// off is deleted and sent again. A release that is public is never changed: one with the same bytes is
/// as good, one without some of them [`PublishError::Public`]. Proved by
/// `a_publish_interrupted_at_any_request_can_be_repeated`.
///
/// It does its work on a runtime of its own in the calling thread, which must not be one of another
/// tokio runtime.
pub fn publish_to_github(release: &HostedRelease<'_>) -> Result<PublishedRelease, PublishError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
    let runtime = runtime.map_err(PublishError::io("make a runtime for", Path::new("the network")))?;
    let wanted = prepare(release)?;
    let tag = release.tag.map_or_else(|| format!("v{}", release.version), str::to_owned);
    runtime.block_on(Publish { release, tag, wanted }.run())
}

/// One publish.
struct Publish<'a> {
    release: &'a HostedRelease<'a>,
    tag: String,
    wanted: Vec<Wanted>,
}

/// How an asset stands.
enum Standing {
    Missing,
    /// There are not all of its bytes.
    BrokenOff(HostedAsset),
    Same(HostedAsset),
}

impl Publish<'_> {
    async fn run(self) -> Result<PublishedRelease, PublishError> {
        let repository = self.release.repository;
        let found = repository.release_by_tag(&self.tag).await.map_err(refused)?;
        let mut standing = Vec::new();
        let there = match &found {
            Some(found) => repository.assets(found).await.map_err(refused)?,
            None => Vec::new(),
        };
        for wanted in &self.wanted {
            standing.push(self.standing(wanted, &there).await?);
        }
        let kept = standing.iter().map(|one| matches!(one, Standing::Same(_))).collect::<Vec<_>>();
        if let Some(public) = found.as_ref().filter(|found| !found.draft) {
            return match kept.iter().position(|kept| !kept) {
                Some(lacking) => {
                    let asset = self.wanted[lacking].name.clone();
                    Err(PublishError::Public { release: self.tag, asset })
                }
                None => Ok(self.done(&kept, Some(public.page.clone()))),
            };
        }
        if self.release.dry_run {
            return Ok(self.done(&kept, found.map(|found| found.page)));
        }
        let mut draft = match found {
            Some(draft) => draft,
            None => self.draft().await?,
        };
        let mut arrived = BTreeSet::new();
        for (wanted, standing) in self.wanted.iter().zip(standing) {
            let asset = match standing {
                Standing::Same(asset) => asset,
                Standing::Missing => self.upload(&draft, wanted).await?,
                Standing::BrokenOff(stub) => {
                    self.delete(&stub).await?;
                    self.upload(&draft, wanted).await?
                }
            };
            arrived.insert((asset.id, asset.size, asset.digest));
        }
        self.must_hold(&draft, arrived).await?;
        draft.prerelease = !self.release.version.pre.is_empty();
        let public = repository.publish(&draft).await;
        let public = public.map_err(|error| sent(&self.tag, error))?;
        Ok(self.done(&kept, Some(public.page)))
    }

    async fn draft(&self) -> Result<Hosted, PublishError> {
        let HostedRelease { repository, product, version, .. } = *self.release;
        let name = format!("{product} {version}");
        let prerelease = !version.pre.is_empty();
        let draft = Draft { tag: &self.tag, name: &name, prerelease, ..Draft::default() };
        repository.create_draft(&draft).await.map_err(|error| sent(&self.tag, error))
    }

    /// How `wanted` stands among the assets that are there; [`PublishError::Exists`] if with other bytes.
    async fn standing(&self, wanted: &Wanted, there: &[HostedAsset]) -> Result<Standing, PublishError> {
        let Some(asset) = there.iter().find(|asset| asset.name == wanted.name) else { return Ok(Standing::Missing) };
        if !asset.uploaded {
            return Ok(Standing::BrokenOff(asset.clone()));
        }
        match wanted.is(asset, self.release).await? {
            true => Ok(Standing::Same(asset.clone())),
            false => Err(PublishError::Exists(format!("{}` of the release `{}", wanted.name, self.tag))),
        }
    }

    async fn upload(&self, draft: &Hosted, wanted: &Wanted) -> Result<HostedAsset, PublishError> {
        let Wanted { name, size, .. } = wanted;
        (self.release.progress)(Sending { name, bytes: 0, total: *size });
        let (file, kind) = wanted.open()?;
        let asset = self.release.repository.upload(draft, name, kind, *size, file).await;
        let asset = asset.map_err(|error| sent(name, error))?;
        // A file that is written to while it is sent must not lie in the way of the right bytes.
        if asset.name != *name || !wanted.is(&asset, self.release).await? {
            self.delete(&asset).await?;
            return Err(wanted.changed());
        }
        (self.release.progress)(Sending { name, bytes: *size, total: *size });
        Ok(asset)
    }

    async fn delete(&self, asset: &HostedAsset) -> Result<(), PublishError> {
        match self.release.repository.delete_asset(asset).await {
            Err(error) if error.kind() != Kind::NotFound => Err(sent(&asset.name, error)),
            _ => Ok(()),
        }
    }

    /// Everything that was found or sent must still be there as it was.
    async fn must_hold(
        &self,
        draft: &Hosted,
        mut arrived: BTreeSet<(u64, u64, Option<String>)>,
    ) -> Result<(), PublishError> {
        for asset in self.release.repository.assets(draft).await.map_err(refused)? {
            if asset.uploaded {
                arrived.remove(&(asset.id, asset.size, asset.digest));
            }
        }
        if arrived.is_empty() { Ok(()) } else { Err(PublishError::Conflict(self.tag.clone())) }
    }

    fn done(self, kept: &[bool], page: Option<Url>) -> PublishedRelease {
        let asset = |(wanted, kept): (Wanted, &bool)| PublishedAsset {
            sha256: wanted.target.is_some().then_some(wanted.sha256),
            name: wanted.name,
            target: wanted.target,
            size: wanted.size,
            kept: *kept,
        };
        let assets = self.wanted.into_iter().zip(kept).map(asset).collect();
        PublishedRelease { tag: self.tag, page, assets }
    }
}

/// What a failed look at the repository means.
fn refused(error: FetchError) -> PublishError {
    match error.kind() {
        Kind::NotFound => {
            let hint = "check the owner and the name; the token needs to read and write `contents`";
            PublishError::Destination { message: error.to_string(), hint: Some(hint.to_owned()) }
        }
        _ => PublishError::Store(error),
    }
}

/// What a failed write of `what` means. One that was not answered may have been carried out.
fn sent(what: &str, error: FetchError) -> PublishError {
    match error.kind() {
        Kind::Unreachable | Kind::Incomplete => PublishError::Unconfirmed(error),
        Kind::Changed => PublishError::Conflict(what.to_owned()),
        _ => refused(error),
    }
}
