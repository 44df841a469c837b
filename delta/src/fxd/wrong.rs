//! Where the prediction is wrong, which is all that is sent of it.

use super::bases::Bases;
use super::bytes::{put_varint, u32_at, u64_at, zigzag};
use super::code::Beside;
use super::elf::Loads;
use super::fresh::{Fresh, Guess};
use super::refer::{Place, normal};
use super::segment::Segment;
use super::sites::Kind;
use super::walk::New;
use crate::ApplyError;

/// The new file, beside which the prediction is run.
pub(super) struct Wrong<'a> {
    new: &'a [u8],
    /// Gaps and values of the references in code, then of those in data.
    pub(super) streams: [Vec<u8>; 6],
    /// One bit for each byte of the new file: it belongs to a field.
    pub(super) settled: Vec<u8>,
    tape: usize,
    right: u64,
}

impl<'a> Wrong<'a> {
    pub(super) fn new(new: &'a [u8]) -> Wrong<'a> {
        let settled = vec![0; new.len().div_ceil(8)];
        Wrong { new, streams: [const { Vec::new() }; 6], settled, tape: 0, right: 0 }
    }

    /// The references in code are done, those in data follow.
    pub(super) fn next_tape(&mut self) {
        self.tape = 4;
        self.right = 0;
    }
}

impl New for Wrong<'_> {
    fn bytes(&self) -> &[u8] {
        self.new
    }

    fn settle(&mut self, at: usize, kind: Kind, predicted: u64) -> Result<(), ApplyError> {
        let is = match kind.width() {
            8 => u64_at(self.new, at),
            _ => u32_at(self.new, at).map(u64::from),
        };
        let is = normal(kind, is.ok_or(ApplyError::Damaged("a reference lies outside of the new file"))?);
        for byte in at..at + kind.width() {
            self.settled[byte / 8] |= 1 << (byte % 8);
        }
        let correction = match kind.width() {
            8 => is.wrapping_sub(predicted) as i64,
            _ => i64::from((is as u32).wrapping_sub(predicted as u32) as i32),
        };
        if correction == 0 {
            self.right += 1;
        } else {
            put_varint(self.right, &mut self.streams[self.tape]);
            put_varint(zigzag(correction), &mut self.streams[self.tape + 1]);
            self.right = 0;
        }
        Ok(())
    }
}

impl Fresh for Wrong<'_> {
    fn bytes(&self) -> &[u8] {
        self.new
    }

    fn settle(&mut self, at: u32, kind: Kind, loads: &Loads, guess: &mut Guess) -> Result<(), ApplyError> {
        const OUTSIDE: ApplyError = ApplyError::Damaged("a reference in new code is none");
        let bases = Bases::default();
        let target = Place { loads, bases: &bases }.target(self.new, at, kind).ok_or(OUTSIDE)?;
        // The last byte of a branch says which it is.
        let width = if kind == Kind::Branch { 3 } else { 4 };
        for byte in at as usize..at as usize + width {
            self.settled[byte / 8] |= 1 << (byte % 8);
        }
        let number = guess.number(target);
        self.streams[2].push(number);
        if number == 0 {
            self.streams[3].extend(target.to_be_bytes());
        }
        Ok(())
    }
}

/// Of the bytes that differ in copies: gaps, values, and what is known of each. `plain` is the new file before its
/// references are restored.
pub(super) fn changed(old: &[u8], plain: &[u8], segments: &[Segment]) -> ([Vec<u8>; 2], Vec<Beside>) {
    let (mut gaps, mut values, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    let mut right = 0u64;
    for segment in segments {
        for at in 0..segment.length {
            let (new, old) = ((segment.new + at) as usize, old[(segment.old + at) as usize]);
            let change = plain[new].wrapping_sub(old);
            if change == 0 {
                right += 1;
            } else {
                put_varint(right, &mut gaps);
                values.push(change);
                beside.push(Beside { old, last: new.checked_sub(1).map_or(0, |last| plain[last]) });
                right = 0;
            }
        }
    }
    ([gaps, values], beside)
}
