//! Key sets on their way: made on one machine, signed on others, put together and published.
//!
//! What travels is always the bundle that hosts read. One that has too few signatures yet is a draft,
//! and nothing else about it differs.

mod change;
mod place;

use std::fmt;

use super::{PublishError, SigningKey};
use crate::clock::Timestamp;
use crate::failure::{Exit, Failure};
use crate::trust::bundle::Bundle;
use crate::trust::{KeyDocument, KeySet, PublicKey, Refused, Signature, TrustedKeys, blake2b512};

pub use change::{KeyChange, RoleChange, first_keys, next_keys};
pub use place::{PublishedKeys, publish_keys};

/// A key document and the signatures that it has so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDraft {
    payload: Vec<u8>,
    signatures: Vec<String>,
    document: KeyDocument,
}

/// One signer of a role, and whether the signature is there and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Who.
    pub key: PublicKey,
    /// Whether it has signed.
    pub signed: bool,
}

/// What a draft has, what it lacks, and what hosts would say to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The root keys of the version before, if that is known.
    pub before: Option<Role>,
    /// Its own root keys.
    pub own: Role,
    /// What hosts would say; `None` if it is a later version and the one before is not known.
    pub verdict: Option<Result<(), Refused>>,
}

/// A role and who of it has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Every key of it.
    pub signers: Vec<Signer>,
    /// How many must sign.
    pub threshold: usize,
}

impl Role {
    fn of(keys: &KeySet, draft: &KeyDraft) -> Role {
        let signers = keys.keys().iter().map(|key| Signer { key: key.clone(), signed: draft.is_signed_by(key) });
        Role { signers: signers.collect(), threshold: keys.threshold() }
    }

    /// How many have signed.
    pub fn signed(&self) -> usize {
        self.signers.iter().filter(|signer| signer.signed).count()
    }

    /// How many more must sign.
    pub fn lacks(&self) -> usize {
        self.threshold.saturating_sub(self.signed())
    }
}

impl KeyDraft {
    /// A draft without a signature.
    ///
    /// Fails with the codes of [`KeyDocument::parse`] if the document says what cannot be read back.
    pub fn new(document: &KeyDocument) -> Result<KeyDraft, Refused> {
        KeyDraft::of(Bundle::new(document.to_bytes(), Vec::new()))
    }

    /// Reads a file, and believes none of it: see [`KeyDraft::standing`].
    ///
    /// Fails with `bundle.malformed`, `bundle.too_large` and the codes of [`KeyDocument::parse`].
    pub fn parse(file: &[u8]) -> Result<KeyDraft, Refused> {
        KeyDraft::of(Bundle::parse(file)?)
    }

    fn of(bundle: Bundle) -> Result<KeyDraft, Refused> {
        let payload = bundle.claimed_payload().to_vec();
        let document = KeyDocument::parse(&payload)?;
        Ok(KeyDraft { payload, signatures: bundle.signatures().to_vec(), document })
    }

    /// What it says.
    pub fn document(&self) -> &KeyDocument {
        &self.document
    }

    /// The bytes to sign, as `minisign -Sm` signs a file of them.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The texts of the signatures.
    pub fn signatures(&self) -> &[String] {
        &self.signatures
    }

    /// The file.
    pub fn to_file(&self) -> Vec<u8> {
        Bundle::new(self.payload.clone(), self.signatures.clone()).to_file()
    }

