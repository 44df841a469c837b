//! `github:`: the releases of a repository on github.com or a GitHub Enterprise Server.
//!
//! A poll asks the API for one release, or lists the releases and takes the newest; the revision
//! holds the ETag and a fingerprint. The bytes of an asset go the way of `http:`.

mod api;
mod mark;
mod refusal;
mod repository;
mod settings;
mod tag;
mod token;
mod transport;
mod upload;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use octocrab::models::repos;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use url::Url;

use crate::ahead::Ahead;
use crate::error::{FetchError, Kind};
use crate::fetcher::{Asset, AssetName, Body, Fetcher, Polled, Release, Revision, Start};
use crate::net::{Download, Opened, Seen, refusal as plain_refusal};
use crate::options::{ConfigError, Options, plain};
use crate::redact::redact;
use api::{Answer, Api};
use mark::{Mark, fingerprint};
pub use repository::{Draft, Hosted, HostedAsset, Repository};
use settings::Wanted;
use tag::Pattern;

/// The variables that a token is taken from.
pub(crate) const VARIABLES: &[&str] = &["GH_TOKEN", "GITHUB_TOKEN"];

/// Releases on one page of a list, the most GitHub gives.
const PER_PAGE: usize = 100;
/// Pages of a list that are read, beginning with the newest release.
const PAGES: usize = 5;

/// Opens a `github:` source. Options come from the URL's query and from `options` alike.
pub fn make(url: &Url, options: &Options) -> Result<Box<dyn Fetcher>, ConfigError> {
    let settings::Source { api, wanted, timeout, .. } = settings::read(url, options)?;
    Ok(Box::new(GitHubFetcher { api, wanted, timeout }))
}

struct GitHubFetcher {
    api: Api,
    wanted: Wanted,
    timeout: Duration,
}

impl fmt::Debug for GitHubFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubFetcher")
            .field("source", &redact(&self.api.source))
            .field("api", &redact(&self.api.base))
            .field("wanted", &self.wanted)
            .field("timeout", &self.timeout)
            .field("token", &self.api.token)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Fetcher for GitHubFetcher {
    async fn poll(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        match tokio::time::timeout(self.timeout, self.poll_now(since)).await {
            Ok(polled) => polled,
            Err(_) => {
                let limit = humantime::format_duration(self.timeout);
                Err(self.api.error(Kind::Unreachable, format!("the poll took longer than {limit}")))
            }
        }
    }

    async fn open(&self, release: &Release, asset: &AssetName, start: &Start) -> Result<Body, FetchError> {
        self.open_ahead(release, asset, start, Ahead::default()).await
    }

    async fn open_ahead(
        &self,
        release: &Release,
        asset: &AssetName,
        start: &Start,
        ahead: Ahead,
    ) -> Result<Body, FetchError> {
        let missing = |what: &str| self.api.error(Kind::NotFound, format!("the asset `{asset}` {what}"));
        let shown = release.assets.iter().find(|shown| shown.name == *asset);
        let shown = shown.ok_or_else(|| missing("is not in the release"))?;
        let handle = shown.handle.as_deref().ok_or_else(|| missing("is not uploaded yet"))?;
        let id = asset_id(handle).ok_or_else(|| missing("was shown by another source"))?;
        // Made of what is configured and the id: no URL that an answer holds is ever followed.
        let url = self.api.url(&["releases", "assets", &id.to_string()]);
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/octet-stream"))]);
        let polled = Some(Seen { size: shown.size, exact: true, ..Seen::default() });
        let (client, secrets) = (&self.api.client, self.api.secrets()?);
        let answer = match (Download { client, url: &url, headers, secrets, polled }).open(start, ahead).await? {
            Opened::Body(body) => return Ok(body),
            Opened::Refused(answer) => answer,
        };
        let gone = "was replaced or removed since the poll";
        let error = match answer.url().origin() == self.api.base.origin() {
            true => self.api.refused(answer.into(), gone).await,
            // The storage behind the redirect knows nothing of tokens and limits of the API.
            false => plain_refusal(&url, answer.status(), answer.headers()),
        };
        match error.kind() {
            // An id never stands for other bytes: what replaces an asset gets an id of its own.
            Kind::NotFound => Err(self.api.error(Kind::Changed, format!("the asset `{asset}` {gone}"))),
            _ => Err(error),
        }
    }
}

impl GitHubFetcher {
    async fn poll_now(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        let known = since.map(Mark::parse).unwrap_or_default();
        let found = match &self.wanted {
            Wanted::Latest => {
                let missing = self.missing("has no release (yet)");
                self.one(&known, &self.api.url(&["releases", "latest"]), &missing).await?
            }
            Wanted::Tag(tag) => {
                let missing = self.missing(&format!("has no release (yet) with the tag `{}`", plain(tag)));
                self.one(&known, &self.api.url(&["releases", "tags", tag]), &missing).await?
            }
            Wanted::Newest { pattern, prereleases } => self.newest(&known, pattern, *prereleases).await?,
        };
        let Some((mark, release)) = found else { return Ok(Polled::Unchanged) };
        if mark.seen == known.seen {
            // Somebody has downloaded an asset, if only we ourselves: the counter has changed the ETag.
            let renewed = mark.etag.is_some() && mark != known;
            return Ok(if renewed { Polled::Renewed(mark.revision()) } else { Polled::Unchanged });
        }
        Ok(Polled::Offers(Release {
            revision: mark.revision(),
            label: Some(release.tag_name),
            assets: release.assets.into_iter().filter_map(shown).collect(),
            document: None,
        }))
    }

