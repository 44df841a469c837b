//! Opening what lies in the state directory without trusting that it is what it was.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::StateError;
use crate::durable;

/// Creates `dir` with permissions 0700 if it is missing, and checks it with [`check_dir`].
pub(super) fn prepare_dir(dir: &Path) -> Result<(), StateError> {
    if let Some(above) = dir.parent() {
        fs::create_dir_all(above).map_err(StateError::io(above, "creating the directory"))?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => durable::sync_dir(dir.parent().unwrap_or(dir))?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(StateError::io(dir, "creating the state directory")(e)),
    }
    let owner = check_dir(dir)?.uid();
    let own = rustix::process::geteuid().as_raw();
    if owner != own {
        return Err(StateError::Unsafe {
            path: dir.to_owned(),
            what: format!("belongs to user {owner}, fetchd runs as user {own}"),
            hint: format!("run fetchd as user {owner}, or give it a state directory of its own"),
        });
    }
    Ok(())
}

/// Refuses a state directory that is a symlink, or that others may write.
pub(super) fn check_dir(dir: &Path) -> Result<Metadata, StateError> {
    let meta = fs::symlink_metadata(dir).map_err(StateError::io(dir, "reading the state directory"))?;
    let refuse = |what: &str, hint: &str| {
        Err(StateError::Unsafe { path: dir.to_owned(), what: what.to_owned(), hint: hint.to_owned() })
    };
    if meta.is_symlink() {
        return refuse("is a symlink", "name the directory itself in `state_dir`");
    }
    if !meta.is_dir() {
        return refuse("is not a directory", "move it away, or name another `state_dir`");
    }
    if meta.mode() & 0o022 != 0 {
        return refuse("can be written by others", "make it private with `chmod 0700`, after a look at what is in it");
    }
    Ok(meta)
}

/// The bytes of the file `path`, at most `limit`; `None` if there is no such file.
///
/// It must be a regular file of `owner` that nobody else can write. A FIFO put there does not hang fetchd.
pub(super) fn read(path: &Path, owner: u32, limit: u64) -> Result<Option<Vec<u8>>, StateError> {
    let Some(file) = open(path, owner, OpenOptions::new().read(true))? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(StateError::io(path, "reading"))?;
    if bytes.len() as u64 > limit {
        return Err(StateError::damaged(path, format!("is larger than {limit} bytes")));
    }
    Ok(Some(bytes))
}

/// Opens the file `path` under the same conditions; `None` if it is missing and `options` do not create it.
pub(super) fn open(path: &Path, owner: u32, options: &mut OpenOptions) -> Result<Option<File>, StateError> {
    let file = match open_unchecked(path, options) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => return Err(StateError::damaged(path, "is a symlink")),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EISDIR | libc::ENXIO)) => {
            return Err(StateError::damaged(path, "is not a regular file"));
        }
        Err(e) => return Err(StateError::io(path, "opening")(e)),
    };
    let meta = file.metadata().map_err(StateError::io(path, "reading"))?;
    if !meta.is_file() {
        return Err(StateError::damaged(path, "is not a regular file"));
    }
    if meta.uid() != owner {
        return Err(StateError::damaged(path, format!("belongs to user {}, not to user {owner}", meta.uid())));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(StateError::damaged(path, "can be written by others"));
    }
    Ok(Some(file))
}

/// Opens whatever lies at `path`, except through a symlink.
pub(super) fn open_unchecked(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // O_NONBLOCK: opening a FIFO must fail or return, never wait.
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}
