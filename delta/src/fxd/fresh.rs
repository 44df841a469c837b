//! References in new code: bytes that no segment makes still call what is known.
//!
//! Their fields are sent as zeros among the new bytes, and what they refer to apart: as one of those that
//! the old code at that place referred to, or one of the last ones, or in full.

use super::bytes::u32_at;
use super::elf::{Elf, Loads, Machine, Role};
use super::learned::Learned;
use super::limit::Clock;
use super::map::Map;
use super::refer::Place;
use super::segment::Segment;
use super::sites::{Kind, Tape};
use super::x86::{Operand, operands};
use crate::ApplyError;

/// New code is looked through in pieces of this many bytes, each of them from a little before.
const PIECE: u32 = 1 << 16;
const BEFORE: u32 = 64;
/// References of the old code that are likely to come again.
const LIKELY: usize = 63;
/// References that came lately.
const RECENT: usize = 127;

/// The new file's code: where it is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Code {
    pub(super) fn of(elf: &Elf) -> Code {
        let text = elf.section(Role::Text).filter(|text| text.size > 0);
        text.map_or(Code { from: 0, to: 0 }, |text| Code { from: text.offset as u32, to: text.end() as u32 })
    }
}

/// One side: who restores the new file, or who has it.
pub(super) trait Fresh {
    fn bytes(&self) -> &[u8];

    /// The field at `at` refers to something that `guess` may know.
    fn settle(&mut self, at: u32, kind: Kind, loads: &Loads, guess: &mut Guess) -> Result<(), ApplyError>;
}

/// What new code is looked through with.
pub(super) struct Search<'a> {
    pub(super) old: &'a [u8],
    pub(super) segments: &'a [Segment],
    pub(super) tape: &'a Tape,
    pub(super) map: &'a Map<'a>,
    pub(super) from: Place<'a>,
    pub(super) to: Place<'a>,
    pub(super) code: Code,
    pub(super) machine: Machine,
}

impl Search<'_> {
    /// Goes through the fields of new code in their order.
    pub(super) fn run(&self, learned: &Learned, fresh: &mut impl Fresh, clock: &mut Clock) -> Result<(), ApplyError> {
        let mut guess = Guess { likely: Vec::new(), next: 0, recent: Vec::with_capacity(RECENT) };
        let mut fields = Vec::new();
        let mut end = 0;
        let mut old_end = 0;
        let last = Segment { new: self.code.to, old: 0, length: 0 };
        for segment in self.segments.iter().chain([&last]) {
            let (from, to) = (end.max(self.code.from), segment.new.min(self.code.to));
            if to.saturating_sub(from) >= 4 {
                let mut looked = false;
                for piece in (from..to).step_by(PIECE as usize) {
                    clock.look()?;
                    let piece = (piece, to.min(piece.saturating_add(PIECE)));
                    self.fields(fresh.bytes(), piece, &mut fields);
                    // Most gaps have no field.
                    if !looked && !fields.is_empty() {
                        self.likely(old_end, learned, &mut guess);
                        looked = true;
                    }
                    for &(at, kind) in &fields {
                        fresh.settle(at, kind, self.to.loads, &mut guess)?;
                    }
                }
            }
            end = end.max(segment.new_end());
            old_end = segment.old_end();
        }
        Ok(())
    }

    /// What the old code from `from` on refers to, as far as it is known where that is now.
    fn likely(&self, from: u32, learned: &Learned, guess: &mut Guess) {
        guess.next = 0;
        guess.likely.clear();
        for site in self.tape.from(from).take(LIKELY) {
            let target = self.from.target(self.old, site.at, site.kind);
            let now = target.and_then(|target| learned.get(target).or_else(|| self.map.address(target)));
            guess.likely.push(now.unwrap_or(0));
        }
    }

    fn fields(&self, new: &[u8], (from, to): (u32, u32), fields: &mut Vec<(u32, Kind)>) {
        fields.clear();
        match self.machine {
            Machine::X86 => {
                let start = from.saturating_sub(BEFORE).max(self.code.from);
                operands(new.get(start as usize..to as usize).unwrap_or_default(), |operand| {
                    if let Operand::Relative { at, end } = operand {
                        let at = start + at as u32;
                        if at >= from && to - at >= 4 {
                            fields.push((at, Kind::Relative { end }));
                        }
                    }
                });
            }
            Machine::Arm => {
                for at in (from.next_multiple_of(4)..to.saturating_sub(3)).step_by(4) {
                    if u32_at(new, at as usize).is_some_and(|word| word & 0x7c00_0000 == 0x1400_0000) {
                        fields.push((at, Kind::Branch));
                    }
                }
            }
        }
    }
}

/// What a reference in new code may be.
#[derive(Debug)]
pub(super) struct Guess {
    likely: Vec<u32>,
    /// The one that is likely to come next.
    next: usize,
    recent: Vec<u32>,
}

/// The target is in full.
const FULL: u8 = 0;
/// One of the likely ones: how far from the next, as 0, -1, 1, …
const FIRST_LIKELY: u8 = 1;
const FIRST_RECENT: u8 = 129;

impl Guess {
    /// How `target` is said; [`FULL`] if it cannot be guessed.
    pub(super) fn number(&mut self, target: u32) -> u8 {
        let near = |index: &usize| index.abs_diff(self.next);
        let places = self.likely.iter().enumerate().filter(|(_, likely)| **likely == target);
        let number = match places.map(|(index, _)| index).min_by_key(near) {
            Some(index) => {
                let step = super::bytes::zigzag(index as i64 - self.next as i64);
                self.next = index + 1;
                FIRST_LIKELY + step as u8
            }
            None => match self.recent.iter().position(|recent| *recent == target) {
                Some(index) => FIRST_RECENT + index as u8,
                None => FULL,
            },
        };
        self.remember(target);
        number
    }

    /// What `number` says, where it is not in full.
    pub(super) fn target(&mut self, number: u8) -> Option<u32> {
        if number >= FIRST_RECENT {
            return self.recent.get(usize::from(number - FIRST_RECENT)).copied();
        }
        let step = super::bytes::unzigzag(u64::from(number.checked_sub(FIRST_LIKELY)?));
        let index = self.next.checked_add_signed(step as isize)?;
        let target = self.likely.get(index).copied()?;
        self.next = index + 1;
        Some(target)
    }

    pub(super) fn remember(&mut self, target: u32) {
        let place = self.recent.iter().position(|recent| *recent == target);
        let place = place.unwrap_or_else(|| {
            if self.recent.len() < RECENT {
                self.recent.push(target);
            }
            self.recent.len() - 1
        });
        self.recent[place] = target;
        self.recent[..=place].rotate_right(1);
    }
}
