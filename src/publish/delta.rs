//! Deltas from the releases before, beside the artifacts of a new one.
//!
//! Each leads directly from one earlier binary to the new one: a host applies one delta and never a chain of them. An
//! earlier binary is used only if it has the digest that the signed manifest names, and what cannot be had or made is
//! said and left out: a release without a delta is a release all the same.

use std::cmp::Reverse;
use std::fs::File;
use std::path::{Path, PathBuf};

use fetchd_delta::map::Mapped;
use fetchd_delta::{Format as Way, Options, Progress, create, inspect};
use semver::Version;
use serde_json::{Value, json};

use super::channel::measure;
use super::options::{ArtifactFile, PublishOptions, Sending};
use super::place::{Artifact, Looked, Place};
use super::{PublishError, pointer};
use crate::digest::Sha256;
use crate::failure::chain;
use crate::fetch::{ExtractJob, extract};
use crate::trust::Format;

/// A delta larger than so many per cent of the artifact is not worth its trouble.
const WORTHWHILE: u64 = 60;
/// fxd-1 is listed beside dcz only if it has at most so many per cent of its bytes.
const BETTER: u64 = 90;

/// A delta that was made, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaMade {
    /// The target triple.
    pub target: String,
    /// The version that it leads from.
    pub from: Version,
    /// The format; `None` where the earlier binary could not be had.
    pub format: Option<&'static str>,
    /// Its size in bytes, where it was made.
    pub size: Option<u64>,
    /// The size of the whole artifact in bytes.
    pub full: u64,
    /// Why it is not listed; `None`: it is.
    pub left_out: Option<String>,
}

/// An earlier release with an artifact for the same target.
struct Earlier {
    version: Version,
    artifact: Value,
}

/// Makes the deltas of every artifact of the new release, puts them in their place and lists them.
pub(super) fn add<P: Place + ?Sized>(
    manifest: &mut Value,
    options: &PublishOptions<'_, P>,
    tag: Option<&P::Tag>,
) -> Result<Vec<DeltaMade>, PublishError> {
    let Some(release) = options.release.as_ref().filter(|_| options.delta_from > 0) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for file in &release.artifacts {
        let before: &[Value] = match &options.delta_bases[..] {
            [] => pointer::releases(manifest)?,
            bases => bases,
        };
        let earlier = earlier(before, &release.version, &file.target, options.delta_from);
        let name = release.version.to_string();
        let listed = pointer::releases(manifest)?.iter_mut().find(|listed| listed["version"] == name.as_str());
        let artifacts = listed.and_then(|listed| listed["artifacts"].as_array_mut());
        let listed = artifacts.into_iter().flatten().find(|listed| listed["target"] == file.target.as_str());
        let Some(listed) = listed else { continue };
        let scratch = tempfile::tempdir().map_err(PublishError::io("create", Path::new("a temporary directory")))?;
        let new = new_binary(file, listed, scratch.path())?;
        let one = One { options, tag, listed: listed.clone(), version: &name, target: &file.target, new: &new };
        let mut entries = Vec::new();
        for old in &earlier {
            all.extend(one.from(old, scratch.path(), &mut entries)?);
        }
        for entry in entries {
            list(listed, entry);
        }
    }
    Ok(all)
}

/// The newest `most` of the releases below `version` that have an artifact for `target`.
fn earlier(releases: &[Value], version: &Version, target: &str, most: usize) -> Vec<Earlier> {
    let mut earlier = Vec::new();
    for release in releases {
        let Some(known) = release["version"].as_str().and_then(|text| Version::parse(text).ok()) else { continue };
        let artifact = release["artifacts"].as_array().into_iter().flatten().find(|listed| listed["target"] == target);
        if let Some(artifact) = artifact.filter(|_| known.cmp_precedence(version).is_lt()) {
            earlier.push(Earlier { version: known, artifact: artifact.clone() });
        }
    }
    earlier.sort_by_key(|earlier| Reverse(earlier.version.clone()));
    earlier.truncate(most);
    earlier
}

