//! `fetchd fleet publish`: a signed release in the fleet's bucket.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use fetchd_fetchers::Options;
use semver::Version;
use serde::Serialize;
use serde_json::Value;

use super::open::names;
use crate::cli::publish::{as_json, deltas, memory, new_release, told};
use crate::cli::release::{Expiry, signing_key, size, word};
use crate::cli::{Failed, Out, load};
use crate::clock::Timestamp;
use crate::config;
use crate::digest::Sha256;
use crate::failure::{Exit, Reported, chain};
use crate::fetch::measure;
use crate::fleet::head::is_release;
use crate::publish::{self, BucketPlace, NewRelease, OneRelease, Place as _, PublishOptions, Published};
use crate::rollout::releases::{Listed, releases};
use crate::rollout::{Desk, RolloutError, profile};
use crate::trust::bundle::Bundle;
use crate::trust::manifest::Bounds;
use crate::trust::{Format, KeySet};
use url::Url;

pub(super) fn publish(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let settings = load(matches)?;
    let mut store = super::store(matches)?;
    let names = names(&store, &settings)?;
    let Some(mut release) = new_release(matches, &settings)? else { return Ok(Exit::Usage) };
    let bounds = bounds(matches)?;
    release.bounds = Some(bounds.clone());
    let mut keys = Vec::new();
    for path in matches.get_many::<PathBuf>("secret-key").unwrap_or_default() {
        keys.push(signing_key(path)?);
    }
    // Who may have signed what is there: whoever signs now, and whoever is configured.
    let mut trusted: Vec<_> = keys.iter().map(|key| key.public().clone()).collect();
    if !settings.list("key").is_empty() {
        let configured = config::key_set(&settings)?;
        if let Some(stranger) = trusted.iter().find(|key| !configured.keys().contains(key)) {
            let message = format!("{} is none of the keys that may sign releases (`key`)", stranger.keynum());
            let hint =
                "no host would take it: sign with the offline key, or name this one with `--key` as well".to_owned();
            return Err(Failed::Usage { message, hint }.into());
        }
        trusted.extend(configured.keys().iter().filter(|key| !trusted.contains(key)).cloned().collect::<Vec<_>>());
    }
    let trusted = KeySet::new(trusted, 1)?;
    let id = id(matches, &release)?;
    let listed = releases(&mut Desk::new(&mut store, names.clone(), trusted.clone(), Timestamp::now()), &trusted)?;
    let newest = listed.first().map(|newest| newest.bundle.clone());

    let at = |directory: &str| -> Result<BucketPlace, Reported> {
        let mut place = super::url(matches)?;
        place.set_path(&format!("/{directory}"));
        Ok(BucketPlace::open(&place, &Options::new())?)
    };
    let (place, all) = (at(&names.release(&id))?, at(&names.releases())?);
    let one = OneRelease { place: &place, all: &all, newest, identity: all.identity() };
    let memory = memory(matches)?;
    let unpack = |path: &Path, format: Format, entry: Option<&str>| {
        measure(path, format, entry).map_err(|failure| chain(&failure))
    };
    let mut options = PublishOptions::at(&one, names.product(), names.channel(), &keys);
    options.trusted = Some(&trusted);
    options.memory = memory.as_ref();
    options.release = Some(release.clone());
    options.alone = true;
    options.unpack = &unpack;
    options.dry_run = matches.get_flag("dry-run");
    options.forget = matches.get_flag("forget");
    options.delta_from = deltas(matches);
    options.delta_bases = listed.iter().filter_map(in_its_directory).collect();
    if let Some(expiry) = matches.get_one::<Expiry>("expires") {
        options.expires_in = expiry.0;
    }
    let published = publish::publish(&options)?;
    if !options.dry_run {
        let mut desk = Desk::new(&mut store, names.clone(), trusted.clone(), Timestamp::now());
        alone(&mut desk, &trusted, &id, published.seq)?;
    }
    let done = Done { id: &id, release: &release, bounds: &bounds, published: &published, dry_run: options.dry_run };
    if out.json() {
        done.json(out)
    } else {
        done.text(out)
    }
    Ok(Exit::Done)
}

/// What the manifest of a release lists, with its artifacts by their names in the directory of all releases.
fn in_its_directory(listed: &Listed) -> Option<Value> {
    let bundle = Bundle::parse(&listed.bundle).ok()?;
    let mut manifest: Value = serde_json::from_slice(bundle.claimed_payload()).ok()?;
    let mut release = manifest["releases"].get_mut(0)?.take();
    for artifact in release["artifacts"].as_array_mut()? {
        for url in artifact["urls"].as_array_mut()? {
            if let Some(name) = url.as_str().filter(|name| !name.contains("://")) {
                *url = format!("{}/{name}", listed.release).into();
            }
        }
    }
    Some(release)
}