    /// The release at `url`; nothing if it is the one that is `known`.
    async fn one(&self, known: &Mark, url: &Url, missing: &str) -> Result<Option<(Mark, repos::Release)>, FetchError> {
        let asked = url.to_string();
        let Some(answer) = self.ask(known, &asked, url, missing).await? else { return Ok(None) };
        let etag = etag(answer.headers());
        let release: repos::Release = self.api.json(answer).await?;
        if release.draft {
            return Err(self.api.error(Kind::NotFound, "shows a draft, which is not released (yet)"));
        }
        Ok(Some((Mark { etag, asked, seen: fingerprint(&release) }, release)))
    }

    /// The release with the newest version; nothing if the list is the one that is `known`.
    async fn newest(
        &self,
        known: &Mark,
        pattern: &Pattern,
        prereleases: bool,
    ) -> Result<Option<(Mark, repos::Release)>, FetchError> {
        let missing = self.missing("cannot be found");
        let mut newest: Option<(semver::Version, repos::Release)> = None;
        // One list answers many questions: that it has not changed says nothing to another one.
        let which = if prereleases { "prerelease" } else { "stable" };
        let asked = format!("{} {which} {pattern}", self.api.page(&["releases"], PER_PAGE, 1));
        let (mut tag_of_list, mut passed_over) = (None, false);
        for page in 1..=PAGES {
            let url = self.api.page(&["releases"], PER_PAGE, page);
            let nothing = Mark::default();
            let condition = if page == 1 { known } else { &nothing };
            let Some(answer) = self.ask(condition, &asked, &url, &missing).await? else { return Ok(None) };
            let etag = etag(answer.headers());
            let releases: Vec<repos::Release> = self.api.json(answer).await?;
            let last = releases.len() < PER_PAGE;
            if page == 1 {
                // Of several pages, the first may stay the same while another changes.
                tag_of_list = etag.filter(|_| last);
            }
            for release in releases.into_iter().filter(|release| !release.draft) {
                let Some(version) = pattern.version(&release.tag_name) else { continue };
                if release.prerelease && !prereleases {
                    passed_over = true;
                } else if newest.as_ref().is_none_or(|(best, _)| version.cmp_precedence(best).is_gt()) {
                    newest = Some((version, release));
                }
            }
            if last {
                break;
            }
        }
        match newest {
            Some((_, release)) => Ok(Some((Mark { etag: tag_of_list, asked, seen: fingerprint(&release) }, release))),
            None if passed_over => Err(self
                .api
                .error(Kind::NotFound, "has only prereleases (yet), which `channel` = `stable` passes over")),
            None => {
                Err(self.api.error(Kind::NotFound, "has no release (yet) with a version in a tag that is asked for"))
            }
        }
    }

    /// What `url` answers to the question `asked`; nothing if it is what is `known`.
    async fn ask(&self, known: &Mark, asked: &str, url: &Url, missing: &str) -> Result<Option<Answer>, FetchError> {
        let mut conditions = HeaderMap::new();
        let etag = known.etag.as_ref().filter(|_| known.asked == asked);
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            conditions.insert(IF_NONE_MATCH, etag);
        }
        let conditional = !conditions.is_empty();
        let answer = self.api.get(url, conditions).await?;
        match answer.status() {
            StatusCode::OK => Ok(Some(answer)),
            StatusCode::NOT_MODIFIED if conditional => Ok(None),
            StatusCode::NOT_MODIFIED => {
                Err(self.api.error(Kind::Other, "answers `not modified` to a request without a condition"))
            }
            _ => Err(self.api.refused(answer, missing).await),
        }
    }

    /// What a 404 may mean besides `what`.
    fn missing(&self, what: &str) -> String {
        let token = if self.api.token.exists() { "with a token that may not read it" } else { "without a token" };
        format!("{what}, or there is no such repository; a private one looks the same {token}")
    }
}

/// An asset as it is offered. One with a name that no file can have is left out.
fn shown(asset: repos::Asset) -> Option<Asset> {
    let Ok(name) = AssetName::new(asset.name) else {
        tracing::debug!(id = asset.id.0, "an asset has a name that no file can have, and is left out");
        return None;
    };
    let uploaded = asset.state == "uploaded";
    Some(Asset {
        name,
        size: u64::try_from(asset.size).ok(),
        digest: asset.digest.filter(|digest| digest.len() <= 256),
        handle: uploaded.then(|| format!("{}@{}", asset.id, asset.updated_at.to_rfc3339())),
    })
}

/// The id in a handle.
fn asset_id(handle: &str) -> Option<u64> {
    let (id, _) = handle.split_once('@')?;
    if id.bytes().all(|byte| byte.is_ascii_digit()) { id.parse().ok() } else { None }
}

/// The ETag. One outside of ASCII is as good as none.
fn etag(headers: &HeaderMap) -> Option<String> {
    headers.get(ETAG)?.to_str().ok().map(str::to_owned)
}
