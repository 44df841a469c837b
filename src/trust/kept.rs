//! What a bundle that was accepted once still proves, years later and on a disk that anybody may have written to.

use super::bundle::Bundle;
use super::{Expect, KeySet, Refused, manifest};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::state::Record;

/// A place in the publisher's order that a signature proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// The epoch.
    pub epoch: u64,
    /// The sequence number.
    pub seq: u64,
    /// The digest of the manifest with that number.
    pub manifest_sha256: Sha256,
    /// When it was signed.
    pub issued: Option<Timestamp>,
}

/// Checks a kept bundle again, as if it had just arrived, except that its age does not matter.
///
/// Fails with the codes `bundle.*`, `signature.*` and `manifest.*`. Then it proves nothing: it was edited, it is of
/// another product or channel, or the keys have changed since.
pub fn proved(bundle: &[u8], keys: &KeySet, expect: &Expect) -> Result<Proved, Refused> {
    let payload = Bundle::parse(bundle)?.verified(keys)?;
    let manifest = manifest::parse(&payload, &expect.product, &expect.channel, Timestamp(0))?;
    let (epoch, seq) = manifest.position.unwrap_or_default();
    Ok(Proved { epoch, seq, manifest_sha256: manifest.sha256, issued: manifest.issued })
}

impl Proved {
    /// Raises the floor of `record` to what is proved. `true` if it was below: the record lacked something that had been
    /// accepted.
    pub fn raise(&self, record: &mut Record) -> bool {
        let before = record.clone();
        if (self.epoch, self.seq) >= record.floor() {
            (record.epoch, record.seq) = (self.epoch, self.seq);
            record.manifest_sha256 = Some(self.manifest_sha256);
        }
        record.issued_max = record.issued_max.max(self.issued);
        *record != before
    }
}

/// Raises the floor of `record` to the provisioned one. `true` if it was below.
pub fn provision(record: &mut Record, floor: (u64, u64)) -> bool {
    let below = record.floor() < floor;
    if below {
        (record.epoch, record.seq) = floor;
        record.manifest_sha256 = None;
    }
    below
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
