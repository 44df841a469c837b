//! References in data, section by section in the order of the file.

use super::x86::Starts;
use super::{Kind, RECORD, Tape, frames, go};
use crate::fxd::bases::{Base, Bases};
use crate::fxd::bytes::{u32_at, u64_at};
use crate::fxd::elf::{Elf, Role, SHT_DYNSYM, SHT_NOBITS, SHT_PROGBITS, SHT_SYMTAB, Section};

/// Numbers below are no addresses in data.
const LEAST_POINTER: u32 = 0x1_0000;
/// Numbers below are no values of symbols.
const LEAST_SYMBOL: u32 = 0x1000;
/// The shortest table of jumps.
const LEAST_ENTRIES: usize = 3;

pub(super) fn find(file: &[u8], elf: &Elf, bases: &Bases, starts: Option<&Starts>, table: bool, tape: &mut Tape) {
    let mut sections: Vec<&Section> =
        elf.sections.iter().filter(|section| section.size > 0 && section.sort != SHT_NOBITS).collect();
    sections.sort_by_key(|section| section.offset);
    let mut scan =
        Scan { file, elf, bases, starts, lowest: elf.lowest().unwrap_or(LEAST_SYMBOL), code: code(elf), tape };
    let mut end = 0;
    for section in sections {
        if section.offset < end {
            continue;
        }
        end = section.end();
        match (section.sort, section.role) {
            (SHT_SYMTAB | SHT_DYNSYM, _) => scan.symbols(section),
            _ if section.address == 0 => {}
            (_, Role::Relocations) => scan.relocations(section),
            (_, Role::TypeLinks) => scan.type_links(section),
            (_, Role::Frames) => frames::find(file, section, scan.tape),
            (_, Role::FrameTable) if table => frames::table(file, section, scan.tape),
            (_, Role::FrameTable) => {}
            (_, Role::PcLines) => go::find(file, elf, bases, scan.tape),
            _ => scan.words(section),
        }
    }
}

struct Scan<'a> {
    file: &'a [u8],
    elf: &'a Elf,
    bases: &'a Bases,
    starts: Option<&'a Starts>,
    lowest: u32,
    /// From the first executable section to the last.
    code: std::ops::Range<u32>,
    tape: &'a mut Tape,
}

impl Scan<'_> {
    fn pointer(&self, at: usize, least: u32) -> bool {
        let value = u64_at(self.file, at).and_then(|value| u32::try_from(value).ok());
        value.is_some_and(|value| value >= least && self.elf.loads.holds(value))
    }

    fn symbols(&mut self, section: &Section) {
        for index in 0..section.size / RECORD {
            let at = section.offset + index * RECORD;
            if index > 0 {
                self.tape.push(at, Kind::Step32);
            }
            if self.pointer(at + 8, LEAST_SYMBOL) {
                self.tape.push(at + 8, Kind::Pointer);
            }
        }
    }

    fn relocations(&mut self, section: &Section) {
        for index in 0..section.size / RECORD {
            let at = section.offset + index * RECORD;
            if index > 0 {
                self.tape.push(at, Kind::Step64);
            }
            if self.pointer(at + 16, self.lowest) {
                self.tape.push(at + 16, Kind::Pointer);
            }
        }
    }

    fn type_links(&mut self, section: &Section) {
        if self.bases.of(Base::Types) != 0 {
            for index in 0..section.size / 4 {
                self.tape.push(section.offset + index * 4, Kind::Offset(Base::Types));
            }
        }
    }

    /// Pointers, tables of jumps, and offsets of Go's types.
    fn words(&mut self, section: &Section) {
        let everywhere = !self.elf.loads.relocatable() && !section.executable && section.sort == SHT_PROGBITS;
        let pointers = everywhere || section.role == Role::Pointers;
        let jumps = section.role == Role::ReadOnly && !section.executable;
        let starts = self.starts.filter(|_| jumps);
        let go = self.bases.of(Base::Lines) != 0 && section.role == Role::ReadOnly;
        let types = pointers && (go || section.role == Role::GoTypes) && self.bases.of(Base::Types) != 0;
        if !pointers && starts.is_none() {
            return;
        }
        let least = self.lowest.max(LEAST_POINTER);
        let mut at = section.offset.next_multiple_of(4);
        while at + 4 <= section.end() {
            if let Some(starts) = starts.filter(|starts| starts.marked(section, at - section.offset)) {
                let entries = self.entries(section, at, starts);
                if entries >= LEAST_ENTRIES {
                    for index in 0..entries {
                        self.tape.push(at + index * 4, Kind::Entry { start: index as u32 * 4 });
                    }
                    at += entries * 4;
                    continue;
                }
            }
            if pointers && at.is_multiple_of(8) && at + 8 <= section.end() {
                if self.pointer(at, least) {
                    self.tape.push(at, Kind::Pointer);
                } else if types {
                    self.maybe_type(at);
                    self.maybe_type(at + 4);
                }
            }
            at += 4;
        }
    }

    fn maybe_type(&mut self, at: usize) {
        let Some(value) = u32_at(self.file, at) else { return };
        let target = self.bases.of(Base::Types).checked_add(value);
        if (256..0x400_0000).contains(&value) && target.is_some_and(|target| self.elf.loads.holds(target)) {
            self.tape.push(at, Kind::MaybeOffset(Base::Types));
        }
    }

    /// How many entries a table at `start` has: each leads into code, and the next table ends it.
    fn entries(&self, section: &Section, start: usize, starts: &Starts) -> usize {
        let address = section.address.wrapping_add((start - section.offset) as u32);
        let mut count = 0;
        loop {
            let at = start + count * 4;
            if at + 4 > section.end() || count > 0 && starts.marked(section, at - section.offset) {
                return count;
            }
            let Some(value) = u32_at(self.file, at) else { return count };
            if !self.code.contains(&address.wrapping_add(value)) {
                return count;
            }
            count += 1;
        }
    }
}

fn code(elf: &Elf) -> std::ops::Range<u32> {
    let code = elf.sections.iter().filter(|section| section.executable && section.sort == SHT_PROGBITS);
    let (low, high) = code.fold((u32::MAX, 0), |(low, high), section| {
        let end = section.address.saturating_add(section.size as u32);
        (section.address.min(low), end.max(high))
    });
    low..high
}
