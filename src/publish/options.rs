//! What to publish, on which terms, and what came of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use semver::Version;
use serde_json::Value;

use super::pointer::{DEFAULT_EXPIRY, DEFAULT_KEEP};
use super::{AtLeast, DeltaMade, Memory, Place, SigningKey};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::trust::manifest::{Bounds, Revoked, Rollout};
use crate::trust::{Format, KeySet, TrustedKeys};

/// Finds the binary in an artifact that is packed, and returns its digest and its size in bytes.
/// The name is that of the entry; `None` = the only regular file.
pub type Unpack<'a> = dyn Fn(&Path, Format, Option<&str>) -> Result<(Sha256, u64), String> + 'a;

/// One artifact to publish.
#[derive(Debug, Clone)]
pub struct ArtifactFile {
    /// The target triple.
    pub target: String,
    /// The file.
    pub path: PathBuf,
    /// How it is packed; `None` = as its name says.
    pub format: Option<Format>,
    /// The entry of an archive that is the binary; `None` = the only regular file.
    pub entry: Option<String>,
}

/// A release to publish. One that is there already takes more targets and new terms, never new bytes.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// Its version.
    pub version: Version,
    /// Its artifacts, at least one.
    pub artifacts: Vec<ArtifactFile>,
    /// The publisher thinks it urgent.
    pub critical: bool,
    /// The oldest version that may go to it directly.
    pub min_from: Option<Version>,
    /// Which share of the hosts may take it; `None` = every one.
    pub rollout: Option<Rollout>,
    /// Where people read about it.
    pub notes_url: Option<String>,
    /// How fast a fleet may be brought to it; `None` = it is not meant for one.
    pub bounds: Option<Bounds>,
}

impl NewRelease {
    /// A release for everybody.
    pub fn new(version: Version, artifacts: Vec<ArtifactFile>) -> NewRelease {
        NewRelease { version, artifacts, critical: false, min_from: None, rollout: None, notes_url: None, bounds: None }
    }
}

/// What to publish, and where: to a directory, unless a [`Place`] of another kind is given.
pub struct PublishOptions<'a, P: ?Sized = Path> {
    /// The place.
    pub to: &'a P,
    /// The product.
    pub product: &'a str,
    /// The channel: its pointer is `<channel>.fetchd`.
    pub channel: &'a str,
    /// Every one of these signs. At least one.
    pub keys: &'a [SigningKey],
    /// Who may have signed what is there; `None` = any of `keys`. Needed when the keys change.
    pub trusted: Option<&'a KeySet>,
    /// The key set that hosts go by: enough of its release keys must sign, and its epoch is the manifest's.
    pub key_set: Option<&'a TrustedKeys>,
    /// What is remembered of channels; `None` = nothing.
    pub memory: Option<&'a Memory>,
    /// Take what is there as it is, whatever is remembered of it.
    pub forget: bool,
    /// The least that what is there must have come to.
    pub at_least: Option<AtLeast>,
    /// A release to add; `None` only changes or renews what is there.
    pub release: Option<NewRelease>,
    /// Versions to withdraw.
    pub yank: Vec<Version>,
    /// Versions to take back in.
    pub unyank: Vec<Version>,
    /// What must never run.
    pub revoke: Vec<Revoked>,
    /// A new lowest version; `None` = as it was.
    pub min_version: Option<Version>,
    /// How long the manifest is good for new installs; `None` = for ever.
    pub expires_in: Option<Duration>,
    /// How many releases to list, the newest ones.
    pub keep: usize,
    /// List the new release alone, and forget the others.
    pub alone: bool,
    /// A new epoch; `None` = as it was.
    pub epoch: Option<u64>,
    /// The time to sign.
    pub now: Timestamp,
    /// From how many of the releases before deltas are made; 0 = none.
    pub delta_from: usize,
    /// The releases before, where the manifest does not list them: as manifests list releases, with artifacts by the names
    /// that [`Place::fetch`] takes. Empty = those of the manifest.
    pub delta_bases: Vec<Value>,
    /// Looks into archives.
    pub unpack: &'a Unpack<'a>,
    /// Told how far an artifact has got, and the making of a delta.
    pub progress: &'a (dyn Fn(Sending<'_>) + Sync),
    /// Go through everything, and write nothing.
    pub dry_run: bool,
}

/// An artifact on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending<'a> {
    /// Its name in the channel.
    pub name: &'a str,
    /// How many bytes have been sent.
    pub bytes: u64,
    /// How many it has.
    pub total: u64,
}

impl<P: fmt::Debug + ?Sized> fmt::Debug for PublishOptions<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishOptions")
            .field("to", &self.to)
            .field("product", &self.product)
            .field("channel", &self.channel)
            .field("keys", &self.keys)
            .field("release", &self.release)
            .finish_non_exhaustive()
    }
}

impl<'a> PublishOptions<'a> {
    /// Nothing but a renewal in a directory, with the usual expiry and number of releases.
    pub fn new(dir: &'a Path, product: &'a str, channel: &'a str, keys: &'a [SigningKey]) -> PublishOptions<'a> {
        PublishOptions::at(dir, product, channel, keys)
    }
}

impl<'a, P: Place + ?Sized> PublishOptions<'a, P> {
    /// The same in any place.
    pub fn at(to: &'a P, product: &'a str, channel: &'a str, keys: &'a [SigningKey]) -> PublishOptions<'a, P> {
        PublishOptions {
            to,
            product,
            channel,
            keys,
            trusted: None,
            key_set: None,
            memory: None,
            forget: false,
            at_least: None,
            release: None,
            yank: Vec::new(),
            unyank: Vec::new(),
            revoke: Vec::new(),
            min_version: None,
            expires_in: Some(DEFAULT_EXPIRY),
            keep: DEFAULT_KEEP,
            alone: false,
            epoch: None,
            now: Timestamp::now(),
            delta_from: 0,
            delta_bases: Vec::new(),
            unpack: &|_, format, _| Err(format!("nothing here can unpack {format:?}")),
            progress: &|_| {},
            dry_run: false,
        }
    }
}

/// What was published.
#[derive(Debug, Clone)]
pub struct Published<L = PathBuf> {
    /// The channel pointer.
    pub pointer: L,
    /// The artifacts of the release.
    pub artifacts: Vec<L>,
    /// The deltas that were asked for.
    pub deltas: Vec<DeltaMade>,
    /// The manifest as it was signed.
    pub manifest: Value,
    /// Its number.
    pub seq: u64,
    /// When it expires.
    pub expires: Option<Timestamp>,
    /// Whether it was built on a pointer of which nothing was known: neither remembered nor said.
    pub unknown: bool,
}
