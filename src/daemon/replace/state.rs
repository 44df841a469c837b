//! What one fetchd leaves to the next: JSON in a memory file, with the descriptors beside it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::ReplaceError;
use crate::agent::{LastPass, Running};
use crate::clock::{Steady, Timestamp};
use crate::digest::Sha256;
use crate::failure::Reported;
use crate::restart::supervise::Carried;

/// The layout that this fetchd writes and reads. Any change of [`State`] or of what is in it is another one.
pub(super) const SCHEMA: u32 = 1;

/// Everything that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The layout of this object.
    pub(super) schema: u32,
    /// The version of the fetchd that wrote it.
    pub(super) fetchd: String,
    /// Where fetchd lies: what the next replacement executes.
    pub(super) program: PathBuf,
    /// The file that the writer runs, open.
    pub(super) image: RawFd,
    /// Every descriptor that stays open.
    pub(super) descriptors: Vec<RawFd>,
    /// Which service.
    pub(super) service: Service,
    /// The text of the configuration file that the writer went by, where there is one.
    pub(super) configuration: Option<String>,
    /// Why a configuration is not applied, as the writer shows it.
    pub(super) trouble: Option<Reported>,
    /// When the process began to supervise.
    pub(super) began: Steady,
    /// When it was asked to replace itself.
    pub(super) asked: Steady,
    /// Who asked, to be answered.
    pub(super) asker: Option<RawFd>,
    /// The control socket.
    pub(super) control: Option<RawFd>,
    /// The lock of the state directory, where it is held.
    pub(super) lock: Option<RawFd>,
    /// Sockets and generations.
    pub(super) supervisor: Carried,
    /// The agent, at rest.
    pub(super) updates: Updates,
}

/// What must be the same before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::daemon) struct Service {
    pub(super) product: String,
    pub(super) state_dir: PathBuf,
    pub(super) program: PathBuf,
    /// The driver and the layout, in words.
    pub(super) restart: String,
    pub(super) layout: String,
}

/// Where the agent is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Updates {
    /// The digest of what runs, where it is known.
    pub(super) sha256: Option<Sha256>,
    /// Its version, where known.
    pub(super) version: Option<Version>,
    /// When the source is asked next.
    pub(super) next_poll: Option<Timestamp>,
    /// The last pass.
    pub(super) last: Option<LastPass>,
}

/// What of any layout must be readable: enough to let the program go on that wrote it.
#[derive(Debug, Deserialize)]
pub(super) struct Outline {
    pub(super) schema: u32,
    pub(super) image: RawFd,
    pub(super) descriptors: Vec<RawFd>,
}

impl Updates {
    pub(super) fn running(&self) -> Option<Running> {
        self.sha256.map(|sha256| Running { version: self.version.clone(), sha256 })
    }
}

impl State {
    /// Writes it to a file in memory.
    pub(super) fn write(&self) -> Result<OwnedFd, ReplaceError> {
        let state = |source: io::Error| ReplaceError::State { source };
        let text = serde_json::to_vec(self).map_err(|e| state(e.into()))?;
        let memory = memfd_create("fetchd-state", MemfdFlags::CLOEXEC).map_err(|e| state(e.into()))?;
        let mut file = File::from(memory);
        file.write_all(&text).and_then(|()| file.rewind()).map_err(state)?;
        Ok(file.into())
    }

    /// Reads it. The schema is looked at before anything else: another layout deserves a better message than an
    /// unknown member.
    pub(super) fn read(text: &[u8]) -> Result<State, ReplaceError> {
        let found = outline(text)?.schema;
        if found != SCHEMA {
            return Err(ReplaceError::Schema { found, known: SCHEMA });
        }
        serde_json::from_slice(text).map_err(|e| ReplaceError::State { source: e.into() })
    }
}

pub(super) fn outline(text: &[u8]) -> Result<Outline, ReplaceError> {
    serde_json::from_slice(text).map_err(|e| ReplaceError::State { source: e.into() })
}

/// The whole file, from its beginning: whoever had it before may have read it.
pub(super) fn text_of(memory: OwnedFd) -> Result<Vec<u8>, ReplaceError> {
    let state = |source: io::Error| ReplaceError::State { source };
    let mut file = File::from(memory);
    let mut text = Vec::new();
    file.rewind().and_then(|()| file.take(LARGEST).read_to_end(&mut text)).map_err(state)?;
    Ok(text)
}

/// Five generations with 4 KiB of stderr each fit many times.
const LARGEST: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../../fixtures/supervisor-state/schema-1.json");

    /// What a fetchd in the field has written must be readable by the next one, or be refused by its number.
    #[test]
    fn the_state_of_schema_1_is_what_it_was() {
        let state = State::read(GOLDEN.as_bytes()).unwrap();
        let (again, golden): (serde_json::Value, serde_json::Value) =
            (serde_json::to_value(&state).unwrap(), serde_json::from_str(GOLDEN).unwrap());
        assert_eq!(again, golden, "a change of the layout needs another SCHEMA and another file");
        let memory = state.write().unwrap();
        assert_eq!(State::read(&text_of(memory).unwrap()).unwrap(), state);
    }

    #[test]
    fn another_schema_is_refused_by_its_number() {
        let other = GOLDEN.replacen("\"schema\": 1", "\"schema\": 2, \"new\": true", 1);
        assert_ne!(other, GOLDEN);
        let refused = State::read(other.as_bytes()).unwrap_err();
        assert!(matches!(refused, ReplaceError::Schema { found: 2, known: 1 }), "{refused:?}");
        assert_eq!(outline(other.as_bytes()).unwrap().image, 20, "the old program is found all the same");
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        assert!(matches!(State::read(&GOLDEN.as_bytes()[..200]), Err(ReplaceError::State { .. })));
    }
}
