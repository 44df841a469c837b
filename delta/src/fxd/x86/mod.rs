//! Where the instructions of x86-64 code hold addresses: part of fxd-1, and frozen with it.
//!
//! Whoever makes a delta and whoever applies it must find the same fields in the same old file, for ever.
//! So this knows no processors and no instruction's meaning, only lengths; what it does with bytes that are
//! no instruction is a rule like every other. `docs/formats/x86-64-lengths.md` states all of it.

pub(crate) mod layout;
mod tables;

use layout::Layout;

/// A field of four bytes in an instruction that may hold an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A displacement from the end of the instruction: an operand in memory, or where a branch goes.
    Relative {
        /// Where the field is, as an offset into the code.
        at: usize,
        /// The bytes from the field's first to the end of the instruction: 4 or more.
        end: u8,
    },
    /// Any other displacement or immediate of four bytes.
    Absolute {
        /// Where the field is, as an offset into the code.
        at: usize,
    },
}

/// Walks `code` from its first byte and tells `found` of each such field, in the order of their places.
pub(crate) fn operands(code: &[u8], mut found: impl FnMut(Operand)) {
    let mut rest = code;
    while !rest.is_empty() {
        let start = code.len() - rest.len();
        // What is no instruction is passed over by one byte, wherever in it that was seen.
        let length = match Layout::of(rest) {
            None => 1,
            Some(layout) => {
                layout.operands(start, &mut found);
                usize::from(layout.length)
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
}
