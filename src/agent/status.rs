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
    /// Digests that are never run again: the newest of them, oldest first, and the beginning of what they said.
    pub quarantine: Vec<Quarantined>,
    /// How many there are in all; `fetchd state show` lists every one.
    #[serde(default)]
    pub quarantined: usize,
}

impl AgentStatus {
    /// Shows as much of the quarantine as an answer has room for: it grows with the years, and each entry may carry the
    /// end of a program's stderr.
    pub(super) fn show_quarantine(&mut self, all: &[Quarantined]) {
        self.quarantined = all.len();
        self.quarantine = all[all.len().saturating_sub(QUARANTINE_SHOWN)..].to_vec();
        for shown in &mut self.quarantine {
            shown.reason.truncate(shown.reason.floor_char_boundary(REASON_SHOWN));
        }
    }
}

/// How many digests in quarantine are shown, and how many bytes of each one's reason: 128 KiB in all, of the 1 MiB that an
/// answer may have.
const QUARANTINE_SHOWN: usize = 64;
const REASON_SHOWN: usize = 2048;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn a_quarantine_of_years_leaves_a_status_that_can_be_sent() {
        let failed = |number: u32| Quarantined {
            sha256: Sha256::of(&number.to_le_bytes()),
            version: None,
            code: "handoff.exited".to_owned(),
            reason: "\u{1f980}\n".repeat(3000),
            at: Timestamp::now(),
            count: number,
        };
        let all: Vec<Quarantined> = (0..10_000).map(failed).collect();
        let mut shown = AgentStatus::default();
        shown.show_quarantine(&all);
        let sent = serde_json::to_vec(&shown).unwrap().len();
        assert!(sent < 256 << 10, "{sent} bytes are sent");
        assert_eq!((shown.quarantined, shown.quarantine.len()), (10_000, QUARANTINE_SHOWN));
        // The newest is the last, whole but for its reason.
        let newest = shown.quarantine.last().unwrap();
        assert_eq!((newest.sha256, newest.count), (all[9999].sha256, 9999));
        assert!(all[9999].reason.starts_with(&newest.reason) && newest.reason.len() > REASON_SHOWN - 4);
    }
}
