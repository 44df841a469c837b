//! What was seen in each context, in tables of a size that is fixed when the stream begins.
//!
//! A group has the 15 nodes of half a byte in one context, and a check of which context that is.

use super::WAYS;
use super::tables::{join, stretch, towards};

/// The check, then a node for each prefix of half a byte: how often it was passed (4 bits), and the
/// probability of a 1 (12 bits).
type Group = [u16; 16];

const NEW: u16 = 0x800;
const FRESH: Group = [NEW; 16];
/// Passed so often, the probability moves by so many 65536ths.
const RATES: [i32; 16] = {
    let mut rates = [0; 16];
    let mut count = 0;
    while count < 16 {
        rates[count] = 131_072 / (2 * count as i32 + 3);
        count += 1;
    }
    rates
};

pub(super) struct Slots {
    groups: Vec<Group>,
    /// Groups of each context, a power of two.
    each: usize,
    shift: u32,
    hashes: [u32; WAYS],
    places: [usize; WAYS],
    now: [Group; WAYS],
    /// What a node's count and probability have really meant so far.
    meanings: Box<[[u16; 512]; WAYS]>,
}

impl Slots {
    pub(super) fn memory(log: u32) -> u64 {
        (WAYS as u64 * size_of::<Group>() as u64) << log
    }

    /// With 2^`log` groups for each context.
    pub(super) fn new(log: u32) -> Slots {
        let meaning = std::array::from_fn(|node| (node as u16 & 31) * 2048 + 1024);
        Slots {
            groups: vec![FRESH; WAYS << log],
            each: 1 << log,
            shift: 32 - log,
            hashes: [0; WAYS],
            places: [0; WAYS],
            now: [FRESH; WAYS],
            meanings: Box::new([meaning; WAYS]),
        }
    }

    /// A byte begins in `contexts`.
    pub(super) fn begin(&mut self, contexts: [u32; WAYS]) {
        for (way, (hash, context)) in self.hashes.iter_mut().zip(contexts).enumerate() {
            *hash = join(context.wrapping_add((way as u32 + 1) << 28), way as u32);
        }
        self.find(0);
    }

    /// Its first half is known: `half` is it, with a 1 before.
    pub(super) fn middle(&mut self, half: u32) {
        self.store();
        self.find(half.wrapping_mul(0x9e37_79b1));
    }

    /// It is known.
    pub(super) fn end(&mut self) {
        self.store();
    }

    fn store(&mut self) {
        for (&place, now) in self.places.iter().zip(self.now) {
            self.groups[place] = now;
        }
    }

    fn find(&mut self, half: u32) {
        let hashes = self.hashes.map(|hash| (hash ^ half).wrapping_mul(0xc2b2_ae35));
        let places: [usize; WAYS] = std::array::from_fn(|way| way * self.each + (hashes[way] >> self.shift) as usize);
        // All of them are fetched before any is looked at, so that memory is waited for once.
        let checks = places.map(|place| self.groups[place][0]);
        for way in 0..WAYS {
            let check = hashes[way] as u16 | 1;
            let place = if checks[way] == check { places[way] } else { self.claim(places[way], check) };
            self.places[way] = place;
            self.now[way] = self.groups[place];
        }
    }

    /// The group of `check` at `place` or beside it; the less used of the two where it is at neither.
    fn claim(&mut self, place: usize, check: u16) -> usize {
        let beside = place ^ 1;
        if self.groups[beside][0] == check {
            return beside;
        }
        let passed = |place: usize| self.groups[place][1] >> 12;
        let taken = if passed(place) <= passed(beside) {
            // So that what is never seen again does not stay for good.
            if passed(beside) > 0 {
                self.groups[beside][1] -= 1 << 12;
            }
            place
        } else {
            beside
        };
        self.groups[taken] = FRESH;
        self.groups[taken][0] = check;
        taken
    }

    /// What each context says of the next bit, as logits in 1024ths. `node` has the bits of this half.
    #[inline]
    pub(super) fn say(&self, node: usize, logits: &mut [i16; 8]) {
        for ((logit, now), meanings) in logits.iter_mut().zip(&self.now).zip(self.meanings.iter()) {
            *logit = stretch(meanings[usize::from(now[node & 15] >> 7)]);
        }
    }

    #[inline]
    pub(super) fn learn(&mut self, node: usize, bit: bool) {
        let goal = if bit { 4095 } else { 0 };
        for way in 0..WAYS {
            let state = &mut self.now[way][node & 15];
            let meaning = &mut self.meanings[way][usize::from(*state >> 7)];
            *meaning = towards(*meaning, bit, 6);
            let (count, before) = (*state >> 12, i32::from(*state & 0xfff));
            let after = before + (((goal - before) * RATES[usize::from(count)]) >> 16);
            *state = (count + u16::from(count < 15)) << 12 | after as u16;
        }
    }
}
