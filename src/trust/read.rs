//! From what a source offered to a manifest that may be believed, or not.

use std::cmp::Ordering;
use std::time::Duration;

use fetchd_fetchers::{AssetName, Release as Offered};
use semver::Version;

use super::bundle::{Bundle, verify_detached};
use super::manifest::{self, Artifact, Manifest, Release, Vouched};
use super::{ArtifactSignature, Bound, Format, KeySet, Refused};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::Exit;

/// What the operator trusts, and how releases are signed.
#[derive(Debug, Clone)]
pub enum Trust {
    /// A signed manifest (`<channel>.fetchd`).
    Bundle {
        /// Who signs it.
        keys: KeySet,
    },
    /// A signature beside each artifact, whose comment binds product, version and target.
    Bound {
        /// Who signs them.
        keys: KeySet,
    },
    /// Any minisign signature beside the artifact. The version is the source's claim until the
    /// smoke run; nothing stops a replay but the version.
    Plain {
        /// Who signs them.
        keys: KeySet,
    },
    /// The bytes lie on this machine, where only root or the supervisor's user can put them. The
    /// caller has checked that.
    Owner,
    /// Nothing is checked: `--insecure-unsigned`.
    Unsigned,
}

/// What this machine wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// The product.
    pub product: String,
    /// The channel.
    pub channel: String,
    /// The target triple of this machine.
    pub target: String,
    /// The epoch that the key set is of: manifests of another one are refused. `None` = there is no key
    /// set, and a release key may begin a new epoch.
    pub epoch: Option<u64>,
    /// The most bytes an artifact or a binary may have.
    pub max_size: u64,
}

/// What the worker brought back from a source. All of it is a claim.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// What the poll showed.
    pub release: &'a Offered,
    /// The bundle, or the manifest if `signature` is a file of its own.
    pub document: Option<&'a [u8]>,
    /// `<asset>.minisig`; with a manifest, only if it is published as two files.
    pub signature: Option<&'a [u8]>,
    /// The asset for this machine; `None` = the only one there is.
    pub asset: Option<&'a AssetName>,
}

/// How far the publisher's clock may be ahead of ours.
pub const CLOCK_SKEW: Duration = Duration::from_secs(24 * 3600);

/// Checks signatures, then reads what they cover, then whether it is meant for us: nothing is read
/// before it is known to be signed. Proved by `a_manifest_is_not_parsed_before_its_signature_holds`.
///
/// `now` is what the machine's clock says, fixed once for a pass. Fails with the codes `signature.*`,
/// `bundle.*`, `manifest.*`, `comment.*` and `asset.*`; `manifest.clock` (22) if it was issued more
/// than a day from now, `manifest.epoch` and `manifest.rollback` (21) if it is of another epoch than the
/// key set.
pub fn read(offer: &Offer<'_>, trust: &Trust, expect: &Expect, now: Timestamp) -> Result<Manifest, Refused> {
    let manifest = match trust {
        Trust::Bundle { keys } => read_bundle(offer, keys, expect, now)?,
        Trust::Bound { keys } => read_bound(offer, keys, expect, now)?,
        Trust::Plain { keys } => read_plain(offer, keys, expect, now)?,
        Trust::Owner => {
            let artifact = Artifact { format: Format::Raw, ..bare(asset(offer)?) };
            single(artifact, None, Vouched::Owner, Sha256::of(&[]), now)
        }
        Trust::Unsigned => single(bare(asset(offer)?), None, Vouched::Nothing, Sha256::of(&[]), now),
    };
    match manifest.issued {
        Some(issued) if issued > now.plus(CLOCK_SKEW) => {
            let message = format!("it was issued at `{issued}`, more than a day after this machine's `{now}`");
            Err(Refused::new("manifest.clock", Exit::Stale, message).hint("set this machine's clock"))
        }
        _ => Ok(manifest),
    }
}

fn read_bundle(offer: &Offer<'_>, keys: &KeySet, expect: &Expect, now: Timestamp) -> Result<Manifest, Refused> {
    let document = offer.document.ok_or_else(|| {
        Refused::new("bundle.missing", Exit::Trust, "the source shows no bundle")
            .hint("point the source at `<channel>.fetchd`, or set how single artifacts are signed")
    })?;
    let payload;
    let bytes = match offer.signature {
        Some(signature) => {
            verify_detached(document, signature, keys)?;
            document
        }
        None => {
            payload = Bundle::parse(document)?.verified(keys)?;
            payload.as_slice()
        }
    };
    let manifest = manifest::parse(bytes, &expect.product, &expect.channel, now)?;
    of_epoch(&manifest, expect)?;
    Ok(manifest)
}

/// Where there is a key set, its epoch is the one that counts: a release key alone begins none.
fn of_epoch(manifest: &Manifest, expect: &Expect) -> Result<(), Refused> {
    let (Some(expected), Some((epoch, _))) = (expect.epoch, manifest.position) else { return Ok(()) };
    let message = format!("the manifest is of epoch {epoch}, and the key set is of epoch {expected}");
    match epoch.cmp(&expected) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(Refused::new("manifest.rollback", Exit::Rollback, message)
            .hint("the publisher has to sign again in the new epoch (`fetchd publish --epoch`)")),
        Ordering::Greater => Err(Refused::new("manifest.epoch", Exit::Rollback, message)
            .hint("only the root keys begin an epoch; if the publisher did not, their release key is in other hands")),
    }
}

