//! RFC 9842: the SHA-256 of the old file, then one zstd frame that has it as its dictionary.
//!
//! Any zstd applies it: what stands before the frame is a skippable frame to it
//! (`zstd -d --long=31 --patch-from=OLD x.dcz`).

use std::time::Instant;

use sha2::{Digest as _, Sha256};
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer};

use self::frame::Frame;
use crate::{ApplyError, CreateError, Format, Inspected, Limits, Options, Phase, Progress};

mod frame;

/// The magic number and the digest.
const HEADER: usize = 40;
/// The longest new file. The dictionary can be reached for as long as the window is not full, and no reader need take
/// a window of more than 128 MiB (RFC 9842, section 3): what lies beyond would be compressed without the old file.
const LONGEST_NEW: u64 = 1 << 27;
/// The longest old file: zstd's own bound for a dictionary lies above it on every 64-bit system.
const LONGEST_OLD: u64 = 1 << 30;
/// The level that deltas of programs need.
const LEVEL: i32 = 19;
/// The window from which on the binary trees of level 19 no longer reach over all of the old file, and the
/// long-distance matcher finds what they do not.
const FAR: u32 = 24;
/// How much is compressed between two looks at whether to go on.
const STEP: usize = 1 << 20;
/// How much of the frame is decoded between two looks at the clock. Whatever it says, it makes no more than the new file.
const PIECE: usize = 1 << 14;
/// What a decoder holds beside the three files: its context and the tables of a dictionary.
const MEMORY: u64 = 2 << 20;

pub(crate) fn create(old: &[u8], new: &[u8], options: &Options<'_>) -> Result<Vec<u8>, CreateError> {
    for (length, most) in [(old.len() as u64, LONGEST_OLD), (new.len() as u64, LONGEST_NEW)] {
        if length > most {
            return Err(CreateError::TooLarge { format: Format::Dcz, length, most });
        }
    }
    let mut delta = Format::Dcz.magic().to_vec();
    delta.extend_from_slice(&Sha256::digest(old));
    compress(old, new, options, &mut delta).map_err(|failed| match failed {
        Failed::Code(code) => CreateError::Compressor(zstd_safe::get_error_name(code).to_owned()),
        Failed::Stopped => CreateError::Stopped,
    })?;
    tell(options, Phase::Proof, 0, new.len()).map_err(|_| CreateError::Stopped)?;
    let mut again = vec![0; new.len()];
    apply(old, &delta, &mut again, &Limits::default()).map_err(|_| CreateError::Proof)?;
    if again != new {
        return Err(CreateError::Proof);
    }
    let _ = tell(options, Phase::Proof, new.len() as u64, new.len());
    Ok(delta)
}

enum Failed {
    Code(usize),
    Stopped,
}

impl From<usize> for Failed {
    fn from(code: usize) -> Failed {
        Failed::Code(code)
    }
}

fn compress(old: &[u8], new: &[u8], options: &Options<'_>, delta: &mut Vec<u8>) -> Result<(), Failed> {
    let window = log2(old.len().max(new.len()) as u64).clamp(10, 27);
    let mut context = CCtx::try_create().ok_or(Failed::Code(0))?;
    context.set_parameter(CParameter::CompressionLevel(options.level.unwrap_or(LEVEL)))?;
    context.set_parameter(CParameter::WindowLog(window))?;
    context.set_parameter(CParameter::EnableLongDistanceMatching(window >= FAR))?;
    // Who applies it with zstd alone has no digest to hold the result against.
    context.set_parameter(CParameter::ChecksumFlag(true))?;
    context.set_pledged_src_size(Some(new.len() as u64))?;
    context.ref_prefix(old)?;
    let mut room = vec![0; zstd_safe::compress_bound(STEP)];
    let mut at = 0;
    loop {
        tell(options, Phase::Compression, at as u64, new.len())?;
        let step = &new[at..new.len().min(at + STEP)];
        at += step.len();
        let last = at == new.len();
        let end = if last { ZSTD_EndDirective::ZSTD_e_end } else { ZSTD_EndDirective::ZSTD_e_continue };
        let mut input = InBuffer::around(step);
        loop {
            let mut output = OutBuffer::around(room.as_mut_slice());
            let left = context.compress_stream2(&mut output, &mut input, end)?;
            delta.extend_from_slice(output.as_slice());
            if if last { left == 0 } else { input.pos() == step.len() } {
                break;
            }
        }
        if last {
            return tell(options, Phase::Compression, at as u64, new.len());
        }
    }
}

