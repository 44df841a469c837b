//! What hosts, stewards and operators ask of the bucket, and what they are told.
//!
//! Every write says under which condition it may happen, and its answer says what is there now. An answer that is
//! lost leaves no doubt for long: whoever carries a request (`src/fleet/store/s3.rs`, `memory.rs`) reads the object again
//! and compares before it says anything, and never writes a second time blindly.

pub mod memory;
pub mod s3;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cohort::HostId;
use super::evidence::{Evidence, Report};
use crate::clock::Timestamp;

pub use self::memory::MemoryStore;
pub use self::s3::BucketStore;

/// The most keys, or pieces of evidence, of one page.
pub const PAGE: usize = 1000;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Read an object, unless it still has this tag.
    Get {
        /// Its key.
        key: String,
        /// The tag it had.
        unless: Option<Tag>,
        /// The most bytes it may have.
        limit: u64,
    },
    /// Whether an object is there.
    Head {
        /// Its key.
        key: String,
    },
    /// Make an object that must not be there yet.
    Create {
        /// Its key.
        key: String,
        /// Its bytes.
        #[serde(with = "base64")]
        body: Vec<u8>,
    },
    /// Replace the object that has this tag.
    Replace {
        /// Its key.
        key: String,
        /// Its new bytes.
        #[serde(with = "base64")]
        body: Vec<u8>,
        /// The tag it must still have.
        tag: Tag,
    },
    /// Write an object whatever is there.
    Put {
        /// Its key.
        key: String,
        /// Its bytes.
        #[serde(with = "base64")]
        body: Vec<u8>,
    },
    /// Remove the object that has this tag.
    Delete {
        /// Its key.
        key: String,
        /// The tag it must still have.
        tag: Tag,
    },
    /// A page of the keys below a prefix, in order.
    List {
        /// The prefix.
        prefix: String,
        /// Only keys after this one.
        after: Option<String>,
        /// The most keys of a page, at most 1000.
        limit: u16,
    },
    /// Evidence: an object made once, its key the datum.
    Report {
        /// The rollout.
        rollout: String,
        /// The host's shard.
        shard: String,
        /// The host.
        host: HostId,
        /// What happened.
        report: Report,
        /// More about it, for people.
        #[serde(with = "base64")]
        body: Vec<u8>,
    },
    /// A page of the evidence of a shard, in the order of its keys.
    Evidence {
        /// The rollout.
        rollout: String,
        /// The shard.
        shard: String,
        /// Where the last page ended.
        after: Option<String>,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// What came of it.
    pub what: What,
    /// The store's time, where its answer had one.
    pub date: Option<Timestamp>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The object.
    Object {
        /// Its bytes.
        #[serde(with = "base64")]
        body: Vec<u8>,
        /// Its tag.
        tag: Tag,
    },
    /// It is there, and for a read: it still has the tag.
    Unchanged,
    /// There is no such object.
    Absent,
    /// It was written, and this is its tag, where the store tells.
    Written(Option<Tag>),
    /// It was removed.
    Gone,
    /// The condition did not hold: something is there already, or something else.
    Conflict,
    /// Keys, and where the next page begins.
    Keys {
        /// Each with the time it was written.
        keys: Vec<(String, Timestamp)>,
        /// `None`: these were the last.
        next: Option<String>,
    },
    /// Evidence, and where the next page begins.
    Evidence {
        /// In the order of its keys.
        found: Vec<Evidence>,
        /// `None`: these were the last.
        next: Option<String>,
    },
    /// It failed, and nothing is known of it.
    Failed(Trouble),
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// The stable code.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// Not to be asked again for so many seconds.
    pub retry_after_s: Option<u64>,
    /// Whether asking again can help.
    pub passes: bool,
}

impl Trouble {
    /// The object at `key` has more than `limit` bytes. Asking again does not make it smaller.
    pub fn too_large(key: &str, limit: u64) -> Trouble {
        let message = format!("`{key}` has more than {limit} bytes");
        Trouble { code: "source.document_too_large".to_owned(), message, retry_after_s: None, passes: false }
    }
}

/// What a store says about the state of an object: opaque, and only compared by the store itself.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tag(pub String);

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A bucket, or something that behaves like one.
///
/// Every write is linearizable: of several that ask for the same condition at most one is told that it holds. A
/// store that cannot do that (what `fetchd fleet doctor` finds out) must not be given the requests that need it.
pub trait Store: fmt::Debug {
    /// Carries out one request. It has a deadline, and a failure is an answer as well.
    fn ask(&mut self, request: Request) -> Reply;
}

/// Bytes as base64: a third longer, where JSON's arrays are four times as long.
mod base64 {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
