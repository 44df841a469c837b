//! fxd-1: what a reference points at is predicted, and only what was predicted wrongly is written.
//!
//! `docs/formats/fxd-1.md` is the specification. Whatever decides a prediction is part of the format: the
//! sites, the map, what is learned and when. A change of any of it is another format.

mod align;
mod apply;
mod bases;
mod bytes;
mod code;
mod container;
mod create;
mod elf;
mod fresh;
#[cfg(debug_assertions)]
pub(crate) mod fuzz;
mod learned;
mod limit;
mod map;
mod numbers;
mod rebuild;
mod refer;
mod segment;
mod sites;
mod views;
mod walk;
mod wrong;
mod x86;

#[cfg(debug_assertions)]
pub use code::fuzz::stream;

use sha2::{Digest, Sha256};

use crate::{ApplyError, CreateError, Format, Inspected, Limits, Options};
use container::{Container, STREAMS};

/// The longest file: places are numbers of 31 bits.
const MOST_LENGTH: u64 = i32::MAX as u64;
const MOST_SEGMENTS: usize = 1 << 20;
/// Bytes of the three streams that say the segments.
const MOST_CONTROL: u64 = 16 << 20;

pub(crate) fn create(old: &[u8], new: &[u8], options: &Options<'_>) -> Result<Vec<u8>, CreateError> {
    create::create(old, new, options)
}

pub(crate) fn apply(old: &[u8], delta: &[u8], out: &mut [u8], limits: &Limits) -> Result<(), ApplyError> {
    let container = Container::read(delta)?;
    if Sha256::digest(old)[..] != container.from {
        return Err(ApplyError::OtherOld);
    }
    apply::restore(old, &container, out, limits)
}

pub(crate) fn inspect(delta: &[u8]) -> Result<Inspected, ApplyError> {
    let container = Container::read(delta)?;
    let streams = STREAMS.iter().zip(&container.streams);
    Ok(Inspected {
        format: Format::Fxd1,
        from: Some(container.from),
        length: Some(u64::from(container.length)),
        window_log: None,
        memory: container.memory()?,
        parts: streams.map(|((_, name), stream)| (*name, stream.coded.len() as u64)).collect(),
    })
}
