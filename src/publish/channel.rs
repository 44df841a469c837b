//! From built binaries to a channel that hosts can follow, wherever it lies.

use std::fs::File;
use std::path::Path;

use fetchd_fetchers::{Release as Offered, Revision};
use serde_json::{Value, json};

use super::options::{ArtifactFile, NewRelease, PublishOptions, Published, Sending};
use super::place::{Artifact, Looked, Place};
use super::pointer::{self, sign_manifest};
use super::{Begun, Channel, PublishError, Remembered, delta, memory};
use crate::digest::Sha256;
use crate::failure::Exit;
use crate::trust::bundle::Bundle;
use crate::trust::{
    self, Expect, Format, KeySet, Offer, Refused, Trust, TrustedKeys, is_channel, is_product, is_target,
};

/// Puts the artifacts in their place, then the pointer to them.
///
/// An artifact is put there once and never changed: the same bytes are fine, others are
/// [`PublishError::Exists`]. The pointer is replaced at the very end, in one step, only by one that
/// [`trust::read`] accepts, and only if it is still the one that was read at the beginning; whatever fails
/// before leaves the old one, and publishing again picks up where it was.
pub fn publish<P: Place + ?Sized>(options: &PublishOptions<'_, P>) -> Result<Published<P::Location>, PublishError> {
    check_names(options)?;
    check_key_set(options)?;
    let own = KeySet::new(options.keys.iter().map(|key| key.public().clone()).collect(), 1)?;
    let name = format!("{}.fetchd", options.channel);
    let (there, tag) = if options.dry_run {
        (options.to.peek(&name)?, None)
    } else {
        let Begun { bytes, tag } = options.to.begin(&name)?;
        (bytes, Some(tag))
    };
    let trusted = options.trusted.unwrap_or(&own);
    let shown = options.to.show(&name);
    let (mut manifest, found) = match there {
        Some(bytes) => {
            let (manifest, found) = pointer::current(&bytes, &shown, trusted, options.product, options.channel)?;
            (manifest, Some(found))
        }
        None => (pointer::first(options.product, options.channel), None),
    };
    let of = Channel {
        place: options.to.identity(),
        product: options.product.to_owned(),
        channel: options.channel.to_owned(),
    };
    let known = recall(options, &of, &shown, found)?;
    let mut artifacts = Vec::new();
    if let Some(release) = &options.release {
        artifacts = add(&mut manifest, release, options, tag.as_ref())?;
    }
    let deltas = delta::add(&mut manifest, options, tag.as_ref())?;
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
    if let Some(release) = options.release.as_ref().filter(|_| options.alone) {
        let version = release.version.to_string();
        pointer::releases(&mut manifest)?.retain(|listed| listed["version"] == version.as_str());
    }
    pointer::trim(&mut manifest, options.keep, options.release.as_ref().map(|release| &release.version))?;
    pointer::thin(&mut manifest)?;
    let epoch = options.key_set.map(TrustedKeys::epoch).or(options.epoch);
    pointer::advance(&mut manifest, epoch, options.now, options.expires_in)?;
    let bundle = sign_manifest(&manifest, options.keys)?;
    check_acceptable(&bundle, &own, options)?;
    if let Some(tag) = tag {
        options.to.replace(tag, &bundle)?;
        if let Some(memory) = options.memory {
            memory.keep(&of, pointer::remembered(&manifest, Bundle::parse(&bundle)?.claimed_payload()))?;
        }
    }
    Ok(Published {
        pointer: options.to.locate(&name),
        artifacts,
        deltas,
        seq: manifest["seq"].as_u64().unwrap_or(0),
        expires: options.expires_in.map(|after| options.now.plus(after)),
        manifest,
        unknown: found.is_some() && !known,
    })
}

/// Holds what is there against what is known of it, and remembers it before anything is built on it. Says whether
/// anything was known.
fn recall<P: ?Sized>(
    options: &PublishOptions<'_, P>,
    of: &Channel,
    shown: &str,
    found: Option<Remembered>,
) -> Result<bool, PublishError> {
    let remembered = match options.memory {
        Some(memory) if !options.forget => memory.recall(of)?,
        _ => None,
    };
    memory::compare(shown, found, remembered, options.at_least)?;
    if let Some(memory) = options.memory.filter(|_| !options.dry_run) {
        if options.forget {
            memory.forget(of)?;
        }
        match found {
            Some(found) => memory.keep(of, found)?,
            None => memory.prepare()?,
        }
    }
    Ok(remembered.is_some() || options.at_least.is_some() || options.forget)
}

/// Hosts that go by a key set must accept what is about to be signed.
fn check_key_set<P: ?Sized>(options: &PublishOptions<'_, P>) -> Result<(), PublishError> {
    let Some(set) = options.key_set else { return Ok(()) };
    let document = set.document();
    if document.product != options.product {
        let message = format!("the key set is of the product `{}`, not `{}`", document.product, options.product);
        return Err(Refused::new("keys.wrong_product", Exit::Rollback, message)
            .hint("each product has key sets of its own")
            .into());
    }
    if options.epoch.is_some_and(|epoch| epoch != set.epoch()) {
        let message = format!("the key set is of epoch {}, and a manifest of another is refused", set.epoch());
        return Err(PublishError::Usage(message));
    }
    if let Some(expired) = set.expired(options.now) {
        return Err(expired.into());
    }
    let release = set.release();
    let signs = |key: &&trust::PublicKey| options.keys.iter().any(|own| own.public().bytes() == key.bytes());
    let count = release.keys().iter().filter(signs).count();
    if count < release.threshold() {
        let (needed, of) = (release.threshold(), release.keys().len());
        let message =
            format!("{needed} of the {of} release keys of key set {} must sign, and {count} would", set.version());
        return Err(Refused::new("signature.threshold", Exit::Trust, message)
            .hint("give `--secret-key` once for each; `fetchd keys show` lists them")
            .into());
    }
    Ok(())
}

