//! `fetchd publish`: a signed release in a directory, a bucket or a repository.

#[cfg(feature = "github")]
mod github;
mod remember;
mod shown;
mod to;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use semver::Version;

#[cfg(feature = "fleet")]
pub(super) use self::remember::memory;
use self::shown::Done;
#[cfg(feature = "fleet")]
pub(super) use self::shown::{as_json, told};
pub(super) use self::to::To;
use super::release::{self, Expiry, Pair, Target, signing_key};
use super::{Failed, Out, bar, load};
use crate::config::{self, Effective};
use crate::failure::{Exit, Reported, chain};
use crate::fetch::measure;
use crate::publish::{
    self, ArtifactFile, Memory, NewRelease, Place, PublishOptions, Published, Sending, SigningKey, Unpack,
};
use crate::trust::manifest::{Revoked, Rollout};
use crate::trust::{Format, KeySet, PublicKey, TrustedKeys};

pub(super) fn publish(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    let product = config::product(&settings)?;
    let channel = settings.text("channel").unwrap_or_default();
    let release = new_release(matches, &settings)?;
    let to = matches.get_one::<String>("to").map(String::as_str).unwrap_or_default();
    #[cfg(feature = "github")]
    if to.starts_with("github:") {
        if deltas(matches) > 0 {
            let message = "a release on GitHub has no manifest, and so nothing that could list a delta".to_owned();
            let hint = "leave `--delta-from` out, or publish a channel to a directory or a bucket".to_owned();
            return Err(Failed::Usage { message, hint }.into());
        }
        return github::publish(&github::Asked { matches, to, product: &product, channel, release }, out);
    }
    if matches.contains_id("tag") {
        let hint = "only releases of a repository have tags: leave `--tag` out".to_owned();
        return Err(Failed::Usage { message: format!("`{to}` is no repository"), hint }.into());
    }
    let to = To::open(to)?;
    if release.is_none() && !to.holds(channel)? {
        let hint = "give `--release VERSION` and an artifact as `TARGET=FILE`".to_owned();
        let message = format!("there is no channel `{channel}` of `{product}` in `{}` yet", to.shown());
        return Err(Failed::Usage { message, hint }.into());
    }
    let mut keys = Vec::new();
    for secret in matches.get_many::<PathBuf>("secret-key").unwrap_or_default() {
        keys.push(signing_key(secret)?);
    }
    let key_set = key_set(matches)?;
    let trusted = trusted(&settings, &keys, key_set.as_ref())?;
    let memory = remember::memory(matches)?;
    let unpack = |path: &Path, format: Format, entry: Option<&str>| {
        measure(path, format, entry).map_err(|failure| chain(&failure))
    };
    let request = Request {
        matches,
        product: &product,
        channel,
        keys: &keys,
        trusted: &trusted,
        key_set: key_set.as_ref(),
        memory: memory.as_ref(),
        unpack: &unpack,
    };
    let done = match &to {
        To::Directory(dir) => {
            let published = request.publish(dir.as_path(), release)?;
            let pointer = published.pointer.clone();
            request.done(&published, shown::Where::file(&pointer))
        }
        #[cfg(feature = "s3")]
        To::Bucket(place) => {
            let published = request.publish(&**place, release)?;
            let source = place.source(&format!("{channel}.fetchd"));
            request.done(&published, shown::Where::url(&published.pointer, &source))
        }
    };
    if out.json() {
        done.json(out)
    } else {
        done.text(out)
    }
    Ok(Exit::Done)
}

/// What the command line asks for, wherever it is published.
struct Request<'a> {
    matches: &'a ArgMatches,
    product: &'a str,
    channel: &'a str,
    keys: &'a [SigningKey],
    trusted: &'a KeySet,
    key_set: Option<&'a TrustedKeys>,
    memory: Option<&'a Memory>,
    unpack: &'a Unpack<'a>,
}

