//! One instruction: how long it is, and where its fields of four bytes are.

use super::Operand;
use super::tables::{ONE, TWO, VECTOR};

/// The lengths of one instruction. Offsets are from its first byte, where no field can be: 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// All its bytes: 1 to 15.
    pub(crate) length: u8,
    /// Its displacement, if that has four bytes.
    displacement: u8,
    /// Whether that displacement is from the end of the instruction.
    from_end: bool,
    /// Its immediate, if that has four bytes.
    immediate: u8,
    /// Whether that immediate is where a branch goes.
    branch: bool,
}

impl Layout {
    /// The instruction that `code` begins with; none if it begins with none, or ends within it.
    #[inline]
    pub(crate) fn of(code: &[u8]) -> Option<Layout> {
        let mut reader = Reader::new(code);
        let mut layout = Layout::default();
        let (mut operand_16, mut address_32, mut repne, mut rex) = (false, false, false, 0);
        let (opcode, letter) = loop {
            let byte = reader.byte()?;
            match ONE[usize::from(byte)] {
                b'P' => {
                    operand_16 |= byte == 0x66;
                    address_32 |= byte == 0x67;
                    repne |= byte == 0xf2;
                    // A REX prefix counts only where the opcode follows it.
                    rex = 0;
                }
                b'R' => rex = byte,
                letter => break (byte, letter),
            }
        };
        let letter = match letter {
            b'E' => reader.escaped()?,
            b'2' | b'3' | b'4' | b'X' => reader.vector(letter)?,
            letter => letter,
        };
        let wide = rex & 8 != 0;
        let z = if operand_16 && !wide { 2 } else { 4 };
        match letter {
            b'.' => {}
            b'm' => drop(reader.modrm(&mut layout)?),
            b'b' => reader.skip(1),
            b'B' => {
                reader.modrm(&mut layout)?;
                reader.skip(1);
            }
            b'r' => {
                layout.branch = true;
                reader.immediate(4, &mut layout);
            }
            b'z' => reader.immediate(z, &mut layout),
            b'Z' => {
                let modrm = reader.modrm(&mut layout)?;
                // XBEGIN.
                layout.branch = opcode == 0xc7 && modrm == 0xf8;
                reader.immediate(z, &mut layout);
            }
            b'v' => reader.immediate(if wide { 8 } else { z }, &mut layout),
            b't' | b'T' => {
                let modrm = reader.modrm(&mut layout)?;
                match (modrm & 0x30 == 0, letter) {
                    (false, _) => {}
                    (true, b't') => reader.skip(1),
                    (true, _) => reader.immediate(z, &mut layout),
                }
            }
            b'w' => reader.skip(2),
            b'e' => reader.skip(3),
            b'c' => reader.skip(1),
            b'o' if address_32 => {
                layout.displacement = reader.at;
                reader.skip(4);
            }
            b'o' => reader.skip(8),
            b'q' => {
                reader.modrm(&mut layout)?;
                if operand_16 || repne {
                    reader.skip(2);
                }
            }
            b'F' => {
                reader.modrm(&mut layout)?;
                reader.immediate(4, &mut layout);
            }
            _ => return None,
        }
        layout.length = reader.end()?;
        Some(layout)
    }

    /// Tells `found` of the fields of four bytes, the instruction being at `start`.
    #[inline]
    pub(crate) fn operands(self, start: usize, found: &mut impl FnMut(Operand)) {
        for (field, relative) in [(self.displacement, self.from_end), (self.immediate, self.branch)] {
            if field != 0 {
                let at = start + usize::from(field);
                found(match relative {
                    true => Operand::Relative { at, end: self.length - field },
                    false => Operand::Absolute { at },
                });
            }
        }
    }
}

/// Reads on in one instruction.
struct Reader<'a> {
    window: &'a [u8],
    at: u8,
}

impl<'a> Reader<'a> {
    fn new(code: &'a [u8]) -> Reader<'a> {
        Reader { window: &code[..code.len().min(LONGEST)], at: 0 }
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.window.get(usize::from(self.at))?;
        self.at += 1;
        Some(byte)
    }

    /// Passes over `bytes`. Whether they were there is asked once, at the end.
    #[inline]
    fn skip(&mut self, bytes: u8) {
        self.at += bytes;
    }

    #[inline]
    fn immediate(&mut self, bytes: u8, layout: &mut Layout) {
        if bytes == 4 {
            layout.immediate = self.at;
        }
        self.skip(bytes);
    }

    /// The length of all that was read.
    #[inline]
    fn end(&self) -> Option<u8> {
        (usize::from(self.at) <= self.window.len()).then_some(self.at)
    }

    /// The letter of the opcode after 0F.
    fn escaped(&mut self) -> Option<u8> {
        let opcode = self.byte()?;
        match (TWO[usize::from(opcode)], opcode) {
            (b'E', 0x38) => self.byte().map(|_| b'm'),
            (b'E', _) => self.byte().map(|_| b'B'),
            (letter, _) => Some(letter),
        }
    }

    /// The letter of an instruction whose first byte, of this letter, was read: what follows its opcode.
    fn vector(&mut self, prefix: u8) -> Option<u8> {
        let first = self.byte()?;
        let map = match prefix {
            b'2' => 1,
            b'3' => first & 0x1f,
            b'4' => first & 0x0f,
            _ => first & 0x1f,
        };
        match (prefix, map) {
            // POP: what was read is its ModRM.
            (b'X', ..8) => {
                self.at -= 1;
                return Some(b'm');
            }
            (b'3', _) | (b'X', _) => drop(self.byte()?),
            (b'4', _) => {
                // The one bit of the second byte that never changes.
                if self.byte()? & 4 == 0 {
                    return None;
                }
                self.byte()?;
            }
            _ => {}
        }
        let opcode = self.byte()?;
        match (prefix, map) {
            (b'2' | b'3' | b'4', 1) => Some(VECTOR[usize::from(opcode)]),
            (b'3' | b'4', 2) | (b'4', 5 | 6) | (b'X', 9) => Some(b'm'),
            (b'3' | b'4', 3) | (b'X', 8) => Some(b'B'),
            (b'X', 10) => Some(b'F'),
            _ => None,
        }
    }

    /// A ModRM byte and the SIB byte and displacement that it asks for.
    #[inline]
    fn modrm(&mut self, layout: &mut Layout) -> Option<u8> {
        let modrm = self.byte()?;
        let (form, rm) = (modrm >> 6, modrm & 7);
        let base = if form != 3 && rm == 4 { self.byte()? & 7 } else { rm };
        match form {
            0 if base == 5 => {
                layout.displacement = self.at;
                layout.from_end = rm == 5;
                self.skip(4);
            }
            1 => self.skip(1),
            2 => {
                layout.displacement = self.at;
                self.skip(4);
            }
            _ => {}
        }
        Some(modrm)
    }
}

/// No instruction has more bytes.
const LONGEST: usize = 15;
