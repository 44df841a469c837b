//! What the new binary takes over from the current one: owner, mode, extended attributes.
//!
//! The order matters: a change of the owner clears setuid, setgid and file capabilities, so it
//! comes first; an access control list widens the group bits of the mode, so it comes last.

use std::ffi::OsString;
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use rustix::thread::{CapabilitySet, capabilities};
use xattr::FileExt as _;

use super::InstallError;

/// What happens if an attribute cannot be carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carry {
    /// The install stops.
    #[default]
    Strict,
    /// A warning is logged. Without its owner the new binary loses setuid and setgid too.
    BestEffort,
}

/// Fails if a file of ours could not be given the owner that `meta` has.
pub(super) fn owner_can_be_kept(meta: &Metadata, path: &Path) -> Result<(), InstallError> {
    let chown = || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::CHOWN));
    if meta.uid() == rustix::process::geteuid().as_raw() || chown() {
        return Ok(());
    }
    let (attribute, source) = (owner(meta), io::Error::from_raw_os_error(libc::EPERM));
    Err(InstallError::Metadata { path: path.to_owned(), attribute, source })
}

/// Gives the mode of a program to `new`, which replaces nothing.
pub(super) fn fresh(new: &File, path: &Path) -> Result<(), InstallError> {
    new.set_permissions(Permissions::from_mode(0o755)).map_err(InstallError::io(path, "setting the mode of"))
}

/// Makes `new` look like `current`, which lies at `path`. Setuid and setgid come from `current`
/// and from nowhere else.
pub(super) fn carry_over(current: &File, new: &File, path: &Path, carry: Carry) -> Result<(), InstallError> {
    let io = |action| InstallError::io(path, action);
    let (want, have) = (current.metadata().map_err(io("reading"))?, new.metadata().map_err(io("reading"))?);
    let mut mode = want.mode() & 0o7777;
    if (want.uid(), want.gid()) != (have.uid(), have.gid())
        && let Err(e) = fchown(new, Some(want.uid()), Some(want.gid()))
    {
        lost(path, owner(&want), e, carry)?;
        // Setuid on a file that belongs to somebody else would lend that user's rights, not those meant.
        mode &= 0o1777;
    }
    if let Err(e) = new.set_permissions(Permissions::from_mode(mode)) {
        lost(path, format!("the mode {mode:04o}"), e, carry)?;
    }
    attributes(current, new, path, carry)
}

fn attributes(current: &File, new: &File, path: &Path, carry: Carry) -> Result<(), InstallError> {
    let (wanted, present) = match (names(current), names(new)) {
        (Ok(wanted), Ok(present)) => (wanted, present),
        (Err(e), _) | (_, Err(e)) => return lost(path, "the list of extended attributes".to_owned(), e, carry),
    };
    for name in &wanted {
        let copied = current.get_xattr(name).and_then(|value| match value {
            Some(value) if new.get_xattr(name).ok().flatten().as_ref() == Some(&value) => Ok(()),
            Some(value) => new.set_xattr(name, &value),
            None => Ok(()),
        });
        if let Err(e) = copied {
            lost(path, format!("attribute `{}`", name.display()), e, carry)?;
        }
    }
    // A directory's default access control list would give the new file rights that the old one did not have.
    for name in present.iter().filter(|name| !wanted.contains(name) && name.as_encoded_bytes().starts_with(b"system."))
    {
        if let Err(e) = new.remove_xattr(name) {
            lost(path, format!("the absence of attribute `{}`", name.display()), e, carry)?;
        }
    }
    Ok(())
}

fn owner(meta: &Metadata) -> String {
    format!("the owner {}:{}", meta.uid(), meta.gid())
}

fn names(file: &File) -> io::Result<Vec<OsString>> {
    match file.list_xattr() {
        Ok(names) => Ok(names.filter(|name| !OF_THE_BYTES.iter().any(|of| *name == **of)).collect()),
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

fn lost(path: &Path, attribute: String, source: io::Error, carry: Carry) -> Result<(), InstallError> {
    match carry {
        Carry::Strict => Err(InstallError::Metadata { path: path.to_owned(), attribute, source }),
        Carry::BestEffort => {
            tracing::warn!(path = %path.display(), attribute, cause = %source, "metadata_lost");
            Ok(())
        }
    }
}

/// These vouch for the bytes of the old file; on the new one they would be wrong.
const OF_THE_BYTES: [&str; 2] = ["security.ima", "security.evm"];
