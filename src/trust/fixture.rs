//! Keys, signatures, manifests and offers for the tests beside them.

use ed25519_dalek::{Signer as _, SigningKey};
use fetchd_fetchers::{Asset, AssetName, Release, Revision};
use serde_json::{Value, json};

use super::base64::encode;
use super::{Expect, KeySet, Manifest, Offer, PublicKey, Refused, Trust, blake2b512, bundle::Bundle, read};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::Failure as _;

pub(super) const NOW: Timestamp = Timestamp(1_795_000_000);
pub(super) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A key pair made from a number.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) secret: SigningKey,
    pub(super) keynum: [u8; 8],
}

impl Key {
    pub(super) fn new(seed: u8) -> Key {
        Key { secret: SigningKey::from_bytes(&[seed; 32]), keynum: [seed; 8] }
    }

    pub(super) fn numbered(mut self, keynum: u8) -> Key {
        self.keynum = [keynum; 8];
        self
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey::parse(&public_text(&self.keynum, self.secret.verifying_key().as_bytes())).unwrap()
    }

    pub(super) fn sign(&self, message: &[u8], comment: &str) -> String {
        let s = self.secret.sign(&blake2b512(message)).to_bytes();
        let g = self.secret.sign(&[&s[..], comment.as_bytes()].concat()).to_bytes();
        text(b"ED", &self.keynum, &s, comment, &g)
    }
}

pub(super) fn public_text(keynum: &[u8; 8], point: &[u8; 32]) -> String {
    encode(&[&b"Ed"[..], keynum, point].concat())
}

pub(super) fn text(algorithm: &[u8; 2], keynum: &[u8; 8], s: &[u8; 64], comment: &str, g: &[u8; 64]) -> String {
    let blob = encode(&[&algorithm[..], keynum, s].concat());
    format!("untrusted comment: x\n{blob}\ntrusted comment: {comment}\n{}\n", encode(g))
}

/// Replaces one line, counted from 0.
pub(super) fn with_line(text: &str, line: usize, new: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines[line] = new;
    lines.join("\n") + "\n"
}

pub(super) fn keys(keys: &[&Key], threshold: usize) -> KeySet {
    KeySet::new(keys.iter().map(|key| key.public()).collect(), threshold).unwrap()
}

pub(super) fn code<T>(outcome: Result<T, Refused>) -> (&'static str, u8) {
    outcome.err().map_or(("ok", 0), |refused| (refused.code(), refused.exit().number()))
}

pub(super) fn expect() -> Expect {
    Expect { product: "app".into(), channel: "stable".into(), target: TARGET.into(), epoch: None, max_size: 1 << 30 }
}

pub(super) fn artifact(version: &str) -> Value {
    let digest = Sha256::of(version.as_bytes());
    json!({
        "target": TARGET, "urls": [format!("app-{version}")], "size": 5, "sha256": digest, "format": "raw",
        "entry": null, "binary_size": 5, "binary_sha256": digest, "deltas": [],
    })
}

pub(super) fn release(version: &str) -> Value {
    json!({
        "version": version, "yanked": false, "critical": false, "min_from": null, "rollout": null,
        "notes_url": null, "artifacts": [artifact(version)], "bounds": null,
    })
}

/// A manifest as JSON: number 7, issued at [`NOW`].
pub(super) fn manifest(versions: &[&str]) -> Value {
    json!({
        "type": "fetchd-manifest", "spec": 1, "product": "app", "channel": "stable", "epoch": 1, "seq": 7,
        "issued": NOW.to_string(), "expires": null, "min_version": null, "crit": [], "revoked": [],
        "releases": versions.iter().map(|version| release(version)).collect::<Vec<_>>(),
    })
}

pub(super) fn bundle(payload: &[u8], signers: &[&Key]) -> Vec<u8> {
    let signatures = signers.iter().map(|key| key.sign(payload, "manifest")).collect();
    Bundle::new(payload.to_vec(), signatures).to_file()
}

pub(super) fn offered(label: Option<&str>, assets: &[&str]) -> Release {
    let asset = |name: &&str| Asset { name: AssetName::new(*name).unwrap(), size: None, digest: None, handle: None };
    Release {
        revision: Revision("r".into()),
        label: label.map(str::to_owned),
        assets: assets.iter().map(asset).collect(),
        document: None,
    }
}

pub(super) fn read_document(document: &[u8], keys: KeySet) -> Result<Manifest, Refused> {
    let release = offered(None, &["stable.fetchd"]);
    let offer = Offer { release: &release, document: Some(document), signature: None, asset: None };
    read(&offer, &Trust::Bundle { keys }, &expect(), NOW)
}

/// Signs `manifest` with a key, and reads it as somebody who trusts that key.
pub(super) fn read_value(manifest: &Value) -> Result<Manifest, Refused> {
    read_bytes(manifest.to_string().as_bytes())
}

pub(super) fn read_bytes(manifest: &[u8]) -> Result<Manifest, Refused> {
    let key = Key::new(1);
    read_document(&bundle(manifest, &[&key]), keys(&[&key], 1))
}
