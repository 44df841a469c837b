//! From built binaries to a directory that any file or web server can show.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fetchd_fetchers::{Release as Offered, Revision};
use semver::Version;
use serde_json::{Value, json};

use super::files::{Lock, create_once, replace, would_create};
use super::pointer::{self, DEFAULT_EXPIRY, DEFAULT_KEEP, sign_manifest};
use super::{PublishError, SigningKey};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::trust::manifest::{Revoked, Rollout};
use crate::trust::{self, Expect, Format, KeySet, Offer, Trust, is_channel, is_product, is_target};

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
}

impl NewRelease {
    /// A release for everybody.
    pub fn new(version: Version, artifacts: Vec<ArtifactFile>) -> NewRelease {
        NewRelease { version, artifacts, critical: false, min_from: None, rollout: None, notes_url: None }
    }
}

/// What to publish, and where.
pub struct PublishOptions<'a> {
    /// The directory.
    pub dir: &'a Path,
    /// The product.
    pub product: &'a str,
    /// The channel: its pointer is `<channel>.fetchd`.
    pub channel: &'a str,
    /// Every one of these signs. At least one.
    pub keys: &'a [SigningKey],
    /// Who may have signed what is there; `None` = any of `keys`. Needed when the keys change.
    pub trusted: Option<&'a KeySet>,
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
    /// A new epoch; `None` = as it was.
    pub epoch: Option<u64>,
    /// The time to sign.
    pub now: Timestamp,
    /// Looks into archives.
    pub unpack: &'a Unpack<'a>,
    /// Go through everything, and write nothing.
    pub dry_run: bool,
}

impl std::fmt::Debug for PublishOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublishOptions")
            .field("dir", &self.dir)
            .field("product", &self.product)
            .field("channel", &self.channel)
            .field("keys", &self.keys)
            .field("release", &self.release)
            .finish_non_exhaustive()
    }
}

impl<'a> PublishOptions<'a> {
    /// Nothing but a renewal, with the usual expiry and number of releases.
    pub fn new(dir: &'a Path, product: &'a str, channel: &'a str, keys: &'a [SigningKey]) -> PublishOptions<'a> {
        PublishOptions {
            dir,
            product,
            channel,
            keys,
            trusted: None,
            release: None,
            yank: Vec::new(),
            unyank: Vec::new(),
            revoke: Vec::new(),
            min_version: None,
            expires_in: Some(DEFAULT_EXPIRY),
            keep: DEFAULT_KEEP,
            epoch: None,
            now: Timestamp::now(),
            unpack: &|_, format, _| Err(format!("nothing here can unpack {format:?}")),
            dry_run: false,
        }
    }
}

/// What was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// The channel pointer.
    pub pointer: PathBuf,
    /// The artifacts of the release.
    pub artifacts: Vec<PathBuf>,
    /// The manifest as it was signed.
    pub manifest: Value,
    /// Its number.
    pub seq: u64,
    /// When it expires.
    pub expires: Option<Timestamp>,
}

/// Writes the artifacts, then the pointer to them.
///
/// An artifact is written once and never changed: the same bytes are fine, others are
/// [`PublishError::Exists`]. The pointer is replaced at the very end, atomically and durably, and only
/// by one that [`trust::read`] accepts; whatever fails before leaves the old one, and publishing again
/// picks up where it was. Proved by `an_interrupted_publish_leaves_the_channel_and_can_be_repeated`.
pub fn publish_to_dir(options: &PublishOptions<'_>) -> Result<Published, PublishError> {
    check_names(options)?;
    let _lock = if options.dry_run { None } else { Some(Lock::take(options.dir)?) };
    let own = KeySet::new(options.keys.iter().map(|key| key.public().clone()).collect(), 1)?;
    let path = options.dir.join(format!("{}.fetchd", options.channel));
    let trusted = options.trusted.unwrap_or(&own);
    let mut manifest = pointer::current(&path, trusted, options.product, options.channel)?
        .unwrap_or_else(|| pointer::first(options.product, options.channel));
    let mut artifacts = Vec::new();
    if let Some(release) = &options.release {
        artifacts = add(&mut manifest, release, options)?;
    }
    for version in &options.yank {
        pointer::set_yanked(&mut manifest, version, true)?;
    }
    for version in &options.unyank {
        pointer::set_yanked(&mut manifest, version, false)?;
    }
    for revoked in &options.revoke {
        pointer::revoke(&mut manifest, revoked)?;
    }
    if let Some(least) = &options.min_version {
        manifest["min_version"] = least.to_string().into();
    }
    pointer::trim(&mut manifest, options.keep, options.release.as_ref().map(|release| &release.version))?;
    pointer::advance(&mut manifest, options.epoch, options.now, options.expires_in)?;
    let bundle = sign_manifest(&manifest, options.keys)?;
    check_acceptable(&bundle, own, options)?;
    if !options.dry_run {
        replace(&path, 0o644, &bundle)?;
    }
    Ok(Published {
        pointer: path,
        artifacts,
        seq: manifest["seq"].as_u64().unwrap_or(0),
        expires: options.expires_in.map(|after| options.now.plus(after)),
        manifest,
    })
}

