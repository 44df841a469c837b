//! What happened to a service: one JSON object per line, append-only, bounded.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{StateError, files};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::durable;
use crate::failure::Reported;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The layout of this line.
    pub schema: u32,
    /// When.
    pub at: Timestamp,
    /// What: a stable dotted name, such as `update.installed`.
    pub event: String,
    /// The version it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The digest of the binary it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The stable code of the failure, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The exit code of the failure, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// What happened, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whatever else belongs to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, Value>,
}

impl Event {
    /// An event that happened at `at`.
    pub fn new(at: Timestamp, event: impl Into<String>) -> Event {
        Event {
            schema: 1,
            at,
            event: event.into(),
            version: None,
            sha256: None,
            code: None,
            exit: None,
            message: None,
            detail: BTreeMap::new(),
        }
    }

    /// Adds the version it is about, where one is known.
    #[must_use]
    pub fn version(mut self, version: Option<&Version>) -> Event {
        self.version = version.cloned();
        self
    }

    /// Adds the digest of the binary it is about, where one is known.
    #[must_use]
    pub fn sha256(mut self, sha256: Option<Sha256>) -> Event {
        self.sha256 = sha256;
        self
    }

    /// Adds the code, exit code and message of a failure.
    #[must_use]
    pub fn failure(mut self, failure: &Reported) -> Event {
        self.code = Some(failure.code.clone());
        self.exit = Some(failure.exit.number());
        self.message(failure.message.clone())
    }

    /// Adds a sentence for people.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Event {
        self.message = Some(message.into());
        self
    }

    /// Adds one more fact.
    #[must_use]
    pub fn detail(mut self, name: impl Into<String>, value: impl Into<Value>) -> Event {
        self.detail.insert(name.into(), value.into());
        self
    }
}

/// The events of one service: `history.jsonl` and, before it, `history.1.jsonl`.
///
/// A line that a crash cut short is skipped by [`read`](History::read); the next
/// [`append`](History::append) starts a line of its own.
#[derive(Debug)]
pub struct History {
    current: PathBuf,
    older: PathBuf,
    owner: u32,
    limit: u64,
}

impl History {
    pub(super) fn new(dir: &Path, owner: u32) -> History {
        let [current, older] = NAMES.map(|name| dir.join(name));
        History { current, older, owner, limit: LIMIT }
    }

    /// The same history, rotated at `limit` bytes.
    #[cfg(test)]
    pub(super) fn rotated_at(mut self, limit: u64) -> History {
        self.limit = limit;
        self
    }

    /// Adds `event`, durably. Only the process that holds the store's lock calls it.
    pub fn append(&self, event: &Event) -> Result<(), StateError> {
        let mut event = event.clone();
        if let Some(message) = &mut event.message {
            message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
        }
        let mut line = serde_json::to_vec(&event).map_err(|e| StateError::io(&self.current, "encoding")(e.into()))?;
        line.push(b'\n');
        let mut file = self.open_to_append()?;
        let mut length = file.metadata().map_err(StateError::io(&self.current, "reading"))?.len();
        if length > 0 && length + line.len() as u64 > self.limit {
            drop(file);
            durable::rename(&self.current, &self.older)?;
            file = self.open_to_append()?;
            length = 0;
        }
        if length > 0 && !self.ends_with_newline(&file, length)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(StateError::io(&self.current, "appending to"))?;
        if length == 0 {
            durable::sync_dir(self.current.parent().unwrap_or(&self.current))?;
        }
        Ok(())
    }

    /// The last `limit` events, oldest first.
    pub fn read(&self, limit: usize) -> Result<Vec<Event>, StateError> {
        let mut options = OpenOptions::new();
        options.read(true);
        let current = files::open(&self.current, self.owner, &mut options)?;
        // Opened second: if the file was rotated in between, this is the same file again.
        let older = files::open(&self.older, self.owner, &mut options)?;
        let number = |file: &File| file.metadata().map(|meta| meta.ino()).ok();
        let same = current.is_some() && current.as_ref().map(number) == older.as_ref().map(number);
        let mut events = Vec::new();
        for (path, file) in [(&self.older, older.filter(|_| !same)), (&self.current, current)] {
            let Some(file) = file else { continue };
            let mut bytes = Vec::new();
            file.take(2 * self.limit).read_to_end(&mut bytes).map_err(StateError::io(path, "reading"))?;
            events.extend(bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Event>(line).ok()));
        }
        events.drain(..events.len().saturating_sub(limit));
        Ok(events)
    }

    fn open_to_append(&self) -> Result<File, StateError> {
        let mut options = OpenOptions::new();
        let opened = files::open(&self.current, self.owner, options.read(true).append(true).create(true))?;
        opened.ok_or_else(|| StateError::damaged(&self.current, "went away while it was opened"))
    }

    fn ends_with_newline(&self, file: &File, length: u64) -> Result<bool, StateError> {
        let mut last = [0];
        file.read_exact_at(&mut last, length - 1).map_err(StateError::io(&self.current, "reading"))?;
        Ok(last == *b"\n")
    }
}

/// The file that is written, and the one before it.
pub(super) const NAMES: [&str; 2] = ["history.jsonl", "history.1.jsonl"];
/// Two files of this size are some thirty thousand events: years, and nothing for a disk.
const LIMIT: u64 = 4 * 1024 * 1024;
/// A message carries the end of a program's stderr at most.
const MESSAGE_LIMIT: usize = 16 * 1024;
