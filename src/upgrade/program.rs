//! Which file is started at an upgrade, with which arguments, and where.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The program as this process was started, told once at its start: later its file may be gone.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// Absolute; links in it are not followed, so that one that is turned meanwhile leads to the new release.
    pub(super) path: PathBuf,
    /// The zeroth argument included.
    pub(super) argv: Vec<OsString>,
    /// As the shell knew it, links and all, where `PWD` says so.
    pub(super) cwd: PathBuf,
}

impl Program {
    /// `path` or else `inherited` is the program; without either, the file that this process runs.
    pub(super) fn tell(path: Option<PathBuf>, inherited: Option<PathBuf>) -> io::Result<Program> {
        let cwd = working_directory()?;
        let argv: Vec<OsString> = std::env::args_os().collect();
        let path = match path.or(inherited) {
            Some(path) => cwd.join(path),
            None => {
                let typed = argv.first().map(OsString::as_os_str).unwrap_or_default();
                as_typed(typed, &cwd, std::env::var_os("PATH")).map_or_else(running, Ok)?
            }
        };
        Ok(Program { path, argv, cwd })
    }
}

/// The file called `typed`, if it is the one that this process runs.
fn as_typed(typed: &OsStr, cwd: &Path, search: Option<OsString>) -> Option<PathBuf> {
    let own = identity(Path::new(RUNNING))?;
    let places = match typed.as_bytes().contains(&b'/') {
        true => vec![cwd.to_owned()],
        false => std::env::split_paths(&search.unwrap_or_default()).map(|place| cwd.join(place)).collect(),
    };
    // Taken apart and put together again, it has no `.` in it any more.
    let mut files = places.into_iter().map(|place| place.join(typed).components().collect::<PathBuf>());
    files.find(|file| identity(file) == Some(own))
}

/// The file that this process runs, as the kernel names it.
fn running() -> io::Result<PathBuf> {
    let named = fs::read_link(RUNNING)?.into_os_string().into_vec();
    // Replaced before anybody asked: the new file has the old one's name.
    let named = named.strip_suffix(b" (deleted)").map(<[u8]>::to_vec).unwrap_or(named);
    Ok(PathBuf::from(OsString::from_vec(named)))
}

fn working_directory() -> io::Result<PathBuf> {
    let known = std::env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    match known {
        Some(path) if identity(&path).is_some_and(|there| Some(there) == identity(Path::new("."))) => Ok(path),
        _ => std::env::current_dir(),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

const RUNNING: &str = "/proc/self/exe";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_one_typed_and_links_in_it_stay() {
        let own = fs::read_link(RUNNING).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(own.parent().unwrap(), dir.path().join("current")).unwrap();
        let name = own.file_name().unwrap();
        let through = Path::new("./current/.").join(name);
        let there = dir.path().join("current").join(name);
        assert_eq!(as_typed(through.as_os_str(), dir.path(), None), Some(there.clone()));
        let search = std::env::join_paths([Path::new("/nonexistent"), Path::new("current")]).unwrap();
        assert_eq!(as_typed(name, dir.path(), Some(search)), Some(there));
        assert_eq!(as_typed(OsStr::new("/bin/sh"), dir.path(), None), None, "another name than its own");
        assert_eq!(running().unwrap(), own);
    }
}