/// Replaces what leads from the same binary in the same format.
fn list(artifact: &mut Value, entry: Value) {
    if !artifact["deltas"].is_array() {
        artifact["deltas"] = json!([]);
    }
    if let Some(deltas) = artifact["deltas"].as_array_mut() {
        deltas.retain(|old| old["from_sha256"] != entry["from_sha256"] || old["format"] != entry["format"]);
        deltas.push(entry);
    }
}

fn new_binary(file: &ArtifactFile, listed: &Value, scratch: &Path) -> Result<PathBuf, PublishError> {
    let path = unpacked(&file.path, listed, &scratch.join("new"))
        .map_err(|why| PublishError::Unpack { path: file.path.clone(), why })?;
    if measure(&path)? != signed(listed, "binary_sha256", "binary_size") {
        return Err(PublishError::Changed(file.path.clone()));
    }
    Ok(path)
}

/// The binary in `artifact`, which is packed as `listed` says.
fn unpacked(artifact: &Path, listed: &Value, out: &Path) -> Result<PathBuf, String> {
    let format: Format = serde_json::from_value(listed["format"].clone()).map_err(|e| e.to_string())?;
    if format == Format::Raw {
        return Ok(artifact.to_owned());
    }
    let (_, size) = signed(listed, "binary_sha256", "binary_size");
    let job = ExtractJob {
        format,
        entry: listed["entry"].as_str().map(str::to_owned),
        program: None,
        binary_size: Some(size),
        max_size: size,
        artifact: std::path::absolute(artifact).map_err(|e| e.to_string())?,
        out: out.to_owned(),
    };
    extract(&job).map_err(|failure| chain(&failure))?;
    Ok(out.to_owned())
}

/// A digest and a size that the manifest names. What it does not name is nothing's.
fn signed(listed: &Value, sha256: &str, size: &str) -> (Sha256, u64) {
    let digest = listed[sha256].as_str().and_then(|text| text.parse().ok()).unwrap_or(Sha256([0; 32]));
    (digest, listed[size].as_u64().unwrap_or(0))
}

/// The deltas to one new binary.
struct One<'a, P: Place + ?Sized> {
    options: &'a PublishOptions<'a, P>,
    tag: Option<&'a P::Tag>,
    listed: Value,
    version: &'a str,
    target: &'a str,
    new: &'a Path,
}

