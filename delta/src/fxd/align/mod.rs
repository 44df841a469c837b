//! Which parts of the new file are copied from where in the old one.

mod suffix;

use std::ops::Range;

use super::segment::Segment;
use crate::CreateError;
use suffix::{Suffixes, common};

/// A match that goes on as the last one did is followed for as long as it is at least this long.
const FOLLOW: usize = 32;
/// By how many bytes another place must be better than going on as before.
const BETTER: usize = 8;
/// The same in code, where matches of some bytes are by chance, and a far place costs three bytes to say.
const BETTER_FAR: usize = 14;
/// How far is far.
const NEAR: usize = 1 << 10;
/// No more than this is compared; what is longer is followed.
const COMPARED: usize = 4096;

/// How far it is; answers whether to go on.
pub(super) type Report<'a> = &'a dyn Fn(u64) -> Result<(), CreateError>;

/// Lays `new` beside `old`: segments in the order of the new file, which may differ in up to half of their
/// bytes. `code` is where the new file holds instructions. After each exact match the segment is drawn out for as long as more bytes agree than differ.
pub(super) fn align(
    old: &[u8],
    new: &[u8],
    code: Range<usize>,
    report: Report<'_>,
) -> Result<Vec<Segment>, CreateError> {
    let suffixes = Suffixes::of(old);
    report(0)?;
    let mut segments = Vec::new();
    // Where the open segment begins in both files.
    let mut open = (0usize, 0usize);
    // The last exact match, as far as it is from the same place in the old file.
    let mut shift = 0isize;
    let mut at = 0;
    let mut told = 0;
    while at < new.len() {
        let goes_on = |at: usize| {
            at.checked_add_signed(shift).and_then(|place| old.get(place)).is_some_and(|byte| *byte == new[at])
        };
        let better = |place: usize, at: usize| {
            let near = place.abs_diff(at.wrapping_add_signed(shift)) < NEAR;
            if near || !code.contains(&at) { BETTER } else { BETTER_FAR }
        };
        // The next exact match that is better than to go on; `agree` counts what going on would give.
        let (mut agree, mut counted) = (0usize, at);
        let mut found = (0, 0);
        while at < new.len() {
            if at - told > 1 << 20 {
                told = at;
                report(at as u64)?;
            }
            let ahead = at.checked_add_signed(shift).and_then(|place| old.get(place..)).unwrap_or_default();
            let straight = common(ahead, &new[at..]);
            found = if straight >= FOLLOW {
                (at.wrapping_add_signed(shift), straight)
            } else {
                suffixes.longest(&new[at..new.len().min(at + COMPARED)], at.wrapping_add_signed(shift), agree + BETTER)
            };
            counted = counted.max(at);
            while counted < at + found.1 {
                agree += usize::from(goes_on(counted));
                counted += 1;
            }
            if found.1 > 0 && found.1 == agree || found.1 > agree + better(found.0, at) {
                break;
            }
            agree = agree.saturating_sub(usize::from(goes_on(at)));
            at += 1;
        }
        if found.1 == agree && at < new.len() {
            // It goes on as before.
            at += found.1;
            continue;
        }
        at = at.min(new.len());
        let end = at;
        let forward = draw((0..(end - open.0).min(old.len() - open.1)).map(|i| old[open.1 + i] == new[open.0 + i]));
        let backward = if end < new.len() {
            draw((1..=(end - open.0).min(found.0)).map(|i| old[found.0 - i] == new[end - i]))
        } else {
            0
        };
        let (forward, backward) = settle(old, new, open, (end, found.0), forward, backward);
        if forward > 0 {
            segments.push(Segment { new: open.0 as u32, old: open.1 as u32, length: forward as u32 });
        }
        open = (end - backward, found.0 - backward.min(found.0));
        shift = found.0 as isize - end as isize;
        at += found.1;
    }
    if open.0 < new.len() {
        let rest = (new.len() - open.0).min(old.len() - open.1);
        let forward = draw((0..rest).map(|i| old[open.1 + i] == new[open.0 + i]));
        if forward > 0 {
            segments.push(Segment { new: open.0 as u32, old: open.1 as u32, length: forward as u32 });
        }
    }
    Ok(segments)
}

/// How far to go so that what agrees exceeds what differs by the most.
fn draw(agrees: impl Iterator<Item = bool>) -> usize {
    let (mut score, mut best, mut length) = (0isize, 0, 0);
    for (index, agrees) in agrees.enumerate() {
        score += if agrees { 1 } else { -1 };
        if score > best {
            (best, length) = (score, index + 1);
        }
        if score < best - 4096 {
            break;
        }
    }
    length
}

/// Where two segments were drawn over each other they are cut where the most bytes agree.
fn settle(
    old: &[u8],
    new: &[u8],
    open: (usize, usize),
    next: (usize, usize),
    forward: usize,
    backward: usize,
) -> (usize, usize) {
    let Some(overlap) = (open.0 + forward + backward).checked_sub(next.0).filter(|&overlap| overlap > 0) else {
        return (forward, backward);
    };
    let (mut score, mut best, mut cut) = (0isize, 0, 0);
    for index in 0..overlap {
        let first = forward - overlap + index;
        let second = backward - index;
        score += isize::from(new[open.0 + first] == old[open.1 + first]);
        score -= isize::from(new[next.0 - second] == old[next.1 - second]);
        if score > best {
            (best, cut) = (score, index + 1);
        }
    }
    (forward - overlap + cut, backward - cut)
}
