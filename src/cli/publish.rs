//! `fetchd publish`: a signed release in a directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use semver::Version;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::release::{self, Expiry, Pair, Target, path, signing_key, size, word};
use super::{Failed, Out, load};
use crate::clock::Timestamp;
use crate::config::{self, Effective};
use crate::failure::{Exit, Reported, chain};
use crate::fetch::measure;
use crate::publish::{ArtifactFile, NewRelease, PublishOptions, Published, SigningKey, publish_to_dir};
use crate::trust::manifest::{Revoked, Rollout};
use crate::trust::{Format, KeySet, PublicKey};

pub(super) fn publish(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    let product = config::product(&settings)?;
    let channel = settings.text("channel").unwrap_or_default();
    let dir = directory(matches.get_one::<String>("to").map(String::as_str).unwrap_or_default())?;
    let release = new_release(matches, &settings)?;
    if release.is_none() && !dir.join(format!("{channel}.fetchd")).exists() {
        let hint = "give `--release VERSION` and an artifact as `TARGET=FILE`".to_owned();
        let message = format!("there is no channel `{channel}` of `{product}` in `{}` yet", dir.display());
        return Err(Failed::Usage { message, hint }.into());
    }
    let mut keys = Vec::new();
    for secret in matches.get_many::<PathBuf>("secret-key").unwrap_or_default() {
        keys.push(signing_key(secret)?);
    }
    let trusted = trusted(&settings, &keys)?;
    let unpack = |path: &Path, format: Format, entry: Option<&str>| {
        measure(path, format, entry).map_err(|failure| chain(&failure))
    };
    let mut options = PublishOptions::new(&dir, &product, channel, &keys);
    let versions = |id: &str| -> Vec<Version> { matches.get_many(id).unwrap_or_default().cloned().collect() };
    let version = release.as_ref().map(|release| release.version.clone());
    options.trusted = Some(&trusted);
    options.release = release;
    options.yank = versions("yank");
    options.unyank = versions("unyank");
    let reason = matches.get_one::<String>("reason").cloned().unwrap_or_default();
    let revoked = matches.get_many::<Target>("revoke").unwrap_or_default().cloned();
    options.revoke = revoked.map(|target| Revoked { what: target.0, reason: reason.clone() }).collect();
    options.min_version = matches.get_one("min-version").cloned();
    if let Some(expiry) = matches.get_one::<Expiry>("expires") {
        options.expires_in = expiry.0;
    }
    if let Some(keep) = matches.get_one::<u64>("keep-releases") {
        options.keep = usize::try_from(*keep).unwrap_or(usize::MAX);
    }
    options.epoch = matches.get_one("epoch").copied();
    options.unpack = &unpack;
    options.dry_run = matches.get_flag("dry-run");
    let (dry_run, now) = (options.dry_run, options.now);
    let published = publish_to_dir(&options).map_err(|error| advised(error.into()))?;
    let done = Done { product: &product, channel, version, dry_run, now, keys: &keys, published: &published };
    if out.json() {
        done.json(out)
    } else {
        done.text(out)
    }
    Ok(Exit::Done)
}

/// The failure with what can be done about it here.
fn advised(mut failure: Reported) -> Reported {
    match failure.code.as_str() {
        "publish.exists" => failure.hint = Some("publish the new bytes as a new version".to_owned()),
        "signature.unknown_key" => {
            let hint = "another key signed what is there; if that one is yours too, name it with `--key FILE`";
            failure.hint = Some(hint.to_owned());
        }
        _ => {}
    }
    failure
}

/// The directory to publish to: a path or a `file:` URL.
fn directory(to: &str) -> Result<PathBuf, Failed> {
    let usage = |message: String| Failed::Usage {
        message,
        hint: "a release is published to a directory: give its path, or `file:` and its path".to_owned(),
    };
    let scheme = to.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    });
    match scheme {
        _ if to.is_empty() => Err(usage("the directory to publish to is empty".to_owned())),
        None => Ok(PathBuf::from(to)),
        Some("file") => {
            let url = fetchd_fetchers::parse_source(to).map_err(|error| usage(error.message))?;
            url.to_file_path().map_err(|()| usage("this `file:` URL names no directory of this machine".to_owned()))
        }
        Some(scheme) => Err(usage(format!("this fetchd cannot publish to `{scheme}:`"))),
    }
}

fn new_release(matches: &ArgMatches, settings: &Effective) -> Result<Option<NewRelease>, Reported> {
    let Some(version) = matches.get_one::<Version>("release") else { return Ok(None) };
    let entry = matches.get_one::<String>("entry");
    let mut targets = BTreeSet::new();
    let mut artifacts = Vec::new();
    for Pair { target, path } in matches.get_many::<Pair>("artifacts").unwrap_or_default() {
        if !targets.insert(target) {
            let hint = "one artifact for each target triple".to_owned();
            return Err(Failed::Usage { message: format!("`{target}` is given twice"), hint }.into());
        }
        release::readable(path)?;
        release::for_target(settings, path, target)?;
        let archive = Format::of_name(&path.to_string_lossy()).is_archive();
        let entry = entry.filter(|_| archive).cloned();
        artifacts.push(ArtifactFile { target: target.clone(), path: path.clone(), format: None, entry });
    }
    if entry.is_some() && artifacts.iter().all(|artifact| artifact.entry.is_none()) {
        let message = "`--entry` names a file in an archive, and no artifact is one".to_owned();
        return Err(Failed::Usage { message, hint: "leave it out".to_owned() }.into());
    }
    let mut release = NewRelease::new(version.clone(), artifacts);
    release.critical = matches.get_flag("critical");
    release.min_from = matches.get_one("min-from").cloned();
    release.notes_url = matches.get_one("notes-url").cloned();
    // The version as salt: a higher percentage later only adds hosts, and the next release draws anew.
    let rollout = |percent: &u8| Rollout { percent: *percent, salt: version.to_string() };
    release.rollout = matches.get_one::<u8>("rollout").map(rollout);
    Ok(Some(release))
}

