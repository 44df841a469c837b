//! Method 0: the bytes as they are.

use crate::ApplyError;

pub(super) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Decoder<'a> {
        Decoder { rest }
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<(), ApplyError> {
        let (now, rest) =
            self.rest.split_at_checked(buf.len()).ok_or(ApplyError::Damaged("a stream ends too early"))?;
        buf.copy_from_slice(now);
        self.rest = rest;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), ApplyError> {
        if self.rest.is_empty() { Ok(()) } else { Err(ApplyError::Damaged("bytes follow the end of a stream")) }
    }
}
