//! How the streams of an fxd-1 delta are written: one byte that names the method, then what it makes.
//!
//! The specification is `docs/formats/fxd-1-streams.md`. A stream's length is not in it: the container
//! says it, and a stream that holds more or fewer bytes is damaged.

mod choice;
mod frame;
#[cfg(debug_assertions)]
pub(crate) mod fuzz;
mod mixed;
mod stored;

use std::ops::Range;

use crate::{ApplyError, Limits};
pub(crate) use choice::encode;

/// What a stream holds; it picks the contexts of a method, never what may be in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Lengths and jumps of the segments, as variable-length integers.
    Control,
    /// Bytes of the new file that are nowhere in the old one; mostly instructions.
    Literals,
    /// The same of a program whose instructions have four bytes each.
    Words,
    /// How many bytes lie between two wrong predictions, as variable-length integers.
    Gaps,
    /// By how much a byte of a copy is another.
    Changes,
    /// How a reference is said.
    Residuals,
    /// By how much a reference was predicted wrongly, as variable-length integers.
    References,
    /// What references refer to, in four bytes each.
    Targets,
}

impl Stream {
    /// In the order in which the corpus of the fuzzer numbers them.
    #[cfg(any(test, debug_assertions))]
    const ALL: [Stream; 8] = [
        Stream::Control,
        Stream::Literals,
        Stream::Gaps,
        Stream::Residuals,
        Stream::References,
        Stream::Changes,
        Stream::Words,
        Stream::Targets,
    ];

    /// Whether it holds bytes of the new file, which are read where they belong: by [`Decoder::fill`].
    fn is_new(self) -> bool {
        matches!(self, Stream::Literals | Stream::Words)
    }
}

/// What is known of a byte of a copy that is another: the old byte, and the byte before it in the new file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    pub(crate) old: u8,
    pub(crate) last: u8,
}

/// What a writer knows beside the streams, and a reader knows as it goes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// The new file as it is while new bytes are read, and where in it those are, in order.
    pub(crate) file: &'a [u8],
    pub(crate) parts: &'a [(u32, u32)],
    /// Of each change.
    pub(crate) old: &'a [Beside],
}

/// `bytes` as a stream that holds them as they are.
#[cfg(debug_assertions)]
pub(crate) fn bare(bytes: &[u8]) -> Vec<u8> {
    [&[Method::Stored as u8], bytes].concat()
}

/// The first byte of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Method {
    Stored = 0,
    Frame = 1,
    Mixed = 2,
}

impl Method {
    fn of(coded: &[u8]) -> Result<(Method, &[u8]), ApplyError> {
        let (first, rest) = coded.split_first().ok_or(ApplyError::Damaged("a stream is empty"))?;
        let method = match first {
            0 => Method::Stored,
            1 => Method::Frame,
            2 => Method::Mixed,
            _ => return Err(ApplyError::Damaged("a stream is coded by an unknown method")),
        };
        Ok((method, rest))
    }
}

/// The anonymous memory in bytes that decoding a stream of `length` bytes takes, from its first bytes:
/// what [`Decoder::new`] takes at once, and all it ever takes.
pub(crate) fn memory(kind: Stream, coded: &[u8], length: u64) -> Result<u64, ApplyError> {
    match Method::of(coded)? {
        (Method::Stored, _) => Ok(0),
        (Method::Frame, rest) => frame::memory(rest),
        (Method::Mixed, _) => Ok(mixed::memory(kind, length)),
    }
}

/// Gives back what [`encode`] was given, a piece at a time.
pub(crate) struct Decoder<'a> {
    left: u64,
    coding: Coding<'a>,
}

enum Coding<'a> {
    Stored(stored::Decoder<'a>),
    Frame(frame::Decoder<'a>),
    Mixed(mixed::Decoder<'a>),
}

impl std::fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'a> Decoder<'a> {
    /// Begins a stream that holds `length` bytes. Its [`memory`] must be within `limits`; that of several
    /// streams together is the caller's sum.
    pub(crate) fn new(kind: Stream, coded: &'a [u8], length: u64, limits: &Limits) -> Result<Decoder<'a>, ApplyError> {
        let needed = memory(kind, coded, length)?;
        if needed > limits.memory {
            return Err(ApplyError::Memory { needed, allowed: limits.memory });
        }
        let coding = match Method::of(coded)? {
            (Method::Stored, rest) => Coding::Stored(stored::Decoder::new(rest)),
            (Method::Frame, rest) => Coding::Frame(frame::Decoder::new(rest, length)?),
            (Method::Mixed, rest) => Coding::Mixed(mixed::Decoder::new(kind, rest, length, limits.until)?),
        };
        Ok(Decoder { left: length, coding })
    }

    /// How many bytes there are still to read.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Fills `buf` with the next bytes of the stream, which hold nothing of the new file.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> Result<(), ApplyError> {
        self.take(buf.len())?;
        match &mut self.coding {
            Coding::Stored(decoder) => decoder.read(buf),
            Coding::Frame(decoder) => decoder.read(buf),
            Coding::Mixed(decoder) => {
                buf.iter_mut().try_for_each(|byte| decoder.byte(Beside::default()).map(|now| *byte = now))
            }
        }
    }

    /// Fills `part` of `file`, all of which before it is known, with the next new bytes.
    pub(crate) fn fill(&mut self, file: &mut [u8], part: Range<usize>) -> Result<(), ApplyError> {
        self.take(part.len())?;
        let place = file.get_mut(part.clone()).ok_or(SHORT)?;
        match &mut self.coding {
            Coding::Stored(decoder) => decoder.read(place),
            Coding::Frame(decoder) => decoder.read(place),
            Coding::Mixed(decoder) => decoder.fill(file, part),
        }
    }

    /// The next change, of the byte that `beside` says.
    pub(crate) fn change(&mut self, beside: Beside) -> Result<u8, ApplyError> {
        let mut byte = [0];
        match &mut self.coding {
            Coding::Mixed(decoder) if self.left > 0 => {
                self.left -= 1;
                return decoder.byte(beside);
            }
            _ => self.read(&mut byte)?,
        }
        Ok(byte[0])
    }

    fn take(&mut self, bytes: usize) -> Result<(), ApplyError> {
        self.left = self.left.checked_sub(bytes as u64).ok_or(SHORT)?;
        Ok(())
    }

    /// Checks that the stream ends here: every byte read, and nothing coded left over.
    pub(crate) fn finish(self) -> Result<(), ApplyError> {
        if self.left != 0 {
            return Err(ApplyError::Damaged("a stream is longer than what it is for"));
        }
        match self.coding {
            Coding::Stored(decoder) => decoder.finish(),
            Coding::Frame(decoder) => decoder.finish(),
            Coding::Mixed(decoder) => decoder.finish(),
        }
    }
}

const SHORT: ApplyError = ApplyError::Damaged("a stream is too short");
const ELSEWHERE: ApplyError = ApplyError::Damaged("a stream is read as another");

#[cfg(test)]
mod tests;
