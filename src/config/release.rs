//! Source, trust and policy: what is asked, what is believed, what is taken.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fetchd_fetchers::Options;
use semver::Version;
use url::Url;

use super::effective::{Effective, Origin, absolute};
use super::error::ConfigError;
use super::fleet::{self, Fleet};
use super::{Layout, NAMES, is_name, length};
use crate::fetch::{AssetPattern, BadPattern};

/// Where releases come from.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// Its URL; a `file:` one is absolute.
    pub url: Url,
    /// The fetcher's options, not yet looked at; those in the URL's query are not among them.
    pub options: Options,
    /// What the asset for this machine is called, where the source shows several.
    pub asset: Option<AssetPattern>,
    /// What is believed of what it offers.
    pub trust: Trust,
    /// How this host follows the rollouts of a fleet, if the source is one's.
    pub fleet: Option<Fleet>,
}

impl Source {
    /// The URL for the fetcher that reaches it: of a fleet, that of its bucket.
    pub fn reached(&self) -> Url {
        fleet::reached(&self.url).unwrap_or_else(|| self.url.clone())
    }
}

impl fmt::Debug for Source {
    /// The URL redacted, options by name only: both may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("url", &fetchd_fetchers::redact(&self.url))
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .field("asset", &self.asset)
            .field("trust", &self.trust)
            .field("fleet", &self.fleet)
            .finish()
    }
}

/// What is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Signatures.
    Keys {
        /// By these; never empty.
        keys: Vec<KeyRef>,
        /// By so many different ones; at most their number.
        threshold: usize,
        /// Of this kind.
        signature: Signature,
    },
    /// Signatures, by keys that change.
    KeySet {
        /// The provisioned key set's file; absolute, not yet read.
        path: PathBuf,
        /// Of this kind.
        signature: Signature,
    },
    /// The owner of a local file. The source is a `file:` one and the layout external.
    Owner,
    /// Anybody. Only by `--insecure-unsigned`.
    Unsigned,
}

/// A public key as it was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRef {
    /// A file that holds it; absolute, not yet read.
    Path(PathBuf),
    /// The key itself, not yet parsed.
    Inline(String),
}

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// One manifest for the channel.
    Bundle,
    /// Each artifact, with product, version and target in the trusted comment.
    Bound,
    /// Each artifact, with nothing bound.
    Plain,
}

/// What is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The channel to follow.
    pub channel: String,
    /// This version and no other.
    pub pin: Option<Version>,
    /// How long a release must have been known.
    pub cooldown: Duration,
    /// Hold when the newest manifest is older.
    pub max_age: Option<Duration>,
    /// Whether a lower version may be taken.
    pub allow_downgrade: bool,
    /// The provisioned floor, (epoch, sequence number): nothing below is ever accepted.
    pub floor: Option<(u64, u64)>,
}

/// The configured keys and how many of them must have signed; the list may be empty.
pub fn keys(settings: &Effective) -> Result<(Vec<KeyRef>, usize), ConfigError> {
    let keys = listed(settings, "key")?;
    let threshold = usize::try_from(settings.number("threshold").unwrap_or(1)).unwrap_or(usize::MAX);
    if !keys.is_empty() && threshold > keys.len() {
        let message = format!("{threshold} keys must have signed, but there are only {}", keys.len());
        return Err(settings.wrong("threshold", message));
    }
    Ok((keys, threshold))
}

