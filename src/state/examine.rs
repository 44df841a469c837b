//! A look at everything in a state directory, one thing after the other, believing none of it.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use super::store::{self, BUNDLE, BUNDLE_LIMIT, FLEET, LOCK, RECORD};
use super::{Record, StateError, files, history};
use crate::trust::bundle::Bundle;

/// Something in the state directory that cannot be used.
#[derive(Debug)]
pub struct Fault {
    /// Which file: its name in the directory, `.` for the directory itself.
    pub file: &'static str,
    /// What is wrong with it.
    pub error: StateError,
}

/// Whether somebody holds the lock of a state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// A process, which has written its number where that is known.
    Process(Option<u32>),
}

/// What lies in a state directory. Each file is looked at by itself: that one is damaged says nothing about the others.
#[derive(Debug)]
pub struct Examined {
    pub(super) dir: PathBuf,
    pub(super) record: Option<Record>,
    pub(super) bundle: Option<Vec<u8>>,
    holder: Holder,
    pub(super) faults: Vec<Fault>,
}

/// Looks at the state in `dir`, without its lock and without changing anything.
pub fn examine(dir: &Path) -> Examined {
    let mut found =
        Examined { dir: dir.to_owned(), record: None, bundle: None, holder: Holder::Nobody, faults: Vec::new() };
    let owner = match files::check_dir(dir) {
        Ok(meta) => std::os::unix::fs::MetadataExt::uid(&meta),
        Err(StateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return found,
        Err(error) => {
            found.faults.push(Fault { file: ".", error });
            return found;
        }
    };
    match store::read_record(dir, owner) {
        Ok(record) => found.record = record,
        Err(error) => found.faults.push(Fault { file: RECORD, error }),
    }
    match files::read(&dir.join(BUNDLE), owner, BUNDLE_LIMIT).and_then(|bytes| syntax(dir, bytes)) {
        Ok(bundle) => found.bundle = bundle,
        Err(error) => found.faults.push(Fault { file: BUNDLE, error }),
    }
    if let Err(error) = store::read_fleet(dir, owner) {
        found.faults.push(Fault { file: FLEET, error });
    }
    match store::look_for_holder(dir, owner) {
        Ok(holder) => found.holder = holder,
        Err(error) => found.faults.push(Fault { file: LOCK, error }),
    }
    for file in history::NAMES {
        if let Err(error) = files::open(&dir.join(file), owner, OpenOptions::new().read(true)) {
            found.faults.push(Fault { file, error });
        }
    }
    found
}

/// Whether it is a bundle at all; whose it is, only the keys can tell.
fn syntax(dir: &Path, bytes: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, StateError> {
    match bytes.as_deref().map(Bundle::parse) {
        Some(Err(why)) => Err(StateError::damaged(&dir.join(BUNDLE), format!("cannot be read: {why}"))),
        None | Some(Ok(_)) => Ok(bytes),
    }
}

impl Examined {
    /// The state directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The record, if there is one that can be read.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Whether there is no record: a service fetchd has never seen, or one whose record was taken away.
    pub fn is_new(&self) -> bool {
        self.record.is_none() && !self.faults.iter().any(|fault| [RECORD, "."].contains(&fault.file))
    }

    /// The raw bytes of the last manifest bundle that was accepted; to be checked again.
    pub fn bundle(&self) -> Option<&[u8]> {
        self.bundle.as_deref()
    }

    /// Who holds the lock.
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// What is damaged; the record first.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// What is wrong with the file `name`, if something is.
    pub fn fault(&self, name: &str) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.file == name)
    }
}
