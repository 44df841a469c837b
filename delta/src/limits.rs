//! What making and applying a delta may take, and how far it is.

use std::fmt;
use std::time::Instant;

/// What applying a delta may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most anonymous memory in bytes; what the delta asks for above it is refused before it is taken.
    pub memory: u64,
    /// The largest zstd window, as its binary logarithm.
    pub window_log: u8,
    /// When it has to be done; looked at again and again.
    pub until: Option<Instant>,
}

impl Default for Limits {
    /// 512 MiB, windows of 128 MiB (RFC 9842, section 3), no end.
    fn default() -> Limits {
        Limits { memory: 512 << 20, window_log: 27, until: None }
    }
}

/// How a delta is made.
#[derive(Default)]
pub struct Options<'a> {
    /// The level of zstd; `None` = 19. Below 19 deltas of programs are several times as large.
    pub level: Option<i32>,
    /// Is told how far it is; answers whether to go on.
    pub progress: Option<&'a (dyn Fn(Progress) -> bool + Sync)>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("level", &self.level).finish_non_exhaustive()
    }
}

/// How far the making of a delta is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// How much of it is done.
    pub done: u64,
    /// Of how much.
    pub total: u64,
}

/// What making a delta is made up of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// References are looked for.
    References,
    /// The old file is sorted and the new one laid beside it.
    Alignment,
    /// What is left is compressed.
    Compression,
    /// The delta is applied once, and its result compared.
    Proof,
}

impl Phase {
    /// One word for whoever waits.
    pub fn name(self) -> &'static str {
        match self {
            Phase::References => "references",
            Phase::Alignment => "alignment",
            Phase::Compression => "compression",
            Phase::Proof => "proof",
        }
    }
}
