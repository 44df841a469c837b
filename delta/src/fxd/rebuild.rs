//! The sorted table of frames (`.eh_frame_hdr`), which is made from the frames and so costs nothing.

use super::bytes::u32_at;
use super::elf::{Elf, Loads, Role};
use super::sites::{TABLE_HEADER, entries};
use crate::ApplyError;

/// Where the new file's table is, and the frames that it is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameTable {
    /// The pairs.
    pub(super) at: u32,
    pub(super) size: u32,
    frames: u32,
    frames_size: u32,
    /// The address that the pairs are counted from.
    address: u32,
}

impl FrameTable {
    /// The table of `new`, if it is as it would be made.
    pub(super) fn find(new: &[u8], elf: &Elf) -> Option<FrameTable> {
        let (header, frames) = (elf.section(Role::FrameTable)?, elf.section(Role::Frames)?);
        let count = u32_at(new, header.offset + 8)?;
        let table = FrameTable {
            at: u32::try_from(header.offset + TABLE_HEADER).ok()?,
            size: count.checked_mul(8).filter(|&size| size > 0 && size as usize + TABLE_HEADER <= header.size)?,
            frames: frames.offset as u32,
            frames_size: frames.size as u32,
            address: header.address,
        };
        let mut made = new.to_vec();
        table.make(&mut made, &elf.loads).ok()?;
        (made == new).then_some(table)
    }

    /// Whether the byte at `at` of the new file is of the table.
    pub(super) fn holds(&self, at: u32) -> bool {
        at >= self.at && at - self.at < self.size
    }

    pub(super) fn fields(self) -> [u64; 5] {
        [self.size, self.at, self.frames, self.frames_size, self.address].map(u64::from)
    }

    /// What [`FrameTable::fields`] says; a size of 0 is no table, and nothing follows it.
    pub(super) fn read(
        mut number: impl FnMut() -> Result<u64, ApplyError>,
        length: u32,
    ) -> Result<Option<FrameTable>, ApplyError> {
        const BAD: ApplyError = ApplyError::Damaged("the table of frames lies outside of the file");
        let mut next = || u32::try_from(number()?).map_err(|_| BAD);
        let size = next()?;
        if size == 0 {
            return Ok(None);
        }
        let table = FrameTable { size, at: next()?, frames: next()?, frames_size: next()?, address: next()? };
        let ends = [(table.at, table.size), (table.frames, table.frames_size)];
        let inside = ends.iter().all(|(at, size)| at.checked_add(*size).is_some_and(|end| end <= length));
        if inside && size % 8 == 0 { Ok(Some(table)) } else { Err(BAD) }
    }

    /// Writes the table: of each FDE where its code begins and where it is itself, sorted by both.
    pub(super) fn make(&self, new: &mut [u8], loads: &Loads) -> Result<(), ApplyError> {
        const OTHER: ApplyError = ApplyError::Damaged("the frames are not as many as the table has");
        let (start, size) = (self.frames as usize, self.frames_size as usize);
        let mut to = self.at as usize;
        let end = to + self.size as usize;
        let mut at = start;
        // One entry at a time, as the table is written into the same file.
        loop {
            let Some(entry) = entries(new, at, start + size).next() else { break };
            at = entry.at + 4 + entry.length;
            if entry.cie == 0 || entry.length < 8 {
                continue;
            }
            let (field, frame) = (entry.at as u32 + 8, entry.at as u32);
            let (Some(field_address), Some(frame)) = (loads.address(field), loads.address(frame)) else { continue };
            let begin = field_address.wrapping_add(u32_at(new, entry.at + 8).ok_or(OTHER)?);
            let pair = [begin, frame].map(|address| address.wrapping_sub(self.address).to_le_bytes());
            let place = new.get_mut(to..to + 8).filter(|_| to < end).ok_or(OTHER)?;
            place.copy_from_slice(pair.as_flattened());
            to += 8;
        }
        if to != end {
            return Err(OTHER);
        }
        let pairs = new.get_mut(self.at as usize..end).ok_or(OTHER)?.as_chunks_mut::<8>().0;
        pairs.sort_unstable_by_key(|pair| {
            let [a, b, c, d, e, f, g, h] = *pair;
            (i32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]))
        });
        Ok(())
    }
}
