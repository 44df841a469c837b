//! The key document: which keys may sign what for a product, in one version after another.

use serde::Deserialize;
use serde_json::{Value, json};

use super::json::{MAX_INTEGER, strict};
use super::{KeySet, PublicKey, Refused, is_product};
use crate::clock::Timestamp;
use crate::failure::Exit;

/// One version of a product's keys, a document of type `fetchd-keys`.
///
/// The root keys sign the next version of this document and nothing else; the release keys sign
/// manifests and artifacts. Keys are named in it by their minisign numbers, of which no two are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDocument {
    /// The product.
    pub product: String,
    /// The number of this version, from 1.
    pub version: u64,
    /// The epoch in which manifests are numbered; raised to let their numbers begin anew.
    pub epoch: u64,
    /// When the keys stop being good for new installs; `None` = never.
    pub expires: Option<Timestamp>,
    /// Who signs the next version.
    pub root: KeySet,
    /// Who signs releases.
    pub release: KeySet,
}

#[derive(Deserialize)]
struct Wire {
    product: String,
    version: u64,
    #[serde(default)]
    epoch: u64,
    expires: Option<Timestamp>,
    #[serde(default)]
    crit: Vec<String>,
    keys: Vec<String>,
    roles: Roles,
}

/// Roles of other programs may stand beside these.
#[derive(Deserialize)]
struct Roles {
    root: Role,
    release: Role,
}

#[derive(Deserialize)]
struct Role {
    keys: Vec<String>,
    threshold: usize,
}

impl KeyDocument {
    /// The longest document that is looked at, in bytes.
    pub const MAX: usize = 48 * 1024;

    /// Reads a document, which is believed no more for that: see [`TrustedKeys`](super::TrustedKeys).
    ///
    /// Fails with `keys.malformed`, `keys.wrong_type`, `keys.unsupported`, and with the codes of
    /// [`PublicKey::parse`] and [`KeySet::new`]; all with 20.
    pub fn parse(bytes: &[u8]) -> Result<KeyDocument, Refused> {
        if bytes.len() > KeyDocument::MAX {
            return Err(malformed(format!("it is {} bytes long, the limit is {}", bytes.len(), KeyDocument::MAX)));
        }
        let value = strict(bytes, MAX_DEPTH).map_err(malformed)?;
        check_type(&value)?;
        let wire = Wire::deserialize(value).map_err(|e| malformed(e.to_string()))?;
        if let Some(unknown) = wire.crit.first() {
            let message = format!("the key set needs `{unknown}`, which this version of fetchd does not know");
            return Err(Refused::new("keys.unsupported", Exit::Trust, message).hint("update fetchd itself first"));
        }
        if !is_product(&wire.product) {
            return Err(malformed("`product` cannot be a product's name"));
        }
        if wire.version == 0 || wire.version == MAX_INTEGER {
            return Err(malformed("`version` is not from 1 to 2^53 - 2"));
        }
        if wire.keys.len() > MAX_KEYS {
            return Err(malformed(format!("it lists {} keys, the limit is {MAX_KEYS}", wire.keys.len())));
        }
        let listed = wire.keys.iter().map(|line| PublicKey::parse(line)).collect::<Result<Vec<_>, _>>();
        let listed = listed.map_err(|refused| refused.exiting(Exit::Trust))?;
        // Also those that no role uses: two keys of one number could be told apart nowhere.
        KeySet::new(listed.clone(), 1).map_err(|refused| refused.exiting(Exit::Trust))?;
        Ok(KeyDocument {
            product: wire.product,
            version: wire.version,
            epoch: wire.epoch,
            expires: wire.expires,
            root: role("root", &wire.roles.root, &listed)?,
            release: role("release", &wire.roles.release, &listed)?,
        })
    }

    /// The document's bytes: what the root keys sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut keys: Vec<&PublicKey> = self.root.keys().iter().collect();
        keys.extend(self.release.keys().iter().filter(|key| !self.root.keys().contains(key)));
        let role = |set: &KeySet| {
            json!({
                "keys": set.keys().iter().map(PublicKey::keynum).collect::<Vec<_>>(),
                "threshold": set.threshold(),
            })
        };
        let value = json!({
            "type": TYPE,
            "spec": 1,
            "product": self.product,
            "version": self.version,
            "epoch": self.epoch,
            "expires": self.expires,
            "keys": keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "roles": { "root": role(&self.root), "release": role(&self.release) },
        });
        format!("{value:#}\n").into_bytes()
    }
}

/// The type comes first: it keeps apart the documents that one key may sign.
fn check_type(value: &Value) -> Result<(), Refused> {
    if !value.is_object() {
        return Err(malformed("it is not a JSON object"));
    }
    match value.get("type").and_then(Value::as_str) {
        Some(TYPE) => {}
        other => {
            let message = format!("the signed document is a `{}`, not a `{TYPE}`", other.unwrap_or("?"));
            return Err(Refused::new("keys.wrong_type", Exit::Trust, message));
        }
    }
    match value.get("spec").and_then(Value::as_u64) {
        Some(1) => Ok(()),
        Some(spec) => {
            let message = format!("the key set is of layout {spec}, and only layout 1 is known");
            Err(Refused::new("keys.unsupported", Exit::Trust, message).hint("update fetchd itself first"))
        }
        None => Err(malformed("`spec` is no number")),
    }
}

fn role(name: &str, role: &Role, listed: &[PublicKey]) -> Result<KeySet, Refused> {
    let named = |number: &String| {
        listed
            .iter()
            .find(|key| key.keynum() == *number)
            .cloned()
            .ok_or_else(|| malformed(format!("`{number}` of the role `{name}` is not among its keys")))
    };
    let keys = role.keys.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    KeySet::new(keys, role.threshold).map_err(|refused| refused.exiting(Exit::Trust))
}

fn malformed(why: impl Into<String>) -> Refused {
    Refused::new("keys.malformed", Exit::Trust, format!("not a key set: {}", why.into()))
}

const TYPE: &str = "fetchd-keys";
/// As deep as a manifest, so that one in the place of a key set is called what it is.
const MAX_DEPTH: usize = 8;
const MAX_KEYS: usize = 64;
