//! The only module that changes what the program path holds.
//!
//! A [`Verified`] becomes an [`Installed`]. The journal in the state directory says what is being
//! changed before anything is, so after SIGKILL or a loss of power at any point the path holds one
//! complete, verified binary, the old or the new, and [`Install::settle`] finishes or undoes the
//! rest (`install::tests::power_cut`).
//!
//! | layout | what changes | what a roll back returns to |
//! |---|---|---|
//! | `replace` | the file itself, by rename | a hard link `.fetchd/<name>/previous` |
//! | `releases` | the symlink `current` | the directory that `current` pointed at |
//! | `external` | nothing: others replace the file | our own copy of what was confirmed |

mod activate;
mod error;
mod external;
mod metadata;
mod paths;
mod releases;
mod replace;
mod settle;
mod stamp;
mod steps;

use std::fmt::Debug;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use semver::Version;

use crate::digest::Sha256;
use crate::state::{Confirmed, Journal, Record};
use crate::trust::{Chosen, Format};
use crate::verify::Verified;

pub use error::InstallError;
pub use external::owner_only;
pub use metadata::Carry;
pub use settle::Settled;
use stamp::Remembered;
pub use stamp::{Current, Stamp};

/// Where the program lies and who replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Layout {
    /// The program path is a file, or a symlink whose pointee is replaced.
    #[default]
    Replace,
    /// The program path is `<root>/current/<name>`.
    Releases {
        /// How many releases stay on disk. What is current, previous or confirmed stays in any case.
        keep: usize,
    },
    /// Somebody else replaces the binary; the path is never written.
    External {
        /// A directory of ours, for copies of what was confirmed. Created if missing, in a directory that exists: the
        /// state directory.
        dir: PathBuf,
    },
}

/// The place where one service is installed. Its changes need the [`Store`](crate::state::Store), whose lock makes
/// sure that there is one process that makes them.
#[derive(Debug)]
pub struct Install {
    place: Box<dyn Place>,
    typed: PathBuf,
    carry: Carry,
    remembered: Remembered,
}

impl Install {
    /// Looks at `program`, once, as it was typed, and creates the directories of ours: readable by
    /// nobody else, on the same file system. A program that does not exist yet is no failure.
    ///
    /// Fails if the path cannot hold a program, or if others could replace what is put there; then nothing of the
    /// service has changed.
    pub fn open(layout: Layout, program: &Path, carry: Carry) -> Result<Install, InstallError> {
        let typed = paths::absolute(program)?;
        let place: Box<dyn Place> = match layout {
            Layout::Replace => {
                let (dir, name) = paths::resolve(&typed)?;
                Box::new(replace::Replace::open(dir, &name)?)
            }
            Layout::Releases { keep } => Box::new(releases::Releases::open(&typed, keep)?),
            Layout::External { dir } => Box::new(external::External::open(typed.clone(), &dir)?),
        };
        Ok(Install { place, typed, carry, remembered: Remembered::default() })
    }

    /// Where the worker writes.
    pub fn staging(&self) -> &Path {
        &self.place.private().staging
    }

    /// Gives staging to a worker's user and group, by number, or with `None` takes it back.
    ///
    /// Staging is 0700 all the same, what is above it can be passed through by that group only, and custody stays ours.
    /// Only root can do this.
    pub fn give_staging(&self, user: Option<(u32, u32)>) -> Result<(), InstallError> {
        paths::give(self.place.private(), user)
    }

    /// Where artifacts are taken into our own hands.
    pub fn custody(&self) -> &Path {
        &self.place.private().custody
    }

    /// The program path as it was typed, made absolute.
    pub fn typed(&self) -> &Path {
        &self.typed
    }

    /// The path that is hashed, watched and replaced: symlinks resolved in layout `replace`,
    /// through the links `current` and whatever others keep in the other two.
    pub fn program(&self) -> &Path {
        self.place.live()
    }

    /// The binary at the program path; `None` if there is none. Reads the whole file.
    pub fn current(&self) -> Result<Option<Current>, InstallError> {
        Ok(self.look()?.map(|(_, current)| current))
    }