/// The keys of the setting `name`, each once.
pub(super) fn listed(settings: &Effective, name: &str) -> Result<Vec<KeyRef>, ConfigError> {
    let base = settings.base(name);
    let mut keys: Vec<KeyRef> = Vec::new();
    for text in settings.list(name) {
        let key = if is_inline(text) {
            KeyRef::Inline(text.clone())
        } else if text.is_empty() {
            return Err(settings.wrong(name, "one of the keys is empty"));
        } else {
            KeyRef::Path(absolute(base, Path::new(text)))
        };
        if keys.contains(&key) {
            return Err(settings.wrong(name, format!("`{text}` is given twice")));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The file of the provisioned key set, if one is configured.
pub fn provisioned(settings: &Effective) -> Result<Option<PathBuf>, ConfigError> {
    let Some(path) = settings.path("keys") else { return Ok(None) };
    if !settings.list("key").is_empty() {
        return Err(conflict(
            "`key` and `keys` exclude each other",
            "drop `key`: the key set says who signs releases; or drop `keys`, if the keys never change",
        ));
    }
    if *settings.origin("threshold") != Origin::Default {
        return Err(conflict(
            "`threshold` and `keys` exclude each other",
            "drop `threshold`: the key set says how many of its keys must sign",
        ));
    }
    Ok(Some(path))
}

/// The source with its trust, if one is set.
pub(super) fn source(settings: &Effective, layout: Layout) -> Result<Option<Source>, ConfigError> {
    let Some(text) = settings.text("source") else {
        if *settings.origin("source.options") != Origin::Default {
            return Err(settings.wrong("source.options", "there are options, but no source"));
        }
        return Ok(None);
    };
    let url = url(settings, text)?;
    let trust = trust(settings, &url, layout)?;
    let asset = match settings.text("asset") {
        Some(text) => Some(text.parse().map_err(|why: BadPattern| settings.wrong("asset", why.to_string()))?),
        None => None,
    };
    Ok(Some(Source {
        options: settings.table("source.options"),
        asset,
        fleet: fleet::fleet(settings, &url)?,
        url,
        trust,
    }))
}

pub(super) fn policy(settings: &Effective) -> Result<Policy, ConfigError> {
    let channel = settings.text("channel").unwrap_or_default().to_owned();
    if !is_name(&channel) {
        return Err(settings.wrong("channel", format!("`{channel}` cannot be a channel's name; {NAMES}")));
    }
    let pin = match settings.text("pin") {
        Some(text) => {
            let parsed = Version::parse(text);
            Some(parsed.map_err(|_| settings.wrong("pin", format!("`{text}` is not a version such as `1.4.2`")))?)
        }
        None => None,
    };
    let floor = match settings.text("floor") {
        Some(text) => Some(floor(text).map_err(|why| settings.wrong("floor", why))?),
        None => None,
    };
    Ok(Policy {
        channel,
        pin,
        floor,
        cooldown: length(settings, "cooldown"),
        max_age: settings.duration("max_age"),
        allow_downgrade: settings.on("allow_downgrade"),
    })
}

/// Reads `SEQ` or `EPOCH/SEQ`, as (epoch, sequence number).
pub fn floor(text: &str) -> Result<(u64, u64), String> {
    let (epoch, seq) = text.split_once('/').unwrap_or(("0", text));
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number <= LARGEST && !text.starts_with('+'));
    number(epoch).zip(number(seq)).ok_or_else(|| format!("`{text}` is not a number such as `42`, or `EPOCH/NUMBER`"))
}

/// The largest number that a manifest may carry.
const LARGEST: u64 = (1 << 53) - 1;

fn url(settings: &Effective, text: &str) -> Result<Url, ConfigError> {
    let wrong = |message: &str| settings.wrong("source", message);
    // The text is not quoted in these messages: it may hold a password.
    if let Some(path) = text.strip_prefix("file:")
        && !path.starts_with('/')
    {
        let base = Url::from_directory_path(settings.base("source"))
            .map_err(|()| wrong("a relative path, and the working directory is not known"))?;
        return base.join(&format!("./{path}")).map_err(|_| wrong("this is not a path that a URL can hold"));
    }
    match Url::parse(text) {
        Ok(url) => Ok(url),
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            Err(wrong("this is not a URL; for a file of this machine write `file:` before its path"))
        }
        Err(error) => Err(wrong(&format!("this is not a valid URL: {error}"))),
    }
}

fn trust(settings: &Effective, url: &Url, layout: Layout) -> Result<Trust, ConfigError> {
    if let Some(path) = provisioned(settings)? {
        return key_set(settings, url, path);
    }
    let (keys, threshold) = keys(settings)?;
    if url.scheme() == fleet::SCHEME {
        only_bundles(settings)?;
    }
    let owner = settings.text("trust") == Some("owner");
    let unsigned = settings.on("insecure_unsigned");
    match (keys.is_empty(), owner, unsigned) {
        (false, _, true) => Err(conflict(
            "`--insecure-unsigned` is given although a key is configured",
            "drop the flag to check signatures, or the key to check none",
        )),
        (_, true, true) => Err(conflict(
            "`--insecure-unsigned` and `trust = \"owner\"` exclude each other",
            "drop the flag: the owner of the file is checked instead of a signature",
        )),
        (false, true, false) => Err(conflict(
            "a key is configured, but with `trust = \"owner\"` no signature would be checked",
            "drop the key to believe the file's owner, or `trust` to check signatures",
        )),
        (true, true, false) if url.scheme() != "file" => Err(conflict(
            "`trust = \"owner\"` works only with a `file:` source",
            "a file that came over the network has no owner to believe; configure a `key`",
        )),
        (true, true, false) if layout != Layout::External => Err(conflict(
            "`trust = \"owner\"` works only with `layout = \"external\"`",
            "set `layout = \"external\"` if a deploy job replaces the program itself, else configure a `key`",
        )),
        (true, true, false) => Ok(Trust::Owner),
        (true, false, true) => Ok(Trust::Unsigned),
        (true, false, false) => Err(ConfigError::Missing {
            what: "a source is configured, but no key to check its releases with".to_owned(),
            hint: "give the release's public key with `--key FILE`; for local development without signatures use \
                   `--insecure-unsigned`"
                .to_owned(),
        }),
        (false, false, false) => {
            let signature = signature(settings, url);
            if threshold > 1 && signature != Signature::Bundle {
                return Err(conflict(
                    "a `threshold` above 1 needs `signature = \"bundle\"`",
                    "a `.minisig` file holds one signature; publish a bundle, or set the threshold to 1",
                ));
            }
            Ok(Trust::Keys { keys, threshold, signature })
        }
    }
}

/// Trust in a key set, where nothing else is to be believed.
fn key_set(settings: &Effective, url: &Url, path: PathBuf) -> Result<Trust, ConfigError> {
    if settings.text("trust") == Some("owner") {
        return Err(conflict(
            "`keys` is set, but with `trust = \"owner\"` no signature would be checked",
            "drop `keys` to believe the file's owner, or `trust` to check signatures",
        ));
    }
    if settings.on("insecure_unsigned") {
        return Err(conflict(
            "`--insecure-unsigned` is given although `keys` is set",
            "drop the flag to check signatures, or `keys` to check none",
        ));
    }
    if url.scheme() == fleet::SCHEME {
        only_bundles(settings)?;
    }
    if url.scheme() == "github" {
        return Err(conflict(
            "`keys` does not work with a `github:` source: a release there holds no directory for the next key sets",
            "name the release keys with `key`, or publish a bundle where it can have `keys/<version>` beside it: \
             `https:`, `s3:` or `file:`",
        ));
    }
    Ok(Trust::KeySet { path, signature: signature(settings, url) })
}

/// Only a signed manifest says how fast a fleet may go.
fn only_bundles(settings: &Effective) -> Result<(), ConfigError> {
    let other = settings.text("signature").is_some_and(|signature| signature != "bundle");
    if other || settings.on("insecure_unsigned") {
        return Err(conflict(
            "a fleet's releases need a signed manifest, which says how fast they may be rolled out",
            "drop `signature` and `--insecure-unsigned`, and sign with `fetchd sign --bounds`",
        ));
    }
    Ok(())
}

fn signature(settings: &Effective, url: &Url) -> Signature {
    match settings.text("signature") {
        Some("bundle") => Signature::Bundle,
        Some("plain") => Signature::Plain,
        Some(_) => Signature::Bound,
        None if url.scheme() == fleet::SCHEME => Signature::Bundle,
        None if url.path().ends_with(".fetchd") || url.path().ends_with(".json") => Signature::Bundle,
        None => Signature::Bound,
    }
}

fn conflict(what: &str, hint: &str) -> ConfigError {
    ConfigError::Conflict { what: what.to_owned(), hint: hint.to_owned() }
}

/// Whether `text` is a key and not the path of one. The first bytes of every key are `Ed`, which
/// is `RW` in base64, and 42 bytes make 56 characters.
fn is_inline(text: &str) -> bool {
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    text.contains('\n') || (text.len() == 56 && text.starts_with("RW") && text.chars().all(base64))
}
