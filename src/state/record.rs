//! The record: `state.json`.

use std::collections::BTreeMap;

use fetchd_fetchers::Revision;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::trust::manifest::{Delta, DeltaFormat};

/// The layout of `state.json` that this fetchd reads and writes.
pub const SCHEMA: u32 = 1;

/// Everything fetchd must not forget. Written whole, durably, by one function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The layout of this file.
    pub schema: u32,
    /// The newest key set accepted (0: none yet); the source may not show fewer.
    #[serde(default)]
    pub keys_version: u64,
    /// The floor: nothing below (epoch, seq) is accepted.
    #[serde(default)]
    pub epoch: u64,
    /// The floor's sequence number.
    #[serde(default)]
    pub seq: u64,
    /// The digest of the manifest at the floor: other bytes at the same sequence are equivocation.
    #[serde(default)]
    pub manifest_sha256: Option<Sha256>,
    /// Since when the source has shown nothing but manifests below the floor; `None` = it does not.
    #[serde(default)]
    pub stale_since: Option<Timestamp>,
    /// The latest `issued` ever accepted.
    #[serde(default)]
    pub issued_max: Option<Timestamp>,
    /// When each version was first seen here.
    #[serde(default)]
    pub first_seen: BTreeMap<String, Timestamp>,
    /// What the newest manifest says must never run, also not by going back to it.
    #[serde(default)]
    pub revoked: Vec<Revocation>,
    /// The oldest version that the newest manifest allows, also for going back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<Version>,
    /// The release that passed its watch: the known-good one.
    #[serde(default)]
    pub confirmed: Option<Confirmed>,
    /// The one confirmed before it, still on disk.
    #[serde(default)]
    pub previous: Option<Confirmed>,
    /// Digests that are never run again.
    #[serde(default)]
    pub quarantine: Vec<Quarantined>,
    /// The revision of each source (redacted URL) whose outcome is final.
    #[serde(default)]
    pub etags: BTreeMap<String, Revision>,
    /// A change of the program path that has not been settled.
    #[serde(default)]
    pub journal: Option<Journal>,
    /// An operator's hold.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// Deltas that failed here for the release that is wanted: not tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad_deltas: Vec<BadDelta>,
}

impl Default for Record {
    /// The record of a service fetchd has never seen.
    fn default() -> Record {
        Record {
            schema: SCHEMA,
            keys_version: 0,
            epoch: 0,
            seq: 0,
            manifest_sha256: None,
            stale_since: None,
            issued_max: None,
            first_seen: BTreeMap::new(),
            revoked: Vec::new(),
            min_version: None,
            confirmed: None,
            previous: None,
            quarantine: Vec::new(),
            etags: BTreeMap::new(),
            journal: None,
            hold: None,
            bad_deltas: Vec::new(),
        }
    }
}

/// Something the publisher took back for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Every build of this version,
    pub version: Option<Version>,
    /// or the binary or artifact with this digest.
    pub sha256: Option<Sha256>,
    /// Why, in the publisher's words.
    pub reason: String,
}

/// What the floor of a record rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustState {
    /// No release has been accepted since the state began: the floor is the provisioned one, or none.
    New,
    /// On what was accepted here.
    Known,
}

impl Record {
    /// Why this binary must not be gone back to, in the publisher's words.
    pub fn revocation(&self, binary: &Confirmed) -> Option<&str> {
        let hit = |revoked: &&Revocation| {
            let version = revoked.version.as_ref().zip(binary.version.as_ref());
            revoked.sha256 == Some(binary.sha256) || version.is_some_and(|(a, b)| a.cmp_precedence(b).is_eq())
        };
        self.revoked.iter().find(hit).map(|revoked| revoked.reason.as_str())
    }

    /// What its floor rests on.
    pub fn trust_state(&self) -> TrustState {
        let seen = self.manifest_sha256.is_some() || self.issued_max.is_some() || !self.first_seen.is_empty();
        if seen { TrustState::Known } else { TrustState::New }
    }

    /// The floor: (epoch, sequence number).
    pub fn floor(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }
}

/// A binary known to be good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Its version; `None` for the binary that was there before fetchd.
    pub version: Option<Version>,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// When it was confirmed.
    pub at: Timestamp,
}

/// A digest that failed after it was received and signed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The digest of the binary.
    pub sha256: Sha256,
    /// Its version, where known.
    pub version: Option<Version>,
    /// The stable code of the failure.
    pub code: String,
    /// What happened, with the end of its stderr where there is one.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// How often.
    pub count: u32,
}

/// A delta that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadDelta {
    /// The digest of the binary it is made from.
    pub from_sha256: Sha256,
    /// The digest of the binary it was to make.
    pub to_sha256: Sha256,
    /// How it is written.
    pub format: DeltaFormat,
    /// The stable code of the failure.
    pub code: String,
    /// When.
    pub at: Timestamp,
}

impl BadDelta {
    /// Whether `delta`, which makes the binary `to`, is this one.
    pub fn is(&self, delta: &Delta, to: Option<Sha256>) -> bool {
        (self.from_sha256, self.format, Some(self.to_sha256)) == (delta.from_sha256, delta.format, to)
    }
}

/// An operator said: install nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None` = until `unhold`.
    pub until: Option<Timestamp>,
}

/// A change of the program path in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// How far it came.
    pub step: JournalStep,
    /// What was at the path before; `None` if nothing was.
    pub from: Option<Confirmed>,
    /// What is to be there.
    pub to: Confirmed,
}

/// How far a change of the program path came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalStep {
    /// The rename is about to happen or has happened.
    Activating,
    /// The new binary is at the path; it has not been confirmed.
    Unconfirmed,
    /// The previous binary is about to be put back.
    RollingBack,
}
