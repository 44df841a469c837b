//! Sites in the order of the file, two bytes each.

use super::super::bases::Base;
use super::{Kind, Site};
use crate::fxd::bytes::put_varint;

/// Bytes of the file to an entry of the index.
const BLOCK_LOG: u32 = 10;

/// What the index of one tape takes, in bytes.
pub(in crate::fxd) fn index_memory(length: u64) -> u64 {
    ((length >> BLOCK_LOG) + 2) * 4
}

/// The sites in code and those in data; the former are restored first.
#[derive(Debug)]
pub(in crate::fxd) struct Tapes {
    pub(in crate::fxd) code: Tape,
    pub(in crate::fxd) data: Tape,
}

/// A record is the distance from the site before, or from the block's start; a tag; and what the kind has.
#[derive(Debug)]
pub(in crate::fxd) struct Tape {
    records: Vec<u8>,
    /// For each block where its first record begins.
    index: Vec<u32>,
    /// The last site, and its end.
    last: u32,
    end: u32,
    count: u32,
    most: usize,
    full: bool,
}

/// The longest record: two numbers of at most five bytes, and the tag.
pub(in crate::fxd) const LONGEST: usize = 11;

const TAG_ABSOLUTE: u8 = 16;
const TAG_BRANCH: u8 = 17;
const TAG_PAGE: u8 = 18;
const TAG_LOW: u8 = 19;
const TAG_POINTER: u8 = 20;
const TAG_HERE: u8 = 21;
const TAG_BACK: u8 = 22;
const TAG_ENTRY: u8 = 23;
const TAG_STEP64: u8 = 24;
const TAG_STEP32: u8 = 25;
const TAG_OFFSET: u8 = 32;
const TAG_MAYBE: u8 = 48;

impl Tape {
    /// One of at most `most` bytes, which are taken at once where `exact`.
    pub(super) fn new(most: usize, exact: bool) -> Tape {
        let records = if exact { Vec::with_capacity(most + LONGEST) } else { Vec::new() };
        Tape { records, index: Vec::new(), last: 0, end: 0, count: 0, most, full: false }
    }

    /// Sites come in the file's order; one that begins before the end of the one before is left out.
    pub(super) fn push(&mut self, at: usize, kind: Kind) {
        let Ok(at) = u32::try_from(at) else { return };
        if at < self.end || self.full {
            return;
        }
        self.fill((at >> BLOCK_LOG) as usize);
        let before = self.records.len();
        put_varint(u64::from(at - self.last), &mut self.records);
        let (tag, more) = match kind {
            Kind::Relative { end } => (end.min(15), None),
            Kind::Absolute32 => (TAG_ABSOLUTE, None),
            Kind::Branch => (TAG_BRANCH, None),
            Kind::Page { low } => (TAG_PAGE, Some(u32::from(low))),
            Kind::Low { page } => (TAG_LOW, Some(u32::from(page))),
            Kind::Pointer => (TAG_POINTER, None),
            Kind::FromHere => (TAG_HERE, None),
            Kind::BackFromHere => (TAG_BACK, None),
            Kind::Entry { start } => (TAG_ENTRY, Some(start)),
            Kind::Step64 => (TAG_STEP64, None),
            Kind::Step32 => (TAG_STEP32, None),
            Kind::Offset(base) => (TAG_OFFSET + base as u8, None),
            Kind::MaybeOffset(base) => (TAG_MAYBE + base as u8, None),
        };
        self.records.push(tag);
        if let Some(more) = more {
            put_varint(u64::from(more), &mut self.records);
        }
        if self.records.len() > self.most {
            self.records.truncate(before);
            self.full = true;
            return;
        }
        self.last = at;
        self.end = at.saturating_add(kind.width() as u32);
        self.count += 1;
    }

    /// Opens the blocks up to and with `block`.
    fn fill(&mut self, block: usize) {
        while self.index.len() <= block {
            self.last = (self.index.len() << BLOCK_LOG) as u32;
            self.index.push(self.records.len() as u32);
        }
    }

    /// `None` if there was more than could be held, or more sites than a quarter of the file's bytes.
    pub(super) fn done(mut self, length: usize) -> Option<Tape> {
        self.fill((length >> BLOCK_LOG) + 1);
        (!self.full && self.count as usize <= length / 4).then_some(self)
    }

    /// Bytes of the records.
    pub(in crate::fxd) fn size(&self) -> usize {
        self.records.len()
    }

    pub(in crate::fxd) fn count(&self) -> usize {
        self.count as usize
    }

