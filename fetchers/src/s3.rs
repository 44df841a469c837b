//! `s3:`: an object of a bucket, and its siblings under the same prefix.
//!
//! A poll is one conditional request: `GET` where the key names a small document (`.fetchd`,
//! `.json`), `HEAD` otherwise. A download is ranged requests side by side, each pinned to the state
//! of the object that the first one showed.

mod bucket;
mod client;
pub mod error;
mod mark;
mod open;
mod poll;
mod requests;
mod secrets;
pub mod settings;
mod transport;

use std::fmt;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use url::Url;

use crate::ahead::Ahead;
use crate::error::{FetchError, Kind};
use crate::fetcher::{AssetName, Body, Fetcher, Polled, Release, Revision, Start};
use crate::options::{ConfigError, Options};
use settings::Settings;

pub use bucket::{
    Bucket, Compared, Content, Created, ETag, Labels, Listed, Made, Object, PAGE, Page, Read, Removed, Replaced, Stat,
    UPLOAD_LIMIT, Written,
};

/// The variables that the credential chain reads.
pub(crate) const VARIABLES: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "HOME",
];

/// Opens an `s3:` source. Options come from the URL's query and from `options` alike.
pub fn make(url: &Url, options: &Options) -> Result<Box<dyn Fetcher>, ConfigError> {
    let settings = Settings::read(url, options)?;
    let last = settings.key().rsplit('/').next().unwrap_or_default();
    let name = AssetName::new(last).map_err(|_| {
        ConfigError::new(format!("`{}` does not end in the name of an object", settings.url()))
            .hint("a source points at one object, such as `s3://releases/app/stable.fetchd`")
    })?;
    Ok(Box::new(S3Fetcher { settings, name }))
}

struct S3Fetcher {
    settings: Settings,
    name: AssetName,
}

impl fmt::Debug for S3Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Fetcher").field(&self.settings).finish()
    }
}

#[async_trait]
impl Fetcher for S3Fetcher {
    async fn poll(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        match tokio::time::timeout(self.settings.timeout, self.poll_now(since)).await {
            Ok(polled) => polled,
            Err(_) => {
                let limit = humantime::format_duration(self.settings.timeout);
                Err(self.error(Kind::Unreachable, format!("the poll took longer than {limit}")))
            }
        }
    }

    async fn open(&self, release: &Release, asset: &AssetName, start: &Start) -> Result<Body, FetchError> {
        self.open_now(release, asset, start, Ahead::default()).await
    }

    async fn open_ahead(
        &self,
        release: &Release,
        asset: &AssetName,
        start: &Start,
        ahead: Ahead,
    ) -> Result<Body, FetchError> {
        self.open_now(release, asset, start, ahead).await
    }
}

impl S3Fetcher {
    fn error(&self, kind: Kind, detail: impl Into<String>) -> FetchError {
        FetchError::new(kind, self.settings.url(), detail)
    }
}

impl Settings {
    /// The next chunk of a body, unless it stays silent for too long.
    async fn chunk(&self, url: &Url, body: &mut ByteStream) -> Result<Option<Bytes>, FetchError> {
        match tokio::time::timeout(self.read_timeout, body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
            Ok(Some(Err(error))) => {
                Err(FetchError::new(Kind::Incomplete, url, "the body broke off").because(error::deepest(&error)))
            }
            Err(_) => {
                let silence = humantime::format_duration(self.read_timeout);
                Err(FetchError::new(Kind::Unreachable, url, format!("nothing was received for {silence}")))
            }
        }
    }
}