fn check_names(options: &PublishOptions<'_>) -> Result<(), PublishError> {
    let usage = |what: &str, value: &str| Err(PublishError::Usage(format!("`{value}` cannot be a {what}")));
    if !is_product(options.product) {
        return usage("product", options.product);
    }
    if !is_channel(options.channel) {
        return usage("channel", options.channel);
    }
    let Some(release) = &options.release else { return Ok(()) };
    if release.artifacts.is_empty() {
        return Err(PublishError::Usage(format!("`{}` has no artifact", release.version)));
    }
    match release.artifacts.iter().find(|artifact| !is_target(&artifact.target)) {
        Some(artifact) => usage("target", &artifact.target),
        None => Ok(()),
    }
}

/// Puts the release and its artifacts into the manifest, the files into the directory.
fn add(manifest: &mut Value, release: &NewRelease, options: &PublishOptions<'_>) -> Result<Vec<PathBuf>, PublishError> {
    let version = release.version.to_string();
    let mut paths = Vec::new();
    let mut entries = Vec::new();
    for artifact in &release.artifacts {
        let (path, entry) = place(artifact, &version, options)?;
        paths.push(path);
        entries.push(entry);
    }
    let list = pointer::releases(manifest)?;
    let at = match list.iter().position(|listed| listed["version"] == version.as_str()) {
        Some(at) => at,
        None => {
            list.push(json!({ "version": version, "yanked": false, "artifacts": [] }));
            list.len() - 1
        }
    };
    let listed = &mut list[at];
    listed["critical"] = release.critical.into();
    listed["min_from"] = release.min_from.as_ref().map_or(Value::Null, |version| version.to_string().into());
    listed["rollout"] = release
        .rollout
        .as_ref()
        .map_or(Value::Null, |rollout| json!({ "percent": rollout.percent, "salt": rollout.salt }));
    listed["notes_url"] = release.notes_url.clone().map_or(Value::Null, Value::from);
    let there = listed["artifacts"].as_array_mut();
    let there = there.ok_or_else(|| PublishError::Usage(format!("`{version}` is listed without artifacts")))?;
    for entry in entries {
        match there.iter().find(|old| old["target"] == entry["target"]) {
            Some(old) if old["sha256"] == entry["sha256"] && old["binary_sha256"] == entry["binary_sha256"] => {}
            Some(old) => {
                let target = old["target"].as_str().unwrap_or_default().to_owned();
                return Err(PublishError::Republished { version, target });
            }
            None => there.push(entry),
        }
    }
    Ok(paths)
}

fn place(
    artifact: &ArtifactFile,
    version: &str,
    options: &PublishOptions<'_>,
) -> Result<(PathBuf, Value), PublishError> {
    let format = artifact.format.unwrap_or_else(|| Format::of_name(&artifact.path.to_string_lossy()));
    if artifact.entry.is_some() && !format.is_archive() {
        return Err(PublishError::Usage(format!("`{}` is no archive and has no entry", artifact.path.display())));
    }
    let name = format!("{}-{version}-{}{}", options.product, artifact.target, format.suffix());
    let path = options.dir.join(&name);
    let mut from = File::open(&artifact.path).map_err(PublishError::io("open", &artifact.path))?;
    let mode = if format == Format::Raw { 0o755 } else { 0o644 };
    let (sha256, size) =
        if options.dry_run { would_create(&path, &mut from)? } else { create_once(&path, mode, &mut from)? };
    // The published copy, which nobody changes any more.
    let packed = if options.dry_run { &artifact.path } else { &path };
    let (binary_sha256, binary_size) = match format {
        Format::Raw => (sha256, size),
        _ => (options.unpack)(packed, format, artifact.entry.as_deref())
            .map_err(|why| PublishError::Unpack { path: artifact.path.clone(), why })?,
    };
    let entry = json!({
        "target": artifact.target, "urls": [name], "size": size, "sha256": sha256, "format": format,
        "entry": artifact.entry, "binary_size": binary_size, "binary_sha256": binary_sha256, "deltas": [],
    });
    Ok((path, entry))
}

/// Reads the new bundle as a host would: what they would refuse is not published.
fn check_acceptable(bundle: &[u8], keys: KeySet, options: &PublishOptions<'_>) -> Result<(), PublishError> {
    let keys = KeySet::new(keys.keys().to_vec(), keys.keys().len())?;
    let expect = Expect {
        product: options.product.to_owned(),
        channel: options.channel.to_owned(),
        target: String::new(),
        max_size: u64::MAX,
    };
    let release = Offered { revision: Revision(String::new()), label: None, assets: Vec::new(), document: None };
    let offer = Offer { release: &release, document: Some(bundle), signature: None, asset: None };
    trust::read(&offer, &Trust::Bundle { keys }, &expect, options.now)?;
    Ok(())
}
