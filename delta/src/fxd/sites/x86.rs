//! References in x86-64 code, and the tables of jumps that it refers to.

use super::{Kind, Tape};
use crate::fxd::bases::{Base, Bases};
use crate::fxd::bytes::u32_at;
use crate::fxd::elf::{Elf, Role, SHT_PROGBITS, Section};
use crate::fxd::x86::{Operand, operands};

/// Addresses below are numbers, not addresses.
const LEAST_ADDRESS: u32 = 0x1_0000;

/// The places in read-only data that code refers to: one bit for each four bytes.
#[derive(Debug)]
pub(super) struct Starts {
    /// A section's place in memory and in the file, and its first bit.
    parts: Vec<(Section, usize)>,
    bits: Vec<u64>,
}

/// Sections that are looked at for tables; more have none.
const MOST_PARTS: usize = 16;

impl Starts {
    fn of(elf: &Elf) -> Starts {
        let read_only =
            |section: &&Section| section.role == Role::ReadOnly && section.sort == SHT_PROGBITS && section.address > 0;
        let mut sections: Vec<&Section> = elf.sections.iter().filter(read_only).collect();
        sections.sort_by_key(|section| section.offset);
        let (mut parts, mut words, mut end) = (Vec::new(), 0, 0);
        for section in sections {
            if section.offset >= end && parts.len() < MOST_PARTS {
                end = section.end();
                parts.push((*section, words * 64));
                words += section.size.div_ceil(256);
            }
        }
        Starts { parts, bits: vec![0; words] }
    }

    fn mark(&mut self, address: u32) {
        let inside =
            |part: &&(Section, usize)| address >= part.0.address && ((address - part.0.address) as usize) < part.0.size;
        if address & 3 == 0
            && let Some((section, first)) = self.parts.iter().find(inside)
        {
            let bit = first + (address - section.address) as usize / 4;
            if let Some(word) = self.bits.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
    }

    /// Whether code refers to the place `at` bytes into `section`.
    pub(super) fn marked(&self, section: &Section, at: usize) -> bool {
        let Some((_, first)) = self.parts.iter().find(|part| part.0 == *section) else { return false };
        let address = section.address as usize + at;
        let bit = first + at / 4;
        address.is_multiple_of(4) && self.bits.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 != 0)
    }
}

/// Finds references in code; answers with what code refers to, unless it is Go's, which has no such tables.
pub(super) fn find(file: &[u8], elf: &Elf, bases: &Bases, tape: &mut Tape) -> Option<Starts> {
    let fixed = !elf.loads.relocatable();
    let lowest = elf.lowest().unwrap_or(LEAST_ADDRESS).max(LEAST_ADDRESS);
    let mut starts = (bases.of(Base::Lines) == 0).then(|| Starts::of(elf));
    let mut code: Vec<&Section> =
        elf.sections.iter().filter(|section| section.executable && section.sort == SHT_PROGBITS).collect();
    code.sort_by_key(|section| section.offset);
    let mut end = 0;
    for section in code.into_iter().filter(|section| section.address > 0) {
        if section.offset < end {
            continue;
        }
        end = section.end();
        let bytes = file.get(section.offset..end).unwrap_or_default();
        operands(bytes, |operand| {
            let (at, target, kind) = match operand {
                Operand::Relative { at, end } => {
                    let Some(value) = u32_at(bytes, at) else { return };
                    let next = section.address.wrapping_add(at as u32).wrapping_add(u32::from(end));
                    (at, next.wrapping_add(value), Kind::Relative { end })
                }
                Operand::Absolute { at } => {
                    let Some(value) = u32_at(bytes, at) else { return };
                    if !fixed || value < lowest {
                        return;
                    }
                    (at, value, Kind::Absolute32)
                }
            };
            if elf.loads.holds(target) {
                tape.push(section.offset + at, kind);
                if let Some(starts) = &mut starts {
                    starts.mark(target);
                }
            }
        });
    }
    starts
}
