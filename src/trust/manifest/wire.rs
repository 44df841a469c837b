//! The manifest as it is written, and how it becomes a [`Manifest`].

use fetchd_fetchers::AssetName;
use semver::Version;
use serde::Deserialize;
use serde_json::Value;

use super::delta::deltas;
use super::{Artifact, Bounds, Manifest, Release, Revoked, Rollout, Vouched, What};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::Exit;
use crate::trust::json::{MAX_INTEGER, strict};
use crate::trust::{Format, Refused, is_target};

/// The longest manifest that is looked at, in bytes.
pub const MAX_FILE: usize = 256 * 1024;
const MAX_DEPTH: usize = 8;
const MAX_RELEASES: usize = 512;
pub(super) const MAX_URLS: usize = 16;
const MAX_TEXT: usize = 2048;

#[derive(Deserialize)]
struct WireManifest {
    product: String,
    channel: String,
    epoch: u64,
    seq: u64,
    issued: Timestamp,
    expires: Option<Timestamp>,
    min_version: Option<Version>,
    #[serde(default)]
    crit: Vec<String>,
    #[serde(default)]
    revoked: Vec<WireRevoked>,
    releases: Vec<WireRelease>,
}

#[derive(Deserialize)]
struct WireRevoked {
    version: Option<Version>,
    sha256: Option<Sha256>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct WireRelease {
    version: Version,
    #[serde(default)]
    yanked: bool,
    #[serde(default)]
    critical: bool,
    min_from: Option<Version>,
    rollout: Option<WireRollout>,
    notes_url: Option<String>,
    artifacts: Vec<WireArtifact>,
    bounds: Option<Bounds>,
}

#[derive(Deserialize)]
struct WireRollout {
    percent: u8,
    salt: String,
}

#[derive(Deserialize)]
struct WireArtifact {
    target: String,
    urls: Vec<String>,
    size: u64,
    sha256: Sha256,
    format: Format,
    entry: Option<String>,
    binary_size: u64,
    binary_sha256: Sha256,
    #[serde(default)]
    deltas: Vec<Value>,
}

/// Reads the bytes of a manifest whose signature held.
///
/// Fails with `manifest.too_large`, `manifest.malformed`, `manifest.wrong_type` (something else that
/// the same key signed), `manifest.unsupported`, `manifest.wrong_product`, `manifest.wrong_channel`.
pub(in crate::trust) fn parse(
    bytes: &[u8],
    product: &str,
    channel: &str,
    read_at: Timestamp,
) -> Result<Manifest, Refused> {
    if bytes.len() > MAX_FILE {
        let message = format!("the manifest is {} bytes long, the limit is {MAX_FILE}", bytes.len());
        return Err(Refused::new("manifest.too_large", Exit::Trust, message));
    }
    let value = strict(bytes, MAX_DEPTH).map_err(malformed)?;
    check_type(&value)?;
    let wire = WireManifest::deserialize(value).map_err(|e| malformed(e.to_string()))?;
    if let Some(unknown) = wire.crit.first() {
        let message = format!("the manifest needs `{unknown}`, which this version of fetchd does not know");
        return Err(Refused::new("manifest.unsupported", Exit::Trust, message).hint("update fetchd itself first"));
    }
    if wire.product != product {
        let message = format!("the manifest is of the product `{}`, not `{product}`", wire.product);
        return Err(Refused::new("manifest.wrong_product", Exit::Rollback, message));
    }
    if wire.channel != channel {
        let message = format!("the manifest is of the channel `{}`, not `{channel}`", wire.channel);
        return Err(Refused::new("manifest.wrong_channel", Exit::Rollback, message));
    }
    Ok(Manifest {
        sha256: Sha256::of(bytes),
        read_at,
        position: Some((wire.epoch, wire.seq)),
        issued: Some(wire.issued),
        expires: wire.expires,
        min_version: wire.min_version,
        revoked: wire.revoked.into_iter().map(revoked).collect::<Result<_, _>>()?,
        releases: releases(wire.releases)?,
        proof: Vouched::Signed,
    })
}

/// The type comes first: it keeps apart the documents that one key may sign.
fn check_type(value: &Value) -> Result<(), Refused> {
    if !value.is_object() {
        return Err(malformed("it is not a JSON object"));
    }
    match value.get("type").and_then(Value::as_str) {
        Some("fetchd-manifest") => {}
        other => {
            let message = format!("the signed document is a `{}`, not a `fetchd-manifest`", other.unwrap_or("?"));
            return Err(Refused::new("manifest.wrong_type", Exit::Trust, message));
        }
    }
    match value.get("spec").and_then(Value::as_u64) {
        Some(1) => Ok(()),
        Some(spec) => {
            let message = format!("the manifest is of layout {spec}, and only layout 1 is known");
            Err(Refused::new("manifest.unsupported", Exit::Trust, message).hint("update fetchd itself first"))
        }
        None => Err(malformed("`spec` is no number")),
    }
}

fn revoked(wire: WireRevoked) -> Result<Revoked, Refused> {
    let what = match (wire.version, wire.sha256) {
        (Some(version), None) => What::Version(version),
        (None, Some(sha256)) => What::Sha256(sha256),
        _ => return Err(malformed("an entry of `revoked` needs one of `version` and `sha256`")),
    };
    Ok(Revoked { what, reason: wire.reason })
}

fn releases(wire: Vec<WireRelease>) -> Result<Vec<Release>, Refused> {
    if wire.len() > MAX_RELEASES {
        return Err(malformed(format!("it lists {} releases, the limit is {MAX_RELEASES}", wire.len())));
    }
    let releases = wire.into_iter().map(release).collect::<Result<Vec<_>, _>>()?;
    let mut versions: Vec<&Version> = releases.iter().filter_map(|release| release.version.as_ref()).collect();
    versions.sort_by(|a, b| a.cmp_precedence(b));
    // Two that differ in build metadata alone have no order, so "the newest" would mean nothing.
    if let Some(pair) = versions.windows(2).find(|pair| pair[0].cmp_precedence(pair[1]).is_eq()) {
        return Err(malformed(format!("`{}` and `{}` are the same version", pair[0], pair[1])));
    }
    Ok(releases)
}

fn release(wire: WireRelease) -> Result<Release, Refused> {
    if let Some(rollout) = &wire.rollout
        && rollout.percent > 100
    {
        return Err(malformed(format!("`percent` of `{}` is beyond 100", wire.version)));
    }
    let mut targets: Vec<&str> = wire.artifacts.iter().map(|artifact| artifact.target.as_str()).collect();
    targets.sort_unstable();
    if let Some(pair) = targets.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(malformed(format!("`{}` has two artifacts for `{}`", wire.version, pair[0])));
    }
    if wire.bounds.as_ref().is_some_and(|bounds| !(0.0..=100.0).contains(&bounds.max_first_pct)) {
        return Err(malformed(format!("`max_first_pct` of `{}` is not from 0 to 100", wire.version)));
    }
    Ok(Release {
        artifacts: wire.artifacts.into_iter().map(artifact).collect::<Result<_, _>>()?,
        version: Some(wire.version),
        yanked: wire.yanked,
        critical: wire.critical,
        min_from: wire.min_from,
        rollout: wire.rollout.map(|rollout| Rollout { percent: rollout.percent, salt: rollout.salt }),
        notes_url: wire.notes_url,
        bounds: wire.bounds,
    })
}

