//! Putting the state right: what is damaged is set aside, and a record of what can still be proved takes its place.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::keys::KEYS;
use super::store::{BUNDLE, LOCK, Lock, RECORD, RECORD_LIMIT};
use super::{Examined, Fault, Hold, Holder, Quarantined, Record, StateError, Store, examine, files};
use crate::clock::Timestamp;
use crate::durable;

/// A file that was given another name; it is never removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What it was called.
    pub from: &'static str,
    /// What it is called now.
    pub to: String,
}

/// A state directory that is being put right. Its lock is held.
#[derive(Debug)]
pub struct Repair {
    store: Store,
    examined: Examined,
    moved: Vec<Moved>,
    at: Timestamp,
}

impl Repair {
    /// Takes the lock of `dir`, and looks at what is there.
    ///
    /// Fails with [`StateError::Locked`] if another process has it, and with [`StateError::Unsafe`] if others could
    /// change the directory: what is in it is then nobody's word. A damaged lock is set aside, unless somebody holds it.
    pub fn begin(dir: &Path, at: Timestamp) -> Result<Repair, StateError> {
        let dir = std::path::absolute(dir).map_err(StateError::io(dir, "resolving"))?;
        files::prepare_dir(&dir)?;
        let owner = rustix::process::geteuid().as_raw();
        let mut moved = Vec::new();
        let lock = match Lock::take(&dir, owner) {
            Err(StateError::Damaged { .. } | StateError::Io { .. }) => {
                if Lock::is_held(&dir.join(LOCK)) {
                    return Err(StateError::Locked { path: dir, pid: None });
                }
                moved.push(set_aside(&dir, LOCK, DAMAGED, at, Then::Gone)?);
                Lock::take(&dir, owner)?
            }
            other => other?,
        };
        durable::sweep(&dir)?;
        let mut examined = examine(&dir);
        let record = examined.record.take().unwrap_or_default();
        let store = Store::holding(dir, owner, record.clone(), lock);
        examined.record = Some(record).filter(|_| examined.fault(RECORD).is_none());
        Ok(Repair { store, examined, moved, at })
    }

    /// What was found.
    pub fn examined(&self) -> &Examined {
        &self.examined
    }

    /// Gives `last.bundle` another name, because its signature does not hold, or because it would raise the floor that an
    /// operator lowers. `why` becomes part of the name.
    pub fn set_bundle_aside(&mut self, why: &str) -> Result<(), StateError> {
        if self.examined.bundle.take().is_some() {
            self.moved.push(set_aside(self.store.dir(), BUNDLE, why, self.at, Then::Gone)?);
        }
        Ok(())
    }

    /// Gives the kept key sets another name: they do not follow one another from the provisioned one. They are fetched again,
    /// and as many as before must be there then.
    pub fn set_keys_aside(&mut self) -> Result<(), StateError> {
        self.moved.push(set_aside(self.store.dir(), KEYS, DAMAGED, self.at, Then::Gone)?);
        Ok(())
    }

    /// Sets aside what is damaged and writes `record`. At no moment there is no record where there was one, however
    /// damaged (test `a_repair_that_is_cut_short_leaves_the_damaged_record_or_the_new_one`).
    pub fn finish(mut self, record: Record) -> Result<(Store, Vec<Moved>), StateError> {
        for Fault { file, .. } in &self.examined.faults {
            let then = if *file == RECORD { Then::Replaced } else { Then::Gone };
            if ![LOCK, "."].contains(file) {
                self.moved.push(set_aside(self.store.dir(), file, DAMAGED, self.at, then)?);
            }
        }
        self.store.update(|kept| *kept = record)?;
        Ok((self.store, self.moved))
    }
}

/// Whether something takes the place of what is set aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Replaced,
    Gone,
}

fn set_aside(dir: &Path, file: &'static str, why: &str, at: Timestamp, then: Then) -> Result<Moved, StateError> {
    let to = free_name(dir, file, why, at);
    let (from, aside) = (dir.join(file), dir.join(&to));
    match then {
        Then::Replaced => {
            durable::set_aside(&from, &aside)?;
        }
        Then::Gone => durable::rename(&from, &aside)?,
    }
    Ok(Moved { from: file, to })
}

/// A name that nothing has: what was set aside before is not overwritten.
pub(super) fn free_name(dir: &Path, file: &str, why: &str, at: Timestamp) -> String {
    let stamp: String = at.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let first = format!("{file}.{why}-{stamp}");
    let mut name = first.clone();
    for number in 2.. {
        if dir.join(&name).symlink_metadata().is_err() {
            break;
        }
        name = format!("{first}-{number}");
    }
    name
}

/// What a damaged record still says. None of it is believed where that could let anything in: an operator's hold and
/// digests in quarantine can only keep something out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remains {
    /// Digests that failed here.
    pub quarantine: Vec<Quarantined>,
    /// An operator's hold.
    pub hold: Option<Hold>,
    /// The floor it claims: only to be shown.
    pub claimed: Option<(u64, u64)>,
    /// Whether nothing of it could be read.
    pub illegible: bool,
}

/// Reads what can be read of the record in `dir`, whatever is wrong with the rest of it.
pub fn remains(dir: &Path) -> Remains {
    let path = dir.join(RECORD);
    let read = || -> Option<Value> {
        let mut options = OpenOptions::new();
        let mut bytes = Vec::new();
        let file = files::open_unchecked(&path, options.read(true)).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        file.take(RECORD_LIMIT).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    let Some(Value::Object(object)) = read() else {
        return Remains { illegible: true, ..Remains::default() };
    };
    let number = |key: &str| object.get(key).and_then(Value::as_u64);
    let listed = object.get("quarantine").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let newest = listed.len().saturating_sub(MOST_CARRIED);
    Remains {
        quarantine: listed[newest..].iter().filter_map(|bad| Quarantined::deserialize(bad).ok()).collect(),
        hold: object.get("hold").and_then(|hold| Hold::deserialize(hold).ok()),
        illegible: false,
        claimed: number("seq").map(|seq| (number("epoch").unwrap_or(0), seq)),
    }
}

/// The error that somebody else holds the lock of what was examined, if somebody does.
pub fn must_be_free(examined: &Examined) -> Result<(), StateError> {
    match examined.holder() {
        Holder::Nobody => Ok(()),
        Holder::Process(pid) => Err(StateError::Locked { path: PathBuf::from(examined.dir()), pid }),
    }
}

const DAMAGED: &str = "damaged";
/// As many as a record ever holds.
const MOST_CARRIED: usize = 64;
