//! The lengths of instructions, as the format states them: beside another decoder and beside kept vectors.

mod oracle;

use oracle::x86::layout::Layout;
use oracle::x86::{self, Operand};
use oracle::{Agreement, code_of};

#[test]
fn this_program_is_seen_as_the_other_decoder_sees_it() {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let mut agreement = Agreement::default();
    for code in code_of(&program) {
        agreement.add(Agreement::over(&code[..code.len().min(1 << 20)]));
    }
    assert!(agreement.instructions > 100_000, "only {} instructions were compared", agreement.instructions);
    assert_eq!(agreement.same, agreement.instructions, "{:#?}", agreement.differing);
    assert!(agreement.found * 10_000 >= agreement.fields * 9_999, "{agreement:?}");
}

#[test]
fn whatever_the_other_decoder_takes_for_an_instruction_has_its_length_here_too() {
    let mut agreement = Agreement::default();
    let mut code = vec![0; 4096];
    let mut random = Random(20_261_129);
    for _ in 0..50 {
        // Prefixes and escapes are rare among random bytes, and what follows them is most of what can be wrong.
        code.fill_with(|| match random.byte() {
            choice @ ..64 => PREFIXES[usize::from(choice) % PREFIXES.len()],
            _ => random.byte(),
        });
        agreement.add(Agreement::over(&code));
    }
    assert!(agreement.instructions > 30_000, "only {} instructions were compared", agreement.instructions);
    assert_eq!(agreement.same, agreement.instructions, "{:#?}", agreement.differing);
}

/// `vectors/x86-64-lengths.txt` is published with the format for those who write a decoder of their own.
#[test]
fn every_vector_has_the_length_and_the_fields_it_states() {
    let mut lines = 0;
    for line in include_str!("../vectors/x86-64-lengths.txt").lines().filter(|line| !line.starts_with('#')) {
        let (bytes, stated) = line.split_once(' ').unwrap();
        let code: Vec<u8> =
            (0..bytes.len()).step_by(2).map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap()).collect();
        assert_eq!(written(&code), stated, "{bytes}");
        let length = stated.split(' ').next().and_then(|length| length.parse().ok());
        oracle::walk(&code, |at, seen| assert!(at > 0 || seen.map(|seen| seen.length) == length, "{bytes}"));
        lines += 1;
    }
    assert!(lines > 1000, "only {lines} vectors");
}

fn written(code: &[u8]) -> String {
    let Some(layout) = Layout::of(code) else { return "-".into() };
    let mut text = layout.length.to_string();
    layout.operands(0, &mut |operand| match operand {
        Operand::Relative { at, end } => text += &format!(" relative {at} {end}"),
        Operand::Absolute { at } => text += &format!(" absolute {at}"),
    });
    text
}

#[test]
fn every_field_lies_within_the_code_and_within_its_instruction() {
    let mut random = Random(7);
    for length in 0..400 {
        let code: Vec<u8> = (0..length).map(|_| random.byte()).collect();
        let mut last = 0;
        x86::operands(&code, |operand| {
            let (at, end) = match operand {
                Operand::Relative { at, end } => (at, usize::from(end)),
                Operand::Absolute { at } => (at, 4),
            };
            assert!(at >= last && (4..=8).contains(&end) && at + end <= code.len(), "{operand:?} of {code:02x?}");
            last = at + 4;
        });
    }
}

#[test]
fn what_is_no_instruction_is_passed_over_by_one_byte() {
    let found = |code: &[u8]| {
        let mut operands = Vec::new();
        x86::operands(code, |operand| operands.push(operand));
        operands
    };
    let call = Operand::Relative { at: 2, end: 4 };
    // 06 is none in 64-bit mode.
    assert_eq!(found(&[0x06, 0xe8, 1, 2, 3, 4]), [call]);
    // Cut off at the end: seen from the next byte on, which is another instruction.
    assert_eq!(found(&[0x48, 0xe8, 1, 2, 3]), []);
    // Sixteen bytes are too many for one instruction, the last fifteen of them are not.
    let mut long = vec![0x66; 12];
    long.extend([0xe9, 1, 2, 3, 4]);
    assert_eq!(found(&long), [Operand::Relative { at: 13, end: 4 }]);
    assert_eq!(Layout::of(&long), None);
}

const PREFIXES: [u8; 16] =
    [0x0f, 0x0f, 0x0f, 0x38, 0x3a, 0x40, 0x48, 0x62, 0x66, 0x67, 0x8f, 0xc4, 0xc5, 0xc7, 0xf2, 0xf3];

/// The bytes of a xorshift generator: the same in every run.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) as u8
    }
}