fn read_bound(offer: &Offer<'_>, keys: &KeySet, expect: &Expect, now: Timestamp) -> Result<Manifest, Refused> {
    let asset = asset(offer)?;
    let signature = ArtifactSignature::read(signature(offer, asset)?, keys)?;
    let bound = Bound::parse(signature.comment())?;
    let base = asset.as_str().rsplit('/').next().unwrap_or_default();
    if bound.file != asset.as_str() && bound.file != base {
        let message = format!("the signature of `{asset}` is of the file `{}`", bound.file);
        return Err(Refused::new("comment.wrong_file", Exit::Trust, message));
    }
    if bound.product != expect.product {
        let message = format!("`{asset}` is of the product `{}`, not `{}`", bound.product, expect.product);
        return Err(Refused::new("comment.wrong_product", Exit::Rollback, message));
    }
    if bound.channel != expect.channel {
        let message = format!("`{asset}` is of the channel `{}`, not `{}`", bound.channel, expect.channel);
        return Err(Refused::new("comment.wrong_channel", Exit::Rollback, message));
    }
    if bound.target != expect.target {
        let message = format!("`{asset}` is for `{}`, and this machine is `{}`", bound.target, expect.target);
        return Err(Refused::new("comment.wrong_target", Exit::Content, message));
    }
    // A label that names another version is a source that pairs a new name with old bytes.
    if let Some(label) = offer.release.label.as_deref().and_then(|label| version_of_label(label, &expect.product))
        && label != bound.version
    {
        let message = format!("the source calls it `{label}`, and what is signed is `{}`", bound.version);
        return Err(Refused::new("comment.wrong_version", Exit::Trust, message));
    }
    let format = Format::of_name(asset.as_str());
    let raw = format == Format::Raw;
    if bound.entry.is_some() && !format.is_archive() {
        let message = format!("the signature names an entry of `{asset}`, which is no archive");
        return Err(Refused::new("comment.malformed", Exit::Trust, message));
    }
    let artifact = Artifact {
        target: Some(bound.target),
        size: Some(bound.size),
        sha256: bound.binsha256.filter(|_| raw),
        format,
        entry: bound.entry,
        binary_size: Some(bound.size).filter(|_| raw),
        binary_sha256: bound.binsha256,
        deltas: Vec::new(),
        ..bare(asset)
    };
    let sha256 = Sha256::of(&signature.signed_comment());
    let mut manifest = single(artifact, Some(bound.version), Vouched::Artifact(signature), sha256, now);
    manifest.position = bound.seq.map(|seq| (expect.epoch.unwrap_or(0), seq));
    manifest.issued = bound.issued;
    manifest.expires = bound.expires;
    Ok(manifest)
}

fn read_plain(offer: &Offer<'_>, keys: &KeySet, expect: &Expect, now: Timestamp) -> Result<Manifest, Refused> {
    let asset = asset(offer)?;
    let signature = ArtifactSignature::read(signature(offer, asset)?, keys)?;
    let version = offer.release.label.as_deref().and_then(|label| version_of_label(label, &expect.product));
    let sha256 = Sha256::of(&signature.signed_comment());
    Ok(single(bare(asset), version, Vouched::Artifact(signature), sha256, now))
}

fn asset<'a>(offer: &Offer<'a>) -> Result<&'a AssetName, Refused> {
    match (offer.asset, offer.release.assets.as_slice()) {
        (Some(asset), _) => Ok(asset),
        (None, [only]) => Ok(&only.name),
        (None, assets) => {
            let message = format!("the source shows {} assets, and none is known to be for this machine", assets.len());
            Err(Refused::new("asset.unknown", Exit::Content, message).hint("name the asset with a pattern"))
        }
    }
}

fn signature<'a>(offer: &Offer<'a>, asset: &AssetName) -> Result<&'a [u8], Refused> {
    offer.signature.ok_or_else(|| {
        Refused::new("signature.missing", Exit::Trust, format!("`{asset}` has no signature"))
            .hint(format!("publish `{asset}.minisig` beside it"))
    })
}

fn bare(asset: &AssetName) -> Artifact {
    Artifact {
        target: None,
        urls: vec![asset.to_string()],
        size: None,
        sha256: None,
        format: Format::of_name(asset.as_str()),
        entry: None,
        binary_size: None,
        binary_sha256: None,
        deltas: Vec::new(),
    }
}

fn single(artifact: Artifact, version: Option<Version>, proof: Vouched, sha256: Sha256, now: Timestamp) -> Manifest {
    Manifest {
        sha256,
        read_at: now,
        position: None,
        issued: None,
        expires: None,
        min_version: None,
        revoked: Vec::new(),
        releases: vec![Release {
            version,
            yanked: false,
            critical: false,
            min_from: None,
            rollout: None,
            notes_url: None,
            bounds: None,
            artifacts: vec![artifact],
        }],
        proof,
    }
}

/// The version in a label: `1.2.3`, `v1.2.3`, `app-1.2.3`, `app-v1.2.3`. `None` if there is none.
pub fn version_of_label(label: &str, product: &str) -> Option<Version> {
    let rest = label.strip_prefix(product).and_then(|rest| rest.strip_prefix(['-', '/'])).unwrap_or(label);
    Version::parse(rest.strip_prefix('v').unwrap_or(rest)).ok()
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