    /// The sites that begin at `from` or later.
    pub(in crate::fxd) fn from(&self, from: u32) -> Cursor<'_> {
        let block = (from >> BLOCK_LOG) as usize;
        let at = self.index.get(block).map_or(self.records.len(), |&at| at as usize);
        self.ahead(from, Cursor { tape: self, at, block, last: (block << BLOCK_LOG) as u32 })
    }

    /// Whether the blocks of `from..to` have a site at all: where they have none, the next may be far.
    pub(in crate::fxd) fn may_have(&self, from: u32, to: u32) -> bool {
        let begins = |block: u32| self.index.get(block as usize).map_or(self.records.len(), |&at| at as usize);
        begins(from >> BLOCK_LOG) < begins((to.saturating_sub(1) >> BLOCK_LOG) + 1)
    }

    /// The same, found sooner if `near`, which is of this tape, has come to a little before it.
    pub(in crate::fxd) fn after<'a>(&'a self, from: u32, near: Cursor<'a>) -> Cursor<'a> {
        let before = near.block == (from >> BLOCK_LOG) as usize && near.last < from;
        if before { self.ahead(from, near) } else { self.from(from) }
    }

    fn ahead<'a>(&'a self, from: u32, mut cursor: Cursor<'a>) -> Cursor<'a> {
        loop {
            let ahead = cursor;
            if cursor.next().is_none_or(|site| site.at >= from) {
                return ahead;
            }
        }
    }
}

/// Reads sites in the file's order.
#[derive(Debug, Clone, Copy)]
pub(in crate::fxd) struct Cursor<'a> {
    tape: &'a Tape,
    at: usize,
    block: usize,
    last: u32,
}

impl Cursor<'_> {
    fn varint(&mut self) -> Option<u32> {
        let (mut value, mut shift) = (0u32, 0);
        loop {
            let byte = *self.tape.records.get(self.at)?;
            self.at += 1;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
            shift += 7;
        }
    }
}

impl Iterator for Cursor<'_> {
    type Item = Site;

    fn next(&mut self) -> Option<Site> {
        if self.at >= self.tape.records.len() {
            return None;
        }
        while self.tape.index.get(self.block + 1).is_some_and(|&next| self.at >= next as usize) {
            self.block += 1;
            self.last = (self.block << BLOCK_LOG) as u32;
        }
        let at = self.last + self.varint()?;
        self.last = at;
        let tag = *self.tape.records.get(self.at)?;
        self.at += 1;
        let base = |first: u8| Base::ALL.get(usize::from(tag - first)).copied();
        let kind = match tag {
            TAG_ABSOLUTE => Kind::Absolute32,
            TAG_BRANCH => Kind::Branch,
            TAG_PAGE => Kind::Page { low: self.varint()? as u8 },
            TAG_LOW => Kind::Low { page: self.varint()? as u8 },
            TAG_POINTER => Kind::Pointer,
            TAG_HERE => Kind::FromHere,
            TAG_BACK => Kind::BackFromHere,
            TAG_ENTRY => Kind::Entry { start: self.varint()? },
            TAG_STEP64 => Kind::Step64,
            TAG_STEP32 => Kind::Step32,
            end if end < TAG_ABSOLUTE => Kind::Relative { end },
            offset if offset < TAG_MAYBE => Kind::Offset(base(TAG_OFFSET)?),
            _ => Kind::MaybeOffset(base(TAG_MAYBE)?),
        };
        Some(Site { at, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_read_from_any_place() {
        let mut tape = Tape::new(10_000, false);
        let kinds = [
            Kind::Relative { end: 4 },
            Kind::Entry { start: 100_000 },
            Kind::MaybeOffset(Base::Types),
            Kind::Pointer,
            Kind::Page { low: 64 },
            Kind::Offset(Base::Text),
        ];
        let sites: Vec<Site> =
            (0..600u32).map(|n| Site { at: n * n / 2 + 9 * n, kind: kinds[n as usize % kinds.len()] }).collect();
        for site in &sites {
            tape.push(site.at as usize, site.kind);
            tape.push(site.at as usize + 3, Kind::Branch);
        }
        let tape = tape.done(200_000).unwrap();
        for from in [0, 1, 4095, 4096, 50_000, 185_000, 199_999] {
            let expected: Vec<Site> = sites.iter().copied().filter(|site| site.at >= from).collect();
            assert_eq!(tape.from(from).collect::<Vec<_>>(), expected, "from {from}");
            let within = |to| expected.first().is_some_and(|site| site.at < to);
            assert!((from..200_000).step_by(97).all(|to| tape.may_have(from, to) || !within(to)), "from {from}");
            for consumed in 0..600 {
                let mut near = tape.from(0);
                near.by_ref().take(consumed).for_each(drop);
                assert_eq!(tape.after(from, near).next(), expected.first().copied(), "{consumed} before {from}");
            }
        }
    }

    #[test]
    fn a_tape_holds_no_more_than_it_may() {
        let mut tape = Tape::new(20, true);
        (0..100).for_each(|n| tape.push(n * 8, Kind::Branch));
        assert!(tape.size() <= 20);
        assert!(tape.done(1000).is_none());
        let mut tape = Tape::new(2000, true);
        (0..100).for_each(|n| tape.push(n * 4, Kind::Branch));
        assert!(tape.done(396).is_none(), "more sites than a quarter of the bytes");
    }
}
