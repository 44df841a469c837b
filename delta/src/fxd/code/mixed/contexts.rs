//! What each kind of stream has for contexts, but for new bytes.

use super::super::{Beside, Stream};
use super::WAYS;
use super::history::History;
use super::model::{Before, length};
use super::tables::join;

/// What is known between two bytes.
#[derive(Debug)]
pub(super) enum Contexts {
    Numbers(Numbers),
    Targets(Targets),
    /// The last two.
    Changes([u32; 2]),
    Bytes([u32; 3]),
}

/// Where in a variable-length number the next byte is, and the numbers before it.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    at: u32,
    so_far: u32,
    last: [u32; 3],
}

/// Where in a target the next byte is, and the one before it.
#[derive(Debug, Default)]
pub(super) struct Targets {
    at: u32,
    so_far: u32,
    last: u32,
}

impl Contexts {
    pub(super) fn of(kind: Stream) -> Contexts {
        match kind {
            Stream::Control | Stream::Gaps | Stream::References => Contexts::Numbers(Numbers::default()),
            Stream::Targets => Contexts::Targets(Targets::default()),
            Stream::Changes => Contexts::Changes([0; 2]),
            Stream::Literals | Stream::Words | Stream::Residuals => Contexts::Bytes([0; 3]),
        }
    }

    pub(super) fn now(&self, beside: Beside, history: &History) -> Before {
        let (expected, matched) = history.expected();
        let before = |contexts: [u32; WAYS], state| Before { contexts, state, expected, length: length(matched) };
        match self {
            Contexts::Numbers(numbers) => {
                let here = numbers.at | numbers.so_far << 3;
                let [first, second, third] = numbers.last;
                let contexts = [
                    numbers.at,
                    join(here, first),
                    join(join(here, first), second),
                    join(join(here, size(first)), join(size(second), size(third))),
                ];
                before(contexts, numbers.at.min(3) * 8 + size(first).min(7))
            }
            Contexts::Targets(Targets { at, so_far, last }) => {
                let here = join(*at, *so_far);
                let there = last.wrapping_shr(24 - 8 * at) & 255;
                let contexts = [here, join(*at, so_far & 0xff), join(*at, there), join(here, there)];
                before(contexts, *at)
            }
            Contexts::Changes([first, second]) => {
                let [old, last] = [beside.old, beside.last].map(u32::from);
                before([*first, first | second << 8, old, join(old, last)], last >> 3)
            }
            Contexts::Bytes([a, b, c]) => before([0, *a, a | b << 8, a | b << 8 | c << 16], a >> 3),
        }
    }

    pub(super) fn push(&mut self, byte: u8) {
        let byte = u32::from(byte);
        match self {
            Contexts::Numbers(numbers) => {
                numbers.so_far |= (byte & 127) << (7 * numbers.at.min(3));
                if byte < 128 {
                    let [first, second, _] = numbers.last;
                    *numbers = Numbers { at: 0, so_far: 0, last: [numbers.so_far, first, second] };
                } else {
                    numbers.at = (numbers.at + 1).min(7);
                }
            }
            Contexts::Targets(targets) => {
                targets.so_far = targets.so_far << 8 | byte;
                targets.at += 1;
                if targets.at == 4 {
                    *targets = Targets { at: 0, so_far: 0, last: targets.so_far };
                }
            }
            Contexts::Changes(last) => *last = [byte, last[0]],
            Contexts::Bytes(last) => *last = [byte, last[0], last[1]],
        }
    }
}

/// The number of bits that a number has.
fn size(number: u32) -> u32 {
    32 - number.leading_zeros()
}
