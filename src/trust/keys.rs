//! Public keys, and the set of them that is trusted.

use std::fmt;

use ed25519_dalek::VerifyingKey;

use super::base64::{decode_array, encode};
use super::{Refused, Signature};
use crate::failure::Exit;

/// An Ed25519 public key in minisign's notation. Never a weak one.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub(super) keynum: [u8; 8],
    key: VerifyingKey,
}

impl PublicKey {
    /// Reads a `minisign.pub` file (two lines) or the bare base64 of its second line.
    ///
    /// Fails with `key.malformed`, or with `key.weak` for a key of small order or one whose bytes
    /// are not the canonical ones of its point: both accept signatures nobody made.
    pub fn parse(text: &str) -> Result<PublicKey, Refused> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let line = match text.split_once('\n') {
            Some((comment, line)) if comment.starts_with("untrusted comment:") => {
                line.strip_suffix('\r').unwrap_or(line)
            }
            Some(_) => return Err(malformed("it has two lines and the first is no `untrusted comment:`")),
            None => text.trim(),
        };
        let bytes: [u8; 42] =
            decode_array(line.as_bytes()).ok_or_else(|| malformed("42 bytes in base64 are needed, 56 characters"))?;
        PublicKey::from_bytes(&bytes)
    }

    fn from_bytes(bytes: &[u8; 42]) -> Result<PublicKey, Refused> {
        if bytes[..2] != *b"Ed" {
            return Err(malformed("it is not an Ed25519 key of minisign"));
        }
        let mut keynum = [0; 8];
        keynum.copy_from_slice(&bytes[2..10]);
        let mut point = [0; 32];
        point.copy_from_slice(&bytes[10..]);
        let key = VerifyingKey::from_bytes(&point).map_err(|_| malformed("its bytes are no point of the curve"))?;
        if key.is_weak() || !is_canonical(&point) {
            return Err(Refused::new(
                "key.weak",
                Exit::Usage,
                "a public key of small order or odd encoding is not trusted",
            )
            .hint("make a new key pair with `fetchd keygen`"));
        }
        Ok(PublicKey { keynum, key })
    }

    /// The key's number in hexadecimal, as `minisign` prints it. A label, not a proof of anything.
    pub fn keynum(&self) -> String {
        keynum_text(&self.keynum)
    }

    /// The 32 bytes of the key: what tells two keys apart.
    pub fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether this key made `signature` over exactly `message`. Every signature that fetchd believes
    /// has been through here.
    ///
    /// Strict: no point of small order, nothing that is not canonical, no cofactor. Proved by
    /// `wycheproof_agrees_on_every_case` and `signatures_that_verifiers_disagree_about`.
    pub(super) fn made(&self, signature: &[u8; 64], message: &[u8]) -> bool {
        self.key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }

    /// The two lines of a `minisign.pub` file.
    pub fn to_file(&self) -> String {
        format!("untrusted comment: minisign public key {}\n{self}\n", self.keynum())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(42);
        bytes.extend_from_slice(b"Ed");
        bytes.extend_from_slice(&self.keynum);
        bytes.extend_from_slice(self.key.as_bytes());
        f.write_str(&encode(&bytes))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl std::str::FromStr for PublicKey {
    type Err = Refused;

    fn from_str(text: &str) -> Result<PublicKey, Refused> {
        PublicKey::parse(text)
    }
}

/// Keys of which a number must agree. Never empty.
///
/// What is counted is distinct 32-byte keys, never signatures and never key numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<PublicKey>,
    threshold: usize,
}

