//! Where in an x86-64 instruction the next byte probably is. Only a guess that picks contexts: literals begin
//! anywhere in an instruction, and some are no instructions. It is frozen all the same.

/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Part {
    Opcode,
    /// After 0f.
    Second,
    ModRm,
    Sib,
    Displacement,
    Immediate,
    /// After 0f 38, 0f 3a and the bytes of a vector prefix.
    Third,
    Vector,
}

#[derive(Debug, Clone)]
pub(super) struct Instruction {
    part: Part,
    /// Bytes left of this part.
    left: u8,
    /// Bytes of the immediate that is to come.
    immediate: u8,
    /// The map (0 to 3) in 256ths, and the opcode.
    opcode: u32,
    /// With 0x100 once it is known.
    modrm: u32,
    small: bool,
    wide: bool,
    /// Opcode and addressing mode of the last instruction.
    before: u32,
}

impl Instruction {
    pub(super) fn new() -> Instruction {
        Instruction {
            part: Part::Opcode,
            left: 0,
            immediate: 0,
            opcode: 0,
            modrm: 0,
            small: false,
            wide: false,
            before: 0,
        }
    }

    /// Part and bytes left of it, below 64.
    pub(super) fn state(&self) -> u32 {
        self.part as u32 * 8 + u32::from(self.left)
    }

    /// Opcode and ModRM byte of this instruction, as far as they are known.
    pub(super) fn operation(&self) -> u32 {
        self.opcode | self.modrm << 12
    }

    pub(super) fn before(&self) -> u32 {
        self.before
    }

    pub(super) fn push(&mut self, byte: u8) {
        match self.part {
            Part::Opcode => self.opcode(byte),
            Part::Second => match byte {
                0x38 => (self.part, self.opcode) = (Part::Third, 0x200),
                0x3a => (self.part, self.opcode) = (Part::Third, 0x300),
                _ => self.known(0x100 | u32::from(byte)),
            },
            Part::Third => self.known(self.opcode | u32::from(byte)),
            Part::Vector if self.left == 2 => {
                self.opcode = u32::from((byte & 3).max(1)) << 8;
                self.left = 1;
            }
            Part::Vector => (self.part, self.left) = (Part::Third, 0),
            Part::ModRm => self.modrm(byte),
            Part::Sib => {
                let bare = byte & 7 == 5 && self.modrm & 0xc0 == 0;
                self.displacement(if bare { 4 } else { self.left });
            }
            Part::Displacement => {
                self.left -= 1;
                if self.left == 0 {
                    self.immediate();
                }
            }
            Part::Immediate => {
                self.left -= 1;
                if self.left == 0 {
                    self.end();
                }
            }
        }
    }

    fn opcode(&mut self, byte: u8) {
        match byte {
            0x66 => self.small = true,
            0x40..=0x4f => self.wide = byte & 8 != 0,
            0xf0 | 0xf2 | 0xf3 | 0x64 | 0x65 | 0x2e | 0x36 | 0x3e | 0x26 | 0x67 => {}
            0x0f => self.part = Part::Second,
            0xc5 => (self.part, self.left, self.opcode) = (Part::Vector, 1, 0x100),
            0xc4 => (self.part, self.left) = (Part::Vector, 2),
            _ => self.known(u32::from(byte)),
        }
    }

    fn known(&mut self, opcode: u32) {
        self.opcode = opcode;
        let (modrm, immediate) = shape(opcode);
        self.immediate = match immediate {
            Size::Of(bytes) => bytes,
            Size::Operand if self.small => 2,
            Size::Operand => 4,
            Size::Full if self.wide => 7,
            Size::Full => 4,
        };
        if modrm {
            (self.part, self.left) = (Part::ModRm, 0);
        } else {
            self.immediate();
        }
    }

    fn modrm(&mut self, byte: u8) {
        self.modrm = u32::from(byte) | 0x100;
        // `test` is the one of these that has an immediate.
        if byte >> 3 & 7 < 2 {
            match self.opcode {
                0xf6 => self.immediate = 1,
                0xf7 => self.immediate = if self.small { 2 } else { 4 },
                _ => {}
            }
        }
        let displacement = match (byte >> 6, byte & 7) {
            (0, 5) | (2, _) => 4,
            (1, _) => 1,
            _ => 0,
        };
        if byte >> 6 < 3 && byte & 7 == 4 {
            (self.part, self.left) = (Part::Sib, displacement);
        } else {
            self.displacement(displacement);
        }
    }

    fn displacement(&mut self, bytes: u8) {
        if bytes > 0 {
            (self.part, self.left) = (Part::Displacement, bytes);
        } else {
            self.immediate();
        }
    }

    fn immediate(&mut self) {
        if self.immediate > 0 {
            (self.part, self.left) = (Part::Immediate, self.immediate);
        } else {
            self.end();
        }
    }

    fn end(&mut self) {
        let before = self.opcode | (self.modrm & 0xc0) << 12;
        *self = Instruction { before, ..Instruction::new() };
    }
}

enum Size {
    Of(u8),
    /// 2 or 4 bytes.
    Operand,
    /// 4 bytes or, as the state can say no more, 7.
    Full,
}

/// Whether an opcode has a ModRM byte, and its immediate.
fn shape(opcode: u32) -> (bool, Size) {
    use Size::{Full, Of, Operand};
    match opcode {
        0x00..=0x3f => match opcode & 7 {
            0..=3 => (true, Of(0)),
            4 => (false, Of(1)),
            5 => (false, Operand),
            _ => (false, Of(0)),
        },
        0x63 | 0x84..=0x8f | 0xd0..=0xd3 | 0xd8..=0xdf | 0xf6 | 0xf7 | 0xfe | 0xff => (true, Of(0)),
        0x68 | 0xa9 | 0xe8 | 0xe9 => (false, Operand),
        0x69 | 0x81 | 0xc7 => (true, Operand),
        0x6a | 0x70..=0x7f | 0xa8 | 0xb0..=0xb7 | 0xcd | 0xd4 | 0xd5 | 0xe0..=0xe7 | 0xeb => (false, Of(1)),
        0x6b | 0x80 | 0x82 | 0x83 | 0xc0 | 0xc1 | 0xc6 => (true, Of(1)),
        0xa0..=0xa3 => (false, Of(7)),
        0xb8..=0xbf => (false, Full),
        0xc2 | 0xca => (false, Of(2)),
        0xc8 => (false, Of(3)),
        0x100..=0x1ff => match opcode & 0xff {
            0x80..=0x8f => (false, Operand),
            0x05..=0x09 | 0x0b | 0x30..=0x37 | 0x77 | 0xa0..=0xa2 | 0xa8 | 0xa9 | 0xc8..=0xcf => (false, Of(0)),
            0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => (true, Of(1)),
            _ => (true, Of(0)),
        },
        0x200..=0x2ff => (true, Of(0)),
        0x300.. => (true, Of(1)),
        _ => (false, Of(0)),
    }
}
