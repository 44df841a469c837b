//! A choice nobody made, for the tests of the stages that come after it.

use semver::Version;

use super::bundle::Bundle;
use super::fixture::{Key, keys};
use super::{ArtifactSignature, Chosen, Format, KeyDocument, Proof, TrustedKeys};
use crate::digest::Sha256;

/// What a test wants of a [`Chosen`]; the rest is absent.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) version: Option<Version>,
    pub(crate) target: Option<String>,
    pub(crate) size: Option<u64>,
    pub(crate) sha256: Option<Sha256>,
    pub(crate) format: Format,
    pub(crate) entry: Option<String>,
    pub(crate) binary_size: Option<u64>,
    pub(crate) binary_sha256: Option<Sha256>,
    pub(crate) max_size: u64,
    pub(crate) proof: Proof,
}

impl Sample {
    /// A raw artifact with exactly these bytes, as a signed manifest names it.
    pub(crate) fn raw(bytes: &[u8], version: &str) -> Sample {
        let (size, sha256) = (Some(bytes.len() as u64), Some(Sha256::of(bytes)));
        Sample {
            version: version.parse().ok(),
            target: None,
            size,
            sha256,
            format: Format::Raw,
            entry: None,
            binary_size: size,
            binary_sha256: sha256,
            max_size: 64 * 1024 * 1024,
            proof: Proof::Manifest,
        }
    }

    /// A raw artifact vouched for by a signature over exactly these bytes, and by nothing else.
    pub(crate) fn signed(bytes: &[u8], version: &str) -> Sample {
        let key = Key::new(7);
        let text = key.sign(bytes, "a comment");
        let signature = ArtifactSignature::read(text.as_bytes(), &keys(&[&key], 1)).unwrap();
        Sample {
            size: None,
            sha256: None,
            binary_size: None,
            binary_sha256: None,
            proof: Proof::Artifact(signature),
            ..Sample::raw(bytes, version)
        }
    }

    /// The choice.
    pub(crate) fn chosen(self) -> Chosen {
        Chosen {
            version: self.version,
            target: self.target,
            urls: Vec::new(),
            size: self.size,
            sha256: self.sha256,
            format: self.format,
            entry: self.entry,
            binary_size: self.binary_size,
            binary_sha256: self.binary_sha256,
            deltas: Vec::new(),
            program: "app".to_owned(),
            max_size: self.max_size,
            proof: self.proof,
        }
    }
}

/// A key set of product `app` in this version, provisioned.
pub(crate) fn trusted_keys(version: u64) -> TrustedKeys {
    let (root, release) = (Key::new(8), keys(&[&Key::new(7)], 1));
    let set = keys(&[&root], 1);
    let document = KeyDocument { product: "app".into(), version, epoch: 0, expires: None, root: set, release };
    let payload = document.to_bytes();
    let signature = root.sign(&payload, "keys");
    TrustedKeys::provisioned(&Bundle::new(payload, vec![signature]).to_file(), "app").unwrap()
}
