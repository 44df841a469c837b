//! Bits of known probability as bytes, and back.

use crate::ApplyError;

/// The numbers that are still possible: from `low` to `high`, both included.
#[derive(Debug, Clone, Copy)]
struct Range {
    low: u32,
    high: u32,
}

impl Range {
    const ALL: Range = Range { low: 0, high: u32::MAX };

    /// The last number of a 1, whose probability is `one` 65536ths: never the last of all.
    #[inline]
    fn split(self, one: u32) -> u32 {
        self.low + ((u64::from(self.high - self.low) * u64::from(one)) >> 16) as u32
    }

    #[inline]
    fn take(&mut self, split: u32, bit: bool) {
        if bit { self.high = split } else { self.low = split + 1 }
    }

    /// Whether the first byte is known; it goes out then.
    #[inline]
    fn shift(&mut self) -> Option<u8> {
        if (self.low ^ self.high) >> 24 != 0 {
            return None;
        }
        let byte = (self.low >> 24) as u8;
        self.low <<= 8;
        self.high = self.high << 8 | 255;
        Some(byte)
    }
}

pub(super) struct Encoder {
    range: Range,
    out: Vec<u8>,
}

impl Encoder {
    pub(super) fn new() -> Encoder {
        Encoder { range: Range::ALL, out: Vec::new() }
    }

    pub(super) fn length(&self) -> usize {
        self.out.len()
    }

    #[inline]
    pub(super) fn put(&mut self, bit: bool, one: u32) {
        self.range.take(self.range.split(one), bit);
        while let Some(byte) = self.range.shift() {
            self.out.push(byte);
        }
    }

    /// The lowest number that is still possible ends the stream.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.extend(self.range.low.to_be_bytes());
        self.out
    }
}

pub(super) struct Decoder<'a> {
    range: Range,
    number: u32,
    rest: &'a [u8],
}

const EARLY: ApplyError = ApplyError::Damaged("a stream ends too early");

impl<'a> Decoder<'a> {
    pub(super) fn new(coded: &'a [u8]) -> Result<Decoder<'a>, ApplyError> {
        let (number, rest) = coded.split_first_chunk().ok_or(EARLY)?;
        Ok(Decoder { range: Range::ALL, number: u32::from_be_bytes(*number), rest })
    }

    #[inline]
    pub(super) fn next(&mut self, one: u32) -> Result<bool, ApplyError> {
        let split = self.range.split(one);
        let bit = self.number <= split;
        self.range.take(split, bit);
        while self.range.shift().is_some() {
            let (byte, rest) = self.rest.split_first().ok_or(EARLY)?;
            self.number = self.number << 8 | u32::from(*byte);
            self.rest = rest;
        }
        Ok(bit)
    }

    pub(super) fn finish(self) -> Result<(), ApplyError> {
        if !self.rest.is_empty() {
            return Err(ApplyError::Damaged("bytes follow the end of a stream"));
        }
        if self.number != self.range.low {
            return Err(ApplyError::Damaged("a stream does not end as it should"));
        }
        Ok(())
    }
}