impl KeySet {
    /// A set of which `threshold` keys must sign.
    ///
    /// Fails with `keys.empty`, `keys.duplicate`, `keys.duplicate_keynum` (two keys of one number
    /// cannot be told apart in a signature) or `keys.threshold` (0, or more than there are keys).
    pub fn new(keys: Vec<PublicKey>, threshold: usize) -> Result<KeySet, Refused> {
        if keys.is_empty() {
            return Err(Refused::new(
                "keys.empty",
                Exit::Usage,
                "no public key is given, and nothing is believed without one",
            )
            .hint("pass the publisher's key with `--key`"));
        }
        for (i, key) in keys.iter().enumerate() {
            for other in &keys[..i] {
                if key.bytes() == other.bytes() {
                    let message = format!("the public key `{}` is given twice", key.keynum());
                    return Err(Refused::new("keys.duplicate", Exit::Usage, message));
                }
                if key.keynum == other.keynum {
                    let message = format!("two public keys have the number `{}`", key.keynum());
                    return Err(Refused::new("keys.duplicate_keynum", Exit::Usage, message));
                }
            }
        }
        if threshold == 0 || threshold > keys.len() {
            let message = format!("a threshold of {threshold} cannot be met with {} keys", keys.len());
            return Err(Refused::new("keys.threshold", Exit::Usage, message)
                .hint(format!("choose a threshold from 1 to {}", keys.len())));
        }
        Ok(KeySet { keys, threshold })
    }

    /// The keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// How many of them must sign.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The key a signature says it was made with.
    ///
    /// Fails with `signature.unknown_key`.
    pub(super) fn key_of(&self, signature: &Signature) -> Result<&PublicKey, Refused> {
        self.keys.iter().find(|key| key.keynum == signature.keynum).ok_or_else(|| {
            let known: Vec<String> = self.keys.iter().map(|key| format!("`{}`", key.keynum())).collect();
            let message = format!("the signature was made with the unknown key `{}`", signature.keynum());
            Refused::new("signature.unknown_key", Exit::Trust, message).hint(format!("trusted: {}", known.join(", ")))
        })
    }

    /// Checks that enough of the keys signed the message whose BLAKE2b-512 digest is `hash`.
    ///
    /// At most [`KeySet::LOOKED_AT`] signatures are looked at. Those that are malformed, by unknown
    /// keys or wrong are passed over as long as enough others are right. Otherwise the error is
    /// that of the first wrong one, or `signature.threshold` if some but too few are right.
    pub fn verify(&self, hash: &[u8; 64], signatures: &[&[u8]]) -> Result<(), Refused> {
        let mut valid: Vec<&[u8; 32]> = Vec::new();
        let mut first: Option<Refused> = None;
        for text in signatures.iter().take(KeySet::LOOKED_AT) {
            let outcome = Signature::parse(text).and_then(|signature| {
                let key = self.key_of(&signature)?;
                signature.check_comment(key)?;
                signature.check_hash(key, hash)?;
                Ok(key)
            });
            match outcome {
                Ok(key) if !valid.contains(&key.bytes()) => valid.push(key.bytes()),
                Ok(_) => {}
                Err(refused) => first = first.or(Some(refused)),
            }
        }
        if valid.len() >= self.threshold {
            return Ok(());
        }
        match first {
            Some(refused) if valid.is_empty() => Err(refused),
            _ if signatures.is_empty() => Err(Refused::new("signature.missing", Exit::Trust, "there is no signature")),
            _ => {
                let message = format!("signed by {} of the {} keys that are needed", valid.len(), self.threshold);
                Err(Refused::new("signature.threshold", Exit::Trust, message))
            }
        }
    }

    /// How many signatures of a bundle are looked at.
    pub const LOOKED_AT: usize = 16;
}

pub(super) fn keynum_text(keynum: &[u8; 8]) -> String {
    format!("{:016X}", u64::from_le_bytes(*keynum))
}

/// Whether the y coordinate is below the field's prime, 2^255 - 19.
fn is_canonical(point: &[u8; 32]) -> bool {
    point[31] & 0x7f != 0x7f || point[1..31].iter().any(|&byte| byte != 0xff) || point[0] < 0xed
}

fn malformed(why: &str) -> Refused {
    Refused::new("key.malformed", Exit::Usage, format!("not a public key: {why}"))
        .hint("give the second line of a `minisign.pub` file, or the file")
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
