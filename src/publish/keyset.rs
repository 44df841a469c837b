//! Key sets whose secret keys are in memory: for demonstrations and tests.

use std::fs;
use std::path::PathBuf;

use super::files::replace;
use super::{PublishError, Publisher, SigningKey};
use crate::trust::bundle::Bundle;
use crate::trust::{KeyDocument, KeySet, Refused};

/// The file of a key set as it is provisioned or put at `keys/<version>`, signed by whoever signs: unchecked, as an
/// attacker or a careless publisher could make it.
pub fn key_file(document: &KeyDocument, signers: &[&SigningKey]) -> Result<Vec<u8>, PublishError> {
    let payload = document.to_bytes();
    let comment = format!("fetchd-keys\tproduct:{}\tversion:{}", document.product, document.version);
    let signed = |key: &&SigningKey| key.sign(&mut payload.as_slice(), &comment, "a key set signed with fetchd");
    let signatures = signers.iter().map(signed).collect::<Result<Vec<_>, _>>()?;
    Ok(Bundle::new(payload, signatures).to_file())
}

impl Publisher {
    /// The same publisher with another key: a release key after a rotation.
    #[must_use]
    pub fn with_key(mut self, key: SigningKey) -> Publisher {
        self.key = key;
        self
    }

    /// A key set of this publisher's product: any one of `root` signs the next one, this publisher's key signs
    /// releases; of epoch 0, and good for ever.
    pub fn key_document(&self, version: u64, root: &[&SigningKey]) -> Result<KeyDocument, Refused> {
        Ok(KeyDocument {
            product: self.expect().product,
            version,
            epoch: 0,
            expires: None,
            root: KeySet::new(root.iter().map(|key| key.public().clone()).collect(), 1)?,
            release: self.keys()?,
        })
    }

    /// Puts a file where hosts look for this version of the key set.
    pub fn put_keys(&self, version: u64, file: &[u8]) -> Result<PathBuf, PublishError> {
        let dir = self.dir.join("keys");
        fs::create_dir_all(&dir).map_err(PublishError::io("create", &dir))?;
        let path = dir.join(version.to_string());
        replace(&path, 0o644, file)?;
        Ok(path)
    }
}