impl<'a> Request<'a> {
    fn publish<P: Place + ?Sized>(
        &self,
        place: &P,
        release: Option<NewRelease>,
    ) -> Result<Published<P::Location>, Reported> {
        let matches = self.matches;
        let mut options = PublishOptions::at(place, self.product, self.channel, self.keys);
        let versions = |id: &str| -> Vec<Version> { matches.get_many(id).unwrap_or_default().cloned().collect() };
        options.trusted = Some(self.trusted);
        options.key_set = self.key_set;
        options.memory = self.memory;
        options.forget = matches.get_flag("forget");
        options.at_least = matches.get_one("at-least-seq").copied();
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
        options.delta_from = deltas(matches);
        options.unpack = self.unpack;
        options.dry_run = matches.get_flag("dry-run");
        let bar = bar::on_terminal(matches.get_flag("json"));
        let progress = |sending: Sending<'_>| {
            if let Some(bar) = &bar {
                bar.set_length(sending.total);
                bar.set_message(sending.name.to_owned());
                bar.set_position(sending.bytes);
            }
        };
        options.progress = &progress;
        let published = publish::publish(&options).map_err(|error| advised(error.into()));
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        if let Ok(Published { unknown: true, .. }) = &published {
            let pointer = place.show(&format!("{}.fetchd", self.channel));
            remember::unknown(matches, &pointer, self.memory);
        }
        published
    }

    fn done<L>(&self, published: &Published<L>, at: shown::Where) -> Done<'a> {
        Done {
            product: self.product,
            channel: self.channel,
            version: self.matches.get_one::<Version>("release").cloned(),
            dry_run: self.matches.get_flag("dry-run"),
            keys: self.keys,
            key_set: self.matches.get_one::<PathBuf>("key-set").cloned(),
            at,
            manifest: published.manifest.clone(),
            deltas: published.deltas.clone(),
            seq: published.seq,
            expires: published.expires,
        }
    }
}

/// From how many releases deltas are asked for. If from any, others on this machine come first from now on.
pub(super) fn deltas(matches: &ArgMatches) -> usize {
    let most = matches.get_one::<u64>("delta-from").map_or(0, |most| usize::try_from(*most).unwrap_or(usize::MAX));
    if most > 0 {
        let _ = rustix::process::nice(10);
    }
    most
}

/// The failure with what can be done about it here.
fn advised(mut failure: Reported) -> Reported {
    match failure.code.as_str() {
        "publish.exists" => failure.hint = Some("publish the new bytes as a new version".to_owned()),
        "signature.unknown_key" | "signature.threshold"
            if failure.hint.as_deref().is_none_or(|hint| hint.starts_with("trusted: ")) =>
        {
            let hint = "another key signed what is there; if that one is yours too, name it with `--key FILE`";
            failure.hint = Some(hint.to_owned());
        }
        _ => {}
    }
    failure
}

pub(super) fn new_release(matches: &ArgMatches, settings: &Effective) -> Result<Option<NewRelease>, Reported> {
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
    // `fleet publish` has no such flag: its shares are those of the rollout.
    release.rollout = matches.try_get_one::<u8>("rollout").ok().flatten().map(rollout);
    Ok(Some(release))
}

/// The key set that hosts go by, if it is given.
fn key_set(matches: &ArgMatches) -> Result<Option<TrustedKeys>, Reported> {
    let Some(path) = matches.get_one::<PathBuf>("key-set") else { return Ok(None) };
    release::readable(path)?;
    let bytes = std::fs::read(path).map_err(|source| Failed::Unreadable { path: path.clone(), source })?;
    Ok(Some(publish::complete_keys(&bytes)?))
}

/// Who may have signed what is there: as hosts see it with a key set, else any of our own keys; and any of those
/// that are configured, where the keys have changed.
fn trusted(settings: &Effective, own: &[SigningKey], set: Option<&TrustedKeys>) -> Result<KeySet, Reported> {
    if let Some(set) = set.filter(|_| settings.list("key").is_empty()) {
        return Ok(set.release().clone());
    }
    let mut keys: Vec<PublicKey> = own.iter().map(|key| key.public().clone()).collect();
    let mut others = set.map(|set| set.release().keys().to_vec()).unwrap_or_default();
    if !settings.list("key").is_empty() {
        others.extend_from_slice(config::key_set(settings)?.keys());
    }
    for key in others {
        if !keys.iter().any(|known| known.bytes() == key.bytes()) {
            keys.push(key);
        }
    }
    Ok(KeySet::new(keys, 1)?)
}
