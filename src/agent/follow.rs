//! Follows the key sets of a product: from the provisioned one to the newest, no step without the one before it.

use std::path::Path;
use std::time::Duration;

use fetchd_fetchers::{AssetName, Release};

use super::line::note;
use super::outcome::PassFailure;
use super::wanted::Wanted;
use crate::checkpoint::Checkpoint;
use crate::clock::Timestamp;
use crate::failure::Exit;
use crate::fetch::{Attend, SiblingJob, Source, Worker};
use crate::state::{Event, Record, StateError, Store};
use crate::trust::{Refused, Trust, TrustedKeys};

/// Who asks for the files beside the pointer, and what waits meanwhile.
pub(super) struct Asking<'a> {
    pub(super) worker: &'a mut dyn Worker,
    pub(super) attend: &'a mut dyn Attend,
}

impl Wanted {
    /// From now on what is believed is what `keys` say.
    pub fn adopt(&mut self, keys: TrustedKeys) {
        match &mut self.trust {
            Trust::Bundle { keys: trusted } | Trust::Bound { keys: trusted } | Trust::Plain { keys: trusted } => {
                *trusted = keys.release().clone();
            }
            Trust::Owner | Trust::Unsigned => {}
        }
        self.expect.epoch = Some(keys.epoch());
        self.keys = Some(keys);
    }

    /// Goes on from the provisioned key set to the newest that was accepted before and kept in the state
    /// directory `dir`. Each step is checked again: a disk is no proof
    /// (`a_kept_key_set_that_was_changed_stops_updates_and_not_the_service`).
    ///
    /// A provisioned set that is newer than the kept ones needs none of them, and what is missing is fetched
    /// again. Fails with `state.damaged` if a kept one does not follow the one before it.
    pub fn recall(&mut self, dir: &Path) -> Result<(), StateError> {
        while let Some(keys) = &self.keys {
            let version = keys.version() + 1;
            let Some(bytes) = Store::kept_keys(dir, version)? else { break };
            let next = keys.advance(&bytes).map_err(|refused| StateError::Damaged {
                path: Store::keys_path(dir, version),
                what: format!("does not follow key set {}: {refused}", keys.version()),
            })?;
            self.adopt(next);
        }
        Ok(())
    }

    /// Takes every key set that the source shows beyond the one that is trusted, one by one; each is handed to
    /// `keep` before the next is asked for. `Some`: nothing may be taken for now.
    ///
    /// Fails with whatever keeps a key set away other than that there is none (`no_answer_is_not_the_last_key_set`),
    /// with the codes of [`TrustedKeys::advance`], and with `keys.rollback` (21) if the source shows fewer than
    /// were accepted before.
    pub(super) fn follow(
        &mut self,
        release: &Release,
        record: &Record,
        now: Timestamp,
        asking: Asking<'_>,
        keep: impl FnMut(&TrustedKeys, &[u8]) -> Result<(), PassFailure>,
    ) -> Result<Option<Refused>, PassFailure> {
        let Asking { worker, attend } = asking;
        let (source, deadline) = (self.source.clone(), self.limits.poll);
        let bring = |keys: &TrustedKeys| match next_keys(keys, release, &source, deadline) {
            Some(job) => Ok(worker.sibling(&job, attend)?),
            None => Ok(None),
        };
        self.follow_by(record, now, bring, keep)
    }

    /// The same where `bring` fetches the key set after the one it is given; `None` only if there is none.
    pub(super) fn follow_by(
        &mut self,
        record: &Record,
        now: Timestamp,
        mut bring: impl FnMut(&TrustedKeys) -> Result<Option<Vec<u8>>, PassFailure>,
        mut keep: impl FnMut(&TrustedKeys, &[u8]) -> Result<(), PassFailure>,
    ) -> Result<Option<Refused>, PassFailure> {
        let mut steps = 0;
        while let Some(keys) = &self.keys {
            let Some(bytes) = bring(keys)? else { break };
            if steps == TrustedKeys::MAX_STEPS {
                return Ok(Some(too_many(keys)));
            }
            let next = keys.advance(&bytes)?;
            keep(&next, &bytes)?;
            self.adopt(next);
            steps += 1;
        }
        let Some(keys) = &self.keys else { return Ok(None) };
        if keys.version() < record.keys_version {
            let (shown, known) = (keys.version(), record.keys_version);
            let message = format!("the source shows key sets up to {shown}, and {known} was accepted before");
            let hint = "a mirror that lags behind looks the same; else put the newest key set where `keys` points";
            return Err(Refused::new("keys.rollback", Exit::Rollback, message).hint(hint).into());
        }
        Ok(keys.expired(latest(record, now)))
    }

    /// Whether what is trusted has expired, so that a new key set has to be looked for.
    pub(super) fn keys_expired(&self, record: &Record, now: Timestamp) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.expired(latest(record, now)).is_some())
    }
}

/// A key set that follows what is trusted: kept and recorded.
pub(super) fn accept(store: &mut Store, now: Timestamp, keys: &TrustedKeys, bytes: &[u8]) -> Result<(), PassFailure> {
    store.keep_keys(keys.version(), bytes)?;
    Checkpoint::KeysKept.reached();
    // What was lost and is fetched again raises nothing.
    store.update(|record| record.keys_version = record.keys_version.max(keys.version()))?;
    let (version, epoch) = (keys.version(), keys.epoch());
    let message = format!("key set {version} is trusted now");
    tracing::info!(event = "keys.accepted", version, epoch, "{message}");
    let event = Event::new(now, "keys.accepted").message(message);
    note(store, &event.detail("version", version).detail("epoch", epoch));
    Ok(())
}

fn next_keys(keys: &TrustedKeys, release: &Release, source: &Source, deadline: Duration) -> Option<SiblingJob> {
    Some(SiblingJob {
        source: source.clone(),
        release: release.clone(),
        name: AssetName::new(format!("keys/{}", keys.version() + 1)).ok()?,
        limit: u64::try_from(TrustedKeys::MAX_FILE).unwrap_or(u64::MAX),
        deadline,
    })
}

/// The latest time ever signed counts as passed, so that a clock set back revives nothing.
fn latest(record: &Record, now: Timestamp) -> Timestamp {
    record.issued_max.map_or(now, |issued| issued.max(now))
}

fn too_many(keys: &TrustedKeys) -> Refused {
    let (version, most) = (keys.version(), TrustedKeys::MAX_STEPS);
    let message = format!("{most} key sets were taken in this pass, up to {version}, and there are more");
    Refused::new("keys.too_many_steps", Exit::Stale, message)
        .hint("the next pass goes on from there; a newer provisioned key set saves the way")
}
