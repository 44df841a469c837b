//! fxd-1: what a reference points at is predicted, and only what was predicted wrongly is written.

#[allow(dead_code, reason = "the container, which uses all of it, is still to be written")]
mod code;

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
