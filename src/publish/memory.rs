//! What a publisher remembers of the channels it has published.
//!
//! The pointer in a bucket is signed, and so are all those before it: whoever may write there can put an older one
//! back. Hosts refuse it, but a publisher that built on it would sign a manifest in which releases and revocations
//! are missing. Its memory is what it holds the pointer against.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::PublishError;
use crate::digest::Sha256;
use crate::durable;
use crate::failure::Exit;
use crate::trust::Refused;

/// The file in which a publisher remembers; one for all of its channels.
#[derive(Debug, Clone)]
pub struct Memory {
    path: PathBuf,
}

/// A manifest, as much of it as is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its epoch.
    pub epoch: u64,
    /// Its number.
    pub seq: u64,
    /// The digest of the bytes that were signed.
    pub manifest_sha256: Sha256,
}

impl Remembered {
    fn place(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }
}

/// A channel: where it lies, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The place; see [`Place::identity`](super::Place::identity).
    pub place: String,
    /// The product.
    pub product: String,
    /// The channel.
    pub channel: String,
}

/// The least that the pointer of a channel must have come to: `N` or `EPOCH/N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtLeast {
    /// The epoch; `None` = whichever.
    pub epoch: Option<u64>,
    /// The number of the manifest.
    pub seq: u64,
}

impl FromStr for AtLeast {
    type Err = String;

    fn from_str(text: &str) -> Result<AtLeast, String> {
        let number =
            |text: &str| text.parse().map_err(|_| "not a number such as `7`, or `1/7` with its epoch".to_owned());
        match text.split_once('/') {
            Some((epoch, seq)) => Ok(AtLeast { epoch: Some(number(epoch)?), seq: number(seq)? }),
            None => Ok(AtLeast { epoch: None, seq: number(text)? }),
        }
    }
}

impl AtLeast {
    /// Whether a pointer that has come to `found` will do; `None` = there is none.
    fn met(self, found: Option<Remembered>) -> bool {
        match (found, self.epoch) {
            (Some(found), Some(epoch)) => found.place() >= (epoch, self.seq),
            (Some(found), None) => found.seq >= self.seq,
            (None, _) => self.seq == 0 && self.epoch.unwrap_or(0) == 0,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Contents {
    schema: u32,
    channels: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    of: Channel,
    #[serde(flatten)]
    last: Remembered,
}

const SCHEMA: u32 = 1;

impl Memory {
    /// The memory in this file, which need not be there yet.
    pub fn at(path: &Path) -> Memory {
        Memory { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that it can be written, and its directory with it.
    ///
    /// Fails with `publish.memory` (40).
    pub fn prepare(&self) -> Result<(), PublishError> {
        self.lock().map(|_| ())
    }

    /// What is remembered of a channel. Fails with `publish.memory` (50) if the file is damaged: then nothing is known.
    pub fn recall(&self, of: &Channel) -> Result<Option<Remembered>, PublishError> {
        Ok(self.read()?.channels.into_iter().find(|entry| entry.of == *of).map(|entry| entry.last))
    }

    /// Remembers that a channel has come to `last`. What is further already stays, whoever wrote it.
    pub(super) fn keep(&self, of: &Channel, last: Remembered) -> Result<(), PublishError> {
        self.change(|channels| match channels.iter_mut().find(|entry| entry.of == *of) {
            Some(entry) if entry.last.place() >= last.place() => {}
            Some(entry) => entry.last = last,
            None => channels.push(Entry { of: of.clone(), last }),
        })
    }

    /// Remembers nothing of a channel any more.
    pub(super) fn forget(&self, of: &Channel) -> Result<(), PublishError> {
        self.change(|channels| channels.retain(|entry| entry.of != *of))
    }

    fn change(&self, edit: impl FnOnce(&mut Vec<Entry>)) -> Result<(), PublishError> {
        let _lock = self.lock()?;
        let mut contents = self.read()?;
        edit(&mut contents.channels);
        let text = serde_json::to_string_pretty(&contents).map_err(|error| self.unwritable(error.into()))?;
        durable::write(&self.path, 0o600, format!("{text}\n").as_bytes())
            .map_err(|error| self.failed(format!("cannot be written: {error}"), false))
    }

    fn read(&self) -> Result<Contents, PublishError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Contents { schema: SCHEMA, channels: Vec::new() });
            }
            Err(e) => return Err(self.failed(format!("cannot be read: {e}"), true)),
        };
        let contents: Contents =
            serde_json::from_slice(&text).map_err(|error| self.failed(format!("is damaged: {error}"), true))?;
        if contents.schema != SCHEMA {
            return Err(self.failed(format!("is of layout {}, not {SCHEMA}", contents.schema), true));
        }
        Ok(contents)
    }

    /// Keeps others from changing it at the same time. The file itself is replaced each time and cannot be locked.
    fn lock(&self) -> Result<File, PublishError> {
        let unwritable = |error| self.unwritable(error);
        if let Some(dir) = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unwritable)?;
        }
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        let file = file.map_err(unwritable)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|errno| unwritable(errno.into()))?;
        Ok(file)
    }

    fn unwritable(&self, error: io::Error) -> PublishError {
        self.failed(format!("cannot be written: {error}"), false)
    }

    fn failed(&self, why: String, damaged: bool) -> PublishError {
        PublishError::Memory { path: self.path.clone(), why, damaged }
    }
}

/// Holds a pointer that has come to `found` against what is known of it. Writes nothing.
///
/// Fails with `publish.rolled_back` (21) if it is older than that, or another one of the same number, or gone.
pub(super) fn compare(
    shown: &str,
    found: Option<Remembered>,
    remembered: Option<Remembered>,
    least: Option<AtLeast>,
) -> Result<(), Refused> {
    let refused = |message: String, hint: &str| {
        Err(Refused::new("publish.rolled_back", Exit::Rollback, message).hint(hint.to_owned()))
    };
    const PUT_BACK: &str = "somebody put an older one back, or emptied the place: restore the newest one, or go on from \
                            what is there with `--forget`, once you know what it lacks (`fetchd inspect`)";
    let name = |epoch, seq| match epoch {
        0 => format!("number {seq}"),
        _ => format!("number {seq} of epoch {epoch}"),
    };
    match (found, remembered) {
        (None, Some(last)) => {
            let last = name(last.epoch, last.seq);
            return refused(format!("`{shown}` is gone, and {last} was there"), PUT_BACK);
        }
        (Some(found), Some(last)) if found.place() < last.place() => {
            let (found, last) = (name(found.epoch, found.seq), name(last.epoch, last.seq));
            return refused(format!("`{shown}` is {found}, and {last} was there already"), PUT_BACK);
        }
        (Some(found), Some(last)) if found.place() == last.place() && found != last => {
            let number = name(found.epoch, found.seq);
            let message = format!("`{shown}` is {number}, and was another one of that number before");
            return refused(message, PUT_BACK);
        }
        _ => {}
    }
    match least {
        Some(least) if !least.met(found) => {
            let found = found.map_or("is not there".to_owned(), |found| format!("is {}", name(found.epoch, found.seq)));
            let least = name(least.epoch.unwrap_or(0), least.seq);
            refused(
                format!("`{shown}` {found}, and has to be {least} or later"),
                "somebody put an older one back, or the number given with `--at-least-seq` is not of this channel",
            )
        }
        _ => Ok(()),
    }
}
