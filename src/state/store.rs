//! The state directory, held by one process at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;

use super::record::{Record, SCHEMA};
use super::{Event, Examined, Fault, History, Holder, StateError, examine, files, repair};
use crate::clock::Timestamp;
use crate::durable;

/// The state of one service. While it lives, no other process can open it.
///
/// The lock is released by the kernel when the process ends, however it ends. Programs that this
/// process starts do not inherit it (test `a_program_started_meanwhile_does_not_keep_the_lock`).
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    owner: u32,
    record: Record,
    /// A write came as far as the rename but not to its end: disk and memory may differ.
    uncertain: bool,
    new: bool,
    history: History,
    _lock: Lock,
}

impl Store {
    /// Opens the state in `dir`, creating it if it is missing, and holds its lock.
    ///
    /// Fails with [`StateError::Locked`] if another process holds it, with [`StateError::Unsafe`]
    /// if others can write to the directory, and with [`StateError::Damaged`] if `state.json` is
    /// there and cannot be believed; then nothing is changed.
    pub fn open(dir: &Path) -> Result<Store, StateError> {
        let dir = std::path::absolute(dir).map_err(StateError::io(dir, "resolving"))?;
        files::prepare_dir(&dir)?;
        let owner = rustix::process::geteuid().as_raw();
        let lock = Lock::take(&dir, owner)?;
        Store::open_locked(dir, owner, lock)
    }

    /// Opens the state whose lock an earlier program of this process has left in `lock`: it was never free in between.
    ///
    /// Fails as [`Store::open`] does; then the lock is let go, unless somebody has another copy of the descriptor.
    pub fn open_with(dir: &Path, lock: OwnedFd) -> Result<Store, StateError> {
        let dir = std::path::absolute(dir).map_err(StateError::io(dir, "resolving"))?;
        files::prepare_dir(&dir)?;
        let owner = rustix::process::geteuid().as_raw();
        let lock = Lock::inherited(&dir, owner, lock)?;
        Store::open_locked(dir, owner, lock)
    }

    fn open_locked(dir: PathBuf, owner: u32, lock: Lock) -> Result<Store, StateError> {
        durable::sweep(&dir)?;
        let read = read_record(&dir, owner)?;
        let history = History::new(&dir, owner);
        let (new, record) = (read.is_none(), read.unwrap_or_default());
        let mut store = Store { dir, owner, record, uncertain: new, new, history, _lock: lock };
        // A new record is written at once: a directory that cannot be written should stop the start, not the first
        // update. An old one is left alone.
        store.update(|_| ())?;
        Ok(store)
    }

    /// A store whose lock is taken already, and whose record has yet to be written.
    pub(super) fn holding(dir: PathBuf, owner: u32, record: Record, lock: Lock) -> Store {
        let history = History::new(&dir, owner);
        Store { dir, owner, record, uncertain: true, new: false, history, _lock: lock }
    }

    /// A look at the state in `dir`, without its lock and without changing anything. Of a
    /// directory that does not exist: the record of a service never seen.
    pub fn read_only(dir: &Path) -> Result<Snapshot, StateError> {
        Snapshot::read(dir)
    }

