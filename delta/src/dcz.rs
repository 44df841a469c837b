//! RFC 9842: the SHA-256 of the old file, then one zstd frame that has it as its dictionary.

use crate::{ApplyError, CreateError, Inspected, Limits, Options};

pub(crate) fn create(_old: &[u8], _new: &[u8], _options: &Options<'_>) -> Result<Vec<u8>, CreateError> {
    Err(CreateError::Stopped)
}

pub(crate) fn apply(_old: &[u8], _delta: &[u8], _out: &mut [u8], _limits: &Limits) -> Result<(), ApplyError> {
    Err(ApplyError::NotADelta)
}

pub(crate) fn inspect(_delta: &[u8]) -> Result<Inspected, ApplyError> {
    Err(ApplyError::NotADelta)
}
