//! The releases of a repository as a publisher sees them: drafts, uploads, and what makes them public.

use std::fmt;
use std::time::Duration;

use octocrab::models::repos;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;
use tokio::fs::File;
use url::Url;

use super::api::{Answer, AnswerBody, Api};
use super::settings;
use super::upload::FileBody;
use crate::ahead::Ahead;
use crate::error::{FetchError, Kind};
use crate::fetcher::{Body, Start};
use crate::net::{Client, Download, Opened, Seen};
use crate::options::{ConfigError, Options, plain};
use crate::redact::redact;

/// Pages of a list that are read: GitHub keeps at most 1,000 assets in a release, and drafts stand
/// among the newest releases.
const PAGES: usize = 10;
const PER_PAGE: usize = 100;
/// For an upload, besides the time its bytes take.
const UPLOAD_GRACE: Duration = Duration::from_secs(120);
/// The slowest upload that is waited for, in bytes a second.
const UPLOAD_RATE: u64 = 64 * 1024;

/// A repository that releases can be made in. It keeps nothing between calls and never retries.
pub struct Repository {
    api: Api,
    /// Silent for as long as an upload takes: the answer comes after the last byte.
    patient: Client,
    timeout: Duration,
}

/// A release, maybe a draft that only its makers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosted {
    /// GitHub's number for it.
    pub id: u64,
    /// Its tag, which does not exist in git before a draft is published.
    pub tag: String,
    /// Whether it is not public yet.
    pub draft: bool,
    /// Whether it is offered to those only who ask for prereleases.
    pub prerelease: bool,
    /// Whether its assets can never change again.
    pub immutable: bool,
    /// The page of the release.
    pub page: Url,
    /// Its assets, at most the first 1,000.
    pub assets: Vec<HostedAsset>,
    /// Where assets are uploaded to, as the API shows it.
    upload: String,
}

/// An asset of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedAsset {
    /// GitHub's number for it.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, `sha256:…`, where GitHub tells.
    pub digest: Option<String>,
    /// Whether all of it has arrived. An upload that broke off leaves an asset that never will be,
    /// and has to be deleted before its name can be used again.
    pub uploaded: bool,
}

