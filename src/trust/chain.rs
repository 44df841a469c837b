//! The chain of key documents: each version is signed by the one before it and by itself.

use super::bundle::Bundle;
use super::{KeyDocument, KeySet, Refused};
use crate::clock::Timestamp;
use crate::failure::{Exit, Failure as _};

/// The keys that are trusted now, and how they came to be: provisioned by the operator, or reached
/// from those step by step.
///
/// Made by [`TrustedKeys::provisioned`] and [`TrustedKeys::advance`] alone, so a document that no
/// trusted root vouched for never becomes one (`a_step_needs_the_old_and_the_new_root`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKeys {
    document: KeyDocument,
}

impl TrustedKeys {
    /// The longest file of a key set that is looked at, in bytes.
    pub const MAX_FILE: usize = 64 * 1024;
    /// The most steps that are taken in one pass.
    pub const MAX_STEPS: usize = 64;

    /// The key set that the operator put on this machine. It must be signed by its own root.
    ///
    /// Fails with `bundle.malformed`, the `signature.` and the `keys.` codes.
    pub fn provisioned(file: &[u8], product: &str) -> Result<TrustedKeys, Refused> {
        let bundle = read(file)?;
        let document = KeyDocument::parse(bundle.claimed_payload())?;
        bundle.verified(&document.root)?;
        of_product(&document, product)?;
        Ok(TrustedKeys { document })
    }

    /// The next version, if `file` is that: exactly one higher, signed by the threshold of the root
    /// that is trusted and of its own.
    ///
    /// A version that has expired is good enough to go on from. Fails with `bundle.malformed`, the
    /// `signature.` codes, `keys.version`, `keys.epoch` (the epoch went down), `keys.wrong_product` and
    /// the codes of [`KeyDocument::parse`].
    pub fn advance(&self, file: &[u8]) -> Result<TrustedKeys, Refused> {
        let bundle = read(file)?;
        let payload = bundle.clone().verified(&self.document.root)?;
        let document = KeyDocument::parse(&payload)?;
        of_product(&document, &self.document.product)?;
        let (have, next) = (self.document.version, document.version);
        if next != have + 1 {
            let message = format!("key set {next} is shown where {} has to follow", have + 1);
            return Err(Refused::new("keys.version", Exit::Trust, message)
                .hint("the publisher has to put each version at `keys/<version>`"));
        }
        if document.epoch < self.document.epoch {
            let (from, to) = (self.document.epoch, document.epoch);
            let message = format!("key set {next} is of epoch {to}, and key set {have} was of epoch {from}");
            return Err(Refused::new("keys.epoch", Exit::Rollback, message));
        }
        bundle.verified(&document.root).map_err(|refused| {
            let message = format!("key set {next} is not signed by its own root keys: {refused}");
            let own = Refused::new(refused.code(), refused.exit(), message);
            own.hint("each version is signed by the root keys before it and by its own")
        })?;
        Ok(TrustedKeys { document })
    }

    /// The document.
    pub fn document(&self) -> &KeyDocument {
        &self.document
    }

    /// The number of this version.
    pub fn version(&self) -> u64 {
        self.document.version
    }

    /// The epoch in which manifests are numbered.
    pub fn epoch(&self) -> u64 {
        self.document.epoch
    }

    /// Who signs releases.
    pub fn release(&self) -> &KeySet {
        &self.document.release
    }

    /// Why nothing new may be installed by these keys at `now`; `keys.expired` (22).
    pub fn expired(&self, now: Timestamp) -> Option<Refused> {
        let expires = self.document.expires.filter(|expires| *expires <= now)?;
        let message = format!("key set {} expired at `{expires}`", self.version());
        Some(
            Refused::new("keys.expired", Exit::Stale, message).hint(
                "what runs goes on running; the publisher has to publish the next key set (`fetchd keys rotate`)",
            ),
        )
    }
}

fn read(file: &[u8]) -> Result<Bundle, Refused> {
    if file.len() > TrustedKeys::MAX_FILE {
        let (long, limit) = (file.len(), TrustedKeys::MAX_FILE);
        let message = format!("the key set's file is {long} bytes long, the limit is {limit}");
        return Err(Refused::new("keys.malformed", Exit::Trust, message));
    }
    Bundle::parse(file)
}

fn of_product(document: &KeyDocument, product: &str) -> Result<(), Refused> {
    if document.product == product {
        return Ok(());
    }
    let message = format!("the key set is of the product `{}`, not `{product}`", document.product);
    Err(Refused::new("keys.wrong_product", Exit::Rollback, message))
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
