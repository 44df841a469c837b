//! What the configuration names, opened: key files read, the source's fetcher made. No network, no state.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use fetchd_fetchers::{Fetcher, Registry};

use super::effective::Effective;
use super::error::ConfigError;
use super::fleet::Fleet;
use super::release::{KeyRef, Source, keys};
use crate::failure::Failure;
use crate::trust::{KeySet, PublicKey, TrustedKeys};

/// The largest file that is looked at as a key, in bytes.
const KEY_FILE_LIMIT: u64 = 64 * 1024;

/// Reads the configured keys.
///
/// Fails with `config.value`, naming the file and the line, if one cannot be read, is no public key
/// or a weak one, and if the set makes no sense: no key at all, one twice, too high a threshold.
pub fn key_set(settings: &Effective) -> Result<KeySet, ConfigError> {
    let (keys, threshold) = keys(settings)?;
    if keys.is_empty() {
        return Err(ConfigError::Missing {
            what: "no public key is given, and nothing is believed without one".to_owned(),
            hint: "give the publisher's key with `--key FILE`".to_owned(),
        });
    }
    let parsed = keys.iter().map(|key| public_key(settings, "key", key)).collect::<Result<Vec<_>, _>>()?;
    KeySet::new(parsed, threshold).map_err(|refused| settings.wrong("key", refused.to_string()))
}

/// Reads the keys that may sign the rollouts of a fleet; one of them suffices. Fails as [`key_set`] does.
pub fn rollout_keys(settings: &Effective, fleet: &Fleet) -> Result<KeySet, ConfigError> {
    let parsed = fleet.keys.iter().map(|key| public_key(settings, "fleet.key", key)).collect::<Result<Vec<_>, _>>()?;
    KeySet::new(parsed, 1).map_err(|refused| settings.wrong("fleet.key", refused.to_string()))
}

/// Reads the provisioned key set of `product` from `path`.
///
/// Fails with `config.value` if it cannot be read, is none, is of another product or is not signed by its own root
/// keys. Whether it has expired is for a pass to say.
pub fn trusted_keys(settings: &Effective, path: &Path, product: &str) -> Result<TrustedKeys, ConfigError> {
    let wrong = |why: String| settings.wrong("keys", format!("`{}`: {why}", path.display()));
    let text = text_of(path).map_err(wrong)?;
    let provision = "give the file that the publisher made with `fetchd keys`, as it is";
    TrustedKeys::provisioned(text.as_bytes(), product).map_err(|refused| {
        let hint = Failure::hint(&refused);
        wrong(format!("{refused} [{}]", refused.code())).hinted(hint.as_deref().unwrap_or(provision))
    })
}

fn public_key(settings: &Effective, name: &str, key: &KeyRef) -> Result<PublicKey, ConfigError> {
    let path = match key {
        KeyRef::Inline(text) => {
            return PublicKey::parse(text).map_err(|refused| settings.wrong(name, refused.to_string()));
        }
        KeyRef::Path(path) => path,
    };
    let text = text_of(path).map_err(|why| settings.wrong(name, format!("`{}`: {why}", path.display())))?;
    PublicKey::parse(&text).map_err(|refused| {
        let line = if text.starts_with("untrusted comment:") && text.lines().count() > 1 { 2 } else { 1 };
        let error = settings.wrong(name, format!("`{}`, line {line}: {refused}", path.display()));
        error.hinted(match text.lines().nth(1).unwrap_or_default() {
            // What a secret key and a signature begin with in base64, and how long they are.
            second if second.starts_with("RW") && second.len() > 200 => {
                "this is a secret key; hosts get the public one, and the secret one belongs nowhere near them"
            }
            second if second.starts_with("RU") || text.contains("\ntrusted comment:") => {
                "this is a signature; give the key that made it"
            }
            _ => "give a `minisign.pub` file, or the 56 characters of its second line",
        })
    })
}

fn text_of(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = File::open(path).and_then(|file| file.take(KEY_FILE_LIMIT + 1).read_to_string(&mut text));
    match opened {
        Ok(_) if text.len() as u64 > KEY_FILE_LIMIT => Err("this is too long for a key".to_owned()),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err("this is not text".to_owned()),
        Err(error) => Err(error.to_string().to_lowercase()),
    }
}

/// Makes the fetcher of the configured source; nothing is asked of it yet.
///
/// Fails with `config.value` for a scheme or an option that does not exist, with what was probably meant.
pub fn fetcher(settings: &Effective, source: &Source, registry: &Registry) -> Result<Box<dyn Fetcher>, ConfigError> {
    registry.open(&source.reached(), &source.options).map_err(|error| {
        let wrong = settings.wrong("source", error.message);
        match error.hint {
            Some(hint) => wrong.hinted(&hint),
            None => wrong,
        }
    })
}
