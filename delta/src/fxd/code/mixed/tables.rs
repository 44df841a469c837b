//! The curves between probabilities and their logits, in integers: part of the format.

/// `65536 / (1 + e^-x)`, rounded, at every half from -8 to 8.
const ANCHORS: [u16; 33] = [
    22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768, 40793, 47911, 53581,
    57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514,
];

/// The most and, negated, the least a logit can be, in 256ths.
pub(super) const MOST: i32 = 2047;

/// Probability of a logit: 65536ths of 256ths, straight lines between the anchors.
const fn curve(logit: i32) -> u16 {
    let from_start = (logit + 2048) as usize;
    let (at, part) = (from_start >> 7, (from_start & 127) as u32);
    ((ANCHORS[at] as u32 * (128 - part) + ANCHORS[at + 1] as u32 * part + 64) >> 7) as u16
}

/// Every fourth logit, taken in the middle.
static SQUASHED: [u16; 1024] = {
    let mut table = [0; 1024];
    let mut at = 0;
    while at < 1024 {
        table[at] = curve(at as i32 * 4 - 2046);
        at += 1;
    }
    table
};

/// Every 64th probability, taken in the middle: four times the least logit whose probability is no less.
static STRETCHED: [i16; 1024] = {
    let mut table = [0; 1024];
    let mut logit = -MOST;
    let mut at = 0;
    while at < 1024 {
        while logit < MOST && curve(logit) < (at * 64 + 32) as u16 {
            logit += 1;
        }
        table[at] = logit as i16 * 4;
        at += 1;
    }
    table
};

/// The probability of `logit` (256ths, [`MOST`] at most) in 65536ths.
#[inline]
pub(super) fn squash(logit: i32) -> u16 {
    SQUASHED[((logit + 2048) >> 2) as usize & 1023]
}

/// The logit of `probability` (65536ths) in 1024ths.
#[inline]
pub(super) fn stretch(probability: u16) -> i16 {
    STRETCHED[usize::from(probability >> 6)]
}

/// Moves `probability` towards `bit` by a 2^`shift`th.
#[inline]
pub(super) fn towards(probability: u16, bit: bool, shift: u32) -> u16 {
    let goal = if bit { 65535 } else { 0 };
    let before = i32::from(probability);
    (before + ((goal - before) >> shift)) as u16
}

/// Two numbers made one. Not one to one, and need not be.
#[inline]
pub(super) fn join(a: u32, b: u32) -> u32 {
    (a.wrapping_mul(0x9e37_79b1) ^ b.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35).rotate_left(13)
}
