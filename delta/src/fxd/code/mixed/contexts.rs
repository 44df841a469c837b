//! What each kind of stream has for contexts.

use super::super::Stream;
use super::history::History;
use super::tables::join;
use super::x86::Instruction;
use super::{STATES, WAYS};

/// What is known between two bytes, beside the bytes themselves.
pub(super) enum Contexts {
    Instructions(Instruction),
    Numbers(Numbers),
    Bytes,
}

/// Where in a variable-length number the next byte is, and the numbers before it.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    at: u32,
    so_far: u32,
    last: [u32; 3],
}

impl Contexts {
    pub(super) fn of(kind: Stream) -> Contexts {
        match kind {
            Stream::Literals => Contexts::Instructions(Instruction::new()),
            Stream::Control | Stream::Gaps | Stream::References => Contexts::Numbers(Numbers::default()),
            Stream::Residuals => Contexts::Bytes,
        }
    }

    /// The contexts of the next byte, and which of the [`STATES`] weights are for.
    pub(super) fn now(&self, history: &History) -> ([u32; WAYS], usize) {
        let [a, b, c] = [history.back(1), history.back(2), history.back(3)].map(u32::from);
        match self {
            Contexts::Instructions(instruction) => {
                let state = instruction.state();
                let here = join(state, instruction.operation());
                let sets = [
                    a,
                    a | b << 8,
                    here,
                    join(here, instruction.before()),
                    a | b << 8 | c << 16,
                    join(here, a | b << 8),
                ];
                (sets, state as usize % STATES)
            }
            Contexts::Numbers(numbers) => {
                let here = numbers.at | numbers.so_far << 3;
                let [first, second, third] = numbers.last;
                let sets = [
                    numbers.at,
                    join(here, second ^ 0x5555),
                    join(here, first),
                    join(join(here, first), second),
                    join(join(here, size(first)), join(size(second), size(third))),
                    join(numbers.at, a),
                ];
                (sets, (numbers.at.min(3) * 8 + size(first).min(7)) as usize)
            }
            Contexts::Bytes => {
                let sets = [0, a, a | b << 8, a | b << 8 | c << 16, b | 1 << 8, b | c << 8 | 1 << 16];
                (sets, (a >> 3) as usize)
            }
        }
    }

    pub(super) fn push(&mut self, byte: u8) {
        match self {
            Contexts::Instructions(instruction) => instruction.push(byte),
            Contexts::Numbers(numbers) => {
                numbers.so_far |= u32::from(byte & 127) << (7 * numbers.at.min(3));
                if byte < 128 {
                    let [first, second, _] = numbers.last;
                    *numbers = Numbers { at: 0, so_far: 0, last: [numbers.so_far, first, second] };
                } else {
                    numbers.at = (numbers.at + 1).min(7);
                }
            }
            Contexts::Bytes => {}
        }
    }
}

/// The number of bits that a number has.
fn size(number: u32) -> u32 {
    32 - number.leading_zeros()
}
