//! Layout `external`: somebody else replaces the binary. The path is never written.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::paths::{self, Private};
use super::stamp::{self, Current};
use super::{InstallError, Outcome, Place, same_file};
use crate::checkpoint::Checkpoint;
use crate::digest::Sha256;
use crate::durable;
use crate::verify::Verified;

/// Their path, and in a directory of ours `kept/<sha256>`: the very files that were verified.
///
/// A hard link to their file would be cheaper and worth less: a deploy job that writes in place
/// changes every link.
#[derive(Debug)]
pub(super) struct External {
    theirs: PathBuf,
    kept: PathBuf,
    private: Private,
}

impl External {
    /// `program` is absolute and is followed anew at every look: `current` in it moves.
    pub(super) fn open(program: PathBuf, dir: &Path) -> Result<External, InstallError> {
        if program.file_name().is_none() {
            return Err(InstallError::path(
                &program,
                "does not name a file",
                "give the path of the program file itself",
            ));
        }
        let private = Private::at(dir)?;
        let kept = private.file("kept");
        paths::private(&kept)?;
        private.same_file_system(&kept)?;
        Ok(External { theirs: program, kept, private })
    }
}

impl Place for External {
    fn private(&self) -> &Private {
        &self.private
    }

    fn live(&self) -> &Path {
        &self.theirs
    }

    fn is_ours(&self) -> bool {
        false
    }

    fn program(&self) -> Result<PathBuf, InstallError> {
        Ok(self.theirs.clone())
    }

    fn writable(&self) -> Result<(), InstallError> {
        paths::writable(&self.kept, &self.kept)
    }

    fn keep(&self, _from: &Current) -> Result<(), InstallError> {
        Ok(())
    }

    fn put(&self, verified: &Verified) -> Result<PathBuf, InstallError> {
        let custody = verified.path();
        same_file(custody, verified)?;
        durable::rename(custody, &self.kept(&verified.sha256()))?;
        Checkpoint::Renamed.reached();
        // They may have deployed again while this one was being verified.
        match stamp::read(&self.theirs).map_err(InstallError::io(&self.theirs, "reading"))? {
            Some((_, found)) if found.sha256 == verified.sha256() => Ok(self.theirs.clone()),
            _ => Err(InstallError::Swapped { path: self.theirs.clone() }),
        }
    }

    /// The binary that was there before fetchd came has no copy yet; without one a bad deploy could not be undone.
    fn keep_verified(&self, verified: &Verified) -> Result<(), InstallError> {
        let kept = self.kept(&verified.sha256());
        if kept.exists() {
            return Ok(());
        }
        same_file(verified.path(), verified)?;
        Ok(durable::rename(verified.path(), &kept)?)
    }

    fn kept(&self, of: &Sha256) -> PathBuf {
        self.kept.join(of.to_string())
    }

    fn reinstate(&self, of: &Sha256) -> Result<PathBuf, InstallError> {
        Ok(self.kept(of))
    }

    fn restore(&self, of: &Sha256) -> Result<PathBuf, InstallError> {
        Ok(self.kept(of))
    }

    fn tidy(&self, outcome: Outcome<'_>) -> Result<(), InstallError> {
        let Outcome::Advanced(needed) = outcome else { return Ok(()) };
        for entry in fs::read_dir(&self.kept).map_err(InstallError::io(&self.kept, "listing"))? {
            let entry = entry.map_err(InstallError::io(&self.kept, "listing"))?;
            let name = entry.file_name();
            if !needed.iter().any(|sha256| name.to_str() == Some(&sha256.to_string())) {
                durable::remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Promises that nobody but root and the user fetchd runs as can change what `path` leads to, now
/// or later: the file, every directory on the way, and every symlink passed belong to one of the
/// two and are writable by nobody else. A directory with the sticky bit may be writable, if what
/// comes next is a directory. Proved by `install::tests::refusals::owner_only_*`.
///
/// Fails with [`InstallError::Exposed`], naming the first thing that somebody else can change.
pub fn owner_only(path: &Path) -> Result<(), InstallError> {
    let typed = paths::absolute(path)?;
    let own = rustix::process::geteuid().as_raw();
    let mut rest: Vec<PathBuf> = typed.components().rev().map(|c| PathBuf::from(c.as_os_str())).collect();
    let (mut at, mut links, mut in_sticky) = (PathBuf::from("/"), 0, false);
    while let Some(part) = rest.pop() {
        match part.components().next() {
            Some(Component::RootDir) => at = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                at.pop();
            }
            Some(Component::Normal(name)) => at.push(name),
            _ => continue,
        }
        let meta = fs::symlink_metadata(&at).map_err(InstallError::io(&at, "reading"))?;
        let mode = meta.mode() & 0o7777;
        let exposed = || Err(InstallError::Exposed { path: at.clone(), uid: meta.uid(), mode, own });
        if meta.uid() != 0 && meta.uid() != own {
            return exposed();
        }
        // Others could have put a hard link to any file of ours there; never a directory.
        if in_sticky && !meta.is_dir() {
            return exposed();
        }
        in_sticky = false;
        if meta.is_symlink() {
            links += 1;
            if links > 40 {
                return Err(InstallError::path(
                    &typed,
                    "is a symlink that leads back to itself",
                    "point it at the program",
                ));
            }
            let target = fs::read_link(&at).map_err(InstallError::io(&at, "reading the link"))?;
            at.pop();
            rest.extend(target.components().rev().map(|c| PathBuf::from(c.as_os_str())));
        } else if mode & 0o022 != 0 {
            if !meta.is_dir() || mode & 0o1000 == 0 {
                return exposed();
            }
            in_sticky = true;
        } else if !meta.is_dir() && !rest.is_empty() {
            return Err(InstallError::io(&at, "entering")(std::io::ErrorKind::NotADirectory.into()));
        }
    }
    let meta = fs::symlink_metadata(&at).map_err(InstallError::io(&at, "reading"))?;
    if !meta.is_file() {
        return Err(InstallError::path(&typed, "is not a regular file", "give the path of the program file itself"));
    }
    Ok(())
}
