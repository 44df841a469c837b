//! Layout `replace`: the program path is one file, and another file takes its name.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::paths::{self, Private};
use super::stamp::{Current, Stamp};
use super::steps::Step;
use super::{InstallError, Outcome, Place, same_file};
use crate::checkpoint::Checkpoint;
use crate::digest::Sha256;
use crate::durable;
use crate::verify::Verified;

/// The program's file, and in `.fetchd/<name>/` beside it:
///
/// - `previous`: a hard link to the binary that a roll back returns to;
/// - `older`: during an activation, what `previous` was before, in case the activation is undone.
#[derive(Debug)]
pub(super) struct Replace {
    dir: PathBuf,
    real: PathBuf,
    private: Private,
}

impl Replace {
    pub(super) fn open(dir: PathBuf, name: &OsStr) -> Result<Replace, InstallError> {
        paths::guarded(&dir)?;
        let private = Private::beside(&dir, name)?;
        private.same_file_system(&dir)?;
        Ok(Replace { real: dir.join(name), dir, private })
    }

    fn previous(&self) -> PathBuf {
        self.private.file("previous")
    }

    fn older(&self) -> PathBuf {
        self.private.file("older")
    }
}

impl Replace {
    /// Makes one of the kept binaries live. Another link is made, and that one is renamed: a crash in between leaves the
    /// kept one where it is.
    fn put_back(&self, kept: &Path) -> Result<PathBuf, InstallError> {
        let restore = self.private.file("restore");
        durable::hard_link(kept, &restore)?;
        durable::rename_unsynced(&restore, &self.real)?;
        durable::sync_dir(&self.dir)?;
        // Renaming one link of a file over another does nothing and keeps both.
        durable::remove(&restore)?;
        Ok(self.real.clone())
    }
}

impl Place for Replace {
    fn private(&self) -> &Private {
        &self.private
    }

    fn live(&self) -> &Path {
        &self.real
    }

    fn program(&self) -> Result<PathBuf, InstallError> {
        Ok(self.real.clone())
    }

    fn writable(&self) -> Result<(), InstallError> {
        paths::writable(&self.dir, &self.real)
    }

    fn keep(&self, from: &Current) -> Result<(), InstallError> {
        let previous = self.previous();
        if previous.exists() {
            durable::rename(&previous, &self.older())?;
        }
        Step::PreviousMoved.done();
        durable::hard_link(&self.real, &previous)?;
        // Between the hash and the link somebody may have put another file there.
        let kept = Stamp::of(&previous).map_err(InstallError::io(&previous, "reading"))?;
        if kept.same_file(&from.stamp) { Ok(()) } else { Err(InstallError::Swapped { path: self.real.clone() }) }
    }

    fn put(&self, verified: &Verified) -> Result<PathBuf, InstallError> {
        let custody = verified.path();
        same_file(custody, verified)?;
        durable::rename_unsynced(custody, &self.real)?;
        Step::Renamed.done();
        Checkpoint::Renamed.reached();
        durable::sync_dir(&self.dir)?;
        same_file(&self.real, verified)?;
        Ok(self.real.clone())
    }

    fn kept(&self, _of: &Sha256) -> PathBuf {
        self.previous()
    }

    fn reinstate(&self, _of: &Sha256) -> Result<PathBuf, InstallError> {
        self.put_back(&self.older())
    }

    fn restore(&self, _of: &Sha256) -> Result<PathBuf, InstallError> {
        self.put_back(&self.previous())
    }

    fn tidy(&self, outcome: Outcome<'_>) -> Result<(), InstallError> {
        let (previous, older) = (self.previous(), self.older());
        durable::remove(&self.private.file("restore"))?;
        match outcome {
            Outcome::Advanced(_) => {
                durable::remove(&older)?;
            }
            Outcome::Returned if older.exists() => durable::rename(&older, &previous)?,
            Outcome::Returned => {
                if let (Ok(kept), Ok(live)) = (Stamp::of(&previous), Stamp::of(&self.real))
                    && kept.same_file(&live)
                {
                    durable::remove(&previous)?;
                }
            }
        }
        Ok(())
    }
}
