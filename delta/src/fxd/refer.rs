//! What a reference refers to, and how one that refers to something else is written.

use super::bases::{Base, Bases};
use super::bytes::{u32_at, u64_at};
use super::elf::Loads;
use super::sites::Kind;

/// A file as references see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) loads: &'a Loads,
    pub(super) bases: &'a Bases,
}

impl Place<'_> {
    /// The address that the field at `at` of `file` refers to.
    pub(super) fn target(&self, file: &[u8], at: u32, kind: Kind) -> Option<u32> {
        let start = at as usize;
        if kind == Kind::Pointer {
            return u32::try_from(u64_at(file, start)?).ok();
        }
        let value = u32_at(file, start)?;
        let here = || self.loads.address(at);
        Some(match kind {
            Kind::Relative { end } => here()?.wrapping_add(u32::from(end)).wrapping_add(value),
            Kind::Absolute32 => value,
            Kind::Branch => here()?.wrapping_add_signed((value << 6) as i32 >> 6 << 2),
            Kind::Page { low } => page_target(here()?, value, u32_at(file, start + usize::from(low))?),
            Kind::Low { page } => {
                let page = at.checked_sub(u32::from(page))?;
                page_target(self.loads.address(page)?, u32_at(file, page as usize)?, value)
            }
            Kind::FromHere => here()?.wrapping_add(value),
            Kind::BackFromHere => here()?.wrapping_sub(value),
            Kind::Offset(base) | Kind::MaybeOffset(base) => self.bases.of(base).wrapping_add(value),
            Kind::Entry { start } => self.loads.address(at.checked_sub(start)?)?.wrapping_add(value),
            Kind::Pointer | Kind::Step64 | Kind::Step32 => return None,
        })
    }

    /// The field at `at` that refers to `target`; `old` is what it was in the old file.
    pub(super) fn field(&self, at: u32, kind: Kind, target: u32, old: u64) -> Option<u64> {
        let here = || self.loads.address(at);
        let word = old as u32;
        let field = match kind {
            Kind::Pointer => return Some(u64::from(target)),
            Kind::Relative { end } => target.wrapping_sub(here()?).wrapping_sub(u32::from(end)),
            Kind::Absolute32 => target,
            Kind::Branch => word & 0xfc00_0000 | target.wrapping_sub(here()?) >> 2 & 0x03ff_ffff,
            Kind::Page { .. } => with_page(word, (target >> 12).wrapping_sub(here()? >> 12)),
            Kind::Low { .. } => with_low(word, target),
            Kind::FromHere => target.wrapping_sub(here()?),
            Kind::BackFromHere => here()?.wrapping_sub(target),
            Kind::Offset(base) | Kind::MaybeOffset(base) => target.wrapping_sub(self.bases.of(base)),
            Kind::Entry { start } => target.wrapping_sub(self.loads.address(at.checked_sub(start)?)?),
            Kind::Step64 | Kind::Step32 => return None,
        };
        Some(u64::from(field))
    }

    /// Whether what is read back from a field of `kind` is worth learning.
    pub(super) fn teaches(kind: Kind) -> bool {
        !matches!(kind, Kind::Page { .. } | Kind::MaybeOffset(_) | Kind::Offset(Base::FrameTable))
    }
}

/// The field of `kind` as a number whose low bits are what it refers with.
pub(super) fn normal(kind: Kind, field: u64) -> u64 {
    let word = field as u32;
    match kind {
        Kind::Page { .. } => {
            let pages = word >> 29 & 3 | (word >> 5 & 0x7_ffff) << 2;
            u64::from(pages | (word & 0x1f) << 21 | (word >> 24 & 0x1f) << 26 | word & 0x8000_0000)
        }
        Kind::Low { .. } => u64::from(word.rotate_right(10)),
        _ => field,
    }
}