    /// What to start when nothing runs yet; `None` if there is nothing that may be started.
    ///
    /// In the layout `external` that is our copy of the confirmed binary if theirs is another one: what they put
    /// there while fetchd was away has not been verified.
    ///
    /// Reads the whole file, unless it is the one that was read before, untouched: its device, inode, size and times are the
    /// same (`install::tests::remembered`, and `tests/handoff/changed.rs`).
    pub fn startable(&self, record: &Record) -> Result<Option<Installed>, InstallError> {
        let live = self.remembered()?;
        if !self.place.is_ours()
            && let Some(confirmed) = &record.confirmed
            && live.is_none_or(|live| live.sha256 != confirmed.sha256)
            && let Ok((_, current)) = self.intact(confirmed)
        {
            let program = self.place.kept(&confirmed.sha256);
            return Ok(Some(Installed::of(confirmed, current.stamp, program.clone(), program)));
        }
        let Some(current) = live else { return Ok(None) };
        let other = record.confirmed.as_ref().is_some_and(|confirmed| confirmed.sha256 != current.sha256);
        if !self.place.is_ours() && other {
            // Theirs has not been verified, and our copy is gone or damaged: the first pass decides.
            return Ok(None);
        }
        if !self.place.is_ours() && record.quarantine.iter().any(|q| q.sha256 == current.sha256) {
            return Ok(None);
        }
        let known = known(record, &current.sha256);
        let program = self.place.program()?;
        Ok(Some(Installed {
            program,
            watched: self.place.live().to_owned(),
            sha256: current.sha256,
            version: known.and_then(|known| known.version.clone()),
            size: current.size,
            stamp: current.stamp,
        }))
    }

    /// Whether the bytes of `installed` are still where they were put. Cheap as long as nobody touches the file.
    pub fn unchanged(&self, installed: &Installed) -> Result<bool, InstallError> {
        let watched = &installed.watched;
        match Stamp::of(watched) {
            Ok(stamp) if stamp == installed.stamp => return Ok(true),
            Ok(stamp) if stamp.size() != installed.size => return Ok(false),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(InstallError::io(watched, "reading")(e)),
        }
        let found = stamp::read(watched).map_err(InstallError::io(watched, "reading"))?;
        Ok(found.is_some_and(|(_, found)| found.sha256 == installed.sha256))
    }

    /// Finds out before the download whether `chosen` can be installed: directories writable, and room for the
    /// artifact as downloaded, as taken into custody, for the unpacked binary, and `reserve` bytes more.
    ///
    /// Where a size is not signed, nothing is counted for it. Changes nothing.
    pub fn preflight(&self, chosen: &Chosen, reserve: u64) -> Result<(), InstallError> {
        let private = self.place.private();
        self.place.writable()?;
        self.owner_can_be_kept()?;
        for dir in [&private.root, &private.staging, &private.custody] {
            paths::writable(dir, dir)?;
        }
        let unpacked = match chosen.format() {
            Format::Raw => 0,
            _ => chosen.binary_size().unwrap_or(0),
        };
        // Twice as it is downloaded and taken, or once more as it is copied after it was unpacked.
        let packed = chosen.size().unwrap_or(0).saturating_mul(2);
        let needed = packed.max(unpacked).saturating_add(unpacked).saturating_add(reserve);
        let free = paths::free(&private.custody)?;
        if free < needed {
            return Err(InstallError::Space { path: private.custody.clone(), needed, free });
        }
        Ok(())
    }

    fn owner_can_be_kept(&self) -> Result<(), InstallError> {
        let live = self.place.live();
        if self.carry == Carry::BestEffort || !self.place.is_ours() {
            return Ok(());
        }
        match fs::metadata(live) {
            Ok(meta) => metadata::owner_can_be_kept(&meta, live),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(InstallError::io(live, "reading")(e)),
        }
    }

    /// Hashes the binary at the program path, if it is not the one that was hashed before and was not changed a moment ago:
    /// [`startable`](Install::startable) need not do it then. Whatever is wrong with the file is for that to say.
    pub fn look_ahead(&self) {
        let _ = self.remembered.look_ahead(self.place.live());
    }

    fn remembered(&self) -> Result<Option<Current>, InstallError> {
        let live = self.place.live();
        self.remembered.look(live).map_err(InstallError::io(live, "reading"))
    }

    fn look(&self) -> Result<Option<(File, Current)>, InstallError> {
        let live = self.place.live();
        stamp::read(live).map_err(InstallError::io(live, "reading"))
    }

    /// The binary to go back to, if its bytes are those that were confirmed.
    fn intact(&self, back: &Confirmed) -> Result<(File, Current), InstallError> {
        let path = self.place.kept(&back.sha256);
        let found = stamp::read(&path).map_err(InstallError::io(&path, "reading"))?;
        match found {
            Some((file, current)) if current.sha256 == back.sha256 => Ok((file, current)),
            other => Err(InstallError::PreviousChanged {
                path,
                expected: back.sha256,
                found: other.map(|(_, current)| current.sha256),
            }),
        }
    }
}

