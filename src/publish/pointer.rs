//! The channel pointer: reading the one that is there, making the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use semver::Version;
use serde_json::{Value, json};

use super::{PublishError, Remembered, SigningKey};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::Exit;
use crate::trust::bundle::Bundle;
use crate::trust::manifest::{Bounds, Revoked, What};
use crate::trust::{KeySet, Refused, Signature, strict_json};

/// How long a manifest is good for new installs unless told otherwise: 90 days.
pub const DEFAULT_EXPIRY: Duration = Duration::from_secs(90 * 24 * 3600);

/// How many releases a manifest lists unless told otherwise.
pub const DEFAULT_KEEP: usize = 10;

/// How many releases keep their deltas.
const WITH_DELTAS: usize = 3;

/// Signs a manifest as it is, whatever it says, and returns the bundle's bytes.
pub fn sign_manifest(manifest: &Value, keys: &[SigningKey]) -> Result<Vec<u8>, PublishError> {
    let payload = manifest.to_string().into_bytes();
    let sign = |key: &SigningKey| key.sign(&mut payload.as_slice(), "fetchd manifest", "signed with fetchd");
    let signatures = keys.iter().map(sign).collect::<Result<Vec<_>, _>>()?;
    Ok(Bundle::new(payload, signatures).to_file())
}

/// Puts a manifest and signatures that were made elsewhere (`minisign -Sm manifest.json`) into one bundle.
///
/// Fails if the manifest is not strict JSON of the right type or a file is no signature. Whether the
/// signatures belong to it is for [`verify`](super::verify()) to say: the keys are not asked for here.
pub fn bundle_files(manifest: &Path, signatures: &[PathBuf]) -> Result<Vec<u8>, PublishError> {
    let payload = fs::read(manifest).map_err(PublishError::io("read", manifest))?;
    let value = strict_json(&payload, 8).map_err(PublishError::Usage)?;
    if value["type"] != "fetchd-manifest" {
        return Err(PublishError::Usage(format!("`{}` is no manifest", manifest.display())));
    }
    let mut texts = Vec::new();
    for path in signatures {
        let text = fs::read_to_string(path).map_err(PublishError::io("read", path))?;
        Signature::parse(text.as_bytes())?;
        texts.push(text);
    }
    Ok(Bundle::new(payload, texts).to_file())
}

/// The manifest in the pointer `bytes`, if `keys` signed it for this product and channel. `shown` is where it lies.
///
/// It is kept as JSON, so that what this version does not know goes into the next one unchanged.
pub(super) fn current(
    bytes: &[u8],
    shown: &str,
    keys: &KeySet,
    product: &str,
    channel: &str,
) -> Result<(Value, Remembered), PublishError> {
    let payload = Bundle::parse(bytes)?.verified(keys)?;
    let manifest = strict_json(&payload, 8)
        .map_err(|why| Refused::new("manifest.malformed", Exit::Trust, format!("not a manifest: {why}")))?;
    for (field, wanted) in [("type", "fetchd-manifest"), ("product", product), ("channel", channel)] {
        let said = manifest[field].as_str().unwrap_or_default();
        if said != wanted {
            let message = format!("the `{field}` of `{shown}` is `{said}`, not `{wanted}`");
            return Err(PublishError::Usage(message));
        }
    }
    let remembered = remembered(&manifest, &payload);
    Ok((manifest, remembered))
}

/// What is remembered of a manifest whose bytes are `payload`.
pub(super) fn remembered(manifest: &Value, payload: &[u8]) -> Remembered {
    let number = |field: &str| manifest[field].as_u64().unwrap_or(0);
    Remembered { epoch: number("epoch"), seq: number("seq"), manifest_sha256: Sha256::of(payload) }
}

/// An empty manifest, to which the first release is added.
pub(super) fn first(product: &str, channel: &str) -> Value {
    json!({
        "type": "fetchd-manifest", "spec": 1, "product": product, "channel": channel,
        "epoch": 0, "seq": 0, "min_version": null, "crit": [], "revoked": [], "releases": [],
    })
}

