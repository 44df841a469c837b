//! What the agent shows of itself.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::failure::Reported;
use crate::fetch::Hardening;
use crate::state::{Hold, Quarantined, TrustState};
use crate::trust::{PublicKey, TrustedKeys};

/// The agent, for `status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// What it does right now: `idle`, `polling`, `downloading 12 of 80 MiB`, `handing off`, …
    pub doing: String,
    /// Why no updates are made at all, where that is so.
    pub updates_off: Option<Reported>,
    /// What the floor rests on, where there is a state.
    pub trust_state: Option<TrustState>,
    /// Where releases come from, without secrets.
    pub source: Option<String>,
    /// Where this host is in its fleet's rollout, where the source is a fleet's.
    #[cfg(feature = "fleet")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<super::fleet::FleetShown>,
    /// The key set that is trusted, where there is one.
    pub keys: Option<KeysShown>,
    /// The version that runs, where known.
    pub version: Option<String>,
    /// The digest of the binary that runs, where known.
    pub sha256: Option<String>,
    /// How it came here, where this supervisor fetched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought: Option<super::Brought>,
    /// The release a rollback would return to.
    pub previous: Option<String>,
    /// What held of the worker that was started last; `None` before the first one.
    #[serde(default)]
    pub worker: Option<Hardening>,
    /// The driver by which somebody else restarts the service; `None`: fetchd runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The last pass.
    pub last: Option<LastPass>,
    /// When the source is asked next.
    pub next_poll: Option<Timestamp>,
    /// An operator's hold.
    pub hold: Option<Hold>,
    /// Digests that are never run again.
    pub quarantine: Vec<Quarantined>,
}

/// The key set that is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysShown {
    /// Its version.
    pub version: u64,
    /// The epoch in which manifests are numbered.
    pub epoch: u64,
    /// When it stops being good for new installs; `None` = never.
    pub expires: Option<Timestamp>,
    /// The numbers of the keys that sign releases, as minisign prints them.
    pub release: Vec<String>,
    /// How many of them must sign.
    pub threshold: usize,
}

impl KeysShown {
    /// What there is to show of `keys`.
    pub fn of(keys: &TrustedKeys) -> KeysShown {
        KeysShown {
            version: keys.version(),
            epoch: keys.epoch(),
            expires: keys.document().expires,
            release: keys.release().keys().iter().map(PublicKey::keynum).collect(),
            threshold: keys.release().threshold(),
        }
    }
}

/// How the last pass ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPass {
    /// When.
    pub at: Timestamp,
    /// One stable word: `unchanged`, `up_to_date`, `updated`, `held`, `failed`.
    pub outcome: String,
    /// One sentence.
    pub message: String,
    /// What went wrong, where something did.
    pub error: Option<Reported>,
}

/// The agent's status, written by it and read by the control socket.
#[derive(Debug, Clone, Default)]
pub struct Shown(Arc<Mutex<AgentStatus>>);

impl Shown {
    /// A copy of what is shown.
    pub fn read(&self) -> AgentStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is shown.
    pub fn write(&self, change: impl FnOnce(&mut AgentStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
