//! What a publisher says there is: the signed manifest, read strictly.

mod delta;
mod wire;

use semver::Version;

use super::{ArtifactSignature, Format, Proof};
use crate::clock::Timestamp;
use crate::digest::Sha256;

pub use delta::{Delta, DeltaFormat};
pub use wire::MAX_FILE;
pub(super) use wire::parse;

/// What the publisher says there is. Made only by [`read`](super::read()): its signature held, or the
/// operator asked for none.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub(super) sha256: Sha256,
    pub(super) read_at: Timestamp,
    pub(super) position: Option<(u64, u64)>,
    pub(super) issued: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    pub(super) min_version: Option<Version>,
    pub(super) revoked: Vec<Revoked>,
    pub(super) releases: Vec<Release>,
    pub(super) proof: Vouched,
}

/// What vouches for a manifest, and so for the artifacts in it.
#[derive(Debug, Clone)]
pub(super) enum Vouched {
    /// It is signed itself.
    Signed,
    /// The one artifact in it is signed.
    Artifact(ArtifactSignature),
    /// The one artifact lies on this machine.
    Owner,
    /// Nothing.
    Nothing,
}

impl Manifest {
    /// The digest of the bytes that were signed (in artifact mode: of the authentic part of the
    /// signature file). Two manifests at one sequence number have the same or are equivocation.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The epoch, 0 where there is none.
    pub fn epoch(&self) -> u64 {
        self.position.map_or(0, |(epoch, _)| epoch)
    }

    /// The sequence number; `None` where nothing signed gives one, and so nothing stops a replay
    /// but the version.
    pub fn seq(&self) -> Option<u64> {
        self.position.map(|(_, seq)| seq)
    }

    /// When it was signed, where that is signed.
    pub fn issued(&self) -> Option<Timestamp> {
        self.issued
    }

    /// When it stops being good for new installs; `None` = never.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// The version below which nothing is ever installed.
    pub fn min_version(&self) -> Option<&Version> {
        self.min_version.as_ref()
    }

    /// What must never run.
    pub fn revoked(&self) -> &[Revoked] {
        &self.revoked
    }

    /// The releases, in the order of the manifest.
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// The `now` of the pass that read it.
    pub fn read_at(&self) -> Timestamp {
        self.read_at
    }

    /// The release with exactly this version.
    pub fn release(&self, version: &Version) -> Option<&Release> {
        self.releases.iter().find(|release| release.version.as_ref() == Some(version))
    }

    /// The reason this version or these bytes were revoked for; `None` = they were not.
    ///
    /// For every later use of old bytes as well: a rollback asks this too.
    pub fn revocation(&self, version: Option<&Version>, digests: &[Sha256]) -> Option<&str> {
        let hit = |revoked: &&Revoked| match &revoked.what {
            What::Version(bad) => version.is_some_and(|version| version.cmp_precedence(bad).is_eq()),
            What::Sha256(bad) => digests.contains(bad),
        };
        self.revoked.iter().find(hit).map(|revoked| revoked.reason.as_str())
    }

    /// What vouches for the artifacts listed here.
    pub fn proof(&self) -> Proof {
        match &self.proof {
            Vouched::Signed => Proof::Manifest,
            Vouched::Artifact(signature) => Proof::Artifact(signature.clone()),
            Vouched::Owner => Proof::Owner,
            Vouched::Nothing => Proof::Unsigned,
        }
    }
}

/// Something that must never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// What.
    pub what: What,
    /// Why, in the publisher's words.
    pub reason: String,
}

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Every build of a version.
    Version(Version),
    /// An artifact or a binary with this digest.
    Sha256(Sha256),
}

/// One release.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Its version; `None` only where nothing but the bytes can tell.
    pub version: Option<Version>,
    /// Withdrawn: nobody takes it any more, and who has it may go back.
    pub yanked: bool,
    /// The publisher thinks it urgent. A word to people; no check is skipped for it.
    pub critical: bool,
    /// The oldest version that may go to this one directly.
    pub min_from: Option<Version>,
    /// Which share of the hosts may take it; `None` = every one.
    pub rollout: Option<Rollout>,
    /// Where people read about it.
    pub notes_url: Option<String>,
    /// Its artifacts, at most one for a target.
    pub artifacts: Vec<Artifact>,
    /// How fast a fleet may be brought to it; `None` = it is not meant for one.
    pub bounds: Option<Bounds>,
}

/// The fastest schedule by which the offline key lets a release go to a fleet, and what it may go back to.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Bounds {
    /// At least so many steps.
    pub min_steps: u32,
    /// The first step has at most so many per cent of the hosts.
    pub max_first_pct: f64,
    /// From the beginning to the last host's turn at least so many seconds.
    pub min_total_s: u64,
    /// Each step but the last is watched for at least so many seconds.
    pub min_bake_s: u64,
    /// An emergency's schedule is allowed.
    #[serde(default)]
    pub emergency_ok: bool,
    /// The versions that a host with this release may be sent back to.
    #[serde(default)]
    pub rollback_to: Vec<Version>,
}

/// A share of the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// 0 to 100. At 0 nobody takes the release, whatever is asked for on the host.
    pub percent: u8,
    /// Sorts the hosts anew for each release.
    pub salt: String,
}

/// One artifact of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The target triple; `None` where nothing says so.
    pub target: Option<String>,
    /// Asset names or absolute URLs, in order of preference.
    pub urls: Vec<String>,
    /// Its size in bytes, where signed.
    pub size: Option<u64>,
    /// Its digest, where signed.
    pub sha256: Option<Sha256>,
    /// How it is packed.
    pub format: Format,
    /// The entry of an archive that is the binary.
    pub entry: Option<String>,
    /// The size of the binary in bytes, where signed.
    pub binary_size: Option<u64>,
    /// The digest of the binary, where signed.
    pub binary_sha256: Option<Sha256>,
    /// What makes the binary of an earlier one.
    pub deltas: Vec<Delta>,
}

impl Artifact {
    /// The digests known of it, packed and unpacked.
    pub fn digests(&self) -> Vec<Sha256> {
        self.sha256.into_iter().chain(self.binary_sha256).collect()
    }
}

#[cfg(test)]
mod tests;
