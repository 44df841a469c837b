//! New bytes, which are read where they belong in the new file: what stands before them there is known.

use super::model::{Before, Bits, Model, length};
use super::tables::{join, towards};
use super::x86::Instruction;
use crate::ApplyError;

/// So many bytes before new ones say where in an instruction they begin.
const LEAD: usize = 24;
/// A place is looked for by its last four bytes, and compared for so many.
const SHORTEST: usize = 4;
const LONGEST: usize = 32;
/// A guess that is as likely as this, in 65536ths, is asked about before all else.
const LIKELY: u16 = 50_000;

pub(super) struct Literals {
    words: bool,
    instruction: Instruction,
    /// Behind the last new byte.
    end: usize,
    /// By a hash of four bytes the last that had it, and where a new byte came after them; 0 = nowhere.
    seen: Vec<(u32, u32)>,
    /// Where the bytes come from that are expected now, and for how long they were right.
    from: usize,
    matched: usize,
    /// What followed in a context last: a check (16 bits), how often it was so (8), the byte (8).
    followed: Vec<u32>,
    /// How often a guess is right, by state and by what speaks for it.
    right: Box<[[u16; 64]; 64]>,
}

/// The binary logarithms of the entries of `seen` and `followed`.
fn logs(length: u64) -> (u32, u32) {
    let log = length.min(1 << 30).next_power_of_two().ilog2();
    (log.clamp(8, 16), log.saturating_sub(4).clamp(8, 16))
}

impl Literals {
    pub(super) fn memory(length: u64) -> u64 {
        let (seen, followed) = logs(length);
        (8 << seen) + (4 << followed) + 2 * 64 * 64
    }

    /// `words`: of a program whose instructions have four bytes each.
    pub(super) fn new(length: u64, words: bool) -> Literals {
        let (seen, followed) = logs(length);
        Literals {
            words,
            instruction: Instruction::new(),
            end: usize::MAX,
            seen: vec![(0, 0); 1 << seen],
            from: 0,
            matched: 0,
            followed: vec![0; 1 << followed],
            right: Box::new([[1 << 15; 64]; 64]),
        }
    }

    /// The byte at `at` of `file`, which is known before it; `want` is what a writer writes.
    pub(super) fn byte<B: Bits>(
        &mut self,
        model: &mut Model,
        bits: &mut B,
        file: &[u8],
        at: usize,
        want: u8,
    ) -> Result<u8, ApplyError> {
        if at != self.end {
            self.instruction = Instruction::new();
            if !self.words {
                file[at.saturating_sub(LEAD)..at].iter().for_each(|&byte| self.instruction.push(byte));
            }
            self.matched = 0;
        }
        self.end = at + 1;
        self.look(file, at);
        let expected = if self.matched > 0 { file[self.from] } else { 0 };
        let (before, context) = self.before(file, at, expected);
        let guess = Guess::of(&self.followed, context, expected, self.matched);
        let state = before.state as usize & 63;
        let likely = self.right[state][guess.index];
        // Most of what can be foretold takes one question in place of eight: is it another?
        let asked = guess.any && likely > LIKELY;
        let other = 65_536 - u32::from(likely).min(65_504);
        let byte = if asked && !bits.code(other, want != guess.byte)? {
            guess.byte
        } else {
            model.byte(bits, &before, want)?
        };
        self.right[state][guess.index] = towards(likely, byte == guess.byte, 5);
        self.followed[guess.place] = guess.after(byte);
        if self.matched > 0 && byte == expected {
            self.matched += 1;
            self.from += 1;
        } else {
            self.matched = 0;
        }
        if !self.words {
            self.instruction.push(byte);
        }
        Ok(byte)
    }

    /// Where the last four bytes were before new ones the last time, if nothing is expected yet.
    fn look(&mut self, file: &[u8], at: usize) {
        let Some(last) = file[..at].last_chunk::<SHORTEST>() else { return };
        let last = u32::from_be_bytes(*last);
        let entry = (last.wrapping_mul(0x9e37_79b1) >> (32 - self.seen.len().ilog2())) as usize;
        let (four, place) = std::mem::replace(&mut self.seen[entry], (last, at as u32));
        // Where others were is not worth a look into the file, which may be far from any cache.
        if self.matched == 0 && four == last && place > 0 {
            let place = place as usize;
            let (now, then) = (file[..at].iter().rev(), file[..place].iter().rev());
            let same = now.zip(then).take(LONGEST).take_while(|(now, then)| now == then).count();
            if same >= SHORTEST {
                (self.matched, self.from) = (same, place);
            }
        }
    }

    /// What the model is told, and the context that a guess is looked for by.
    fn before(&self, file: &[u8], at: usize, expected: u8) -> (Before, u32) {
        let back = |bytes: usize| at.checked_sub(bytes).map_or(0, |at| u32::from(file[at]));
        let (a, b, c) = (back(1), back(2), back(3));
        let last = a | b << 8 | c << 16;
        let (state, here, contexts) = if self.words {
            let part = at & 3;
            let state = part as u32;
            let here = join(state + 4, last & ((1 << (8 * part)) - 1));
            let tops = back(part + 1) | back(part + 2) << 8;
            (state, here, [join(state, a), join(state, back(4)), here, join(here, tops)])
        } else {
            let state = self.instruction.state();
            let here = join(state, self.instruction.operation());
            let before = join(here, self.instruction.before());
            (state, here, [join(state, a), join(state, last & 0xffff), here, before])
        };
        let length = length(self.matched);
        (Before { contexts, state, expected, length }, join(here, last & 0xffff))
    }
}

/// What the next byte may well be.
struct Guess {
    byte: u8,
    /// Whether anything speaks for it, and what: below 64.
    any: bool,
    index: usize,
    /// Where what followed is kept.
    place: usize,
    check: u32,
    count: u32,
    followed: u8,
}

impl Guess {
    fn of(followed: &[u32], context: u32, expected: u8, matched: usize) -> Guess {
        let hash = context.wrapping_mul(0x9e37_79b1);
        let place = (hash >> (32 - followed.len().ilog2())) as usize;
        let check = hash & 0xffff | 1;
        let known = followed[place];
        let (count, byte) = if known >> 16 == check { (known >> 8 & 15, known as u8) } else { (0, 0) };
        let (byte, index) = match matched {
            0 => (byte, count as usize),
            _ if count == 0 || expected != byte => (expected, 16 + matched.min(31) / 2),
            1..16 => (byte, 32 + count as usize),
            _ => (byte, 48 + count as usize),
        };
        Guess { byte, any: count > 0 || matched > 0, index, place, check, count, followed: known as u8 }
    }

    /// What is kept when `byte` was it.
    fn after(&self, byte: u8) -> u32 {
        let (count, byte) = match self.count {
            0 => (1, byte),
            count if byte == self.followed => ((count + 1).min(15), byte),
            1 | 2 => (1, byte),
            count => (count / 3, self.followed),
        };
        self.check << 16 | count << 8 | u32::from(byte)
    }
}