fn check_names<P: ?Sized>(options: &PublishOptions<'_, P>) -> Result<(), PublishError> {
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

/// Puts the release and its artifacts into the manifest, the files into their place.
fn add<P: Place + ?Sized>(
    manifest: &mut Value,
    release: &NewRelease,
    options: &PublishOptions<'_, P>,
    tag: Option<&P::Tag>,
) -> Result<Vec<P::Location>, PublishError> {
    let version = release.version.to_string();
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
    if let Some(bounds) = &release.bounds {
        listed["bounds"] = pointer::bounds(bounds)?;
    }
    let there = listed["artifacts"].as_array_mut();
    let there = there.ok_or_else(|| PublishError::Usage(format!("`{version}` is listed without artifacts")))?;
    let mut locations = Vec::new();
    for artifact in &release.artifacts {
        let old = there.iter().find(|old| old["target"] == artifact.target.as_str());
        let (location, entry) = place(artifact, &version, old, options, tag)?;
        locations.push(location);
        if old.is_none() {
            there.push(entry);
        }
    }
    Ok(locations)
}

/// Puts one artifact in its place and returns what the manifest says of it. `old` is what it says already.
fn place<P: Place + ?Sized>(
    file: &ArtifactFile,
    version: &str,
    old: Option<&Value>,
    options: &PublishOptions<'_, P>,
    tag: Option<&P::Tag>,
) -> Result<(P::Location, Value), PublishError> {
    let ArtifactFile { target, path, entry, .. } = file;
    let format = file.format.unwrap_or_else(|| Format::of_name(&path.to_string_lossy()));
    if entry.is_some() && !format.is_archive() {
        return Err(PublishError::Usage(format!("`{}` is no archive and has no entry", path.display())));
    }
    let name = format!("{}-{version}-{target}{}", options.product, format.suffix());
    let (sha256, size) = measure(path)?;
    let sent = |bytes| (options.progress)(Sending { name: &name, bytes, total: size });
    let artifact = Artifact { name: &name, path, size, sha256, format: Some(format), sent: &sent };
    let looked = options.to.look(&artifact)?;
    // Before anything is written: the place may have lost what the manifest remembers.
    let republished =
        |old: &Value, entry: &Value, field: &str| (old[field] != entry[field]).then(|| republished(version, target));
    let mut listed = json!({
        "target": target, "urls": [&name], "size": size, "sha256": sha256, "format": format,
        "entry": entry, "deltas": [],
    });
    if let Some(error) = old.and_then(|old| republished(old, &listed, "sha256")) {
        return Err(error);
    }
    let (binary_sha256, binary_size) = match format {
        Format::Raw => (sha256, size),
        _ => (options.unpack)(path, format, entry.as_deref())
            .map_err(|why| PublishError::Unpack { path: path.clone(), why })?,
    };
    listed["binary_sha256"] = json!(binary_sha256);
    listed["binary_size"] = binary_size.into();
    if let Some(error) = old.and_then(|old| republished(old, &listed, "binary_sha256")) {
        return Err(error);
    }
    match (looked, tag) {
        (Looked::Nothing, Some(tag)) => options.to.put(tag, &artifact)?,
        // What was unpacked must have been what was measured; putting it there would have noticed.
        _ if format != Format::Raw && measure(path)? != (sha256, size) => {
            return Err(PublishError::Changed(path.clone()));
        }
        _ => {}
    }
    Ok((options.to.locate(&name), listed))
}

pub(super) fn measure(path: &Path) -> Result<(Sha256, u64), PublishError> {
    let mut file = File::open(path).map_err(PublishError::io("open", path))?;
    Sha256::of_reader(&mut file).map_err(PublishError::io("read", path))
}

fn republished(version: &str, target: &str) -> PublishError {
    PublishError::Republished { version: version.to_owned(), target: target.to_owned() }
}

/// Reads the new bundle as a host would: what they would refuse is not published.
fn check_acceptable<P: ?Sized>(
    bundle: &[u8],
    keys: &KeySet,
    options: &PublishOptions<'_, P>,
) -> Result<(), PublishError> {
    let keys = KeySet::new(keys.keys().to_vec(), keys.keys().len())?;
    let expect = Expect {
        product: options.product.to_owned(),
        channel: options.channel.to_owned(),
        target: String::new(),
        epoch: None,
        max_size: u64::MAX,
    };
    let release = Offered { revision: Revision(String::new()), label: None, assets: Vec::new(), document: None };
    let offer = Offer { release: &release, document: Some(bundle), signature: None, asset: None };
    trust::read(&offer, &Trust::Bundle { keys }, &expect, options.now)?;
    Ok(())
}