fn tell(options: &Options<'_>, phase: Phase, done: u64, total: usize) -> Result<(), Failed> {
    let go_on = options.progress.is_none_or(|told| told(Progress { phase, done, total: total as u64 }));
    if go_on { Ok(()) } else { Err(Failed::Stopped) }
}

fn log2(length: u64) -> u32 {
    length.next_power_of_two().trailing_zeros()
}

pub(crate) fn apply(old: &[u8], delta: &[u8], out: &mut [u8], limits: &Limits) -> Result<(), ApplyError> {
    let (from, frame) = split(delta)?;
    if limits.memory < MEMORY {
        return Err(ApplyError::Memory { needed: MEMORY, allowed: limits.memory });
    }
    let shown = Frame::read(frame)?;
    if let Some(says) = shown.length.filter(|says| *says != out.len() as u64) {
        return Err(ApplyError::OtherLength { says, expected: out.len() as u64 });
    }
    let most = 1_u64.checked_shl(limits.window_log.into()).unwrap_or(u64::MAX);
    if shown.window > most {
        // Nothing of that size is allocated here; a signed limit is a limit all the same.
        return Err(ApplyError::Memory { needed: shown.window, allowed: most });
    }
    if zstd_safe::find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err(ApplyError::Damaged("its zstd frame does not end where it ends"));
    }
    in_time(limits)?;
    if *from != *Sha256::digest(old) {
        return Err(ApplyError::OtherOld);
    }
    in_time(limits)?;
    let zstd = |_: usize| ApplyError::Damaged("its zstd frame cannot be decoded");
    let mut context = DCtx::try_create().ok_or(ApplyError::Memory { needed: MEMORY, allowed: limits.memory })?;
    context.set_parameter(DParameter::WindowLogMax(limits.window_log.clamp(10, 31).into())).map_err(zstd)?;
    // What is made is the window: nothing of its size is allocated.
    context.set_parameter(DParameter::StableOutBuffer(true)).map_err(zstd)?;
    context.ref_prefix(old).map_err(zstd)?;
    let expected = out.len() as u64;
    let mut output = OutBuffer::around(out);
    let mut more = true;
    for piece in frame.chunks(PIECE) {
        let mut input = InBuffer::around(piece);
        while input.pos() < piece.len() {
            in_time(limits)?;
            if !more {
                return Err(ApplyError::Damaged("its zstd frame does not end where it ends"));
            }
            // Without any progress it fails after some calls.
            more = context.decompress_stream(&mut output, &mut input).map_err(zstd)? > 0;
        }
    }
    if more {
        return Err(ApplyError::Damaged("its zstd frame cannot be decoded"));
    }
    let made = output.pos() as u64;
    if made != expected {
        return Err(ApplyError::OtherLength { says: made, expected });
    }
    in_time(limits)
}

fn in_time(limits: &Limits) -> Result<(), ApplyError> {
    let late = limits.until.is_some_and(|until| Instant::now() > until);
    if late { Err(ApplyError::TooSlow) } else { Ok(()) }
}

/// The digest of the old file, and the frame.
fn split(delta: &[u8]) -> Result<(&[u8], &[u8]), ApplyError> {
    if !delta.starts_with(Format::Dcz.magic()) {
        return Err(ApplyError::NotADelta);
    }
    let (header, frame) =
        delta.split_at_checked(HEADER).ok_or(ApplyError::Damaged("it ends before its zstd frame begins"))?;
    Ok((&header[Format::Dcz.magic().len()..], frame))
}

pub(crate) fn inspect(delta: &[u8]) -> Result<Inspected, ApplyError> {
    let (from, frame) = split(delta)?;
    let shown = Frame::read(frame)?;
    Ok(Inspected {
        format: Format::Dcz,
        from: from.try_into().ok(),
        length: shown.length,
        window_log: Some(u8::try_from(log2(shown.window)).unwrap_or(u8::MAX).max(10)),
        memory: MEMORY,
        parts: vec![("header", HEADER as u64), ("frame", frame.len() as u64)],
    })
}

#[cfg(test)]
mod tests;