    /// Whether a signature of this very key is there and holds.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signatures.iter().any(|text| self.holds(key, text).is_ok())
    }

    fn holds(&self, key: &PublicKey, signature: &str) -> Result<(), Refused> {
        KeySet::new(vec![key.clone()], 1)?.verify(&blake2b512(&self.payload), &[signature.as_bytes()])
    }

    /// Signs it with a root key, its own or one of the version before. One that has signed already signs anew.
    ///
    /// Fails with `keys.not_root` (20) for any other key and with the codes of [`KeyDraft::follows`]: what would
    /// never be the next version is not signed.
    pub fn sign(&mut self, key: &SigningKey, before: Option<&TrustedKeys>) -> Result<(), PublishError> {
        let number = key.public().keynum();
        if self.root_key(&number, before)?.bytes() != key.public().bytes() {
            return Err(not_root(&number, before.is_some()).into());
        }
        let comment = format!("fetchd keys {} {}", self.document.product, self.document.version);
        let text = key.sign(&mut self.payload.as_slice(), &comment, "signed with fetchd")?;
        self.attach(&text, before)?;
        Ok(())
    }

    /// Adds a signature that was made elsewhere, by `minisign` or by another `fetchd`. An older one of the same key
    /// makes room for it. Says whose it is.
    ///
    /// Fails with `keys.not_root` (20) for a key that is no root key, with the `signature.` codes if it is malformed or
    /// not of this document, and with the codes of [`KeyDraft::follows`].
    pub fn attach(&mut self, signature: &str, before: Option<&TrustedKeys>) -> Result<PublicKey, Refused> {
        if let Some(before) = before {
            self.follows(before)?;
        }
        let number = Signature::parse(signature.as_bytes()).map_err(advised)?.keynum();
        let key = self.root_key(&number, before)?;
        self.holds(&key, signature).map_err(advised)?;
        self.signatures.retain(|old| Signature::parse(old.as_bytes()).is_ok_and(|old| old.keynum() != number));
        // In front: readers look at the first ones alone.
        self.signatures.insert(0, signature.to_owned());
        if self.signatures.len() > KeySet::LOOKED_AT {
            let (count, limit) = (self.signatures.len(), KeySet::LOOKED_AT);
            let message = format!("the draft would have {count} signatures, and hosts look at {limit}");
            return Err(Refused::new("keys.too_many_signatures", Exit::Usage, message)
                .hint("begin again from the draft as it was made, and add those that are needed"));
        }
        Ok(key)
    }

    /// Adds every signature of another copy of the same draft that a root key made. Says whose they are.
    ///
    /// Fails with `keys.other_draft` (20) if the other one says something else, if only in one byte.
    pub fn merge(&mut self, other: &KeyDraft, before: Option<&TrustedKeys>) -> Result<Vec<PublicKey>, Refused> {
        if other.payload != self.payload {
            let message = "the two files are not copies of one draft: what they say differs";
            return Err(Refused::new("keys.other_draft", Exit::Trust, message)
                .hint("compare them with `fetchd keys show`, and have the same one signed by everybody"));
        }
        let mut added = Vec::new();
        for text in &other.signatures {
            match self.attach(text, before) {
                Ok(key) => added.push(key),
                // It may be of a root that is not known here.
                Err(refused) if refused.code() == "keys.not_root" => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(added)
    }

    /// The root key of this number, own or of the version before.
    fn root_key(&self, number: &str, before: Option<&TrustedKeys>) -> Result<PublicKey, Refused> {
        if let Some(before) = before {
            self.follows(before)?;
        }
        let known = before.is_some();
        let before = before.map(|before| before.document().root.keys()).unwrap_or_default();
        let mut keys = self.document.root.keys().iter().chain(before);
        keys.find(|key| key.keynum() == number).cloned().ok_or_else(|| not_root(number, known))
    }

    /// Whether what it says can come after `before`, whoever has signed it.
    ///
    /// Fails with `keys.wrong_product`, `keys.version` and `keys.epoch`.
    pub fn follows(&self, before: &TrustedKeys) -> Result<(), Refused> {
        let (old, new) = (before.document(), &self.document);
        if new.product != old.product {
            let message =
                format!("the key set is of the product `{}`, the one before of `{}`", new.product, old.product);
            return Err(Refused::new("keys.wrong_product", Exit::Rollback, message));
        }
        if new.version != old.version + 1 {
            let message = format!("key set {} does not follow key set {}", new.version, old.version);
            return Err(Refused::new("keys.version", Exit::Trust, message)
                .hint(format!("give key set {} as the one before", new.version.saturating_sub(1))));
        }
        if new.epoch < old.epoch {
            let message = format!("key set {} goes back from epoch {} to {}", new.version, old.epoch, new.epoch);
            return Err(Refused::new("keys.epoch", Exit::Rollback, message));
        }
        change::numbers_stay(old, new)
    }

    /// Who has signed, who has not, and what hosts would say at `now`.
    pub fn standing(&self, before: Option<&TrustedKeys>, now: Timestamp) -> Standing {
        let file = self.to_file();
        let verdict = match before {
            Some(before) => Some(before.advance(&file)),
            None if self.document.version == 1 => Some(TrustedKeys::provisioned(&file, &self.document.product)),
            None => None,
        };
        let verdict = verdict.map(|outcome| outcome.and_then(|keys| keys.expired(now).map_or(Ok(()), Err)));
        Standing {
            before: before.map(|before| Role::of(&before.document().root, self)),
            own: Role::of(&self.document.root, self),
            verdict,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} have signed, {} must", self.signed(), self.signers.len(), self.threshold)
    }
}

/// The key set in `file`, signed by its own root: one to go on from.
///
/// Fails with the codes of [`TrustedKeys::provisioned`]; a draft is told from a forgery.
pub fn complete_keys(file: &[u8]) -> Result<TrustedKeys, Refused> {
    let draft = KeyDraft::parse(file)?;
    TrustedKeys::provisioned(file, &draft.document.product).map_err(|refused| {
        let own = Role::of(&draft.document.root, &draft);
        let message = format!("key set {} is a draft: {own}", draft.document.version);
        match own.lacks() {
            0 => refused,
            _ => Refused::new("keys.draft", Exit::Trust, message).hint("have it signed first: `fetchd keys sign`"),
        }
    })
}

fn advised(refused: Refused) -> Refused {
    match Failure::hint(&refused) {
        Some(_) => refused,
        None => {
            refused.hint("sign exactly the bytes that `fetchd keys show DRAFT --payload` prints, with `minisign -Sm`")
        }
    }
}

fn not_root(number: &str, before_is_known: bool) -> Refused {
    let message = format!("the key `{number}` is no root key of this key set");
    let hint = if before_is_known {
        "only the root keys of this version and of the one before sign it"
    } else {
        "if it is one of the version before, name that with `--previous FILE`"
    };
    Refused::new("keys.not_root", Exit::Trust, message).hint(hint)
}
