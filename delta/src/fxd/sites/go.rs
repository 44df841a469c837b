//! References in Go's table of functions and lines (`.gopclntab`).

use super::{Kind, Tape};
use crate::fxd::bases::{Base, Bases, PcLines};
use crate::fxd::bytes::u32_at;
use crate::fxd::elf::Elf;

/// Bytes of a function's record before what varies.
const FIXED: usize = 44;
/// Records with more tables or data are none.
const MOST_TABLES: u32 = 16;

/// The table of functions, then the functions' records in its order. A record that begins before the end
/// of the one before is left out, as the tape leaves out every site that comes too late.
pub(super) fn find(file: &[u8], elf: &Elf, _bases: &Bases, tape: &mut Tape) {
    let Some(lines) = PcLines::read(file, elf) else { return };
    let start = lines.offset + lines.table as usize;
    let count = (lines.count as usize).min(lines.end.saturating_sub(start + 4) / 8);
    for index in 0..=count {
        let at = start + index * 8;
        if at + 4 > lines.end {
            break;
        }
        tape.push(at, Kind::Offset(Base::Text));
        if index < count {
            tape.push(at + 4, Kind::Offset(Base::Lines));
        }
    }
    for index in 0..count {
        let Some(offset) = u32_at(file, start + index * 8 + 4) else { return };
        let at = start + offset as usize;
        if at + FIXED <= lines.end {
            function(file, at, lines.end, tape);
        }
    }
}

fn function(file: &[u8], at: usize, end: usize, tape: &mut Tape) {
    let (Some(tables), Some(&data)) = (u32_at(file, at + 28), file.get(at + 43)) else { return };
    tape.push(at, Kind::Offset(Base::Text));
    tape.push(at + 4, Kind::Offset(Base::Names));
    for field in [16, 20, 24] {
        tape.push(at + field, Kind::Offset(Base::Counters));
    }
    if tables > MOST_TABLES || u32::from(data) > MOST_TABLES {
        return;
    }
    let mut field = at + FIXED;
    for (count, base, none) in [(tables, Base::Counters, 0), (u32::from(data), Base::Functions, u32::MAX)] {
        for _ in 0..count {
            if field + 4 > end {
                return;
            }
            if u32_at(file, field).is_some_and(|value| value != none) {
                tape.push(field, Kind::Offset(base));
            }
            field += 4;
        }
    }
}