impl<P: Place + ?Sized> One<'_, P> {
    /// Makes what leads from `old`, puts it in its place, and adds what the manifest says of it to `entries`.
    fn from(&self, old: &Earlier, scratch: &Path, entries: &mut Vec<Value>) -> Result<Vec<DeltaMade>, PublishError> {
        let (from, _) = signed(&old.artifact, "binary_sha256", "binary_size");
        if from == signed(&self.listed, "binary_sha256", "binary_size").0 {
            return Ok(vec![self.told(old, None, None, Some("it is the same binary".to_owned()))]);
        }
        let binary = match self.old_binary(old, scratch) {
            Ok(binary) => binary,
            Err(why) => return Ok(vec![self.told(old, None, None, Some(why))]),
        };
        let map = |path: &Path| File::open(path).and_then(|file| Mapped::open(&file));
        let before = map(&binary).map_err(PublishError::io("map", &binary))?;
        let after = map(self.new).map_err(PublishError::io("map", self.new))?;
        let full = self.full();
        let mut told = Vec::new();
        let mut smallest = None;
        for way in Way::ALL {
            let delta = match self.made(way, &before, &after, &old.version) {
                Ok(delta) => delta,
                Err(why) => {
                    told.push(self.told(old, Some(way), None, Some(why)));
                    continue;
                }
            };
            let size = delta.len() as u64;
            let left_out = if size * 100 >= full * WORTHWHILE {
                Some(format!("more than {WORTHWHILE} % of the full artifact"))
            } else if smallest.is_some_and(|smallest: u64| size * 100 > smallest * BETTER) {
                Some("hardly smaller than dcz, which more programs read".to_owned())
            } else {
                smallest = Some(size);
                entries.push(self.put(way, from, &delta, scratch)?);
                None
            };
            told.push(self.told(old, Some(way), Some(size), left_out));
        }
        drop((before, after));
        // Room for the next one.
        let _ = std::fs::remove_file(scratch.join("old.artifact"));
        let _ = std::fs::remove_file(scratch.join("old"));
        Ok(told)
    }

    fn full(&self) -> u64 {
        self.listed["size"].as_u64().unwrap_or(0)
    }

    fn told(&self, old: &Earlier, way: Option<Way>, size: Option<u64>, left_out: Option<String>) -> DeltaMade {
        let (target, from) = (self.target.to_owned(), old.version.clone());
        DeltaMade { target, from, format: way.map(Way::name), size, full: self.full(), left_out }
    }

    /// The binary of an earlier release, if the place still has it as it was signed.
    fn old_binary(&self, old: &Earlier, scratch: &Path) -> Result<PathBuf, String> {
        let expected = signed(&old.artifact, "sha256", "size");
        let path = scratch.join("old.artifact");
        let names = old.artifact["urls"].as_array().into_iter().flatten().filter_map(Value::as_str);
        // What lies elsewhere is not the place's to bring.
        for name in names.filter(|name| !name.contains("://")) {
            let mut file = File::create(&path).map_err(|e| e.to_string())?;
            let there = self.options.to.fetch(name, expected.1, &mut file).map_err(|error| chain(&error))?;
            drop(file);
            if !there {
                continue;
            }
            if measure(&path).map_err(|error| chain(&error))? != expected {
                return Err(format!("`{name}` is not what was signed"));
            }
            let binary = unpacked(&path, &old.artifact, &scratch.join("old"))?;
            let found = measure(&binary).map_err(|error| chain(&error))?;
            if found != signed(&old.artifact, "binary_sha256", "binary_size") {
                return Err(format!("the binary in `{name}` is not what was signed"));
            }
            return Ok(binary);
        }
        Err("its artifact is not there any more".to_owned())
    }

    fn made(&self, way: Way, old: &[u8], new: &[u8], version: &Version) -> Result<Vec<u8>, String> {
        let progress = |now: Progress| {
            let name = format!("{way} from {version}: {}", now.phase.name());
            (self.options.progress)(Sending { name: &name, bytes: now.done, total: now.total });
            true
        };
        create(old, new, way, &Options { progress: Some(&progress), ..Options::default() }).map_err(|e| e.to_string())
    }

    fn put(&self, way: Way, from: Sha256, delta: &[u8], scratch: &Path) -> Result<Value, PublishError> {
        let (sha256, size) = (Sha256::of(delta), delta.len() as u64);
        // Its own digest too: another version of a compressor makes other bytes, and nothing is ever replaced.
        let product = self.options.product;
        let name = format!("{product}-{}-{}.{}-{}.{way}", self.version, self.target, from.short(), sha256.short());
        let path = scratch.join("delta");
        std::fs::write(&path, delta).map_err(PublishError::io("write", &path))?;
        let sent = |bytes| (self.options.progress)(Sending { name: &name, bytes, total: size });
        let artifact = Artifact { name: &name, path: &path, size, sha256, format: None, sent: &sent };
        if let (Looked::Nothing, Some(tag)) = (self.options.to.look(&artifact)?, self.tag) {
            self.options.to.put(tag, &artifact)?;
        }
        let shown = inspect(delta).map_err(|error| PublishError::Unpack { path, why: error.to_string() })?;
        Ok(json!({
            "from_sha256": from, "format": way.name(), "urls": [name], "size": size, "sha256": sha256,
            "mem_bytes": shown.memory, "window_log": shown.window_log,
        }))
    }
}
