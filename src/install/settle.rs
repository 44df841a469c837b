//! What a crash left half done, settled at the next start.

use super::steps::Step;
use super::{Install, InstallError, Outcome, fallback, needed};
use crate::failure::chain;
use crate::state::{Confirmed, JournalStep, Store};

/// What was found at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// No change was in progress.
    Clean,
    /// A change had begun, and the path still held what it held before.
    Abandoned {
        /// The release that was not activated.
        to: Confirmed,
    },
    /// An unconfirmed release, or one that was being rolled back, was at the path; the one before it is there again.
    RolledBack {
        /// The release that is gone.
        from: Confirmed,
        /// What the path holds now.
        to: Confirmed,
    },
    /// An unconfirmed release is at the path and there is nothing intact to go back to. The journal still says
    /// "unconfirmed": it can be confirmed, or replaced by the next release.
    Unconfirmed {
        /// What the path holds.
        to: Confirmed,
    },
}

impl Install {
    /// Ends what the journal says was in progress, after a crash or a loss of power at any point. Afterwards the
    /// program path holds one complete binary, the one before, and the journal is empty; the exception is
    /// [`Settled::Unconfirmed`]. A release that was never confirmed is not kept: the crash may have been its doing.
    ///
    /// Also removes what was left in custody and staging, except for downloads. Nothing else of this process
    /// may use them yet: call it once, at the start.
    ///
    /// Fails with [`InstallError::UnknownBinary`] if the path holds something that the journal does not know; then
    /// the path is left as it is.
    pub fn settle(&mut self, store: &mut Store) -> Result<Settled, InstallError> {
        let settled = self.settle_journal(store)?;
        let swept = self.place.private().sweep().and_then(|()| match settled {
            Settled::Unconfirmed { .. } => Ok(()),
            _ => self.place.tidy(Outcome::Advanced(&needed(store.record()))),
        });
        if let Err(e) = swept {
            // Leftovers are in nobody's way; on a read-only file system the service still has to start.
            tracing::warn!(path = %self.place.live().display(), cause = chain(&e), "install_not_tidied");
        }
        Ok(settled)
    }

    fn settle_journal(&self, store: &mut Store) -> Result<Settled, InstallError> {
        let Some(journal) = store.record().journal.clone() else { return Ok(Settled::Clean) };
        let back = fallback(store.record(), &journal).cloned();
        let to = journal.to.clone();
        let live = self.current()?.map(|current| current.sha256);
        // In the layout `external` they may have deployed something else meanwhile. That is their right.
        let known = [Some(to.sha256), journal.from.as_ref().map(|from| from.sha256), None].contains(&live);
        if self.place.is_ours() && !known {
            return Err(self.unknown(live, &journal));
        }

        if self.place.is_ours() && live.is_some() && live == journal.from.as_ref().map(|from| from.sha256) {
            // Never begun, or already undone: only the record is behind.
            let from = journal.from.clone().unwrap_or_else(|| to.clone());
            self.returned(&journal, &from, store)?;
            return Ok(match journal.step {
                JournalStep::Activating => Settled::Abandoned { to },
                _ => Settled::RolledBack { from: to, to: from },
            });
        }
        match back.as_ref().map(|back| (back, self.intact(back))) {
            Some((back, Ok(_))) => {
                self.place.restore(&back.sha256)?;
                Step::Restored.done();
                self.returned(&journal, back, store)?;
                return Ok(Settled::RolledBack { from: to, to: back.clone() });
            }
            Some((_, Err(e))) => {
                tracing::error!(path = %self.place.live().display(), cause = chain(&e), "previous_not_intact");
                if live.is_none() {
                    return Err(e);
                }
            }
            None => {}
        }
        if live == Some(to.sha256) {
            store.update(|record| {
                if let Some(journal) = &mut record.journal {
                    journal.step = JournalStep::Unconfirmed;
                    // What cannot be gone back to must not stand in the way of the next release.
                    journal.from = None;
                }
            })?;
            return Ok(Settled::Unconfirmed { to });
        }
        if self.place.is_ours() && journal.from.is_some() {
            return Err(self.unknown(live, &journal));
        }
        store.update(|record| record.journal = None)?;
        Ok(Settled::Abandoned { to })
    }

    /// Whether [`settle`](Install::settle) would refuse because it does not know what is at the program path.
    pub fn is_unknown(&self, record: &crate::state::Record) -> Result<bool, InstallError> {
        let Some(journal) = record.journal.as_ref().filter(|_| self.place.is_ours()) else { return Ok(false) };
        let live = self.current()?.map(|current| current.sha256);
        Ok(![Some(journal.to.sha256), journal.from.as_ref().map(|from| from.sha256), None].contains(&live))
    }

    /// Takes what is at the program path for what it should be, and forgets the change that was in progress. For an
    /// operator who has put a binary there by hand: this is what `fetchd state repair` calls.
    pub fn adopt(&mut self, store: &mut Store) -> Result<(), InstallError> {
        store.update(|record| record.journal = None)?;
        self.place.private().sweep()?;
        self.place.tidy(Outcome::Returned)
    }

    fn unknown(&self, found: Option<crate::digest::Sha256>, journal: &crate::state::Journal) -> InstallError {
        InstallError::UnknownBinary {
            path: self.place.live().to_owned(),
            found,
            from: journal.from.as_ref().map(|from| from.sha256),
            to: journal.to.sha256,
        }
    }
}
