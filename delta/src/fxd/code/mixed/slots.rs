//! What was seen in each context, in tables of a size that is fixed when the stream begins.
//!
//! A group has the 15 nodes of half a byte in one context, and a check of which context that is.

use super::WAYS;

/// The check, then a node for each prefix of half a byte: how often it was passed (4 bits), and the
/// probability of a 1 (12 bits).
pub(super) type Group = [u16; 16];

/// Two groups where a context may be: one line of a cache, which memory is waited for once.
#[derive(Clone)]
#[repr(align(64))]
struct Pair([Group; 2]);

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
    /// Of each context 2^`log` pairs.
    tables: [Vec<Pair>; WAYS],
    log: u32,
}

impl Slots {
    pub(super) fn memory(log: u32) -> u64 {
        (WAYS as u64 * size_of::<Pair>() as u64) << log
    }

    pub(super) fn new(log: u32) -> Slots {
        Slots { tables: std::array::from_fn(|_| vec![Pair([FRESH; 2]); 1 << log]), log }
    }

    /// The groups of half a byte in the contexts of these hashes.
    #[inline(always)]
    pub(super) fn find(&mut self, hashes: [u32; WAYS]) -> [&mut Group; WAYS] {
        let down = 32 - self.log;
        let [a, b, c, d] = &mut self.tables;
        let [one, two, three, four] = hashes;
        [look(a, one, down), look(b, two, down), look(c, three, down), look(d, four, down)]
    }
}

#[inline(always)]
fn look(table: &mut [Pair], hash: u32, down: u32) -> &mut Group {
    let check = hash as u16 | 1;
    let pair = &mut table[(hash >> down) as usize];
    if pair.0[0][0] == check {
        &mut pair.0[0]
    } else if pair.0[1][0] == check {
        &mut pair.0[1]
    } else {
        pair.claim(check)
    }
}

impl Pair {
    /// The less used of the two, made new for `check`.
    fn claim(&mut self, check: u16) -> &mut Group {
        let Pair([here, beside]) = self;
        let taken = if here[1] >> 12 <= beside[1] >> 12 {
            // So that what is never seen again does not stay for good.
            beside[1] -= u16::from(beside[1] >> 12 > 0) << 12;
            here
        } else {
            beside
        };
        *taken = FRESH;
        taken[0] = check;
        taken
    }
}

/// A node that was passed once more.
#[inline(always)]
pub(super) fn passed(node: u16, bit: bool) -> u16 {
    let goal = if bit { 4095 } else { 0 };
    let (count, before) = (node >> 12, i32::from(node & 0xfff));
    let after = before + (((goal - before) * RATES[usize::from(count)]) >> 16);
    (count + u16::from(count < 15)) << 12 | after as u16
}
