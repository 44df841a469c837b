//! Forward and back: activate, confirm, roll back.

use std::io::Seek as _;

use super::stamp::Stamp;
use super::steps::Step;
use super::{Install, InstallError, Installed, Outcome, fallback, known, metadata, needed};
use crate::checkpoint::Checkpoint;
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::durable;
use crate::failure::chain;
use crate::install::metadata::Carry;
use crate::state::{Confirmed, Journal, JournalStep, Record, Store};
use crate::verify::Verified;

impl Install {
    /// Makes `verified` the current binary: metadata carried over, journal, current one kept, rename, fsync, and a
    /// look whether what is there now is the very file that was verified. It is not confirmed yet.
    ///
    /// On failure the path holds what it held, and the verified file is gone. Fails with
    /// [`InstallError::Unsettled`] while an earlier release is neither confirmed nor rolled back.
    pub fn activate(&mut self, verified: Verified, store: &mut Store) -> Result<Installed, InstallError> {
        // Dropping `verified` removes its file, unless it has become the current one.
        self.try_activate(&verified, store)
    }

    fn try_activate(&self, verified: &Verified, store: &mut Store) -> Result<Installed, InstallError> {
        still_verified(verified)?;
        self.forget_failed(store)?;
        let live = self.look()?;
        let earlier = store.record().journal.clone();
        let mut journal = self.journal(verified, live.as_ref().map(|(_, current)| current.sha256), store.record())?;

        let custody = verified.path();
        match &live {
            Some((file, _)) => {
                let carry = if self.place.is_ours() { self.carry } else { Carry::BestEffort };
                metadata::carry_over(file, verified.file(), self.place.live(), carry)?;
            }
            None => metadata::fresh(verified.file(), custody)?,
        }
        durable::sync(verified.file(), custody)?;
        Step::MetadataCarried.done();

        store.update(|record| record.journal = Some(journal.clone()))?;
        Step::JournalWritten.done();
        let put = || {
            if let Some((_, current)) = &live {
                self.place.keep(current)?;
            }
            Step::PreviousKept.done();
            Checkpoint::JournalBegun.reached();
            let program = self.place.put(verified)?;
            Step::Synced.done();
            Checkpoint::Activated.reached();
            Ok(program)
        };
        let finished = put().and_then(|program| {
            journal.step = JournalStep::Unconfirmed;
            store.update(|record| record.journal = Some(journal.clone()))?;
            Step::UnconfirmedWritten.done();
            let watched = self.place.live().to_owned();
            let stamp = Stamp::of(&watched).map_err(InstallError::io(&watched, "reading"))?;
            Ok(Installed::of(&journal.to, stamp, program, watched))
        });
        if finished.is_err() {
            self.undo(&journal, earlier, store);
        }
        finished
    }

    /// Takes note of a verified binary that is live already: in the layout `external` it becomes the copy that a roll
    /// back returns to. Elsewhere nothing is kept. The path is not touched.
    pub fn keep_running(&mut self, verified: Verified) -> Result<(), InstallError> {
        if let Some((file, live)) = self.look()?
            && live.sha256 == verified.sha256()
            && !self.place.is_ours()
        {
            metadata::carry_over(&file, verified.file(), self.place.live(), Carry::BestEffort)?;
            durable::sync(verified.file(), verified.path())?;
            self.place.keep_verified(&verified)?;
        }
        Ok(())
    }

