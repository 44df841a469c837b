//! The bundle: one file with a signed document and its signatures.

use serde_json::Value;

use super::base64::{decode, encode};
use super::json::strict;
use super::{KeySet, Refused, blake2b512};
use crate::failure::Exit;

/// The longest bundle file that is looked at, in bytes.
pub const MAX_FILE: usize = 512 * 1024;

/// A parsed bundle: bytes, and signatures that may or may not be theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    payload: Vec<u8>,
    signatures: Vec<String>,
}

impl Bundle {
    /// A bundle of `payload`, the bytes that were signed.
    pub fn new(payload: Vec<u8>, signatures: Vec<String>) -> Bundle {
        Bundle { payload, signatures }
    }

    /// Reads a bundle file. Fails with `bundle.malformed` or `bundle.too_large`.
    pub fn parse(bytes: &[u8]) -> Result<Bundle, Refused> {
        if bytes.len() > MAX_FILE {
            let message = format!("the bundle is {} bytes long, the limit is {MAX_FILE}", bytes.len());
            return Err(Refused::new("bundle.too_large", Exit::Trust, message));
        }
        let Value::Object(mut object) = strict(bytes, 3).map_err(|why| malformed(&why))? else {
            return Err(malformed("it is not a JSON object"));
        };
        if object.get("fetchd").and_then(Value::as_str) != Some("bundle/1") {
            return Err(malformed("`fetchd` is not `bundle/1`"));
        }
        let payload = object
            .get("payload")
            .and_then(Value::as_str)
            .and_then(|text| decode(text.as_bytes()))
            .ok_or_else(|| malformed("`payload` is not canonical base64"))?;
        let Some(Value::Array(list)) = object.remove("minisig") else {
            return Err(malformed("`minisig` is not a list"));
        };
        // Only as many as are looked at are kept.
        let signatures = list
            .into_iter()
            .take(KeySet::LOOKED_AT)
            .map(|item| match item {
                Value::String(text) => Ok(text),
                _ => Err(malformed("`minisig` holds something that is no text")),
            })
            .collect::<Result<_, _>>()?;
        Ok(Bundle { payload, signatures })
    }

    /// The payload, once enough of `keys` are known to have signed it.
    ///
    /// Fails with one of the `signature.` codes.
    pub fn verified(self, keys: &KeySet) -> Result<Vec<u8>, Refused> {
        let signatures: Vec<&[u8]> = self.signatures.iter().map(String::as_bytes).collect();
        keys.verify(&blake2b512(&self.payload), &signatures)?;
        Ok(self.payload)
    }

    /// The payload, unverified: only to be shown.
    pub fn claimed_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The texts of the signatures.
    pub fn signatures(&self) -> &[String] {
        &self.signatures
    }

    /// The file. What is signed is the payload, byte for byte; how the file is written does not matter.
    pub fn to_file(&self) -> Vec<u8> {
        let value = serde_json::json!({
            "fetchd": "bundle/1",
            "payload": encode(&self.payload),
            "minisig": self.signatures,
        });
        format!("{value}\n").into_bytes()
    }
}

/// Checks a document whose signature is a file of its own (`manifest.json` and `manifest.json.minisig`).
pub(super) fn verify_detached(document: &[u8], signature: &[u8], keys: &KeySet) -> Result<(), Refused> {
    keys.verify(&blake2b512(document), &[signature])
}

fn malformed(why: &str) -> Refused {
    Refused::new("bundle.malformed", Exit::Trust, format!("not a bundle: {why}"))
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
