//! What the durable primitive asks of the kernel, one function for each call.
//!
//! In the unit tests each call is also a place where the disk can fail or the power can go.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

#[cfg(test)]
use super::power;

/// A new, empty file that only its owner can read.
pub(super) fn create(path: &Path) -> io::Result<File> {
    #[cfg(test)]
    power::reach()?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    #[cfg(test)]
    power::made(path);
    Ok(file)
}

/// Writes into `file` what `fill` does.
pub(super) fn fill(file: &mut File, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    #[cfg(test)]
    power::reach()?;
    #[cfg(test)]
    power::written(file);
    fill(file)
}

/// Sets exactly `mode`: the one given at creation is cut by the umask.
pub(super) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    #[cfg(test)]
    power::reach()?;
    file.set_permissions(Permissions::from_mode(mode))
}

/// Makes the bytes of `file` durable.
pub(super) fn sync(file: &File) -> io::Result<()> {
    #[cfg(test)]
    power::reach()?;
    file.sync_all()?;
    #[cfg(test)]
    power::synced(file);
    Ok(())
}

/// Renames, replacing what is at `to`.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    power::reach()?;
    #[cfg(test)]
    let replaced = power::keep(to);
    fs::rename(from, to)?;
    #[cfg(test)]
    power::renamed(from, to, replaced);
    Ok(())
}

/// A second name for a file; the name must be free.
pub(super) fn hard_link(existing: &Path, link: &Path) -> io::Result<()> {
    #[cfg(test)]
    power::reach()?;
    fs::hard_link(existing, link)?;
    #[cfg(test)]
    power::made(link);
    Ok(())
}

/// A symlink; the name must be free.
pub(super) fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    #[cfg(test)]
    power::reach()?;
    std::os::unix::fs::symlink(target, link)?;
    #[cfg(test)]
    power::made(link);
    Ok(())
}

/// Removes a name.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    power::reach()?;
    #[cfg(test)]
    let removed = power::keep(path);
    fs::remove_file(path)?;
    #[cfg(test)]
    power::removed(path, removed);
    Ok(())
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    #[cfg(test)]
    power::reach()?;
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(dir)?.sync_all()?;
    #[cfg(test)]
    power::synced_dir(dir);
    Ok(())
}

/// Removes a temporary name that is no longer needed, if it is there.
pub(super) fn discard(path: &Path) {
    // A process without power removes nothing.
    #[cfg(test)]
    if power::is_off() {
        return;
    }
    let _ = fs::remove_file(path);
}
