//! The addresses that 32-bit offsets are counted from.

use super::bytes::{u32_at, u64_at};
use super::elf::{Elf, Role};

/// What an offset is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Base {
    Text = 0,
    FrameTable = 1,
    /// Go: the table of functions.
    Lines = 2,
    /// Go: the names of functions.
    Names = 3,
    /// Go: the tables by program counter.
    Counters = 4,
    /// Go: data of functions.
    Functions = 5,
    Types = 6,
}

impl Base {
    pub(super) const ALL: [Base; 7] =
        [Base::Text, Base::FrameTable, Base::Lines, Base::Names, Base::Counters, Base::Functions, Base::Types];
}

/// One address for each [`Base`]; 0 where a program has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bases(pub(super) [u32; 7]);

impl Bases {
    pub(super) fn of(&self, base: Base) -> u32 {
        self.0[base as usize]
    }

    pub(super) fn read(file: &[u8], elf: &Elf) -> Bases {
        let mut bases = Bases::default();
        let mut set = |base: Base, address: u32| bases.0[base as usize] = address;
        let address = |role| elf.section(role).map_or(0, |section| section.address);
        set(Base::Text, address(Role::Text));
        set(Base::FrameTable, address(Role::FrameTable));
        if let Some(lines) = PcLines::read(file, elf) {
            set(Base::Lines, lines.address.saturating_add(lines.table));
            set(Base::Names, lines.address.saturating_add(lines.names));
            set(Base::Counters, lines.address.saturating_add(lines.counters));
        }
        let module = elf.section(Role::GoModule).filter(|section| section.size >= 0x148);
        let word = |at: usize| {
            let address = u32::try_from(u64_at(file, module?.offset + at)?).ok()?;
            elf.loads.holds(address).then_some(address)
        };
        let first = |role, at| Some(address(role)).filter(|&address| address > 0).or_else(|| word(at)).unwrap_or(0);
        set(Base::Types, first(Role::GoTypes, 296));
        set(Base::Functions, first(Role::GoFunctions, 320));
        bases
    }
}

/// The header of Go's table of functions and lines, as Go 1.18 and later write it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PcLines {
    pub(super) address: u32,
    pub(super) offset: usize,
    pub(super) end: usize,
    pub(super) count: u32,
    names: u32,
    counters: u32,
    /// Where the table of functions begins, from the section's start.
    pub(super) table: u32,
}

impl PcLines {
    pub(super) fn read(file: &[u8], elf: &Elf) -> Option<PcLines> {
        let section = elf.section(Role::PcLines)?;
        if !matches!(u32_at(file, section.offset)?, 0xffff_fff0 | 0xffff_fff1) {
            return None;
        }
        let word = |index: usize| {
            let value = u32::try_from(u64_at(file, section.offset + 8 + index * 8)?).ok()?;
            ((value as usize) < section.size).then_some(value)
        };
        Some(PcLines {
            address: section.address,
            offset: section.offset,
            end: section.end(),
            count: word(0)?,
            names: word(3)?,
            counters: word(6)?,
            table: word(7)?,
        })
    }
}
