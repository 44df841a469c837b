//! The first key set, and the next one after another.

use crate::clock::Timestamp;
use crate::failure::{Exit, Failure};
use crate::trust::{KeyDocument, KeySet, PublicKey, Refused, TrustedKeys, is_product};

/// What is to change from one version to the next.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// Among the keys that sign the next version.
    pub root: RoleChange,
    /// Among the keys that sign releases.
    pub release: RoleChange,
    /// Keys that take the place of others in every role that these have, each named by its number.
    pub replace: Vec<(String, PublicKey)>,
    /// A new expiry, `Some(None)` = never; `None` = as it was.
    pub expires: Option<Option<Timestamp>>,
    /// Begin a new epoch, so that the numbers of manifests may begin anew.
    pub bump_epoch: bool,
}

/// What is to change in a role.
#[derive(Debug, Clone, Default)]
pub struct RoleChange {
    /// New keys.
    pub add: Vec<PublicKey>,
    /// The numbers of keys that leave.
    pub remove: Vec<String>,
    /// How many must sign; `None` = as many as before.
    pub threshold: Option<usize>,
}

/// The first version of a product's keys.
///
/// Fails with `keys.product`, `keys.threshold` and `keys.expires`, all with 64.
pub fn first_keys(
    product: &str,
    root: KeySet,
    release: KeySet,
    expires: Option<Timestamp>,
    epoch: u64,
    now: Timestamp,
) -> Result<KeyDocument, Refused> {
    if !is_product(product) {
        return Err(Refused::new("keys.product", Exit::Usage, format!("`{product}` cannot be a product's name"))
            .hint("name it with `--product NAME`"));
    }
    let document = KeyDocument { product: product.to_owned(), version: 1, epoch, expires, root, release };
    lasts(&document, now)?;
    numbers_differ(&document)?;
    can_be_signed(&document.root, None)?;
    Ok(document)
}

/// The version after `before`.
///
/// Fails with `keys.unknown` (a key that has no such role), `keys.empty` (nobody would be left), `keys.threshold`,
/// `keys.duplicate`, `keys.duplicate_keynum`, `keys.expires` and `keys.unchanged`, all with 64.
pub fn next_keys(before: &TrustedKeys, change: &KeyChange, now: Timestamp) -> Result<KeyDocument, Refused> {
    let old = before.document();
    for (number, _) in &change.replace {
        if position(old.root.keys(), number).is_none() && position(old.release.keys(), number).is_none() {
            return Err(unknown(number, "no role"));
        }
    }
    let document = KeyDocument {
        product: old.product.clone(),
        version: old.version + 1,
        epoch: old.epoch + u64::from(change.bump_epoch),
        expires: change.expires.unwrap_or(old.expires),
        root: changed("root", &old.root, &change.root, &change.replace)?,
        release: changed("release", &old.release, &change.release, &change.replace)?,
    };
    if (KeyDocument { version: old.version, ..document.clone() }) == *old {
        return Err(Refused::new("keys.unchanged", Exit::Usage, "the next key set would say the same as this one")
            .hint("say what is to change: keys, a threshold, `--expires` or `--bump-epoch`"));
    }
    lasts(&document, now)?;
    numbers_differ(&document)?;
    numbers_stay(old, &document)?;
    can_be_signed(&document.root, Some(&old.root))?;
    Ok(document)
}

fn changed(
    role: &str,
    before: &KeySet,
    change: &RoleChange,
    replace: &[(String, PublicKey)],
) -> Result<KeySet, Refused> {
    let mut keys = before.keys().to_vec();
    for (old, new) in replace {
        if let Some(at) = position(&keys, old) {
            keys[at] = new.clone();
        }
    }
    for number in &change.remove {
        let at = position(&keys, number).ok_or_else(|| unknown(number, &format!("no `{role}` key")))?;
        keys.remove(at);
    }
    keys.extend(change.add.iter().cloned());
    if keys.is_empty() {
        let message = format!("nobody would be left to sign as `{role}`");
        return Err(
            Refused::new("keys.empty", Exit::Usage, message).hint("add the new key first, or replace the old one")
        );
    }
    let (count, threshold) = (keys.len(), change.threshold.unwrap_or(before.threshold()));
    if threshold > count {
        let message = format!("`{role}` would need {threshold} signatures and have {count} keys");
        return Err(Refused::new("keys.threshold", Exit::Usage, message)
            .hint(format!("choose a threshold from 1 to {count}, or replace the key instead")));
    }
    KeySet::new(keys, threshold).map_err(|refused| {
        let hint = Failure::hint(&refused).unwrap_or_else(|| "each key once in a role".to_owned());
        Refused::new(refused.code(), Exit::Usage, format!("`{role}`: {refused}")).hint(hint)
    })
}

fn position(keys: &[PublicKey], number: &str) -> Option<usize> {
    keys.iter().position(|key| key.keynum() == number)
}

fn unknown(number: &str, has: &str) -> Refused {
    let message = format!("`{number}` is {has} of this key set");
    Refused::new("keys.unknown", Exit::Usage, message).hint("`fetchd keys show FILE` lists them")
}

fn lasts(document: &KeyDocument, now: Timestamp) -> Result<(), Refused> {
    match document.expires {
        Some(expires) if expires <= now => {
            let message = format!("the key set would have expired at `{expires}` already");
            Err(Refused::new("keys.expires", Exit::Usage, message)
                .hint("give a later day with `--expires`, or `--expires never`"))
        }
        _ => Ok(()),
    }
}

/// One number is one key, whatever its roles.
fn numbers_differ(document: &KeyDocument) -> Result<(), Refused> {
    same_numbers(document.root.keys(), document.release.keys())
}

/// A number stays with its key from one version to the next: a signature names nothing else.
pub(super) fn numbers_stay(old: &KeyDocument, new: &KeyDocument) -> Result<(), Refused> {
    for before in [&old.root, &old.release] {
        for after in [&new.root, &new.release] {
            same_numbers(before.keys(), after.keys())?;
        }
    }
    Ok(())
}

fn same_numbers(some: &[PublicKey], others: &[PublicKey]) -> Result<(), Refused> {
    for key in some {
        if others.iter().any(|other| other.keynum() == key.keynum() && other.bytes() != key.bytes()) {
            let message = format!("two public keys have the number `{}`", key.keynum());
            return Err(Refused::new("keys.duplicate_keynum", Exit::Usage, message)
                .hint("make another key with `fetchd keygen`"));
        }
    }
    Ok(())
}

/// Hosts look at a limited number of signatures, and more must not be needed.
fn can_be_signed(own: &KeySet, before: Option<&KeySet>) -> Result<(), Refused> {
    let needed = match before {
        None => own.threshold(),
        Some(before) => {
            let common = own.keys().iter().filter(|key| before.keys().iter().any(|old| old.bytes() == key.bytes()));
            own.threshold() + before.threshold() - common.count().min(own.threshold()).min(before.threshold())
        }
    };
    if needed <= KeySet::LOOKED_AT {
        return Ok(());
    }
    let message = format!("the key set would need {needed} signatures, and hosts look at {}", KeySet::LOOKED_AT);
    Err(Refused::new("keys.threshold", Exit::Usage, message)
        .hint("choose a lower threshold, or change fewer keys at once"))
}