/// Moves `manifest` on by one and gives it its times. Fails if the epoch would go back.
pub(super) fn advance(
    manifest: &mut Value,
    epoch: Option<u64>,
    now: Timestamp,
    expires_in: Option<Duration>,
) -> Result<(), PublishError> {
    let before = manifest["epoch"].as_u64().unwrap_or(0);
    let epoch = epoch.unwrap_or(before);
    if epoch < before {
        return Err(PublishError::Usage(format!("the epoch is {before} already and never goes back")));
    }
    manifest["epoch"] = epoch.into();
    manifest["seq"] = (manifest["seq"].as_u64().unwrap_or(0) + 1).into();
    manifest["issued"] = now.to_string().into();
    manifest["expires"] = expires_in.map_or(Value::Null, |after| now.plus(after).to_string().into());
    Ok(())
}

/// The releases of a manifest, mutable.
pub(super) fn releases(manifest: &mut Value) -> Result<&mut Vec<Value>, PublishError> {
    manifest["releases"].as_array_mut().ok_or_else(|| PublishError::Usage("the manifest lists no releases".into()))
}

/// Only the newest releases keep their deltas: who takes an older one is rare, and a manifest has an end.
///
/// The releases are in order, newest first.
pub(super) fn thin(manifest: &mut Value) -> Result<(), PublishError> {
    for release in releases(manifest)?.iter_mut().skip(WITH_DELTAS) {
        for artifact in release["artifacts"].as_array_mut().into_iter().flatten() {
            if artifact["deltas"].as_array().is_some_and(|deltas| !deltas.is_empty()) {
                artifact["deltas"] = json!([]);
            }
        }
    }
    Ok(())
}

/// How bounds stand in a manifest, whose numbers have no fractions.
pub(super) fn bounds(bounds: &Bounds) -> Result<Value, PublishError> {
    let first = (1..=100_u32).find(|whole| f64::from(*whole) == bounds.max_first_pct);
    let first =
        first.ok_or_else(|| PublishError::Usage("`max_first_pct` is not a whole number from 1 to 100".into()))?;
    let back: Vec<String> = bounds.rollback_to.iter().map(ToString::to_string).collect();
    Ok(json!({
        "min_steps": bounds.min_steps, "max_first_pct": first, "min_total_s": bounds.min_total_s,
        "min_bake_s": bounds.min_bake_s, "emergency_ok": bounds.emergency_ok, "rollback_to": back,
    }))
}

/// Withdraws a release, or takes it back in. Fails if it is not listed.
pub(super) fn set_yanked(manifest: &mut Value, version: &Version, yanked: bool) -> Result<(), PublishError> {
    let name = version.to_string();
    let release = releases(manifest)?.iter_mut().find(|release| release["version"] == name.as_str());
    let release = release.ok_or_else(|| PublishError::Usage(format!("`{version}` is not published")))?;
    release["yanked"] = yanked.into();
    Ok(())
}

/// Says that something must never run, once.
pub(super) fn revoke(manifest: &mut Value, revoked: &Revoked) -> Result<(), PublishError> {
    let (key, value) = match &revoked.what {
        What::Version(version) => ("version", version.to_string()),
        What::Sha256(digest) => ("sha256", digest.to_string()),
    };
    if !manifest["revoked"].is_array() {
        manifest["revoked"] = json!([]);
    }
    if let Some(list) = manifest["revoked"].as_array_mut() {
        list.retain(|entry| entry[key] != value.as_str());
        list.push(json!({ key: value, "reason": revoked.reason }));
    }
    Ok(())
}

/// Newest first, at most `keep` of them; `new` stays whatever its place.
pub(super) fn trim(manifest: &mut Value, keep: usize, new: Option<&Version>) -> Result<(), PublishError> {
    let version = |release: &Value| release["version"].as_str().and_then(|text| Version::parse(text).ok());
    let list = releases(manifest)?;
    list.sort_by(|a, b| match (version(b), version(a)) {
        (Some(b), Some(a)) => b.cmp_precedence(&a),
        (b, a) => b.is_some().cmp(&a.is_some()),
    });
    let mut place = 0;
    list.retain(|release| {
        place += 1;
        place <= keep.max(1) || version(release).as_ref() == new
    });
    Ok(())
}
