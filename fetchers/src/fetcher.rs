//! The trait every source implements, and the values it speaks in.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::ahead::Ahead;
use crate::error::FetchError;

/// A place releases come from.
///
/// A fetcher keeps no memory between calls: the caller holds the revision. It makes no trust
/// decision and reads no manifest: what it returns is a claim. It never sleeps and never retries, but for a part of a body that
/// it reads over several connections: while another one is left, a broken one need not end them all.
#[async_trait]
pub trait Fetcher: fmt::Debug + Send + Sync {
    /// Asks what the source offers now, with one conditional request.
    ///
    /// [`Polled::Unchanged`] only if the source says so or its revision equals `since`. A source
    /// that shows no validator is never "unchanged".
    async fn poll(&self, since: Option<&Revision>) -> Result<Polled, FetchError>;

    /// Streams the exact bytes of one asset of `release`, from `start` on, or fails.
    ///
    /// Fails with [`Kind::Changed`](crate::Kind::Changed) if the object that was polled has been
    /// replaced since. If the asset cannot be resumed at `start` (no range support, another
    /// validator) the body begins at byte 0 and [`Body::start`] says so: the caller starts over.
    async fn open(&self, release: &Release, asset: &AssetName, start: &Start) -> Result<Body, FetchError>;

    /// [`open`](Fetcher::open) for a caller that has some of what lies behind `start` already, and keeps what arrives before
    /// its turn.
    ///
    /// For fetchers that read several parts of an asset at the same time. Whatever they are given, the body is the same;
    /// all others leave this as it is.
    async fn open_ahead(
        &self,
        release: &Release,
        asset: &AssetName,
        start: &Start,
        ahead: Ahead,
    ) -> Result<Body, FetchError> {
        drop(ahead);
        self.open(release, asset, start).await
    }
}

/// What a poll found.
#[derive(Debug, Clone)]
pub enum Polled {
    /// Nothing changed since the revision that was passed in.
    Unchanged,
    /// Nothing that matters changed, and this revision stands for it from now on: with it later polls
    /// cost less. A caller that goes on with the old one misses nothing.
    Renewed(Revision),
    /// The source shows this. It may be what is already running.
    Offers(Release),
}

/// An opaque mark of what the source showed: an ETag, a release id, a stat tuple. Only ever
/// compared for equality and handed back to the fetcher that made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub String);

/// What a source shows. All of it is a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What to pass as `since` to the next poll.
    pub revision: Revision,
    /// A tag or a name, where the source has one.
    pub label: Option<String>,
    /// The assets the source shows. A URL source shows the one object it points at.
    pub assets: Vec<Asset>,
    /// The bytes of the object itself, where it is a small document and polling read it anyway.
    #[serde(skip)]
    pub document: Option<Bytes>,
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Its name, as [`Fetcher::open`] takes it.
    pub name: AssetName,
    /// Its size in bytes, where the source tells.
    pub size: Option<u64>,
    /// Its digest in the source's own notation (`sha256:…`), where the source tells.
    pub digest: Option<String>,
    /// What the fetcher needs to find it again, such as an id: opaque, and handed back to
    /// [`Fetcher::open`] with the release.
    pub handle: Option<String>,
}

/// The name of an asset: a relative path of plain components, `app-1.2.0` or `1.2.0/app`.
///
/// No empty component, no `.` or `..`, no leading `/`, no backslash, no control character, at most
/// 512 bytes: it cannot name anything outside the place the source points at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AssetName(String);

/// A name that could leave the place the source points at, or that no file can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an asset name: a relative path of plain components is needed")]
pub struct BadAssetName(String);

impl AssetName {
    /// Checks `name` and keeps it.
    pub fn new(name: impl Into<String>) -> Result<AssetName, BadAssetName> {
        let name = name.into();
        let plain = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && !part.contains('\\')
                && !part.chars().any(char::is_control)
        };
        if name.len() <= 512 && name.split('/').all(plain) { Ok(AssetName(name)) } else { Err(BadAssetName(name)) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for AssetName {
    type Error = BadAssetName;

    fn try_from(name: String) -> Result<AssetName, BadAssetName> {
        AssetName::new(name)
    }
}

impl From<AssetName> for String {
    fn from(name: AssetName) -> String {
        name.0
    }
}

/// Where in an asset a body should begin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The first byte wanted.
    pub byte: u64,
    /// The validator the bytes before it came with; without one nothing is resumed.
    pub validator: Option<Revision>,
}

/// The bytes of an asset.
pub struct Body {
    /// The byte of the asset this body begins at: what was asked for, or 0.
    pub start: u64,
    /// The size of the whole asset, where the source tells.
    pub total: Option<u64>,
    /// What to keep beside a partial file, so that it can be resumed later.
    pub validator: Option<Revision>,
    /// The bytes. An error is the last item; the end without one means the body was complete.
    pub stream: BoxStream<'static, Result<Bytes, FetchError>>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("start", &self.start)
            .field("total", &self.total)
            .field("validator", &self.validator)
            .finish_non_exhaustive()
    }
}
