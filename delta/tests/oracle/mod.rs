//! The format's decoder beside one that knows every instruction.

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind};

#[path = "../../src/fxd/x86/mod.rs"]
pub(crate) mod x86;

use x86::Operand;
use x86::layout::Layout;

/// What of some code both decoders saw alike.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    /// The bytes of code.
    pub(crate) bytes: usize,
    /// The places where the oracle's walk saw an instruction.
    pub(crate) instructions: usize,
    /// Those of them where the format's decoder saw one of the same length and fields.
    pub(crate) same: usize,
    /// The places where the oracle's walk saw none.
    pub(crate) invalid: usize,
    /// Those of them where the format's decoder saw none either.
    pub(crate) both_invalid: usize,
    /// The fields that the oracle's walk found.
    pub(crate) fields: usize,
    /// Those of them that the format's walk found.
    pub(crate) found: usize,
    /// The fields that only the format's walk found.
    pub(crate) extra: usize,
    /// Some of the places where they differ, for people.
    pub(crate) differing: Vec<String>,
}

impl Agreement {
    /// Compares both over `code`.
    pub(crate) fn over(code: &[u8]) -> Agreement {
        let mut agreement = Agreement { bytes: code.len(), ..Agreement::default() };
        let mut theirs = Vec::new();
        walk(code, |at, seen| agreement.compare(code, at, seen, &mut theirs));
        let mut ours = Vec::new();
        x86::operands(code, |operand| ours.push(operand));
        agreement.fields = theirs.len();
        agreement.found = theirs.iter().filter(|field| ours.binary_search_by_key(&place(field), place).is_ok()).count();
        agreement.extra = ours.len() - agreement.found;
        agreement
    }

    fn compare(&mut self, code: &[u8], at: usize, seen: Option<Seen>, fields: &mut Vec<Operand>) {
        let ours = Layout::of(&code[at..]);
        let Some(seen) = seen else {
            self.invalid += 1;
            self.both_invalid += usize::from(ours.is_none());
            return;
        };
        self.instructions += 1;
        let same = ours.is_some_and(|layout| {
            let mut operands = Vec::new();
            layout.operands(at, &mut |operand| operands.push(operand));
            usize::from(layout.length) == seen.length && operands == seen.operands
        });
        self.same += usize::from(same);
        if !same && self.differing.len() < 40 {
            let bytes = &code[at..at + seen.length];
            self.differing.push(format!("{at:#x}: {bytes:02x?} {:?} is {seen:?}, was taken for {ours:?}", seen.code));
        }
        fields.extend(seen.operands);
    }

    /// Adds what was seen of other code.
    pub(crate) fn add(&mut self, other: Agreement) {
        self.bytes += other.bytes;
        self.instructions += other.instructions;
        self.same += other.same;
        self.invalid += other.invalid;
        self.both_invalid += other.both_invalid;
        self.fields += other.fields;
        self.found += other.found;
        self.extra += other.extra;
        self.differing.extend(other.differing);
    }
}

/// What the oracle saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) code: iced_x86::Code,
    pub(crate) length: usize,
    pub(crate) operands: Vec<Operand>,
}

/// Tells `each` what the oracle sees at each place; where it sees no instruction it goes on a byte later.
pub(crate) fn walk(code: &[u8], mut each: impl FnMut(usize, Option<Seen>)) {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut at = 0;
    while at < code.len() {
        decoder.set_position(at).expect("it is within the code");
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            each(at, None);
            at += 1;
        } else {
            let seen = Seen {
                code: instruction.code(),
                length: instruction.len(),
                operands: operands(&decoder, &instruction, at),
            };
            at += seen.length;
            each(at - seen.length, Some(seen));
        }
    }
}

fn operands(decoder: &Decoder<'_>, instruction: &Instruction, start: usize) -> Vec<Operand> {
    let places = decoder.get_constant_offsets(instruction);
    let relative = instruction.is_ip_rel_memory_operand();
    let branch = instruction.op0_kind() == OpKind::NearBranch64;
    [
        (places.displacement_size(), places.displacement_offset(), relative),
        (places.immediate_size(), places.immediate_offset(), branch),
    ]
    .into_iter()
    .filter(|&(size, ..)| size == 4)
    .map(|(_, offset, relative)| match relative {
        true => Operand::Relative { at: start + offset, end: (instruction.len() - offset) as u8 },
        false => Operand::Absolute { at: start + offset },
    })
    .collect()
}

/// Where a field is, and whether it is relative.
fn place(operand: &Operand) -> (usize, bool) {
    match *operand {
        Operand::Relative { at, .. } => (at, true),
        Operand::Absolute { at } => (at, false),
    }
}

/// The sections of an ELF file of 64 bits that hold instructions of x86-64; none of another file.
pub(crate) fn code_of(file: &[u8]) -> Vec<&[u8]> {
    let number = |at: usize, bytes: usize| {
        let field = file.get(at..at + bytes)?;
        Some(field.iter().rev().fold(0_usize, |number, &byte| number << 8 | usize::from(byte)))
    };
    if !file.starts_with(b"\x7fELF\x02\x01") || number(18, 2) != Some(62) {
        return Vec::new();
    }
    let (Some(table), Some(count)) = (number(40, 8), number(60, 2)) else { return Vec::new() };
    let section = |index: usize| {
        let header = table + index * 64;
        let (kind, flags) = (number(header + 4, 4)?, number(header + 8, 8)?);
        let (offset, size) = (number(header + 24, 8)?, number(header + 32, 8)?);
        (kind == 1 && flags & 4 != 0).then_some(())?;
        file.get(offset..offset.checked_add(size)?)
    };
    (0..count).filter_map(section).collect()
}
