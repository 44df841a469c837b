//! Named points of the line at which tests stop the process: to kill it there, or to do something meanwhile.
//!
//! Each variant is a place where a crash leaves something half done. `tests/crash` loops over
//! [`Checkpoint::ALL`]; a new variant is covered the day it is added.
//!
//! A checkpoint does nothing unless the variable `FETCHD_TEST_CHECKPOINT` names it. Then the
//! process creates the file named by `FETCHD_TEST_CHECKPOINT_FILE` and waits, to be killed or for the
//! file to be removed; then it goes on. It does so once: where the file is there already, nothing
//! happens, so that the worker after a killed one goes on. Both are read only in builds with debug
//! assertions.

/// A place in the line where a crash would hurt most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// A key set that was accepted lies in the state directory; the record does not know of it.
    KeysKept,
    /// The worker has written some, not all, of an artifact.
    DownloadPartial,
    /// The artifact is complete in staging, not yet taken into custody.
    DownloadComplete,
    /// The custody copy exists, nothing has been checked.
    CustodyTaken,
    /// An archive's entry has been extracted.
    Extracted,
    /// Digest and target are right, the smoke run has not begun.
    BeforeSmoke,
    /// Everything is verified, nothing at the program path has changed.
    Verified,
    /// The previous binary is kept and the journal says that an activation began.
    JournalBegun,
    /// The program path is the new binary, its directory is not yet synced.
    Renamed,
    /// The program path is the new binary, durably; the journal still says "activating".
    Activated,
    /// The journal says "activated, not confirmed"; the service is still the old one.
    BeforeHandoff,
    /// The new generation is ready, the old one has not been told.
    Ready,
    /// The old generation has been told to drain; the watch runs.
    Watching,
    /// The watch is over, the confirmation is not yet recorded.
    BeforeConfirm,
    /// The confirmation is recorded, the old generation may still drain.
    Confirmed,
    /// A roll back began: the journal says so, the path still holds the bad binary.
    RollbackBegun,
    /// The previous binary is back at the path, the bad digest is not yet in quarantine.
    RolledBack,
}

impl Checkpoint {
    /// Every checkpoint, in the order of the line.
    pub const ALL: [Checkpoint; 17] = [
        Checkpoint::KeysKept,
        Checkpoint::DownloadPartial,
        Checkpoint::DownloadComplete,
        Checkpoint::CustodyTaken,
        Checkpoint::Extracted,
        Checkpoint::BeforeSmoke,
        Checkpoint::Verified,
        Checkpoint::JournalBegun,
        Checkpoint::Renamed,
        Checkpoint::Activated,
        Checkpoint::BeforeHandoff,
        Checkpoint::Ready,
        Checkpoint::Watching,
        Checkpoint::BeforeConfirm,
        Checkpoint::Confirmed,
        Checkpoint::RollbackBegun,
        Checkpoint::RolledBack,
    ];

    /// The name used in `FETCHD_TEST_CHECKPOINT`.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Announces that this point is reached, and stops here if a test asked for it.
    #[inline]
    pub fn reached(self) {
        #[cfg(debug_assertions)]
        self.stop_if_asked();
    }

    #[cfg(debug_assertions)]
    fn stop_if_asked(self) {
        let Ok(wanted) = std::env::var("FETCHD_TEST_CHECKPOINT") else { return };
        if wanted != self.name() {
            return;
        }
        let marker = std::env::var_os("FETCHD_TEST_CHECKPOINT_FILE").map(std::path::PathBuf::from);
        if let Some(marker) = &marker {
            match std::fs::File::create_new(marker) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return,
                // A test that cannot be told waits until its own deadline, and fails there.
                Err(_) => {}
                Ok(mut file) => drop(std::io::Write::write_all(&mut file, std::process::id().to_string().as_bytes())),
            }
        }
        while marker.as_ref().is_none_or(|marker| marker.try_exists().unwrap_or(true)) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}
