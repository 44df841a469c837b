//! The jobs a worker does, and what it brings back: all of it claims.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use fetchd_fetchers::{AssetName, Options, Release, Revision};
use serde::{Deserialize, Serialize};
use url::Url;

use super::asset::Meant;
use crate::digest::Sha256;
use crate::trust::Format;

/// The largest manifest that is read, in bytes.
pub const DOCUMENT_LIMIT: u64 = 512 * 1024;
/// The largest signature file that is read, in bytes.
pub const SIGNATURE_LIMIT: u64 = 16 * 1024;

/// A place releases come from, as configured. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where it is.
    pub url: Url,
    /// Options by name.
    pub options: Options,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("url", &fetchd_fetchers::redact(&self.url))
            .field("options", &self.options.keys())
            .finish()
    }
}

/// What a job may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long a poll may take, with the manifest or signature it brings.
    pub poll: Duration,
    /// How long a download may take.
    pub total: Duration,
    /// How long a download may go without a byte, from its request on.
    pub stall: Duration,
    /// The least average rate within `window`, in bytes per second; 0 = any.
    pub min_rate: u64,
    /// The time over which the rate is measured.
    pub window: Duration,
    /// The most bytes of an artifact whose size nobody signed.
    pub max_size: u64,
    /// Bytes to leave free in staging's file system.
    pub reserve: u64,
}

impl Default for Limits {
    /// 30 s to poll, 1 h to download, 30 s without a byte, 1 KiB/s over 30 s, 1 GiB, 16 MiB spare.
    fn default() -> Limits {
        Limits {
            poll: Duration::from_secs(30),
            total: Duration::from_secs(3600),
            stall: Duration::from_secs(30),
            min_rate: 1024,
            window: Duration::from_secs(30),
            max_size: 1 << 30,
            reserve: 16 << 20,
        }
    }
}

/// Ask the source what it offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollJob {
    /// Where.
    pub source: Source,
    /// The revision that needs no second look.
    pub since: Option<Revision>,
    /// What to bring with it.
    pub want: Want,
    /// Which of several assets is meant.
    pub meant: Meant,
    /// What it may take.
    pub limits: Limits,
}

/// Bring one small file that lies beside what was polled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiblingJob {
    /// The source that was polled.
    pub source: Source,
    /// The release it showed.
    pub release: Release,
    /// The file, relative to the directory of what was polled.
    pub name: AssetName,
    /// The most bytes it may have; no more than [`DOCUMENT_LIMIT`].
    pub limit: u64,
    /// How long it may take.
    pub deadline: Duration,
}

/// What was found beside what was polled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sibling {
    /// The whole file; `None` only if the source says that there is none.
    #[serde(with = "text")]
    pub(super) bytes: Option<Vec<u8>>,
}

/// What a poll brings besides the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// The bytes of the bundle.
    Document,
    /// The bytes of `<asset>.minisig`: the artifact's signature.
    Sidecar,
    /// Only the artifact's name: nothing is signed.
    Nothing,
}

/// What a poll found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PollReply {
    /// Nothing new since the revision that was passed in.
    Unchanged,
    /// The same as at the revision that was passed in, which this one replaces.
    Renewed(Revision),
    /// This is there.
    Offers(Offered),
    /// A release is listed, and what this machine needs of it is not there, or not yet.
    NotReady(NotReady),
}

/// What a listed release lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReady {
    /// The release, as the source calls it.
    pub release: Option<String>,
    /// What is missing, as the end of a sentence.
    pub missing: String,
    /// Assets that it does show, at most ten of them.
    pub shown: Vec<AssetName>,
}

/// What the source offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The release, without its document.
    pub release: Release,
    /// The file of it that is meant.
    pub asset: AssetName,
    /// The manifest, at most [`DOCUMENT_LIMIT`] bytes; present for [`Want::Document`].
    #[serde(with = "text")]
    pub document: Option<Vec<u8>>,
    /// The signature file, at most [`SIGNATURE_LIMIT`] bytes; present for [`Want::Sidecar`], and where the manifest is no
    /// bundle.
    #[serde(with = "text")]
    pub signature: Option<Vec<u8>>,
}

impl Offered {
    /// Names the artifact where no digest of it is signed: the same one again gets the same name.
    ///
    /// A revision may be another each time the artifact is downloaded (GitHub's ETag counts), so what
    /// the source shows of the asset itself goes before it. That the bytes of a partial file belong to
    /// it is for the validator beside them to say, and whether all are right for the signature.
    pub fn key(&self) -> Sha256 {
        let listed = self.release.assets.iter().find(|listed| listed.name == self.asset);
        let shown = listed.and_then(|listed| Some((listed.handle.as_ref()?, listed.size, &listed.digest)));
        let of = shown.map_or_else(|| self.release.revision.0.clone(), |shown| format!("{shown:?}"));
        Sha256::of(format!("{of}\n{}", self.asset).as_bytes())
    }
}

/// Bring an artifact into staging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadJob {
    /// The source that was polled.
    pub source: Source,
    /// The release it showed.
    pub release: Release,
    /// Where the artifact is, in order of preference: asset names of the release, or absolute
    /// URLs. An absolute URL gets none of the source's options.
    pub urls: Vec<String>,
    /// The signed size in bytes.
    pub size: Option<u64>,
    /// The signed digest.
    pub sha256: Option<Sha256>,
    /// The directory, ours alone, that the artifact is written to; absolute.
    pub staging: PathBuf,
    /// What it may take.
    pub limits: Limits,
    /// Names the artifact's files in staging: 1 to 128 of `[0-9A-Za-z_-]`. The same artifact has
    /// the same key, else nothing is resumed: its digest, or a hash of revision and asset.
    pub key: String,
}

impl DownloadJob {
    /// Where the complete artifact will lie.
    pub fn artifact(&self) -> PathBuf {
        self.staging.join(format!("{}.artifact", self.key))
    }
}

/// An artifact is complete in staging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloaded {
    /// Where: [`DownloadJob::artifact`].
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, as the worker computed it.
    pub sha256: Sha256,
    /// How many of its bytes were there from an earlier attempt.
    pub resumed_from: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Unpack the one binary of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractJob {
    /// How it is packed.
    pub format: Format,
    /// The archive's entry that is the binary; `None` = the only regular file, or where there are
    /// several the only one called `program`.
    pub entry: Option<String>,
    /// What the binary is called.
    pub program: Option<String>,
    /// The signed size of the binary in bytes.
    pub binary_size: Option<u64>,
    /// The most bytes the artifact may unpack to.
    pub max_size: u64,
    /// The artifact; absolute.
    pub artifact: PathBuf,
    /// The file to make, with mode 0600; absolute. It must not exist.
    pub out: PathBuf,
}

/// The binary is unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// Its size in bytes.
    pub size: u64,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Progress {
    /// Bytes of the artifact on disk, those of earlier attempts included. At most ten a second.
    Download {
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all, where signed or announced.
        total: Option<u64>,
    },
}

/// Bytes as base64: a third longer, where JSON's arrays are four times as long.
mod text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| STANDARD.decode(text).map_err(serde::de::Error::custom)).transpose()
    }
}
