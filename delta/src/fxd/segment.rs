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

/// How far apart places in both files were lately, the last first. Begins with zeros.
#[derive(Default)]
struct Shifts([i64; RECENT]);

const RECENT: usize = 16;

impl Shifts {
    /// A shift as a number: which of the recent ones it is, or by how much it differs from the last.
    fn number(&mut self, shift: i64) -> u64 {
        let known = self.0.iter().position(|&recent| recent == shift);
        let number = match known {
            Some(index) => index as u64,
            None => zigzag(shift - self.0[0]) + RECENT as u64,
        };
        self.front(known.unwrap_or(RECENT - 1), shift);
        number
    }

    fn shift(&mut self, number: u64) -> Option<i64> {
        let (index, shift) = match self.0.get(usize::try_from(number).ok()?) {
            Some(&shift) => (number as usize, shift),
            None => (RECENT - 1, self.0[0].checked_add(unzigzag(number - RECENT as u64))?),
        };
        self.front(index, shift);
        Some(shift)
    }

    fn front(&mut self, index: usize, shift: i64) {
        self.0[index] = shift;
        self.0[..=index].rotate_right(1);
    }
}

/// Writes what [`read`] reads, of each segment: how many bytes lie before it, where it is from, its length.
pub(super) fn write(segments: &[Segment]) -> [Vec<u8>; 3] {
    let mut streams = [const { Vec::new() }; 3];
    let mut shifts = Shifts::default();
    let mut end = 0;
    for segment in segments {
        put_varint(u64::from(segment.new - end), &mut streams[0]);
        put_varint(shifts.number(i64::from(segment.new) - i64::from(segment.old)), &mut streams[1]);
        put_varint(u64::from(segment.length), &mut streams[2]);
        end = segment.new_end();
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
    let mut shifts = Shifts::default();
    let mut end = 0u32;
    let [between, places, lengths] = streams;
    for _ in 0..count {
        let before = u32::try_from(between.next()?).map_err(|_| OUTSIDE)?;
        let new = end.checked_add(before).ok_or(OUTSIDE)?;
        let shift = shifts.shift(places.next()?).ok_or(OUTSIDE)?;
        let old = i64::from(new).checked_sub(shift).and_then(|old| u32::try_from(old).ok()).ok_or(OUTSIDE)?;
        let copied = u32::try_from(lengths.next()?).ok().filter(|&copied| copied > 0).ok_or(OUTSIDE)?;
        end = new.checked_add(copied).filter(|&end| end <= length).ok_or(OUTSIDE)?;
        old.checked_add(copied).filter(|&end| end <= old_length).ok_or(OUTSIDE)?;
        segments.push(Segment { new, old, length: copied });
    }
    Ok(segments)
}

/// The parts of a file of `length` bytes that no segment makes, in order.
pub(super) fn between(segments: &[Segment], length: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
    let ends = std::iter::once(0).chain(segments.iter().map(Segment::new_end));
    let begins = segments.iter().map(|segment| segment.new).chain(std::iter::once(length));
    ends.zip(begins).filter(|(from, to)| from < to)
}

#[cfg(test)]
mod tests {
    use super::super::code::{Decoder, Known, Stream, encode};
    use super::*;
    use crate::Limits;

    fn again(segments: &[Segment], old: u32, new: u32) -> Result<Vec<Segment>, ApplyError> {
        let streams = write(segments);
        let coded =
            encode(&streams.each_ref().map(|bytes| (Stream::Control, bytes.clone())), &Known::default(), 1, 0, |_| {
                Ok(())
            })
            .unwrap();
        let mut numbers = std::array::from_fn(|index| {
            let length = streams[index].len() as u64;
            Numbers::new(Decoder::new(Stream::Control, &coded[index], length, &Limits::default()).unwrap())
        });
        read(&mut numbers, segments.len(), old, new)
    }

    #[test]
    fn segments_are_read_as_they_were_written_and_only_inside_the_files() {
        let segments: Vec<Segment> =
            (0..100u32).map(|n| Segment { new: n * 50, old: n * n % 7 * 1000, length: 1 + n % 50 }).collect();
        let (old, new) = (segments.iter().map(Segment::old_end).max().unwrap(), segments[99].new_end());
        assert_eq!(again(&segments, old, new), Ok(segments.clone()));
        again(&segments, old - 1, new).unwrap_err();
        again(&segments, old, new - 1).unwrap_err();
        let none = Segment { new: 5, old: 5, length: 0 };
        again(&[none], old, new).unwrap_err();
    }
}
