//! The deltas that a manifest lists: another way to the same binary.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire::{MAX_URLS, is_location};
use crate::digest::Sha256;
use crate::trust::json::MAX_INTEGER;

/// The most deltas of one artifact, those of unknown formats among them.
pub(super) const MAX_DELTAS: usize = 64;
/// The windows that zstd knows, as binary logarithms.
const WINDOWS: std::ops::RangeInclusive<u8> = 10..=31;

/// How a delta is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeltaFormat {
    /// RFC 9842.
    #[serde(rename = "dcz")]
    Dcz,
    /// `docs/formats/fxd-1.md`.
    #[serde(rename = "fxd-1")]
    Fxd1,
}

impl DeltaFormat {
    /// Every format.
    pub const ALL: [DeltaFormat; 2] = [DeltaFormat::Dcz, DeltaFormat::Fxd1];

    /// Its name in a manifest, in a history and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            DeltaFormat::Dcz => "dcz",
            DeltaFormat::Fxd1 => "fxd-1",
        }
    }

    /// The format called `name`.
    pub fn named(name: &str) -> Option<DeltaFormat> {
        DeltaFormat::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl fmt::Display for DeltaFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What turns an earlier binary into the one of this artifact. Its result is held against the artifact's
/// `binary_sha256`, so a wrong one can waste work and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The digest of the binary it was made from: of the bytes that run, not of a version.
    pub from_sha256: Sha256,
    /// How it is written.
    pub format: DeltaFormat,
    /// Asset names or absolute URLs, in order of preference.
    pub urls: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// The anonymous memory that applying it takes, in bytes, where it is said.
    pub mem_bytes: Option<u64>,
    /// The binary logarithm of the zstd window it needs, where it needs one.
    pub window_log: Option<u8>,
}

#[derive(Deserialize)]
struct WireDelta {
    from_sha256: Sha256,
    urls: Vec<String>,
    size: u64,
    sha256: Sha256,
    mem_bytes: Option<u64>,
    window_log: Option<u8>,
}

/// Reads the deltas of one artifact, or says what is wrong with them.
///
/// A format that is not known is passed over with whatever else its entry says: a later fetchd may write one, and this
/// one still has the full artifact. What is known is read as strictly as the rest of a manifest.
pub(super) fn deltas(wire: Vec<Value>) -> Result<Vec<Delta>, String> {
    if wire.len() > MAX_DELTAS {
        return Err(format!("has {} deltas, the limit is {MAX_DELTAS}", wire.len()));
    }
    let mut read: Vec<Delta> = Vec::new();
    for entry in wire {
        let Some(name) = entry.get("format").and_then(Value::as_str) else {
            return Err("has a delta without a `format`".to_owned());
        };
        let Some(format) = DeltaFormat::named(name) else { continue };
        let delta = delta(format, entry)?;
        if read.iter().any(|known| (known.from_sha256, known.format) == (delta.from_sha256, format)) {
            return Err(format!("has two deltas in the format {format} from {}", delta.from_sha256));
        }
        read.push(delta);
    }
    Ok(read)
}

fn delta(format: DeltaFormat, entry: Value) -> Result<Delta, String> {
    let wire = WireDelta::deserialize(entry).map_err(|e| format!("has a delta that cannot be read: {e}"))?;
    if wire.urls.is_empty() || wire.urls.len() > MAX_URLS || !wire.urls.iter().all(|url| is_location(url)) {
        return Err(format!("has a delta that needs 1 to {MAX_URLS} asset names or absolute URLs"));
    }
    if wire.size == 0 || wire.size > MAX_INTEGER || wire.mem_bytes.is_some_and(|bytes| bytes > MAX_INTEGER) {
        return Err("has a delta with a size that is not from 1 to 2^53 - 1".to_owned());
    }
    if wire.window_log.is_some_and(|log| !WINDOWS.contains(&log)) {
        return Err("has a delta with a `window_log` that is not from 10 to 31".to_owned());
    }
    Ok(Delta {
        from_sha256: wire.from_sha256,
        format,
        urls: wire.urls,
        size: wire.size,
        sha256: wire.sha256,
        mem_bytes: wire.mem_bytes,
        window_log: wire.window_log,
    })
}
