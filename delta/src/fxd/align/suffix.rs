//! The longest place in a file that begins as something else does.

/// Every suffix of a file in order, and where those with the same first bytes begin.
pub(super) struct Suffixes<'a> {
    text: &'a [u8],
    order: Vec<i32>,
    /// For each first [`Suffixes::first`] bytes where their suffixes begin; one more than there are.
    buckets: Vec<u32>,
    first: usize,
}

/// From this length on the table of buckets pays with three bytes.
const LARGE: usize = 4 << 20;

impl<'a> Suffixes<'a> {
    /// `text` is at most `i32::MAX` bytes long.
    pub(super) fn of(text: &'a [u8]) -> Suffixes<'a> {
        let mut order = vec![0; text.len()];
        divsufsort::sort_in_place(text, &mut order);
        let first = if text.len() >= LARGE { 3 } else { 2 };
        let mut buckets = vec![0u32; (1 << (8 * first)) + 1];
        // A suffix shorter than a bucket's bytes sorts as if zeros followed, before those that have them.
        for at in 0..text.len() {
            buckets[key(&text[at..], first) + 1] += 1;
        }
        for index in 1..buckets.len() {
            buckets[index] += buckets[index - 1];
        }
        Suffixes { text, order, buckets, first }
    }

    /// Where in the text most of `wanted`'s beginning is, and how much.
    pub(super) fn longest(&self, wanted: &[u8]) -> (usize, usize) {
        if wanted.is_empty() || self.order.is_empty() {
            return (0, 0);
        }
        let key = key(wanted, self.first);
        let (mut low, mut high) = (self.buckets[key] as usize, self.buckets[key + 1] as usize);
        if low == high {
            // Nothing shares so many bytes; what shares fewer is of no use to an alignment.
            return (0, 0);
        }
        let (mut best, mut length) = (0, 0);
        let (mut at_low, mut at_high) = (0, 0);
        while low < high {
            let middle = low + (high - low) / 2;
            let at = self.order[middle] as usize;
            let known = at_low.min(at_high);
            let same = known + common(&self.text[at + known..], &wanted[known..]);
            if same > length {
                (best, length) = (at, same);
            }
            let less = match (self.text.get(at + same), wanted.get(same)) {
                (_, None) => break,
                (None, Some(_)) => true,
                (Some(here), Some(there)) => here < there,
            };
            if less {
                (low, at_low) = (middle + 1, same);
            } else {
                (high, at_high) = (middle, same);
            }
        }
        (best, length)
    }
}

fn key(bytes: &[u8], first: usize) -> usize {
    (0..first).fold(0, |key, index| key << 8 | usize::from(bytes.get(index).copied().unwrap_or(0)))
}

/// How many bytes are the same from the beginning.
pub(super) fn common(one: &[u8], other: &[u8]) -> usize {
    let most = one.len().min(other.len());
    let (one, other) = (&one[..most], &other[..most]);
    let mut at = 0;
    for (left, right) in one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0) {
        let differs = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        if differs != 0 {
            return at + differs.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + one[at..].iter().zip(&other[at..]).take_while(|(left, right)| left == right).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_found() {
        let text: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8 & 7).collect();
        let suffixes = Suffixes::of(&text);
        for start in [0, 17, 900, 4990] {
            let mut wanted = text[start..].to_vec();
            wanted.truncate(60);
            wanted.extend([200; 20]);
            let brute = (0..text.len()).map(|at| common(&text[at..], &wanted)).max().unwrap();
            let (at, length) = suffixes.longest(&wanted);
            assert_eq!(length, brute);
            assert_eq!(text[at..at + length], wanted[..length]);
        }
        assert_eq!(suffixes.longest(&[]), (0, 0));
        assert_eq!(Suffixes::of(&[]).longest(b"abc"), (0, 0));
    }
}