/// A binary that is at its place. Made only by [`Install`].
#[derive(Debug, Clone)]
pub struct Installed {
    program: PathBuf,
    watched: PathBuf,
    sha256: Sha256,
    version: Option<Version>,
    size: u64,
    stamp: Stamp,
}

impl Installed {
    fn of(what: &Confirmed, stamp: Stamp, program: PathBuf, watched: PathBuf) -> Installed {
        let (sha256, version) = (what.sha256, what.version.clone());
        Installed { program, watched, sha256, version, size: stamp.size(), stamp }
    }

    /// The path to start.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The digest of the binary.
    pub fn sha256(&self) -> &Sha256 {
        &self.sha256
    }

    /// Its version, where known.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How to notice that somebody else changed it.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

/// What differs between the layouts. Each method is safe to repeat after a crash in its middle.
trait Place: Debug + Send + Sync {
    fn private(&self) -> &Private;
    /// The path at which the world finds the program.
    fn live(&self) -> &Path;
    /// Whether we are the ones who replace what is at [`live`](Place::live).
    fn is_ours(&self) -> bool {
        true
    }
    /// The path to start for what is at [`live`](Place::live).
    fn program(&self) -> Result<PathBuf, InstallError>;
    /// Fails if a rename to the program path would.
    fn writable(&self) -> Result<(), InstallError>;
    /// Keeps what is live, `from`, as what a roll back returns to, and what was kept before as "older".
    fn keep(&self, from: &Current) -> Result<(), InstallError>;
    /// Makes `verified` live, durably; returns the path to start.
    fn put(&self, verified: &Verified) -> Result<PathBuf, InstallError>;
    /// Keeps `verified`, whose bytes are live already, as something a roll back can return to.
    fn keep_verified(&self, _verified: &Verified) -> Result<(), InstallError> {
        Ok(())
    }
    /// Where the binary to go back to lies.
    fn kept(&self, of: &Sha256) -> PathBuf;
    /// After [`keep`](Place::keep): makes what was kept before it live, durably, and keeps both; returns the path to start.
    fn reinstate(&self, of: &Sha256) -> Result<PathBuf, InstallError>;
    /// Makes what is kept live, durably; returns the path to start. The caller has hashed it.
    fn restore(&self, of: &Sha256) -> Result<PathBuf, InstallError>;
    /// Drops what is no longer needed.
    fn tidy(&self, outcome: Outcome<'_>) -> Result<(), InstallError>;
}

/// How a change ended.
#[derive(Debug, Clone, Copy)]
enum Outcome<'a> {
    /// What is live stays; "older" is not needed. The digests are those that must stay on disk.
    Advanced(&'a [Sha256]),
    /// What is live is what was live before; "older" is again what a roll back returns to.
    Returned,
}

use paths::Private;

/// Fails if what lies at `path` is not the very file that was verified.
fn same_file(path: &Path, verified: &Verified) -> Result<(), InstallError> {
    let opened = verified.file().metadata().map_err(InstallError::io(path, "reading"))?;
    let found = fs::symlink_metadata(path).map_err(InstallError::io(path, "reading"))?;
    let (opened, found) = (Stamp::from(&opened), Stamp::from(&found));
    if found.same_file(&opened) && found.size() == verified.size() {
        return Ok(());
    }
    Err(InstallError::Swapped { path: path.to_owned() })
}

/// What a change returns to if it fails: nothing if nothing was there, or if what was there is known to be bad.
fn fallback<'a>(record: &Record, journal: &'a Journal) -> Option<&'a Confirmed> {
    journal.from.as_ref().filter(|from| record.quarantine.iter().all(|bad| bad.sha256 != from.sha256))
}

/// What the record knows about these bytes.
fn known<'a>(record: &'a Record, sha256: &Sha256) -> Option<&'a Confirmed> {
    let journal = record.journal.as_ref();
    [record.confirmed.as_ref(), record.previous.as_ref(), journal.map(|j| &j.to), journal.and_then(|j| j.from.as_ref())]
        .into_iter()
        .flatten()
        .find(|known| known.sha256 == *sha256)
}

/// The digests that must stay on disk.
fn needed(record: &Record) -> Vec<Sha256> {
    let journal = record.journal.as_ref();
    [record.confirmed.as_ref(), record.previous.as_ref(), journal.map(|j| &j.to), journal.and_then(|j| j.from.as_ref())]
        .into_iter()
        .flatten()
        .map(|known| known.sha256)
        .collect()
}

#[cfg(test)]
mod tests;