    /// An earlier activation failed, and then its undoing could not be written down. That is made up for.
    fn forget_failed(&self, store: &mut Store) -> Result<(), InstallError> {
        match store.record().journal.clone() {
            Some(journal) if journal.step == JournalStep::Activating => {
                if !self.place.is_ours() || self.undo_path(&journal)? {
                    self.place.tidy(Outcome::Returned)?;
                    store.update(|record| record.journal = None)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What the journal will say, if this release may be activated now.
    fn journal(&self, verified: &Verified, live: Option<Sha256>, record: &Record) -> Result<Journal, InstallError> {
        if let Some(journal) = &record.journal {
            // A first release that nobody confirmed may be replaced: there is nothing it could return to.
            let first = journal.step == JournalStep::Unconfirmed
                && fallback(record, journal).is_none()
                && (!self.place.is_ours() || live == Some(journal.to.sha256));
            if !first {
                return Err(InstallError::Unsettled { path: self.place.live().to_owned() });
            }
        }
        let now = Timestamp::now();
        let to = Confirmed { version: verified.version().cloned(), sha256: verified.sha256(), at: now };
        let from = if self.place.is_ours() {
            live.map(|sha256| match known(record, &sha256) {
                Some(known) => known.clone(),
                None => Confirmed { version: None, sha256, at: now },
            })
        } else {
            record.confirmed.clone().filter(|confirmed| self.place.kept(&confirmed.sha256).exists())
        };
        Ok(Journal { step: JournalStep::Activating, from, to })
    }

    /// Puts back what an activation that failed has changed. If that fails too, the journal stays, and the next start
    /// settles it.
    fn undo(&self, journal: &Journal, earlier: Option<Journal>, store: &mut Store) {
        let undone = (|| {
            if self.place.is_ours() && !self.undo_path(journal)? {
                return Ok(());
            }
            self.place.tidy(Outcome::Returned)?;
            Ok::<_, InstallError>(store.update(|record| record.journal = earlier)?)
        })();
        if let Err(e) = undone {
            tracing::error!(path = %self.place.live().display(), cause = chain(&e), "activation_not_undone");
        }
    }

    /// `false` if that is not possible.
    fn undo_path(&self, journal: &Journal) -> Result<bool, InstallError> {
        let live = self.current()?.map(|current| current.sha256);
        match &journal.from {
            Some(from) if live == Some(from.sha256) => Ok(true),
            Some(from) => {
                self.intact(from)?;
                self.place.restore(&from.sha256)?;
                Ok(true)
            }
            None => Ok(live.is_none()),
        }
    }

    /// The release has passed its watch: records durably that it is the known-good one, and that what was there before
    /// is what a roll back returns to. Without an activation in progress there is nothing to confirm.
    pub fn confirm(&mut self, store: &mut Store, now: Timestamp) -> Result<(), InstallError> {
        let Some(Journal { step, from, to }) = store.record().journal.clone() else { return Ok(()) };
        if step != JournalStep::Unconfirmed {
            return Err(InstallError::Unsettled { path: self.place.live().to_owned() });
        }
        let same_bytes = from.as_ref().is_some_and(|from| from.sha256 == to.sha256);
        store.update(|record| {
            record.journal = None;
            if !same_bytes {
                record.previous = from.filter(|from| record.quarantine.iter().all(|bad| bad.sha256 != from.sha256));
            }
            record.confirmed = Some(Confirmed { at: now, ..to });
        })?;
        Step::ConfirmWritten.done();
        let needed = needed(store.record());
        let tidied = if same_bytes { self.place.tidy(Outcome::Returned) } else { Ok(()) }
            .and_then(|()| self.place.tidy(Outcome::Advanced(&needed)));
        if let Err(e) = tidied {
            // Confirmed is confirmed; the next start tidies again.
            tracing::warn!(path = %self.place.live().display(), cause = chain(&e), "install_not_tidied");
        }
        Step::Tidied.done();
        Ok(())
    }

    /// Activates the binary before the confirmed one as if it were a new release, for an operator who wants it back.
    /// `Ok(None)` if there is none that may run; then nothing has changed.
    ///
    /// What is confirmed stays on disk until [`confirm`](Install::confirm): should the older binary no longer start,
    /// [`roll_back`](Install::roll_back) undoes this (`install::tests::layouts::an_operators_way_back_can_be_undone`).
    pub fn reactivate(&mut self, store: &mut Store) -> Result<Option<Installed>, InstallError> {
        let record = store.record();
        if record.journal.is_some() {
            return Err(InstallError::Unsettled { path: self.place.live().to_owned() });
        }
        let (Some(confirmed), Some(previous)) = (record.confirmed.clone(), record.previous.clone()) else {
            return Ok(None);
        };
        if record.quarantine.iter().any(|bad| bad.sha256 == previous.sha256) {
            return Ok(None);
        }
        let (_, kept) = self.intact(&previous)?;
        let mut journal = Journal { step: JournalStep::Activating, from: Some(confirmed), to: previous.clone() };
        store.update(|record| record.journal = Some(journal.clone()))?;
        let reinstated = (|| {
            if let Some((_, live)) = self.look()?.filter(|_| self.place.is_ours()) {
                self.place.keep(&live)?;
            }
            let program = self.place.reinstate(&previous.sha256)?;
            journal.step = JournalStep::Unconfirmed;
            store.update(|record| record.journal = Some(journal.clone()))?;
            let watched = if self.place.is_ours() { self.place.live().to_owned() } else { program.clone() };
            let stamp = Stamp::of(&watched).map_err(InstallError::io(&watched, "reading"))?;
            if !stamp.same_bytes(&kept.stamp) {
                return Err(InstallError::Swapped { path: watched });
            }
            Ok(Installed::of(&previous, stamp, program, watched))
        })();
        if reinstated.is_err() {
            journal.step = JournalStep::Activating;
            self.undo(&journal, None, store);
        }
        reinstated.map(Some)
    }

    /// Puts the previous binary back: what was there before an unconfirmed release, or before the confirmed one.
    /// `Ok(None)` if there is nothing good to go back to; then nothing has changed.
    ///
    /// The previous binary is hashed first. If it is not what was confirmed, this fails with
    /// [`InstallError::PreviousChanged`] and nothing has changed.
    pub fn roll_back(&mut self, store: &mut Store) -> Result<Option<Installed>, InstallError> {
        let record = store.record();
        let journal = match (&record.journal, &record.confirmed, &record.previous) {
            (Some(journal), _, _) => Journal { step: JournalStep::RollingBack, ..journal.clone() },
            (None, Some(confirmed), Some(previous)) => {
                let (from, to) = (Some(previous.clone()), confirmed.clone());
                Journal { step: JournalStep::RollingBack, from, to }
            }
            (None, _, _) => return Ok(None),
        };
        let Some(back) = fallback(record, &journal).cloned() else { return Ok(None) };
        let (_, kept) = self.intact(&back)?;
        store.update(|record| record.journal = Some(journal.clone()))?;
        Step::RollBackWritten.done();
        Checkpoint::RollbackBegun.reached();
        let program = self.place.restore(&back.sha256)?;
        Step::Restored.done();
        self.returned(&journal, &back, store)?;
        Checkpoint::RolledBack.reached();
        let watched = if self.place.is_ours() { self.place.live().to_owned() } else { program.clone() };
        let stamp = Stamp::of(&watched).map_err(InstallError::io(&watched, "reading"))?;
        if !stamp.same_bytes(&kept.stamp) {
            return Err(InstallError::Swapped { path: watched });
        }
        Ok(Some(Installed::of(&back, stamp, program, watched)))
    }

    /// Records that the path holds `back` again.
    pub(super) fn returned(&self, journal: &Journal, back: &Confirmed, store: &mut Store) -> Result<(), InstallError> {
        self.place.tidy(Outcome::Returned)?;
        Step::Tidied.done();
        store.update(|record| {
            record.journal = None;
            let confirmed = record.confirmed.as_ref().map(|confirmed| confirmed.sha256);
            if confirmed == Some(journal.to.sha256) && back.sha256 != journal.to.sha256 {
                record.confirmed = Some(back.clone());
                record.previous = None;
            }
        })?;
        Ok(())
    }
}

/// Reads the descriptor once more: the smoke run has executed this very file.
fn still_verified(verified: &Verified) -> Result<(), InstallError> {
    let path = verified.path();
    super::same_file(path, verified)?;
    let mut file = verified.file();
    file.rewind().map_err(InstallError::io(path, "reading"))?;
    let (sha256, _) = Sha256::of_reader(&mut file).map_err(InstallError::io(path, "reading"))?;
    if sha256 == verified.sha256() { Ok(()) } else { Err(InstallError::Swapped { path: path.to_owned() }) }
}
