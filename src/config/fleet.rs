//! A fleet's source: the bucket, whose word counts about rollouts, and who this host is among the others.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::effective::{Effective, Origin};
use super::error::ConfigError;
use super::release::{KeyRef, listed};
use super::{NAMES, is_name, length, table};

/// The scheme of a fleet's source.
pub(super) const SCHEME: &str = "fleet+s3";

/// How this host follows the rollouts of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// The keys that sign rollouts; never empty.
    pub keys: Vec<KeyRef>,
    /// Under which prefix of the bucket everything is; may be empty.
    pub prefix: String,
    /// What the fleet calls this host; `None`: by its machine id.
    pub host: Option<String>,
    /// Tells clones with one machine id apart.
    pub instance: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it volunteers to count.
    pub steward: bool,
    /// The release it takes, or that it keeps what it has.
    pub pin: Option<Pin>,
    /// How long before its turn it begins to download.
    pub prefetch: Duration,
}

/// What this host takes, whatever is rolled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// What it has.
    Hold,
    /// This release.
    Release(String),
}

/// The fleet that `url` names, if it names one.
pub(super) fn fleet(settings: &Effective, url: &Url) -> Result<Option<Fleet>, ConfigError> {
    if url.scheme() != SCHEME {
        let given = table::settings()
            .find(|setting| setting.key.starts_with("fleet.") && *settings.origin(setting.key) != Origin::Default);
        return match given {
            Some(setting) => {
                Err(settings.wrong(setting.key, "the source is not a fleet's: `fleet+s3://bucket/prefix`"))
            }
            None => Ok(None),
        };
    }
    if !cfg!(feature = "fleet") {
        return Err(settings.wrong("source", "this fetchd is built without the feature `fleet`"));
    }
    let keys = listed(settings, "fleet.key")?;
    if keys.is_empty() {
        return Err(ConfigError::Missing {
            what: "the source is a fleet's, but no key is given that may sign its rollouts".to_owned(),
            hint: "give the rollouts' public key with `--fleet-key FILE`".to_owned(),
        });
    }
    Ok(Some(Fleet {
        keys,
        prefix: prefix(settings, url)?,
        host: name(settings, "fleet.host")?,
        instance: settings.text("fleet.instance").map(str::to_owned),
        labels: labels(settings)?,
        steward: settings.on("fleet.steward"),
        pin: name(settings, "fleet.pin")?.map(|pin| if pin == "hold" { Pin::Hold } else { Pin::Release(pin) }),
        prefetch: length(settings, "fleet.prefetch"),
    }))
}

/// The address under which the fetcher of S3 reaches what `url` names.
pub(super) fn reached(url: &Url) -> Option<Url> {
    // Neither scheme is one that the URL standard treats in its own way, so the one can take the place of the other.
    let rest = url.as_str().strip_prefix(SCHEME)?;
    Url::parse(&format!("s3{rest}")).ok()
}

fn prefix(settings: &Effective, url: &Url) -> Result<String, ConfigError> {
    let prefix = url.path().trim_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '=');
    if !prefix.chars().all(plain) || prefix.contains("//") {
        return Err(
            settings.wrong("source", "a fleet's prefix has letters, digits, `.`, `_`, `-`, `+`, `=` and `/` only")
        );
    }
    Ok(prefix.to_owned())
}

fn name(settings: &Effective, key: &str) -> Result<Option<String>, ConfigError> {
    match settings.text(key) {
        // A release may have build metadata.
        Some(name) if is_name(&name.replace('+', "-")) && (key == "fleet.pin" || !name.contains('+')) => {
            Ok(Some(name.to_owned()))
        }
        Some(name) => Err(settings.wrong(key, format!("`{name}` cannot be a name here; {NAMES}"))),
        None => Ok(None),
    }
}

fn labels(settings: &Effective) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut labels = BTreeMap::new();
    for text in settings.list("fleet.labels") {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, value)| is_name(name) && is_name(value))
            .ok_or_else(|| settings.wrong("fleet.labels", format!("`{text}` is not NAME=VALUE; {NAMES}")))?;
        if labels.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(settings.wrong("fleet.labels", format!("`{name}` is given twice")));
        }
    }
    Ok(labels)
}