/// Two publishers at the same time give the same number to two releases, and a host that has seen one refuses the other.
fn alone(desk: &mut Desk<'_>, trusted: &KeySet, id: &str, seq: u64) -> Result<(), Reported> {
    let listed = releases(desk, trusted)?;
    match listed.iter().find(|other| other.release != id && other.number.1 == seq) {
        None => Ok(()),
        Some(other) => Err(RolloutError::Changed {
            read: seq.saturating_sub(1),
            now: format!(
                "release `{}` with the same number; publish this one again with another `--id`",
                other.release
            ),
        }
        .into()),
    }
}

fn bounds(matches: &ArgMatches) -> Result<Bounds, Reported> {
    let asked = matches.get_one::<String>("bounds").map(String::as_str).unwrap_or_default();
    let mut bounds = profile::open_bounds(asked)?;
    bounds.emergency_ok |= matches.get_flag("emergency-ok");
    for version in matches.get_many::<Version>("rollback-to").unwrap_or_default() {
        if !bounds.rollback_to.contains(version) {
            bounds.rollback_to.push(version.clone());
        }
    }
    Ok(bounds)
}

/// The version, and the first digits of the digest of what is published.
fn id(matches: &ArgMatches, release: &NewRelease) -> Result<String, Reported> {
    let id = match matches.get_one::<String>("id") {
        Some(id) => id.clone(),
        None => {
            let mut digests = String::new();
            for artifact in &release.artifacts {
                let path = &artifact.path;
                let unreadable = |source| Failed::Unreadable { path: path.clone(), source };
                let (digest, _) =
                    Sha256::of_reader(&mut std::fs::File::open(path).map_err(unreadable)?).map_err(unreadable)?;
                digests.push_str(&format!("{} {digest}\n", artifact.target));
            }
            let joined = if release.version.build.is_empty() { '+' } else { '.' };
            format!("{}{joined}{}", release.version, &Sha256::of(digests.as_bytes()).to_string()[..8])
        }
    };
    if is_release(&id) {
        return Ok(id);
    }
    let hint = "1 to 128 letters, digits, `.`, `_`, `+` and `-`, beginning with a letter or a digit".to_owned();
    Err(Failed::Usage { message: format!("`{id}` cannot be the name of a release's directory"), hint }.into())
}

struct Done<'a> {
    id: &'a str,
    release: &'a NewRelease,
    bounds: &'a Bounds,
    published: &'a Published<Url>,
    dry_run: bool,
}

impl Done<'_> {
    fn text(&self, out: &mut Out) {
        let (id, version) = (self.id, &self.release.version);
        out.line(format!("{} {version} as {id}", if self.dry_run { "would publish" } else { "published" }));
        for artifact in self.published.manifest["releases"][0]["artifacts"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let bytes = size(artifact["size"].as_u64().unwrap_or_default());
            out.line(format!("  {}  {bytes}  {}", text(&artifact["target"]), text(&artifact["urls"][0])));
        }
        self.published.deltas.iter().for_each(|delta| out.line(format!("  {}", told(delta))));
        let until = self.published.expires.map_or("for ever".to_owned(), |expires| format!("until {expires}"));
        out.line(format!("  number {}, good {until}", self.published.seq));
        let Bounds { min_steps, max_first_pct, min_total_s, min_bake_s, emergency_ok, rollback_to } = self.bounds;
        let show = |seconds: u64| crate::units::show_duration(std::time::Duration::from_secs(seconds));
        out.line(format!(
            "  bounds: {min_steps} steps or more, at most {max_first_pct} % at first, {} in all, {} of watching{}",
            show(*min_total_s),
            show(*min_bake_s),
            if *emergency_ok { ", or an emergency's hour" } else { "" },
        ));
        let back: Vec<String> = rollback_to.iter().map(ToString::to_string).collect();
        out.line(format!("  way back to: {}", if back.is_empty() { "nothing".to_owned() } else { back.join(", ") }));
        if self.dry_run {
            return out.line("nothing was written");
        }
        out.line("no host takes it yet; begin with:");
        out.line(format!("  fetchd fleet start --release {} --plan default --dry-run", word(id)));
    }

    fn json(&self, out: &mut Out) {
        #[derive(Serialize)]
        struct Answer<'a> {
            dry_run: bool,
            release: &'a str,
            version: String,
            manifest: &'a str,
            seq: u64,
            expires: Option<Timestamp>,
            bounds: &'a Bounds,
            artifacts: &'a Value,
            deltas: Vec<Value>,
        }
        out.object(&Answer {
            dry_run: self.dry_run,
            release: self.id,
            version: self.release.version.to_string(),
            manifest: self.published.pointer.as_str(),
            seq: self.published.seq,
            expires: self.published.expires,
            bounds: self.bounds,
            artifacts: &self.published.manifest["releases"][0]["artifacts"],
            deltas: self.published.deltas.iter().map(as_json).collect(),
        });
    }
}
