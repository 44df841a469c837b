//! References in tables of call frames (`.eh_frame`), and the sorted table beside them (`.eh_frame_hdr`).

use super::{Kind, Tape};
use crate::fxd::bases::Base;
use crate::fxd::bytes::u32_at;
use crate::fxd::elf::Section;

/// One entry: where it begins, its length without the length's own four bytes, and its CIE pointer.
pub(in crate::fxd) struct Entry {
    pub(in crate::fxd) at: usize,
    pub(in crate::fxd) length: usize,
    pub(in crate::fxd) cie: u32,
}

/// The entries of `file[start..end]`, up to the first that is none.
pub(in crate::fxd) fn entries(file: &[u8], start: usize, end: usize) -> impl Iterator<Item = Entry> + '_ {
    let mut at = start;
    std::iter::from_fn(move || {
        let length = u32_at(file, at)?;
        if length < 4 || length == u32::MAX || at + 8 > end || length as usize > end - at - 4 {
            return None;
        }
        let entry = Entry { at, length: length as usize, cie: u32_at(file, at + 4)? };
        at += 4 + length as usize;
        Some(entry)
    })
}

/// Of each FDE: the pointer to its CIE, where its code begins, and where its data for exceptions is.
pub(super) fn find(file: &[u8], section: &Section, tape: &mut Tape) {
    for entry in entries(file, section.offset, section.end()) {
        if entry.cie == 0 || entry.length < 13 {
            continue;
        }
        tape.push(entry.at + 4, Kind::BackFromHere);
        tape.push(entry.at + 8, Kind::FromHere);
        if file.get(entry.at + 16) == Some(&4) && entry.length >= 17 {
            tape.push(entry.at + 17, Kind::FromHere);
        }
    }
}

/// Before the pairs of the sorted table.
pub(in crate::fxd) const TABLE_HEADER: usize = 12;

/// Of each pair: where code begins, and where its frame is described.
pub(super) fn table(file: &[u8], section: &Section, tape: &mut Tape) {
    if section.size <= TABLE_HEADER || file.get(section.offset + 3) != Some(&0x3b) {
        return;
    }
    let count = u32_at(file, section.offset + 8).unwrap_or(0) as usize;
    for index in 0..count.min((section.size - TABLE_HEADER) / 8) {
        let at = section.offset + TABLE_HEADER + index * 8;
        tape.push(at, Kind::Offset(Base::FrameTable));
        tape.push(at + 4, Kind::Offset(Base::FrameTable));
    }
}
