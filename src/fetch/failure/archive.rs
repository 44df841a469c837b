//! What is wrong with a packed artifact.

use serde::{Deserialize, Serialize};

/// What is wrong with a packed artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ArchiveFault {
    /// This build cannot unpack the format.
    #[error("this build cannot unpack `{format}`")]
    Unsupported {
        /// The format.
        format: String,
    },
    /// Not what its format says, or cut off.
    #[error("the archive is damaged: {message}")]
    Damaged {
        /// The decoder's words.
        message: String,
    },
    /// Something follows the end of the archive.
    #[error("something follows the end of the archive")]
    Trailing,
    /// Unpacked, it is larger than was signed or allowed.
    #[error("the archive unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The binary is shorter than was signed.
    #[error("the archive's binary has {found} bytes, signed are {expected}")]
    Size {
        /// The signed size.
        expected: u64,
        /// What was unpacked.
        found: u64,
    },
    /// Unpacking needs more memory than is granted.
    #[error("unpacking needs more than {limit} bytes of memory")]
    Memory {
        /// The limit in bytes.
        limit: u64,
    },
    /// More entries than any honest release.
    #[error("the archive has more than {limit} entries")]
    Crowded {
        /// The limit.
        limit: u64,
    },
    /// An entry's name points outside, or cannot be a file's name.
    #[error("the archive has an entry with the unsafe name `{name}`")]
    UnsafeName {
        /// The name, escaped.
        name: String,
    },
    /// The entry is a link, a directory or a device.
    #[error("the archive's entry `{name}` is not a regular file")]
    NotAFile {
        /// Its name.
        name: String,
    },
    /// No such entry, or no regular file at all.
    #[error("the archive has no {}", entry_text(.entry.as_deref()))]
    Missing {
        /// The entry looked for; `None` = the only regular file.
        entry: Option<String>,
    },
    /// Two entries could be meant.
    #[error("the archive has more than one {}", entry_text(.entry.as_deref()))]
    Ambiguous {
        /// The entry looked for; `None` = the only regular file.
        entry: Option<String>,
    },
    /// Its headers contradict each other: two readers would see two different archives.
    #[error("the archive's headers disagree about {what}")]
    Disagreement {
        /// About what.
        what: String,
    },
}

fn entry_text(entry: Option<&str>) -> String {
    entry.map_or_else(|| "regular file".to_owned(), |name| format!("entry `{name}`"))
}

impl ArchiveFault {
    pub(super) fn code(&self) -> &'static str {
        match self {
            ArchiveFault::Unsupported { .. } => "archive.unsupported",
            ArchiveFault::Damaged { .. } => "archive.damaged",
            ArchiveFault::Trailing => "archive.trailing",
            ArchiveFault::TooLarge { .. } => "archive.too_large",
            ArchiveFault::Size { .. } => "archive.size",
            ArchiveFault::Memory { .. } => "archive.memory",
            ArchiveFault::Crowded { .. } => "archive.crowded",
            ArchiveFault::UnsafeName { .. } => "archive.unsafe_name",
            ArchiveFault::NotAFile { .. } => "archive.not_a_file",
            ArchiveFault::Missing { .. } => "archive.missing",
            ArchiveFault::Ambiguous { .. } => "archive.ambiguous",
            ArchiveFault::Disagreement { .. } => "archive.disagreement",
        }
    }
}
