//! minisign's signature files, prehashed only, read more strictly than minisign does.

use std::fmt;
use std::io::{self, Read};

use blake2::{Blake2b512, Digest as _};

use super::base64::decode_array;
use super::keys::keynum_text;
use super::{KeySet, PublicKey, Refused};
use crate::failure::Exit;

/// A parsed signature file. Nothing about it is believed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    pub(super) keynum: [u8; 8],
    signature: [u8; 64],
    comment: String,
    global: [u8; 64],
}

impl Signature {
    /// The longest signature file that is looked at, in bytes.
    pub const MAX_FILE: usize = 16 * 1024;
    /// The longest trusted comment, in bytes. A longer one minisign itself does not read: its line has 8 KiB,
    /// prefix and end included (`the_longest_comments_are_those_that_minisign_reads`).
    pub const MAX_COMMENT: usize = 8 * 1024 - 19;
    /// The longest untrusted comment, in bytes, for the same reason: a line of 1 KiB.
    pub const MAX_UNTRUSTED: usize = 1024 - 21;

    /// Reads a signature file: exactly four lines, an optional final line feed, no carriage return,
    /// canonical base64, comments that can be printed.
    ///
    /// Fails with `signature.malformed`, and with `signature.legacy` for one that is not prehashed:
    /// the letters that tell the two kinds apart are not signed, so only one kind can be accepted.
    pub fn parse(bytes: &[u8]) -> Result<Signature, Refused> {
        if bytes.len() > Signature::MAX_FILE {
            return Err(malformed(&format!("it is {} bytes long, the limit is {}", bytes.len(), Signature::MAX_FILE)));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let lines: Vec<&str> = text.split('\n').collect();
        let &[untrusted, signature, trusted, global] = lines.as_slice() else {
            return Err(malformed(&format!("it has {} lines, not 4", lines.len())));
        };
        let untrusted = untrusted
            .strip_prefix("untrusted comment: ")
            .ok_or_else(|| malformed("line 1 does not begin with `untrusted comment: `"))?;
        let comment = trusted
            .strip_prefix("trusted comment: ")
            .ok_or_else(|| malformed("line 3 does not begin with `trusted comment: `"))?;
        if !is_comment(untrusted, Signature::MAX_UNTRUSTED) || !is_comment(comment, Signature::MAX_COMMENT) {
            return Err(malformed("a comment is too long or cannot be printed"));
        }
        let blob: [u8; 74] = decode_array(signature.as_bytes())
            .ok_or_else(|| malformed("line 2 is not 74 bytes in canonical base64"))?;
        let global: [u8; 64] =
            decode_array(global.as_bytes()).ok_or_else(|| malformed("line 4 is not 64 bytes in canonical base64"))?;
        match &blob[..2] {
            b"ED" => {}
            b"Ed" => {
                return Err(Refused::new(
                    "signature.legacy",
                    Exit::Trust,
                    "the signature is of the old kind, not prehashed",
                )
                .hint("sign again with `minisign -S` 0.10 or newer, without `-l`, or with `fetchd sign`"));
            }
            _ => return Err(malformed("its algorithm is unknown")),
        }
        let mut keynum = [0; 8];
        keynum.copy_from_slice(&blob[2..10]);
        let mut s = [0; 64];
        s.copy_from_slice(&blob[10..]);
        Ok(Signature { keynum, signature: s, comment: comment.to_owned(), global })
    }

    /// The number of the key it says it was made with, as `minisign` prints it.
    pub fn keynum(&self) -> String {
        keynum_text(&self.keynum)
    }

    /// The trusted comment, which is only a claim until a key has vouched for it.
    pub fn claimed_comment(&self) -> &str {
        &self.comment
    }

    /// Checks the signature over the comment. Fails with `signature.comment`.
    pub(super) fn check_comment(&self, key: &PublicKey) -> Result<(), Refused> {
        if key.made(&self.global, &self.signed_comment()) {
            return Ok(());
        }
        Err(Refused::new("signature.comment", Exit::Trust, "the signature's comment is not the one that was signed"))
    }

    /// Checks the signature over the message with this BLAKE2b-512 digest. Fails with `signature.wrong`.
    pub(super) fn check_hash(&self, key: &PublicKey, hash: &[u8; 64]) -> Result<(), Refused> {
        if key.made(&self.signature, hash) {
            return Ok(());
        }
        Err(Refused::new("signature.wrong", Exit::Trust, "the signature does not belong to these bytes"))
    }

    /// What the signature over the comment covers: the authentic part of the file.
    pub(super) fn signed_comment(&self) -> Vec<u8> {
        [&self.signature[..], self.comment.as_bytes()].concat()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature").field("keynum", &self.keynum()).field("comment", &self.comment).finish()
    }
}

/// A signature over an artifact whose trusted comment is authentic. It still has to be held
/// against the artifact.
#[derive(Debug, Clone)]
pub struct ArtifactSignature {
    signature: Signature,
    keys: KeySet,
}

impl ArtifactSignature {
    /// Parses `bytes` and checks the comment, before any byte of the artifact is there.
    ///
    /// Fails as [`Signature::parse`] does, with `signature.unknown_key`, `signature.comment`, or with
    /// `signature.threshold` if more than one key must sign: the file holds one signature.
    pub(super) fn read(bytes: &[u8], keys: &KeySet) -> Result<ArtifactSignature, Refused> {
        if keys.threshold() > 1 {
            let message = format!("{} keys must sign, and a signature file holds one signature", keys.threshold());
            return Err(Refused::new("signature.threshold", Exit::Trust, message)
                .hint("publish a signed manifest (`fetchd publish`) where several keys must agree"));
        }
        let signature = Signature::parse(bytes)?;
        signature.check_comment(keys.key_of(&signature)?)?;
        Ok(ArtifactSignature { signature, keys: keys.clone() })
    }

    /// Checks the artifact with this BLAKE2b-512 digest. Fails with `signature.wrong`.
    pub fn check(&self, blake2b512: &[u8; 64]) -> Result<(), Refused> {
        self.signature.check_hash(self.keys.key_of(&self.signature)?, blake2b512)
    }

    /// The authentic comment.
    pub fn comment(&self) -> &str {
        &self.signature.comment
    }

    /// The number of the key that signed, as `minisign` prints it.
    pub fn keynum(&self) -> String {
        self.signature.keynum()
    }

    pub(super) fn signed_comment(&self) -> Vec<u8> {
        self.signature.signed_comment()
    }
}

/// The BLAKE2b-512 digest that minisign signs.
pub fn blake2b512(bytes: &[u8]) -> [u8; 64] {
    Blake2b512::digest(bytes).into()
}

/// The BLAKE2b-512 digest of everything `reader` yields.
pub fn blake2b512_reader(reader: &mut dyn Read) -> io::Result<[u8; 64]> {
    let mut hash = Blake2b512::new();
    let mut buffer = vec![0_u8; 256 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(read) => hash.update(&buffer[..read]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// A tab is the one control character a comment may hold: it separates the fields.
fn is_comment(text: &str, most: usize) -> bool {
    text.len() <= most && !text.chars().any(|c| c.is_control() && c != '\t')
}

fn malformed(why: &str) -> Refused {
    Refused::new("signature.malformed", Exit::Trust, format!("not a signature of minisign: {why}"))
}

#[cfg(test)]
#[path = "minisign_tests.rs"]
mod tests;
