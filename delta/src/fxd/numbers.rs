//! A stream of bytes or numbers, read a piece at a time.

use super::bytes::{unzigzag, varint};
use super::code::{Beside, Decoder};
use crate::ApplyError;

const PIECE: usize = 4096;

#[derive(Debug)]
pub(super) struct Numbers<'a> {
    decoder: Decoder<'a>,
    piece: Box<[u8; PIECE]>,
    at: usize,
    end: usize,
}

/// What one takes beside its decoder.
pub(super) const MEMORY: u64 = PIECE as u64;

impl<'a> Numbers<'a> {
    pub(super) fn new(decoder: Decoder<'a>) -> Numbers<'a> {
        Numbers { decoder, piece: Box::new([0; PIECE]), at: 0, end: 0 }
    }

    pub(super) fn byte(&mut self) -> Result<u8, ApplyError> {
        if self.at == self.end {
            let next = self.decoder.left().min(PIECE as u64) as usize;
            if next == 0 {
                return Err(ApplyError::Damaged("a stream is too short"));
            }
            self.decoder.read(&mut self.piece[..next])?;
            (self.at, self.end) = (0, next);
        }
        let byte = self.piece[self.at];
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn next(&mut self) -> Result<u64, ApplyError> {
        varint(|| self.byte())
    }

    /// Whether all has been read.
    pub(super) fn ended(&self) -> bool {
        self.at == self.end && self.decoder.left() == 0
    }

    pub(super) fn finish(self) -> Result<(), ApplyError> {
        if !self.ended() {
            return Err(ApplyError::Damaged("a stream is longer than what it is for"));
        }
        self.decoder.finish()
    }
}

/// Changes of copied bytes: how many are right, then what the next wrong one is made by, and so on.
///
/// Where the gaps end, the rest is right.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    gaps: Numbers<'a>,
    values: Decoder<'a>,
    /// How many are right yet.
    right: Option<u64>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(mut gaps: Numbers<'a>, values: Decoder<'a>) -> Result<Changes<'a>, ApplyError> {
        let right = if gaps.ended() { None } else { Some(gaps.next()?) };
        Ok(Changes { gaps, values, right })
    }

    /// Goes on to the next that is wrong, over at most `most`: how many were right.
    pub(super) fn skip(&mut self, most: u64) -> Result<Option<u64>, ApplyError> {
        match &mut self.right {
            Some(right) if *right < most => {
                let skipped = *right;
                self.right = if self.gaps.ended() { None } else { Some(self.gaps.next()?) };
                Ok(Some(skipped))
            }
            Some(right) => {
                *right -= most;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// What is added to the wrong one.
    pub(super) fn value(&mut self, beside: Beside) -> Result<u8, ApplyError> {
        self.values.change(beside)
    }

    pub(super) fn finish(self) -> Result<(), ApplyError> {
        if self.right.is_some() {
            return Err(ApplyError::Damaged("a correction is for nothing"));
        }
        self.gaps.finish()?;
        self.values.finish()
    }
}

/// Corrections: how many are right, then by how much the next is wrong, and so on.
///
/// Where the gaps end, the rest is right.
#[derive(Debug)]
pub(super) struct Corrections<'a> {
    gaps: Numbers<'a>,
    values: Numbers<'a>,
    /// How many are right yet.
    right: Option<u64>,
}

impl<'a> Corrections<'a> {
    pub(super) fn new(mut gaps: Numbers<'a>, values: Numbers<'a>) -> Result<Corrections<'a>, ApplyError> {
        let right = if gaps.ended() { None } else { Some(gaps.next()?) };
        Ok(Corrections { gaps, values, right })
    }

    /// By how much the next number is wrong.
    pub(super) fn next(&mut self) -> Result<i64, ApplyError> {
        match &mut self.right {
            None => Ok(0),
            Some(0) => {
                self.right = if self.gaps.ended() { None } else { Some(self.gaps.next()?) };
                Ok(unzigzag(self.values.next()?))
            }
            Some(right) => {
                *right -= 1;
                Ok(0)
            }
        }
    }

    pub(super) fn finish(self) -> Result<(), ApplyError> {
        if self.right.is_some() {
            return Err(ApplyError::Damaged("a correction is for nothing"));
        }
        self.gaps.finish()?;
        self.values.finish()
    }
}
