//! What is wrong with a delta, or with the binary it is for.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

/// What is wrong with a delta, or with the binary it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeltaFault {
    /// The installed binary is not the one that the delta was made from.
    #[error("the installed binary has the digest {found}, the delta was made from {expected}")]
    Old {
        /// What the delta was made from.
        expected: Sha256,
        /// What is there.
        found: Sha256,
    },
    /// The file is not the delta that was signed.
    #[error("the delta has {size} bytes and the digest {found}, signed are {signed} bytes and {expected}")]
    Changed {
        /// Its size in bytes.
        size: u64,
        /// Its digest.
        found: Sha256,
        /// The signed size in bytes.
        signed: u64,
        /// The signed digest.
        expected: Sha256,
    },
    /// It is written in another format than the manifest says.
    #[error("the delta is not written in the format {format}")]
    Format {
        /// What the manifest says.
        format: String,
    },
    /// It needs more memory than is granted.
    #[error("the delta needs {needed} bytes of memory, {allowed} bytes are granted")]
    Memory {
        /// What it needs.
        needed: u64,
        /// What is granted.
        allowed: u64,
    },
    /// It was not applied in time.
    #[error("the delta was not applied within {seconds} s, three times what it should take")]
    TooSlow {
        /// The limit.
        seconds: u64,
    },
    /// It cannot be applied.
    #[error("the delta cannot be applied: {message}")]
    Damaged {
        /// The decoder's words.
        message: String,
    },
}

impl DeltaFault {
    pub(super) fn code(&self) -> &'static str {
        match self {
            DeltaFault::Old { .. } => "delta.old",
            DeltaFault::Changed { .. } => "delta.changed",
            DeltaFault::Format { .. } => "delta.format",
            DeltaFault::Memory { .. } => "delta.memory",
            DeltaFault::TooSlow { .. } => "delta.too_slow",
            DeltaFault::Damaged { .. } => "delta.damaged",
        }
    }
}
