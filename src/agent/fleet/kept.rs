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

/// The most ways back from a release that are kept: the newest versions.
const MOST_WAYS_BACK: usize = 64;

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
pub(super) fn remember(came: &mut Vec<Came>, mut new: Came) -> bool {
    // A manifest may list more than a state file holds; what is read is never larger than what is written.
    new.rollback_to.sort_by(|a, b| b.cmp(a));
    new.rollback_to.truncate(MOST_WAYS_BACK);
    if came.contains(&new) {
        return false;
    }
    came.retain(|known| known.sha256 != new.sha256);
    came.push(new);
    let excess = came.len().saturating_sub(MOST_CAME);
    came.drain(..excess);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_release_is_bounded() {
        let rollback_to: Vec<Version> = (0..5000).map(|patch| Version::new(1, 0, patch)).collect();
        let new =
            Came { release: "1.1.0".to_owned(), version: Version::new(1, 1, 0), sha256: Sha256::of(b"x"), rollback_to };
        let mut came = Vec::new();
        assert!(remember(&mut came, new.clone()) && !remember(&mut came, new));
        assert_eq!((came[0].rollback_to.len(), &came[0].rollback_to[0]), (64, &Version::new(1, 0, 4999)));
    }
}