/// A release to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft<'a> {
    /// The tag it is to have.
    pub tag: &'a str,
    /// Its title.
    pub name: &'a str,
    /// Its text.
    pub body: &'a str,
    /// Whether it is offered to those only who ask for prereleases.
    pub prerelease: bool,
    /// The commit or branch that the tag is made of, if there is no such tag; the default branch
    /// without it.
    pub target_commitish: Option<&'a str>,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("source", &redact(&self.api.source))
            .field("api", &redact(&self.api.base))
            .field("token", &self.api.token)
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Reads where and how from the URL and options of a source; `channel` and `tag` do not matter
    /// here. A token is needed. Nothing is connected yet.
    pub fn open(url: &Url, options: &Options) -> Result<Repository, ConfigError> {
        let settings::Source { api, timeout, mut connection, .. } = settings::read(url, options)?;
        if !api.token.exists() {
            return Err(ConfigError::new("to publish a release a token is needed")
                .hint("name its file with `token_file`, or set `GITHUB_TOKEN`"));
        }
        connection.read_timeout = Duration::from_secs(24 * 60 * 60);
        let patient = Client::build(connection, &api.base)?;
        Ok(Repository { api, patient, timeout })
    }

    /// The release of `tag`, drafts included; the public one if there are several.
    pub async fn release_by_tag(&self, tag: &str) -> Result<Option<Hosted>, FetchError> {
        self.in_time(async {
            let public = self.call(Method::GET, &self.api.url(&["releases", "tags", tag]), NOTHING).await;
            match public {
                Ok(answer) => return self.api.json(answer).await.map(|release| Some(hosted(release))),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
            // A draft has no tag in git, so it is not found by one.
            let drafts: Vec<repos::Release> =
                self.pages(&["releases"], |release: &repos::Release| release.tag_name == tag).await?;
            Ok(drafts.into_iter().find(|release| release.tag_name == tag).map(hosted))
        })
        .await
    }

    /// Makes a draft, which nobody but its makers sees.
    pub async fn create_draft(&self, draft: &Draft<'_>) -> Result<Hosted, FetchError> {
        #[derive(Serialize)]
        struct Fields<'a> {
            tag_name: &'a str,
            name: &'a str,
            body: &'a str,
            draft: bool,
            prerelease: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            target_commitish: Option<&'a str>,
        }
        let Draft { tag, name, body, prerelease, target_commitish } = *draft;
        let fields = Fields { tag_name: tag, name, body, draft: true, prerelease, target_commitish };
        self.in_time(async {
            let answer = self.call(Method::POST, &self.api.url(&["releases"]), Some(&fields)).await?;
            self.api.json(answer).await.map(hosted)
        })
        .await
    }

    /// The assets of `release` as they are now, at most 1,000.
    pub async fn assets(&self, release: &Hosted) -> Result<Vec<HostedAsset>, FetchError> {
        self.in_time(async {
            let found: Vec<repos::Asset> =
                self.pages(&["releases", &release.id.to_string(), "assets"], |_| false).await?;
            Ok(found.into_iter().map(hosted_asset).collect())
        })
        .await
    }

    /// Uploads the next `size` bytes of `file` as an asset called `name`.
    ///
    /// [`Kind::Changed`] if there is an asset of that name already. After any error there may be
    /// one that is not [`uploaded`](HostedAsset::uploaded). GitHub changes names with characters
    /// other than letters, digits and `-_.+@~`: the one it chose is returned. It may take two
    /// minutes and a second for each 64 KiB.
    pub async fn upload(
        &self,
        release: &Hosted,
        name: &str,
        content_type: &str,
        size: u64,
        file: File,
    ) -> Result<HostedAsset, FetchError> {
        let mut url = self.upload_url(release)?;
        url.query_pairs_mut().clear().append_pair("name", name);
        let content_type = HeaderValue::from_str(content_type)
            .map_err(|_| self.api.error(Kind::Misconfigured, "the content type is not one"))?;
        let deadline = UPLOAD_GRACE + Duration::from_secs(size / UPLOAD_RATE);
        let sending = async {
            let http = self.patient.to(&url).map_err(|why| self.api.error(Kind::Other, why.message))?;
            let request = http.post(url.clone()).headers(self.api.headers()?);
            let request = request.header(CONTENT_TYPE, content_type).header(CONTENT_LENGTH, size);
            let sent = request.body(reqwest::Body::wrap(FileBody::new(file, size))).send().await;
            let answer = sent.map_err(|error| self.patient.failed(&self.api.source, error))?;
            let answer = self.accepted(::http::Response::from(answer)).await?;
            self.api.json(answer).await.map(hosted_asset)
        };
        let asset = within(&self.api, deadline, &format!("the upload of `{}`", plain(name)), sending).await?;
        match asset.uploaded && asset.size == size {
            true => Ok(asset),
            false => Err(self.api.error(Kind::Incomplete, format!("the upload of `{}` is not complete", plain(name)))),
        }
    }

    /// Deletes an asset. That there is none is [`Kind::NotFound`].
    pub async fn delete_asset(&self, asset: &HostedAsset) -> Result<(), FetchError> {
        let url = self.api.url(&["releases", "assets", &asset.id.to_string()]);
        self.in_time(async { self.call(Method::DELETE, &url, NOTHING).await.map(drop) }).await
    }

    /// Streams the bytes of an asset, of a draft's too. Until they are read no time limit applies but
    /// that of silence.
    pub async fn download(&self, asset: &HostedAsset) -> Result<Body, FetchError> {
        let url = self.api.url(&["releases", "assets", &asset.id.to_string()]);
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/octet-stream"))]);
        let polled = Some(Seen { size: Some(asset.size), exact: true, ..Seen::default() });
        let (client, secrets) = (&self.api.client, self.api.secrets()?);
        match (Download { client, url: &url, headers, secrets, polled })
            .open(&Start::default(), Ahead::default())
            .await?
        {
            Opened::Body(body) => Ok(body),
            Opened::Refused(answer) => {
                Err(self.api.refused(answer.into(), "has no such asset, or the token may not read it").await)
            }
        }
    }

    /// Makes a draft public. Unless it is a prerelease, it is what is called the latest from now on.
    pub async fn publish(&self, release: &Hosted) -> Result<Hosted, FetchError> {
        #[derive(Serialize)]
        struct Fields {
            draft: bool,
            prerelease: bool,
            make_latest: &'static str,
        }
        let make_latest = if release.prerelease { "false" } else { "true" };
        let fields = Fields { draft: false, prerelease: release.prerelease, make_latest };
        self.in_time(async {
            let url = self.api.url(&["releases", &release.id.to_string()]);
            let answer = self.call(Method::PATCH, &url, Some(&fields)).await?;
            let public = self.api.json(answer).await.map(hosted)?;
            match public.draft {
                false => Ok(public),
                true => Err(self.api.error(Kind::Incomplete, "the release is a draft still")),
            }
        })
        .await
    }

    /// Where the token and the bytes go: the API's own origin, or `uploads.` beside its `api.`.
    fn upload_url(&self, release: &Hosted) -> Result<Url, FetchError> {
        let shown = release.upload.split('{').next().unwrap_or_default();
        let refused = || self.api.error(Kind::Other, "the API shows an address for uploads that is not its own");
        let url = Url::parse(shown).map_err(|_| refused())?;
        let base = &self.api.base;
        let beside = base.host_str().and_then(|host| host.strip_prefix("api.")).map(|rest| format!("uploads.{rest}"));
        let sister = beside.is_some() && url.host_str() == beside.as_deref();
        let same_way = url.scheme() == base.scheme() && url.port_or_known_default() == base.port_or_known_default();
        let plain = url.username().is_empty() && url.password().is_none();
        if plain && (url.origin() == base.origin() || (sister && same_way)) { Ok(url) } else { Err(refused()) }
    }

    async fn call(
        &self,
        method: Method,
        url: &Url,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, FetchError> {
        let answer = match method {
            Method::GET => self.api.get(url, Default::default()).await?,
            method => self.api.send(method, url, body).await?,
        };
        self.accepted(answer).await
    }

    async fn accepted<B: AnswerBody>(&self, answer: ::http::Response<B>) -> Result<::http::Response<B>, FetchError> {
        match answer.status().as_u16() {
            200 | 201 | 204 => Ok(answer),
            301 | 302 | 307 | 308 => {
                Err(self.api.error(Kind::Misconfigured, "has another name now, by which releases have to be made"))
            }
            422 => Err(self.api.unprocessable(answer).await),
            _ => Err(self.api.refused(answer, "does not exist, or the token may not write to it").await),
        }
    }

    /// Every item of a list, until one is `enough` or there are no more pages.
    async fn pages<T: serde::de::DeserializeOwned>(
        &self,
        parts: &[&str],
        enough: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, FetchError> {
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let answer = self.call(Method::GET, &self.api.page(parts, PER_PAGE, page), NOTHING).await?;
            let items: Vec<T> = self.api.json(answer).await?;
            let last = items.len() < PER_PAGE || items.iter().any(&enough);
            all.extend(items);
            if last {
                break;
            }
        }
        Ok(all)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
        within(&self.api, self.timeout, "the request", work).await
    }
}