/// Who may have signed what is there: our own keys, and those that are configured.
fn trusted(settings: &Effective, own: &[SigningKey]) -> Result<KeySet, Reported> {
    let mut keys: Vec<PublicKey> = own.iter().map(|key| key.public().clone()).collect();
    if !settings.list("key").is_empty() {
        for key in config::key_set(settings)?.keys() {
            if !keys.iter().any(|known| known.bytes() == key.bytes()) {
                keys.push(key.clone());
            }
        }
    }
    Ok(KeySet::new(keys, 1)?)
}

/// What was published, or would be.
struct Done<'a> {
    product: &'a str,
    channel: &'a str,
    version: Option<Version>,
    dry_run: bool,
    now: Timestamp,
    keys: &'a [SigningKey],
    published: &'a Published,
}

impl Done<'_> {
    /// The release in the manifest.
    fn release(&self) -> Option<&Value> {
        let version = self.version.as_ref()?.to_string();
        self.published.manifest["releases"].as_array()?.iter().find(|release| release["version"] == version.as_str())
    }

    fn artifacts(&self) -> impl Iterator<Item = &Value> {
        self.release().and_then(|release| release["artifacts"].as_array()).into_iter().flatten()
    }

    /// The channel's source URL for a host on this machine.
    fn source(&self) -> String {
        let pointer = &self.published.pointer;
        let absolute = std::path::absolute(pointer).unwrap_or_else(|_| pointer.clone());
        Url::from_file_path(absolute)
            .map_or_else(|()| pointer.display().to_string(), |url| format!("file:{}", url.path()))
    }

    fn text(&self, out: &mut Out) {
        let Done { product, channel, published, .. } = self;
        let what = match &self.version {
            Some(version) => format!("{product} {version} on {channel}"),
            None => format!("{product} on {channel}, with no new release"),
        };
        out.line(if self.dry_run { format!("would publish {what}") } else { format!("published {what}") });
        for artifact in self.artifacts() {
            let text = |key: &str| artifact[key].as_str().unwrap_or_default();
            let name = artifact["urls"][0].as_str().unwrap_or_default();
            let bytes = size(artifact["size"].as_u64().unwrap_or_default());
            out.line(format!("  {}  {bytes}  {name}", text("target")));
        }
        let numbers: Vec<String> = self.keys.iter().map(|key| key.public().keynum()).collect();
        let until = published.expires.map_or("for ever".to_owned(), |expires| format!("until {expires}"));
        out.line(format!("  number {}, good {until}, signed by {}", published.seq, numbers.join(" and ")));
        if self.dry_run {
            return out.line("nothing was written");
        }
        let keys: Vec<String> =
            self.keys.iter().map(|key| format!("--key {}", word(&key.public().to_string()))).collect();
        let keys = keys.join(" ");
        out.line("check it with:");
        out.line(format!("  fetchd verify {keys} --product {} {}", word(product), path(&published.pointer)));
        out.line("follow it with:");
        let source = word(&self.source());
        let channel = if *channel == "stable" { String::new() } else { format!(" --channel {}", word(channel)) };
        out.line(format!(
            "  fetchd run --source {source} {keys} --product {}{channel} -- ./{}",
            word(product),
            word(product)
        ));
    }

    fn json(&self, out: &mut Out) {
        #[derive(Serialize)]
        struct Key {
            keynum: String,
            key: String,
        }
        #[derive(Serialize)]
        struct Answer<'a> {
            dry_run: bool,
            product: &'a str,
            channel: &'a str,
            version: Option<String>,
            pointer: &'a Path,
            source: String,
            epoch: u64,
            seq: u64,
            issued: Timestamp,
            expires: Option<Timestamp>,
            keys: Vec<Key>,
            artifacts: Vec<&'a Value>,
        }
        let key = |key: &SigningKey| Key { keynum: key.public().keynum(), key: key.public().to_string() };
        out.object(&Answer {
            dry_run: self.dry_run,
            product: self.product,
            channel: self.channel,
            version: self.version.as_ref().map(Version::to_string),
            pointer: &self.published.pointer,
            source: self.source(),
            epoch: self.published.manifest["epoch"].as_u64().unwrap_or_default(),
            seq: self.published.seq,
            issued: self.now,
            expires: self.published.expires,
            keys: self.keys.iter().map(key).collect(),
            artifacts: self.artifacts().collect(),
        });
    }
}
