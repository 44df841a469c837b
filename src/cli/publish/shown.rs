//! What `fetchd publish` says it has done.

use std::path::{Path, PathBuf};

use semver::Version;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::cli::Out;
use crate::cli::release::{path, size, word};
use crate::clock::Timestamp;
use crate::publish::{DeltaMade, SigningKey};

/// What was published, or would be.
pub(super) struct Done<'a> {
    pub(super) product: &'a str,
    pub(super) channel: &'a str,
    pub(super) version: Option<Version>,
    pub(super) dry_run: bool,
    pub(super) keys: &'a [SigningKey],
    /// The key set that hosts are given instead of keys.
    pub(super) key_set: Option<PathBuf>,
    pub(super) at: Where,
    pub(super) manifest: Value,
    pub(super) deltas: Vec<DeltaMade>,
    pub(super) seq: u64,
    pub(super) expires: Option<Timestamp>,
}

/// Where the channel's pointer lies.
pub(super) struct Where {
    /// As the place names it.
    pointer: String,
    /// As the source URL of a host.
    source: String,
    /// As a file of this machine, which `fetchd verify` reads.
    file: Option<PathBuf>,
}

impl Where {
    /// A file, for a host on this machine.
    pub(super) fn file(pointer: &Path) -> Where {
        let shown = pointer.display().to_string();
        let absolute = std::path::absolute(pointer).unwrap_or_else(|_| pointer.to_owned());
        let source =
            Url::from_file_path(absolute).map_or_else(|()| shown.clone(), |url| format!("file:{}", url.path()));
        Where { pointer: shown, source, file: Some(pointer.to_owned()) }
    }

    /// An object somewhere else.
    #[cfg(feature = "s3")]
    pub(super) fn url(pointer: &Url, source: &Url) -> Where {
        Where { pointer: pointer.to_string(), source: source.to_string(), file: None }
    }
}

impl Done<'_> {
    /// The release in the manifest.
    fn release(&self) -> Option<&Value> {
        let version = self.version.as_ref()?.to_string();
        self.manifest["releases"].as_array()?.iter().find(|release| release["version"] == version.as_str())
    }

    fn artifacts(&self) -> impl Iterator<Item = &Value> {
        self.release().and_then(|release| release["artifacts"].as_array()).into_iter().flatten()
    }

    pub(super) fn text(&self, out: &mut Out) {
        let Done { product, channel, at, .. } = self;
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
        self.deltas.iter().for_each(|delta| out.line(format!("  {}", told(delta))));
        let numbers: Vec<String> = self.keys.iter().map(|key| key.public().keynum()).collect();
        let until = self.expires.map_or("for ever".to_owned(), |expires| format!("until {expires}"));
        out.line(format!("  number {}, good {until}, signed by {}", self.seq, numbers.join(" and ")));
        if self.dry_run {
            return out.line("nothing was written");
        }
        let keys: Vec<String> = match &self.key_set {
            Some(file) => vec![format!("--keys {}", path(file))],
            None => self.keys.iter().map(|key| format!("--key {}", word(&key.public().to_string()))).collect(),
        };
        let keys = keys.join(" ");
        if let Some(file) = &at.file {
            out.line("check it with:");
            out.line(format!("  fetchd verify {keys} --product {} {}", word(product), path(file)));
        }
        out.line("follow it with:");
        let source = word(&at.source);
        let channel = if *channel == "stable" { String::new() } else { format!(" --channel {}", word(channel)) };
        out.line(format!(
            "  fetchd run --source {source} {keys} --product {}{channel} -- ./{}",
            word(product),
            word(product)
        ));
    }

    pub(super) fn json(&self, out: &mut Out) {
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
            pointer: &'a str,
            source: &'a str,
            epoch: u64,
            seq: u64,
            issued: &'a Value,
            expires: Option<Timestamp>,
            keys: Vec<Key>,
            artifacts: Vec<&'a Value>,
            deltas: Vec<Value>,
        }
        let key = |key: &SigningKey| Key { keynum: key.public().keynum(), key: key.public().to_string() };
        out.object(&Answer {
            dry_run: self.dry_run,
            product: self.product,
            channel: self.channel,
            version: self.version.as_ref().map(Version::to_string),
            pointer: &self.at.pointer,
            source: &self.at.source,
            epoch: self.manifest["epoch"].as_u64().unwrap_or_default(),
            seq: self.seq,
            issued: &self.manifest["issued"],
            expires: self.expires,
            keys: self.keys.iter().map(key).collect(),
            artifacts: self.artifacts().collect(),
            deltas: self.deltas.iter().map(as_json).collect(),
        });
    }
}

/// `delta from 1.4.1: fxd-1, 36.1 KiB, 0.8 %`.
pub(in crate::cli) fn told(delta: &DeltaMade) -> String {
    let from = format!("{}  delta from {}", delta.target, delta.from);
    let format = delta.format.map(|format| format!(" {format}")).unwrap_or_default();
    let made = delta.size.map(|bytes| {
        let share = 100.0 * bytes as f64 / delta.full.max(1) as f64;
        format!(" {}, {share:.1} %", size(bytes))
    });
    let why = delta.left_out.as_ref().map(|why| format!(", left out: {why}")).unwrap_or_default();
    format!("{from}:{format}{}{why}", made.unwrap_or_default())
}

pub(in crate::cli) fn as_json(delta: &DeltaMade) -> Value {
    let DeltaMade { target, from, format, size, full, left_out } = delta;
    serde_json::json!({
        "target": target, "from": from.to_string(), "format": format, "size": size, "full_size": full,
        "listed": left_out.is_none(), "left_out": left_out,
    })
}