fn artifact(wire: WireArtifact) -> Result<Artifact, Refused> {
    if !is_target(&wire.target) {
        return Err(malformed("a target is not a triple"));
    }
    if wire.urls.is_empty() || wire.urls.len() > MAX_URLS || !wire.urls.iter().all(|url| is_location(url)) {
        let message = format!("`urls` of `{}` needs 1 to {MAX_URLS} asset names or absolute URLs", wire.target);
        return Err(malformed(message));
    }
    if wire.size == 0 || wire.binary_size == 0 || wire.size > MAX_INTEGER || wire.binary_size > MAX_INTEGER {
        return Err(malformed(format!("a size of `{}` is not from 1 to 2^53 - 1", wire.target)));
    }
    if wire.format == Format::Raw && (wire.size, wire.sha256) != (wire.binary_size, wire.binary_sha256) {
        return Err(malformed(format!("the artifact for `{}` is its binary, yet their digests differ", wire.target)));
    }
    if let Some(entry) = &wire.entry
        && (entry.is_empty() || entry.len() > MAX_TEXT || entry.contains('\0') || !wire.format.is_archive())
    {
        return Err(malformed(format!("the `entry` of `{}` names no entry of an archive", wire.target)));
    }
    let deltas = deltas(wire.deltas).map_err(|why| malformed(format!("the artifact for `{}` {why}", wire.target)))?;
    Ok(Artifact {
        target: Some(wire.target),
        urls: wire.urls,
        size: Some(wire.size),
        sha256: Some(wire.sha256),
        format: wire.format,
        entry: wire.entry,
        binary_size: Some(wire.binary_size),
        binary_sha256: Some(wire.binary_sha256),
        deltas,
    })
}

/// A relative name stays where the source points; an absolute URL says where it goes.
pub(super) fn is_location(text: &str) -> bool {
    text.len() <= MAX_TEXT
        && if text.contains("://") { url::Url::parse(text).is_ok() } else { AssetName::new(text).is_ok() }
}

fn malformed(why: impl Into<String>) -> Refused {
    Refused::new("manifest.malformed", Exit::Trust, format!("not a manifest: {}", why.into()))
}
