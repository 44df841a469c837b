//! The one artifact that policy chose from what trust admitted.

use semver::Version;
use serde::{Deserialize, Serialize};

use super::ArtifactSignature;
use super::manifest::Delta;
use crate::digest::Sha256;

/// How an artifact is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// The binary itself.
    #[serde(rename = "raw")]
    Raw,
    /// A gzip-compressed tar archive with the binary as one entry.
    #[serde(rename = "tar.gz")]
    TarGz,
    /// The same, xz.
    #[serde(rename = "tar.xz")]
    TarXz,
    /// The same, zstd.
    #[serde(rename = "tar.zst")]
    TarZst,
    /// A zip archive with the binary as one entry.
    #[serde(rename = "zip")]
    Zip,
    /// The binary, gzip-compressed.
    #[serde(rename = "gz")]
    Gz,
    /// The binary, xz-compressed.
    #[serde(rename = "xz")]
    Xz,
    /// The binary, zstd-compressed.
    #[serde(rename = "zst")]
    Zst,
}

impl Format {
    /// What a file's name says about how it is packed; [`Format::Raw`] if it says nothing.
    pub fn of_name(name: &str) -> Format {
        const SUFFIXES: [(&str, Format); 10] = [
            (".tar.gz", Format::TarGz),
            (".tgz", Format::TarGz),
            (".tar.xz", Format::TarXz),
            (".txz", Format::TarXz),
            (".tar.zst", Format::TarZst),
            (".tzst", Format::TarZst),
            (".zip", Format::Zip),
            (".gz", Format::Gz),
            (".xz", Format::Xz),
            (".zst", Format::Zst),
        ];
        SUFFIXES.iter().find(|(suffix, _)| name.ends_with(suffix)).map_or(Format::Raw, |&(_, format)| format)
    }

    /// Whether the binary is one entry among others.
    pub fn is_archive(self) -> bool {
        matches!(self, Format::TarGz | Format::TarXz | Format::TarZst | Format::Zip)
    }

    /// What the name of an artifact ends in: `.tar.gz`, nothing for [`Format::Raw`].
    pub fn suffix(self) -> &'static str {
        match self {
            Format::Raw => "",
            Format::TarGz => ".tar.gz",
            Format::TarXz => ".tar.xz",
            Format::TarZst => ".tar.zst",
            Format::Zip => ".zip",
            Format::Gz => ".gz",
            Format::Xz => ".xz",
            Format::Zst => ".zst",
        }
    }
}

/// An artifact that trust admitted and policy chose.
///
/// Made only by [`choose`](super::choose()): its fields are private, so that no later stage can begin
/// with an artifact nobody vouched for.
///
/// ```compile_fail,E0451
/// let forged = fetchd::trust::Chosen { max_size: u64::MAX, ..todo!() };
/// ```
#[derive(Debug, Clone)]
pub struct Chosen {
    pub(super) version: Option<Version>,
    pub(super) target: Option<String>,
    pub(super) urls: Vec<String>,
    pub(super) size: Option<u64>,
    pub(super) sha256: Option<Sha256>,
    pub(super) format: Format,
    pub(super) entry: Option<String>,
    pub(super) binary_size: Option<u64>,
    pub(super) binary_sha256: Option<Sha256>,
    pub(super) deltas: Vec<Delta>,
    pub(super) program: String,
    pub(super) max_size: u64,
    pub(super) proof: Proof,
}

impl Chosen {
    /// The signed version; `None` where only the bytes themselves can tell (owner mode, a plain
    /// signature without a label, unsigned): then the smoke run finds it. With a plain signature it
    /// is the source's claim, and the smoke run is what binds it.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// The target triple it is for; `None` where nothing says so.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Where to get it: relative asset names or absolute URLs, in order of preference. Never empty.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The exact size in bytes of the artifact, where it is signed.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The digest of the artifact as downloaded, where it is signed.
    pub fn sha256(&self) -> Option<Sha256> {
        self.sha256
    }

    /// How it is packed.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The entry of an archive that is the binary; `None` = the only regular file, or where there
    /// are several the only one called [`program`](Chosen::program).
    pub fn entry(&self) -> Option<&str> {
        self.entry.as_deref()
    }

    /// What the binary is called: the product's name.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The exact size in bytes of the binary, where it is signed.
    pub fn binary_size(&self) -> Option<u64> {
        self.binary_size
    }

    /// The digest of the bytes that will run, where it is signed.
    pub fn binary_sha256(&self) -> Option<Sha256> {
        self.binary_sha256
    }

    /// What makes the binary of an earlier one, as the manifest lists it.
    pub fn deltas(&self) -> &[Delta] {
        &self.deltas
    }

    /// Never taken at more than this many bytes, packed or unpacked (configuration).
    pub fn max_size(&self) -> u64 {
        self.max_size
    }

    /// What vouches for the artifact's bytes.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

/// What vouches for the bytes of an artifact.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A signed manifest names their digest.
    Manifest,
    /// A minisign signature over the artifact, to be checked against its BLAKE2b-512 digest.
    Artifact(ArtifactSignature),
    /// They lie on this machine, where only root or the supervisor's user can put them.
    Owner,
    /// Nothing does: `--insecure-unsigned`.
    Unsigned,
}
