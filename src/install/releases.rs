//! Layout `releases`: one directory for each release, and a symlink `current` to one of them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use semver::Version;

use super::paths::{self, Private};
use super::stamp::{Current, Stamp};
use super::steps::Step;
use super::{InstallError, Outcome, Place, same_file};
use crate::checkpoint::Checkpoint;
use crate::digest::Sha256;
use crate::durable;
use crate::verify::Verified;

/// `<root>/releases/<version>-<digest8>/<name>`, `<root>/current`, and in `<root>/.fetchd/<name>/`
/// symlinks `previous` and `older` with the very text that `current` had.
#[derive(Debug)]
pub(super) struct Releases {
    root: PathBuf,
    name: OsString,
    live: PathBuf,
    keep: usize,
    private: Private,
}

impl Releases {
    /// `program` is `<root>/current/<name>`, absolute.
    pub(super) fn open(program: &Path, keep: usize) -> Result<Releases, InstallError> {
        let (Some(name), Some(current)) = (program.file_name(), program.parent()) else {
            return Err(not_the_layout(program));
        };
        if current.file_name() != Some(OsStr::new("current")) {
            return Err(not_the_layout(program));
        }
        let root = current.parent().ok_or_else(|| not_the_layout(program))?;
        let root = root.canonicalize().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => InstallError::path(
                program,
                "is in a directory that does not exist",
                "create the directory above `current`",
            ),
            _ => InstallError::io(root, "resolving")(e),
        })?;
        let current = root.join("current");
        match fs::symlink_metadata(&current) {
            Ok(meta) if meta.is_symlink() => {
                if !root.join("current").join(name).is_file() {
                    return Err(InstallError::path(
                        program,
                        "is not a regular file behind `current`",
                        "point `current` at a directory that holds the program, or remove the link",
                    ));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(InstallError::io(&current, "reading")(e)),
            Ok(_) => {
                return Err(InstallError::path(
                    &current,
                    "is not a symlink",
                    "move it to a directory below `releases` and make `current` a symlink to that",
                ));
            }
        }
        paths::guarded(&root)?;
        let releases = root.join("releases");
        directory(&releases)?;
        let private = Private::beside(&root, name)?;
        private.same_file_system(&root)?;
        private.same_file_system(&releases)?;
        Ok(Releases { live: current.join(name), name: name.to_owned(), root, keep, private })
    }

    fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    /// The text of a symlink of ours; `None` if there is none.
    fn text(link: &Path) -> Result<Option<PathBuf>, InstallError> {
        match fs::read_link(link) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(InstallError::io(link, "reading the link")(e)),
        }
    }

    /// Makes `current` say `text`. The temporary link lies with us: `root` may be anybody's to look at.
    fn switch(&self, text: &Path) -> Result<(), InstallError> {
        let next = self.private.file("next");
        durable::symlink(text, &next)?;
        let current = self.current();
        Ok(durable::rename_unsynced(&next, &current)?)
    }

    /// Removes the oldest releases beyond `keep`, never one that something points at.
    fn collect(&self, protected: &[Sha256]) -> Result<(), InstallError> {
        let releases = self.root.join("releases");
        let mut pointed_at: Vec<PathBuf> = Vec::new();
        for link in [self.current(), self.private.file("previous"), self.private.file("older")] {
            pointed_at.extend(Self::text(&link)?.and_then(|text| self.root.join(text).canonicalize().ok()));
        }
        let mut ours: Vec<(SystemTime, PathBuf, bool)> = Vec::new();
        for entry in fs::read_dir(&releases).map_err(InstallError::io(&releases, "listing"))? {
            let entry = entry.map_err(InstallError::io(&releases, "listing"))?;
            let name = entry.file_name();
            let Some(digest8) = name.to_str().and_then(well_formed) else { continue };
            let Ok(meta) = entry.metadata() else { continue };
            if !meta.is_dir() {
                continue;
            }
            let path = entry.path();
            let needed = protected.iter().any(|sha256| sha256.short() == digest8)
                || path.canonicalize().is_ok_and(|real| pointed_at.contains(&real));
            ours.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), path, needed));
        }
        // Those that are needed count first, then the newest.
        ours.sort_by_key(|(modified, _, needed)| std::cmp::Reverse((*needed, *modified)));
        for (_, path, needed) in ours.into_iter().skip(self.keep) {
            if needed {
                continue;
            }
            // Only the file we put there: what an operator added keeps the directory alive.
            durable::remove(&path.join(&self.name))?;
            match fs::remove_dir(&path) {
                Err(e) if e.kind() != io::ErrorKind::DirectoryNotEmpty => {
                    return Err(InstallError::io(&path, "removing")(e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Releases {
    /// Makes `current` what one of our own links says.
    fn switch_back(&self, kept: &Path) -> Result<PathBuf, InstallError> {
        let text = fs::read_link(kept).map_err(InstallError::io(kept, "reading the link"))?;
        self.switch(&text)?;
        durable::sync_dir(&self.root)?;
        Ok(self.root.join(text).join(&self.name))
    }
}

impl Place for Releases {
    fn private(&self) -> &Private {
        &self.private
    }

    fn live(&self) -> &Path {
        &self.live
    }

    fn program(&self) -> Result<PathBuf, InstallError> {
        // The release itself, not `current`: between a check and a start, `current` may move.
        self.live.canonicalize().map_err(InstallError::io(&self.live, "resolving"))
    }

    fn writable(&self) -> Result<(), InstallError> {
        paths::writable(&self.root, &self.current())?;
        let releases = self.root.join("releases");
        paths::writable(&releases, &releases)
    }

    fn keep(&self, _from: &Current) -> Result<(), InstallError> {
        let previous = self.private.file("previous");
        if Self::text(&previous)?.is_some() {
            durable::rename(&previous, &self.private.file("older"))?;
        }
        Step::PreviousMoved.done();
        if let Some(text) = Self::text(&self.current())? {
            durable::symlink(&text, &previous)?;
        }
        Ok(())
    }

    fn put(&self, verified: &Verified) -> Result<PathBuf, InstallError> {
        let version = verified.version().map_or_else(|| UNVERSIONED.to_owned(), ToString::to_string);
        let text = Path::new("releases").join(format!("{version}-{}", verified.sha256().short()));
        let dir = self.root.join(&text);
        directory(&dir)?;
        let binary = dir.join(&self.name);
        let custody = verified.path();
        same_file(custody, verified)?;
        durable::rename(custody, &binary)?;
        Step::ReleasePlaced.done();
        self.switch(&text)?;
        Step::Renamed.done();
        Checkpoint::Renamed.reached();
        durable::sync_dir(&self.root)?;
        same_file(&self.live, verified)?;
        Ok(binary)
    }

    fn kept(&self, _of: &Sha256) -> PathBuf {
        let previous = self.private.file("previous");
        match Self::text(&previous) {
            Ok(Some(text)) => self.root.join(text).join(&self.name),
            _ => previous,
        }
    }

    fn reinstate(&self, _of: &Sha256) -> Result<PathBuf, InstallError> {
        self.switch_back(&self.private.file("older"))
    }

    fn restore(&self, _of: &Sha256) -> Result<PathBuf, InstallError> {
        self.switch_back(&self.private.file("previous"))
    }

    fn tidy(&self, outcome: Outcome<'_>) -> Result<(), InstallError> {
        let (previous, older) = (self.private.file("previous"), self.private.file("older"));
        durable::remove(&self.private.file("next"))?;
        match outcome {
            Outcome::Advanced(protected) => {
                durable::remove(&older)?;
                self.collect(protected)?;
            }
            Outcome::Returned if Self::text(&older)?.is_some() => durable::rename(&older, &previous)?,
            Outcome::Returned => {
                if let (Ok(kept), Ok(live)) = (Stamp::of(&self.kept(&Sha256([0; 32]))), Stamp::of(&self.live))
                    && kept.same_file(&live)
                {
                    durable::remove(&previous)?;
                }
            }
        }
        Ok(())
    }
}

/// The eight digits of a directory name that we made; `None` for any other name.
fn well_formed(name: &str) -> Option<&str> {
    let (version, digest8) = name.rsplit_once('-')?;
    let hex = digest8.len() == 8 && digest8.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let versioned = version == UNVERSIONED || Version::parse(version).is_ok();
    (hex && versioned).then_some(digest8)
}

/// Makes `dir` a directory that everybody may read, or says why it is none.
fn directory(dir: &Path) -> Result<(), InstallError> {
    match DirBuilder::new().mode(0o755).create(dir) {
        Ok(()) => durable::sync_dir(dir.parent().unwrap_or(dir))?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            if !fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir()) {
                return Err(InstallError::path(dir, "is not a directory", "move it away"));
            }
            paths::guarded(dir)?;
        }
        Err(e) => return Err(InstallError::io(dir, "creating the directory")(e)),
    }
    Ok(())
}

fn not_the_layout(program: &Path) -> InstallError {
    InstallError::path(
        program,
        "does not fit the layout `releases`",
        "give the path through the link: `<root>/current/<name>`",
    )
}

const UNVERSIONED: &str = "unversioned";

#[cfg(test)]
mod tests {
    use super::well_formed;

    #[test]
    fn only_names_of_our_own_making_are_well_formed() {
        for name in ["1.2.3-00ff00ff", "1.2.3-rc.1-00ff00ff", "1.2.3+b-7-00ff00ff", "unversioned-00ff00ff"] {
            assert_eq!(well_formed(name), Some("00ff00ff"), "{name}");
        }
        for name in ["1.2.3", "1.2-00ff00ff", "shared", "1.2.3-00FF00FF", "1.2.3-00ff00f", "..-00ff00ff", "-00ff00ff"] {
            assert_eq!(well_formed(name), None, "{name}");
        }
    }
}
