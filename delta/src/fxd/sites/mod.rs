//! Where a file holds references, and of what kind.

mod arm;
mod data;
mod frames;
mod go;
mod tape;
mod x86;

pub(super) use frames::{TABLE_HEADER, entries};
pub(super) use tape::{LONGEST, Tape, Tapes, index_memory};

use super::bases::{Base, Bases};
use super::elf::{Elf, Machine};

/// How a field says what it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// x86-64: 32 bits, from the end of the instruction, this many bytes behind the field's start.
    Relative { end: u8 },
    /// x86-64 at fixed addresses: 32 bits, the address.
    Absolute32,
    /// AArch64: the 26 bits of B and BL.
    Branch,
    /// AArch64: the page of ADRP; the low 12 bits are this many bytes further on.
    Page { low: u8 },
    /// AArch64: the low 12 bits of ADD, LDR and STR; the ADRP is this many bytes before.
    Low { page: u8 },
    /// 64 bits, the address.
    Pointer,
    /// 32 bits, from the field itself.
    FromHere,
    /// 32 bits, back from the field itself.
    BackFromHere,
    /// 32 bits, from a base.
    Offset(Base),
    /// The same, where it may be something else; nothing is learned of it.
    MaybeOffset(Base),
    /// 32 bits in a table, from the table's start, this many bytes before.
    Entry { start: u32 },
    /// 64 bits that grow from one record of 24 bytes to the next.
    Step64,
    /// 32 bits that do.
    Step32,
}

impl Kind {
    /// Bytes of the field.
    pub(super) fn width(self) -> usize {
        if matches!(self, Kind::Pointer | Kind::Step64) { 8 } else { 4 }
    }
}

/// Between records of relocations and of symbols.
pub(super) const RECORD: usize = 24;

/// A reference in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) at: u32,
    pub(super) kind: Kind,
}

/// All that `file` holds, as [`Tapes`], in at most as many bytes as `most` says; `None` if there is more.
/// `table` says whether the sorted table of frames is looked at.
pub(super) fn find(file: &[u8], elf: &Elf, bases: &Bases, table: bool, most: Option<(usize, usize)>) -> Option<Tapes> {
    let exact = most.is_some();
    let most = most.unwrap_or((file.len(), file.len()));
    let mut code = Tape::new(most.0, exact);
    let starts = match elf.machine {
        Machine::X86 => x86::find(file, elf, bases, &mut code),
        Machine::Arm => {
            arm::find(file, elf, &mut code);
            None
        }
    };
    let mut data = Tape::new(most.1, exact);
    data::find(file, elf, bases, starts.as_ref(), table, &mut data);
    Some(Tapes { code: code.done(file.len())?, data: data.done(file.len())? })
}
