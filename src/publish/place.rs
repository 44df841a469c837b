//! What a place must be able to do so that a channel can be published to it.

use std::fmt;
use std::fs::File;
use std::path::Path;

use super::PublishError;
use crate::digest::Sha256;
use crate::trust::Format;

/// A place that holds a channel: its pointer, and the artifacts beside it.
///
/// Whoever publishes reads the pointer first and replaces it last. Reading it to publish returns a tag of the state it
/// was in; replacing it takes that tag, so a pointer that nobody has read cannot be replaced, and one that has been
/// replaced since is not replaced again. Nothing is ever deleted.
pub trait Place: fmt::Debug {
    /// How the place names what lies in it.
    type Location: fmt::Debug + Clone;
    /// The state in which the pointer was found.
    type Tag: fmt::Debug;

    /// Where `name` lies, or will lie.
    fn locate(&self, name: &str) -> Self::Location;

    /// The same for a message.
    fn show(&self, name: &str) -> String;

    /// The bytes of the pointer, `None` if there is none; only to look at them.
    fn peek(&self, pointer: &str) -> Result<Option<Vec<u8>>, PublishError>;

    /// The bytes of the pointer, and what replacing it takes.
    fn begin(&self, pointer: &str) -> Result<Begun<Self::Tag>, PublishError>;

    /// Whether an artifact is there already; [`PublishError::Exists`] if it is with other bytes. Writes nothing.
    fn look(&self, artifact: &Artifact<'_>) -> Result<Looked, PublishError>;

    /// Puts an artifact there, once and whole, and only the bytes that were measured. That it is there already with
    /// the same bytes is as good, whoever put it there; with others it is [`PublishError::Exists`].
    fn put(&self, tag: &Self::Tag, artifact: &Artifact<'_>) -> Result<(), PublishError>;

    /// Writes what lies at `name` into `to`; `false` if nothing does. More than `limit` bytes are an error.
    fn fetch(&self, name: &str, limit: u64, to: &mut File) -> Result<bool, PublishError>;

    /// Puts a small document at `name` (`keys/2`), once and whole. That it is there already with the same bytes is
    /// [`Looked::Same`]; with others it is [`PublishError::Exists`].
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Looked, PublishError>;

    /// What tells this place from every other for as long as it exists: the key under which it is remembered.
    fn identity(&self) -> String;

    /// Replaces the pointer if it is still as it was when it was read, else [`PublishError::Conflict`]. A reader sees
    /// the old bytes or the new ones. Only after `Ok` are the new ones sure to stay.
    fn replace(&self, tag: Self::Tag, bytes: &[u8]) -> Result<(), PublishError>;
}

/// A pointer that is about to be replaced.
#[derive(Debug)]
pub struct Begun<T> {
    /// Its bytes; `None` if there is none yet.
    pub bytes: Option<Vec<u8>>,
    /// What [`Place::replace`] takes.
    pub tag: T,
}

/// What a look at the place of an artifact found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// Nothing: it can be put there.
    Nothing,
    /// The very same bytes.
    Same,
}

/// A file that becomes an artifact, measured.
pub struct Artifact<'a> {
    /// Its name, one plain component.
    pub name: &'a str,
    /// The file.
    pub path: &'a Path,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// How it is packed; `None`: it is no artifact but a delta.
    pub format: Option<Format>,
    /// Told after each piece how many bytes have been sent. Goes back to the beginning if it is sent again.
    pub sent: &'a (dyn Fn(u64) + Sync),
}

impl fmt::Debug for Artifact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("size", &self.size)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}