/// No body.
const NOTHING: Option<&()> = None;

async fn within<T>(
    api: &Api,
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        Err(api.error(Kind::Unreachable, format!("{what} took longer than {limit}")))
    })
}

fn hosted(release: repos::Release) -> Hosted {
    Hosted {
        id: release.id.0,
        tag: release.tag_name,
        draft: release.draft,
        prerelease: release.prerelease,
        immutable: release.immutable.unwrap_or(false),
        page: release.html_url,
        assets: release.assets.into_iter().map(hosted_asset).collect(),
        upload: release.upload_url,
    }
}

fn hosted_asset(asset: repos::Asset) -> HostedAsset {
    HostedAsset {
        id: asset.id.0,
        name: asset.name,
        size: u64::try_from(asset.size).unwrap_or(0),
        digest: asset.digest,
        uploaded: asset.state == "uploaded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uploads(api: &str, shown: &str) -> Result<String, FetchError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "hunter2").unwrap();
        let options = [("api", api), ("token_file", file.to_str().unwrap()), ("proxy", "none")];
        let options = options.map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
        let url = Url::parse("github://owner/repo").unwrap();
        let repository = Repository::open(&url, &Options::from(options)).unwrap();
        let (page, tag, upload) = (url, String::new(), shown.to_owned());
        let hosted =
            Hosted { id: 1, tag, draft: true, prerelease: false, immutable: false, page, assets: vec![], upload };
        repository.upload_url(&hosted).map(String::from)
    }

    #[test]
    fn uploads_go_to_the_api_and_to_its_sister_alone() {
        let path = "/repos/o/r/releases/1/assets";
        let own = [
            ("https://api.github.com", "https://uploads.github.com"),
            ("https://api.tenant.ghe.com", "https://uploads.tenant.ghe.com"),
            ("https://ghes.example.com/api/v3", "https://ghes.example.com/api/uploads"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ];
        for (api, uploads_at) in own {
            let shown = format!("{uploads_at}{path}{{?name,label}}");
            assert_eq!(uploads(api, &shown).unwrap(), format!("{uploads_at}{path}"), "{api}");
        }
        let foreign = [
            ("https://api.github.com", "http://uploads.github.com"),
            ("https://api.github.com", "https://uploads.github.com:8443"),
            ("https://api.github.com", "https://uploads.github.com.example.com"),
            ("https://api.github.com", "https://user@uploads.github.com"),
            ("https://api.github.com", "https://uploads.example.com"),
            ("https://ghes.example.com/api/v3", "https://uploads.ghes.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8081"),
            ("https://api.github.com", ""),
            ("https://api.github.com", "file:"),
        ];
        for (api, uploads_at) in foreign {
            let error = uploads(api, &format!("{uploads_at}{path}")).unwrap_err();
            assert_eq!(error.kind(), Kind::Other, "{uploads_at}");
        }
    }
}
