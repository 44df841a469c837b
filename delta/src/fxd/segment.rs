//! Copies from the old file, and how they are written.

use super::MOST_SEGMENTS;
use super::bytes::{put_varint, unzigzag, zigzag};
use super::numbers::Numbers;
use crate::ApplyError;

/// Bytes of the new file that begin as bytes of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) new: u32,
    pub(super) old: u32,
    pub(super) length: u32,
}

impl Segment {
    pub(super) fn old_end(&self) -> u32 {
        self.old + self.length
    }

    pub(super) fn new_end(&self) -> u32 {
        self.new + self.length
    }
}

/// Writes what [`read`] reads: the lengths of copies, of what is between them, and by how much the place
/// in the old file jumps then.
pub(super) fn write(segments: &[Segment], length: u32) -> [Vec<u8>; 3] {
    let mut streams = [const { Vec::new() }; 3];
    let (mut new, mut old) = (0, 0);
    let none = begins_empty(segments).then_some(Segment { new: 0, old: 0, length: 0 });
    let all: Vec<Segment> = none.into_iter().chain(segments.iter().copied()).collect();
    for (index, segment) in all.iter().enumerate() {
        debug_assert!((segment.new, segment.old) == (new, old));
        let next = all.get(index + 1);
        let (to, jump) = match next {
            Some(next) => (next.new, i64::from(next.old) - i64::from(segment.old_end())),
            None => (length, 0),
        };
        put_varint(u64::from(segment.length), &mut streams[0]);
        put_varint(u64::from(to - segment.new_end()), &mut streams[1]);
        put_varint(zigzag(jump), &mut streams[2]);
        (new, old) = (to, next.map_or(0, |next| next.old));
    }
    streams
}

/// Reads `count` segments of a new file of `length` bytes from an old one of `old_length`.
pub(super) fn read(
    streams: &mut [Numbers<'_>; 3],
    count: usize,
    old_length: u32,
    length: u32,
) -> Result<Vec<Segment>, ApplyError> {
    const OUTSIDE: ApplyError = ApplyError::Damaged("a segment lies outside of the files");
    if count > MOST_SEGMENTS {
        return Err(ApplyError::Damaged("there are too many segments"));
    }
    let mut segments = Vec::with_capacity(count);
    let (mut new, mut old) = (0u32, 0u32);
    let [copies, between, jumps] = streams;
    for _ in 0..count {
        let copy = u32::try_from(copies.next()?).map_err(|_| OUTSIDE)?;
        let end = new.checked_add(copy).filter(|&end| end <= length).ok_or(OUTSIDE)?;
        let old_end = old.checked_add(copy).filter(|&end| end <= old_length).ok_or(OUTSIDE)?;
        if copy > 0 {
            segments.push(Segment { new, old, length: copy });
        }
        let literal = u32::try_from(between.next()?).map_err(|_| OUTSIDE)?;
        new = end.checked_add(literal).filter(|&end| end <= length).ok_or(OUTSIDE)?;
        let jump = unzigzag(jumps.next()?);
        old = i64::from(old_end)
            .checked_add(jump)
            .and_then(|old| u32::try_from(old).ok())
            .filter(|&old| old <= old_length)
            .ok_or(OUTSIDE)?;
    }
    if new != length {
        return Err(ApplyError::Damaged("the segments do not make the new file's length"));
    }
    Ok(segments)
}

/// The parts of a file of `length` bytes that no segment makes, in order.
pub(super) fn between(segments: &[Segment], length: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
    let ends = std::iter::once(0).chain(segments.iter().map(Segment::new_end));
    let begins = segments.iter().map(|segment| segment.new).chain(std::iter::once(length));
    ends.zip(begins).filter(|(from, to)| from < to)
}

/// How many entries [`write`] writes.
pub(super) fn count(segments: &[Segment]) -> usize {
    segments.len() + usize::from(begins_empty(segments))
}

/// The first entry copies nothing where the file begins otherwise than the old one.
fn begins_empty(segments: &[Segment]) -> bool {
    segments.first().is_none_or(|segment| segment.new > 0 || segment.old > 0)
}
