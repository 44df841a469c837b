//! What a host of a fleet must still know after a restart: `fleet.json`.

use std::io;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::fleet::host::Memory;
use crate::state::StateError;

/// The layout of the file that this fetchd reads and writes.
const SCHEMA: u32 = 1;

/// How many releases are remembered that this host came to: what runs, and what it may fall back to.
const MOST_CAME: usize = 8;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    schema: u32,
    pub(super) memory: Memory,
    #[serde(default)]
    pub(super) came: Vec<Came>,
}

/// A release that this host came to through its fleet, with what the offline keys said of the ways back from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Came {
    pub(super) release: String,
    pub(super) version: Version,
    pub(super) sha256: Sha256,
    pub(super) rollback_to: Vec<Version>,
}

impl Kept {
    pub(super) fn read(bytes: &[u8]) -> Result<Kept, String> {
        let kept: Kept = serde_json::from_slice(bytes).map_err(|e| format!("is not what was kept of a fleet: {e}"))?;
        match kept.schema {
            SCHEMA => Ok(kept),
            other => Err(format!("has schema {other}, this fetchd reads schema {SCHEMA}")),
        }
    }

    pub(super) fn written(memory: &Memory, came: &[Came]) -> Result<Vec<u8>, StateError> {
        #[derive(Serialize)]
        struct Written<'a> {
            schema: u32,
            memory: &'a Memory,
            came: &'a [Came],
        }
        let written = serde_json::to_vec(&Written { schema: SCHEMA, memory, came });
        written.map_err(|e| StateError::Io { path: "fleet.json".into(), step: "encoding", source: io::Error::other(e) })
    }
}

/// Adds `new` as the newest, in the place of what was known of the same bytes. Whether that changed anything.
pub(super) fn remember(came: &mut Vec<Came>, new: Came) -> bool {
    if came.contains(&new) {
        return false;
    }
    came.retain(|known| known.sha256 != new.sha256);
    came.push(new);
    let excess = came.len().saturating_sub(MOST_CAME);
    came.drain(..excess);
    true
}