/// The field again.
pub(super) fn field(kind: Kind, normal: u64) -> u64 {
    let word = normal as u32;
    match kind {
        Kind::Page { .. } => {
            let field = (word & 3) << 29 | (word >> 2 & 0x7_ffff) << 5;
            u64::from(field | word >> 21 & 0x1f | (word >> 26 & 0x1f) << 24 | word & 0x8000_0000)
        }
        Kind::Low { .. } => u64::from(word.rotate_left(10)),
        _ => normal,
    }
}

fn page_target(here: u32, page: u32, low: u32) -> u32 {
    let pages = page >> 29 & 3 | (page >> 5 & 0x7_ffff) << 2;
    let pages = (pages << 11) as i32 >> 11;
    ((here >> 12).wrapping_add_signed(pages) << 12).wrapping_add((low >> 10 & 0xfff) << scale(low))
}

fn with_page(word: u32, pages: u32) -> u32 {
    word & 0x9f00_001f | (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5
}

fn with_low(word: u32, target: u32) -> u32 {
    word & !(0xfff << 10) | ((target & 0xfff) >> scale(word) & 0xfff) << 10
}

/// By how many bits ADD, LDR or STR shifts its 12 bits.
fn scale(word: u32) -> u32 {
    if word & 0xffc0_0000 == 0x9100_0000 {
        0
    } else if word & 0x0480_0000 == 0x0480_0000 {
        4
    } else {
        word >> 30
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::Load;
    use super::*;

    const KINDS: [Kind; 12] = [
        Kind::Relative { end: 5 },
        Kind::Absolute32,
        Kind::Branch,
        Kind::Page { low: 8 },
        Kind::Low { page: 8 },
        Kind::Pointer,
        Kind::FromHere,
        Kind::BackFromHere,
        Kind::Offset(Base::Text),
        Kind::MaybeOffset(Base::Types),
        Kind::Entry { start: 16 },
        Kind::Step32,
    ];

    #[test]
    fn a_field_refers_to_what_it_was_written_for() {
        let load = Load { address: 0x40_0000, offset: 0, in_file: 0x10_0000, in_memory: 0x20_0000 };
        let (loads, bases) = (Loads(vec![load]), Bases([0x41_0000; 7]));
        let place = Place { loads: &loads, bases: &bases };
        for target in [0x40_0000, 0x48_1230, 0x5f_fff0] {
            for kind in KINDS {
                let mut file = vec![0; 0x1000];
                // ADRP, and LDR of 64 bits.
                file[0x80..0x84].copy_from_slice(&0x9000_0003u32.to_le_bytes());
                file[0x88..0x8c].copy_from_slice(&0xf940_0063u32.to_le_bytes());
                let at = if matches!(kind, Kind::Low { .. }) { 0x88 } else { 0x80 };
                let old = u64_at(&file, at).unwrap();
                let Some(field) = place.field(at as u32, kind, target, old) else { continue };
                file[at..at + kind.width()].copy_from_slice(&field.to_le_bytes()[..kind.width()]);
                if matches!(kind, Kind::Low { .. }) {
                    let page = place.field(0x80, Kind::Page { low: 8 }, target, 0x9000_0003).unwrap();
                    file[0x80..0x84].copy_from_slice(&(page as u32).to_le_bytes());
                }
                if matches!(kind, Kind::Page { .. }) {
                    let low = place.field(0x88, Kind::Low { page: 8 }, target, 0xf940_0063).unwrap();
                    file[0x88..0x8c].copy_from_slice(&(low as u32).to_le_bytes());
                }
                assert_eq!(place.target(&file, at as u32, kind), Some(target), "{kind:?}");
            }
        }
    }

    #[test]
    fn the_normal_form_loses_nothing() {
        for kind in KINDS {
            for value in [0u64, 1, 0x9abc_def0, 0xffff_ffff, 0x1234_5678] {
                assert_eq!(field(kind, normal(kind, value)), value, "{kind:?}");
            }
        }
    }
}
