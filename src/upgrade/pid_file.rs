//! The PID file: the process that serves, always a whole number.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A PID file that is written and not yet at its place.
#[derive(Debug)]
pub(super) struct Prepared {
    temporary: PathBuf,
    path: PathBuf,
}

impl Prepared {
    /// Writes this process's id beside `path`: what can go wrong goes wrong here.
    pub(super) fn beside(path: &Path) -> io::Result<Prepared> {
        let id = std::process::id();
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        let temporary = path.with_file_name(format!(".{name}.{id}"));
        // Its own id is in the name: what is there was left by a process that is no more.
        let mut file = fs::File::create(&temporary)?;
        let prepared = Prepared { temporary, path: path.to_owned() };
        writeln!(file, "{id}")?;
        Ok(prepared)
    }

    /// Puts it at its place, over another process's.
    pub(super) fn place(self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // Gone if it was placed.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_replaces_another_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.pid");
        fs::write(&path, "1\n").unwrap();
        drop(Prepared::beside(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n", "prepared is not placed");
        Prepared::beside(&path).unwrap().place().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(Prepared::beside(&dir.path().join("none/app.pid")).is_err());
    }
}
