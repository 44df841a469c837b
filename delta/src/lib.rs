//! Deltas between two builds of a program, for updates that cost a tenth of their bytes.
//!
//! Two formats: [`Format::Dcz`] is RFC 9842, which every `zstd -d --patch-from` reads; [`Format::Fxd1`]
//! knows what a reference in a program is, and is far smaller on executables.
//!
//! A delta is never trusted: whoever applies one checks the result's digest against one that was signed.
//! What is promised here is that no delta, however it was made, does more than fail: it writes only into
//! the output it was given, takes no more memory than it was allowed, and never panics.

#![deny(unsafe_code)]

mod dcz;
mod error;
mod format;
#[cfg(debug_assertions)]
pub mod fuzz;
mod fxd;
mod limits;
pub mod map;

pub use error::{ApplyError, CreateError};
pub use format::{Format, UnknownFormat};
pub use limits::{Limits, Options, Phase, Progress};

/// What a delta says of itself. None of it is checked before it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Its format.
    pub format: Format,
    /// The SHA-256 of the file it was made from, where the format carries it.
    pub from: Option<[u8; 32]>,
    /// The length of the file it makes in bytes, where the format carries it.
    pub length: Option<u64>,
    /// The binary logarithm of the zstd window it needs, where it needs one.
    pub window_log: Option<u8>,
    /// The anonymous memory that applying it takes, in bytes.
    pub memory: u64,
    /// Its parts and their sizes in bytes.
    pub parts: Vec<(&'static str, u64)>,
}

/// Makes the delta of `format` that turns `old` into `new`.
pub fn create(old: &[u8], new: &[u8], format: Format, options: &Options<'_>) -> Result<Vec<u8>, CreateError> {
    match format {
        Format::Dcz => dcz::create(old, new, options),
        Format::Fxd1 => fxd::create(old, new, options),
    }
}

/// Applies `delta` to `old`. `out` is exactly as long as the file that is to come out.
///
/// On an error `out` holds anything; on success it holds what the delta says, which is to be compared
/// with a signed digest before anything else is done with it.
pub fn apply(old: &[u8], delta: &[u8], out: &mut [u8], limits: &Limits) -> Result<(), ApplyError> {
    match Format::of(delta).ok_or(ApplyError::NotADelta)? {
        Format::Dcz => dcz::apply(old, delta, out, limits),
        Format::Fxd1 => fxd::apply(old, delta, out, limits),
    }
}

/// What `delta` says of itself, without the file it was made from.
pub fn inspect(delta: &[u8]) -> Result<Inspected, ApplyError> {
    match Format::of(delta).ok_or(ApplyError::NotADelta)? {
        Format::Dcz => dcz::inspect(delta),
        Format::Fxd1 => fxd::inspect(delta),
    }
}