    /// The lock, to be left to another program of this process.
    pub fn lock(&self) -> BorrowedFd<'_> {
        self._lock.0.as_fd()
    }

    /// What is remembered.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Whether there was no record before this process opened the state.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// The state directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What happened, and where to say what happens.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Changes the record and makes the change durable before it returns. If that fails,
    /// [`record`](Store::record) is as it was. A change that changes nothing costs nothing.
    pub fn update<T>(&mut self, change: impl FnOnce(&mut Record) -> T) -> Result<T, StateError> {
        let mut record = self.record.clone();
        let answer = change(&mut record);
        if record == self.record && !self.uncertain {
            return Ok(answer);
        }
        let path = self.dir.join(RECORD);
        let mut text = serde_json::to_vec_pretty(&record).map_err(|e| StateError::Io {
            path: path.clone(),
            step: "encoding",
            source: io::Error::other(e),
        })?;
        text.push(b'\n');
        self.uncertain = true;
        durable::write(&path, 0o600, &text)?;
        self.uncertain = false;
        self.record = record;
        Ok(answer)
    }

    /// The raw bytes of the last manifest bundle that was accepted. They lie on a disk: whoever
    /// reads them checks their signature again.
    pub fn last_bundle(&self) -> Result<Option<Vec<u8>>, StateError> {
        files::read(&self.dir.join(BUNDLE), self.owner, BUNDLE_LIMIT)
    }

    /// Gives `last.bundle` another name, so that the next one does not take the place of what somebody may want to look
    /// at. Returns that name.
    pub fn set_bundle_aside(&mut self, why: &str) -> Result<String, StateError> {
        let to = repair::free_name(&self.dir, BUNDLE, why, Timestamp::now());
        durable::rename(&self.dir.join(BUNDLE), &self.dir.join(&to))?;
        Ok(to)
    }

    /// What was kept of a fleet: JSON, whose meaning is that of whoever kept it.
    ///
    /// Fails with [`StateError::Damaged`] if something else lies there, or something that others could have written.
    pub fn fleet(&self) -> Result<Option<Vec<u8>>, StateError> {
        read_fleet(&self.dir, self.owner)
    }

    /// The same of a state directory that is only looked at; what is damaged is not there.
    pub fn kept_fleet(dir: &Path) -> Option<Vec<u8>> {
        let owner = files::check_dir(dir).ok()?.uid();
        read_fleet(dir, owner).ok().flatten()
    }

    /// Keeps it, durably before it returns.
    pub fn keep_fleet(&mut self, json: &[u8]) -> Result<(), StateError> {
        Ok(durable::write(&self.dir.join(FLEET), 0o600, json)?)
    }

    /// The failure that what was kept of a fleet makes no sense.
    pub fn fleet_damaged(&self, what: String) -> StateError {
        StateError::damaged(&self.dir.join(FLEET), what)
    }

    /// Keeps the raw bytes of a manifest bundle that was accepted.
    pub fn keep_bundle(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        Ok(durable::write(&self.dir.join(BUNDLE), 0o600, bytes)?)
    }
}

/// The state of one service as it was at one moment, for those who only look.
#[derive(Debug)]
pub struct Snapshot {
    record: Record,
    new: bool,
    holder: Option<u32>,
    last_bundle: Option<Vec<u8>>,
    history: Option<History>,
}

impl Snapshot {
    /// A record that cannot be read is a failure; what else is damaged is not there.
    fn read(dir: &Path) -> Result<Snapshot, StateError> {
        let Examined { record, bundle, faults, .. } = examine(dir);
        if let Some(Fault { error, .. }) = faults.into_iter().find(|fault| [RECORD, "."].contains(&fault.file)) {
            return Err(error);
        }
        let owner = std::fs::symlink_metadata(dir).map(|meta| meta.uid());
        Ok(Snapshot {
            new: record.is_none(),
            record: record.unwrap_or_default(),
            holder: owner.as_ref().ok().and_then(|owner| match look_for_holder(dir, *owner) {
                Ok(Holder::Process(pid)) => pid,
                Ok(Holder::Nobody) | Err(_) => None,
            }),
            last_bundle: bundle,
            history: owner.ok().map(|owner| History::new(dir, owner)),
        })
    }

    /// What was remembered.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Whether there was no record.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// The process that held the lock; `None` if none did.
    pub fn holder(&self) -> Option<u32> {
        self.holder
    }

    /// The raw bytes of the last manifest bundle that was accepted; to be checked again.
    pub fn last_bundle(&self) -> Option<&[u8]> {
        self.last_bundle.as_deref()
    }

    /// The last `limit` events, oldest first.
    pub fn history(&self, limit: usize) -> Result<Vec<Event>, StateError> {
        self.history.as_ref().map_or_else(|| Ok(Vec::new()), |history| history.read(limit))
    }
}

