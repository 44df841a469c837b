//! From places in the old file to places in the new one, as the segments say.

use std::collections::BinaryHeap;

use super::elf::Loads;
use super::segment::Segment;

/// Shorter segments lie where they do by chance.
const LEAST: u32 = 16;
/// Old bytes to an entry of the index.
const BLOCK_LOG: u32 = 12;

/// Old bytes `from..to` are `shift` bytes further on in the new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    from: u32,
    to: u32,
    shift: i32,
}

#[derive(Debug)]
pub(super) struct Map<'a> {
    /// By place, without overlap.
    intervals: Vec<Interval>,
    /// For each block of the old file the number of intervals that begin before it.
    index: Vec<u32>,
    old: &'a Loads,
    new: &'a Loads,
}

/// What a map of `segments` segments takes while it is made, in bytes.
pub(super) fn memory(segments: u64, old_length: u64) -> u64 {
    segments * (2 * size_of::<Interval>() + size_of::<u32>() + size_of::<(u32, u32, u32)>()) as u64
        + ((old_length >> BLOCK_LOG) + 2) * 4
}

impl<'a> Map<'a> {
    pub(super) fn new(segments: &[Segment], old_length: usize, old: &'a Loads, new: &'a Loads) -> Map<'a> {
        let intervals = cover(segments);
        let mut index = Vec::with_capacity((old_length >> BLOCK_LOG) + 2);
        let mut count = 0;
        for block in 0..(old_length >> BLOCK_LOG) + 2 {
            while intervals.get(count).is_some_and(|interval| (interval.from as usize) < block << BLOCK_LOG) {
                count += 1;
            }
            index.push(count as u32);
        }
        Map { intervals, index, old, new }
    }

    /// Where what was at `address` is likely to be now.
    pub(super) fn address(&self, address: u32) -> Option<u32> {
        match self.old.offset(address) {
            Some(offset) => {
                let shift = self.shift(offset)?;
                self.new.address(offset.checked_add_signed(shift)?)
            }
            None => self.past_the_file(address),
        }
    }

    /// Of the interval that holds `offset`, or of the nearest, the one before on a tie.
    fn shift(&self, offset: u32) -> Option<i32> {
        let block = (offset >> BLOCK_LOG) as usize;
        let (first, end) = (*self.index.get(block)? as usize, *self.index.get(block + 1)? as usize);
        let after = first + self.intervals.get(first..end)?.partition_point(|interval| interval.from <= offset);
        let before = after.checked_sub(1).and_then(|index| self.intervals.get(index));
        let after = self.intervals.get(after);
        Some(match (before, after) {
            (None, None) => return None,
            (Some(before), None) => before.shift,
            (None, Some(after)) => after.shift,
            (Some(before), Some(after)) => {
                // `to` is past `offset` where the interval holds it.
                let back = (offset + 1).saturating_sub(before.to);
                if back <= after.from - offset { before.shift } else { after.shift }
            }
        })
    }

    /// Zeroed memory behind a load moves with the load's end.
    fn past_the_file(&self, address: u32) -> Option<u32> {
        let both = self.old.0.iter().zip(&self.new.0);
        let mut within = both.filter(|(old, _)| address >= old.address && address - old.address <= old.in_memory);
        let (old, new) = within.next()?;
        let moved = i64::from(new.address) + i64::from(new.in_file) - i64::from(old.address) - i64::from(old.in_file);
        u32::try_from(i64::from(address) + moved).ok()
    }
}

/// Each old byte goes with the longest segment that holds it, the first of equals.
fn cover(segments: &[Segment]) -> Vec<Interval> {
    let long = || (0..segments.len() as u32).filter(|&index| segments[index as usize].length >= LEAST);
    let mut order: Vec<u32> = Vec::with_capacity(segments.len());
    order.extend(long());
    order.sort_unstable_by_key(|&index| (segments[index as usize].old, index));
    // The longest on top; of equals the one that comes first in the new file.
    let mut open: BinaryHeap<(u32, std::cmp::Reverse<u32>)> = BinaryHeap::with_capacity(order.len());
    let mut intervals: Vec<Interval> = Vec::with_capacity(2 * order.len());
    let (mut at, mut next) = (0u32, 0);
    loop {
        while let Some(&(_, std::cmp::Reverse(index))) = open.peek() {
            if segments[index as usize].old_end() > at {
                break;
            }
            open.pop();
        }
        let opens = order.get(next).map(|&index| segments[index as usize].old);
        let Some(&(_, std::cmp::Reverse(top))) = open.peek() else {
            let Some(opens) = opens else { return intervals };
            at = opens;
            while let Some(&index) = order.get(next).filter(|&&index| segments[index as usize].old == at) {
                open.push((segments[index as usize].length, std::cmp::Reverse(index)));
                next += 1;
            }
            continue;
        };
        let segment = &segments[top as usize];
        let to = opens.map_or(segment.old_end(), |opens| opens.min(segment.old_end()));
        if to > at {
            push(&mut intervals, Interval { from: at, to, shift: segment.new.wrapping_sub(segment.old) as i32 });
        }
        at = to;
        while let Some(&index) = order.get(next).filter(|&&index| segments[index as usize].old == at) {
            open.push((segments[index as usize].length, std::cmp::Reverse(index)));
            next += 1;
        }
    }
}

fn push(intervals: &mut Vec<Interval>, interval: Interval) {
    match intervals.last_mut() {
        Some(last) if last.to == interval.from && last.shift == interval.shift => last.to = interval.to,
        _ => intervals.push(interval),
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::Load;
    use super::*;

    /// Byte by byte: the longest segment, the first of equals.
    fn brute(segments: &[Segment], at: u32) -> Option<i32> {
        let holds = |s: &&Segment| s.length >= LEAST && s.old <= at && at < s.old_end();
        let longest = segments.iter().filter(holds).map(|s| s.length).max()?;
        let first = segments.iter().filter(holds).find(|s| s.length == longest)?;
        Some(first.new.wrapping_sub(first.old) as i32)
    }

    #[test]
    fn segments_below_sixteen_bytes_count_for_nothing() {
        let load = Load { address: 0, offset: 0, in_file: 1 << 20, in_memory: 1 << 20 };
        let loads = Loads(vec![load]);
        for (length, shift) in [(15, None), (16, Some(100))] {
            let segments = [Segment { new: 100, old: 0, length }];
            assert_eq!(Map::new(&segments, 500, &loads, &loads).shift(7), shift);
        }
    }

    #[test]
    fn each_byte_goes_with_the_longest_segment() {
        let mut seed = 9u32;
        let mut next = move |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for _ in 0..200 {
            let mut new = 0;
            let segments: Vec<Segment> = (0..1 + next(20))
                .map(|_| {
                    new += next(30);
                    let segment = Segment { new, old: next(300), length: 1 + next(100) };
                    new += segment.length;
                    segment
                })
                .collect();
            let load = Load { address: 0, offset: 0, in_file: 1 << 20, in_memory: 1 << 20 };
            let loads = Loads(vec![load]);
            let map = Map::new(&segments, 500, &loads, &loads);
            let known: Vec<Option<i32>> = (0..500).map(|at| brute(&segments, at)).collect();
            for at in 0..500u32 {
                let near = |step: u32| {
                    let before = at.checked_sub(step).and_then(|at| known[at as usize]);
                    before.or_else(|| known.get((at + step) as usize).copied().flatten())
                };
                assert_eq!(map.shift(at), (0..500).find_map(near), "{segments:?} at {at}");
            }
        }
    }
}