/// The lock of a state directory.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    pub(super) fn take(dir: &Path, owner: u32) -> Result<Lock, StateError> {
        let path = dir.join(LOCK);
        let mut options = OpenOptions::new();
        let opened = files::open(&path, owner, options.read(true).write(true).create(true).truncate(false))?;
        let mut file = opened.ok_or_else(|| StateError::damaged(&path, "went away while it was opened"))?;
        match flock_patiently(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StateError::Locked { path: dir.to_owned(), pid: written_pid(&mut file) });
            }
            Err(e) => return Err(StateError::io(&path, "locking")(e.into())),
        }
        // Only a courtesy to whoever finds it locked; not synced, and a failure does not matter.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock(file))
    }

    /// The lock that this process holds already, if it is still the one of `dir`; else the usual way.
    fn inherited(dir: &Path, owner: u32, lock: OwnedFd) -> Result<Lock, StateError> {
        let held = File::from(lock);
        let path = dir.join(LOCK);
        let found = files::open(&path, owner, OpenOptions::new().read(true))?;
        let id = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino()));
        let same =
            found.is_some_and(|found| id(&found).ok().is_some_and(|found| id(&held).is_ok_and(|held| held == found)));
        // What is locked already through the same open file is locked once more without a moment in between.
        if same && flock_retrying(&held, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(Lock(held));
        }
        Lock::take(dir, owner)
    }

    /// Whether a process holds what lies at `path`, though it is no longer what a lock should be.
    pub(super) fn is_held(path: &Path) -> bool {
        let Ok(file) = files::open_unchecked(path, OpenOptions::new().read(true)) else { return false };
        let held = flock_retrying(&file, FlockOperation::NonBlockingLockExclusive);
        held == Err(rustix::io::Errno::WOULDBLOCK)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child between fork and exec still has a copy of the descriptor.
        let _ = flock_retrying(&self.0, FlockOperation::Unlock);
    }
}

/// Who holds the lock. A shared lock is tried and let go at once.
pub(super) fn look_for_holder(dir: &Path, owner: u32) -> Result<Holder, StateError> {
    let path = dir.join(LOCK);
    let Some(mut file) = files::open(&path, owner, OpenOptions::new().read(true))? else { return Ok(Holder::Nobody) };
    match flock_retrying(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Holder::Nobody),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Holder::Process(written_pid(&mut file))),
        Err(e) => Err(StateError::io(&path, "locking")(e.into())),
    }
}

/// Takes the lock even if a snapshot, or a child of a killed fetchd on its way to exec, has it for a moment.
fn flock_patiently(file: &File) -> rustix::io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock_retrying(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(PATIENCE / 10);
            }
            result => return result,
        }
    }
}

fn flock_retrying(file: &File, operation: FlockOperation) -> rustix::io::Result<()> {
    rustix::io::retry_on_intr(|| flock(file, operation))
}

fn written_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

pub(super) fn read_record(dir: &Path, owner: u32) -> Result<Option<Record>, StateError> {
    #[derive(Deserialize)]
    struct Layout {
        schema: u32,
    }
    let path = dir.join(RECORD);
    let Some(bytes) = files::read(&path, owner, RECORD_LIMIT)? else { return Ok(None) };
    // The schema is looked at first: a newer layout deserves a better message than an unknown field.
    let damaged = |what: String| StateError::damaged(&path, what);
    let layout: Layout = serde_json::from_slice(&bytes).map_err(|e| damaged(format!("is not a record: {e}")))?;
    if layout.schema != SCHEMA {
        return Err(damaged(format!("has schema {}, this fetchd reads schema {SCHEMA}", layout.schema)));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|e| damaged(format!("is not a record: {e}")))
}

/// Whether it is JSON is looked at here, so that a torn file is found by those who know no fleets, too.
pub(super) fn read_fleet(dir: &Path, owner: u32) -> Result<Option<Vec<u8>>, StateError> {
    let path = dir.join(FLEET);
    let Some(bytes) = files::read(&path, owner, FLEET_LIMIT)? else { return Ok(None) };
    match serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        Ok(_) => Ok(Some(bytes)),
        Err(e) => Err(StateError::damaged(&path, format!("is not what was kept of a fleet: {e}"))),
    }
}

/// Longer than a snapshot takes, too short to be noticed.
const PATIENCE: Duration = Duration::from_millis(200);
pub(super) const LOCK: &str = "lock";
pub(super) const RECORD: &str = "state.json";
pub(super) const BUNDLE: &str = "last.bundle";
pub(super) const FLEET: &str = "fleet.json";
/// Ten thousand quarantined digests fit; a larger file is not ours.
pub(super) const RECORD_LIMIT: u64 = 4 * 1024 * 1024;
/// A bundle is a manifest of at most 256 KiB in base64 with sixteen signatures beside it.
pub(super) const BUNDLE_LIMIT: u64 = 1024 * 1024;
/// A head of at most 64 KiB, and what a host has not yet reported.
pub(super) const FLEET_LIMIT: u64 = 1024 * 1024;
