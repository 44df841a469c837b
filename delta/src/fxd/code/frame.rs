//! Method 1: one zstd frame (RFC 8878).
//!
//! Narrower than what zstd reads: no dictionary, no checksum, no window above [`MOST_LOG`], and a content
//! size, where there is one, that is the stream's length. So the memory is known from the frame's header.

use zstd::stream::raw::{CParameter, DParameter, Encoder, Operation};

use crate::{ApplyError, CreateError};

/// The largest window, as its binary logarithm: streams are a few MB, and 8 MiB is what every zstd reads.
const MOST_LOG: u32 = 23;
const LEAST_LOG: u32 = 10;
/// A block of zstd, and what its decoder holds beside the window: tables and one block of input and two of
/// output (`ZSTD_estimateDCtxSize` and `ZSTD_decodingBufferSize_min` of zstd 1.5, rounded up).
const BLOCK: u64 = 128 << 10;
const TABLES: u64 = 192 << 10;

pub(super) fn encode(bytes: &[u8], level: i32) -> Result<Vec<u8>, CreateError> {
    let failed = |error: std::io::Error| CreateError::Compressor(error.to_string());
    let log = (bytes.len() as u64).next_power_of_two().ilog2().clamp(LEAST_LOG, MOST_LOG);
    let mut encoder = Encoder::new(level).map_err(failed)?;
    for parameter in [CParameter::WindowLog(log), CParameter::ChecksumFlag(false), CParameter::ContentSizeFlag(true)] {
        encoder.set_parameter(parameter).map_err(failed)?;
    }
    encoder.set_pledged_src_size(Some(bytes.len() as u64)).map_err(failed)?;
    let mut coded = vec![0; zstd::zstd_safe::compress_bound(bytes.len())];
    let (mut read, mut written) = (0, 0);
    while read < bytes.len() {
        let status = encoder.run_on_buffers(&bytes[read..], &mut coded[written..]).map_err(failed)?;
        read += status.bytes_read;
        written += status.bytes_written;
    }
    loop {
        let mut out = zstd::zstd_safe::OutBuffer::around(&mut coded[written..]);
        let more = encoder.finish(&mut out, true).map_err(failed)?;
        written += out.pos();
        if more == 0 {
            break;
        }
    }
    coded.truncate(written);
    Ok(coded)
}

/// What a frame's header says.
struct Header {
    window: u64,
    content: Option<u64>,
}

impl Header {
    fn of(frame: &[u8]) -> Result<Header, ApplyError> {
        const BAD: ApplyError = ApplyError::Damaged("a stream is no zstd frame that fxd-1 allows");
        let byte = |at: usize| frame.get(at).copied().ok_or(BAD);
        if !frame.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return Err(BAD);
        }
        let descriptor = byte(4)?;
        let single = descriptor & 0x20 != 0;
        // Reserved bit, checksum, dictionary.
        if descriptor & 0x0f != 0 {
            return Err(BAD);
        }
        let mut at = 5;
        let mut window = None;
        if !single {
            let said = byte(at)?;
            at += 1;
            let base = 1u64 << (10 + (said >> 3));
            window = Some(base + base / 8 * u64::from(said & 7));
        }
        let width = match descriptor >> 6 {
            0 if single => 1,
            0 => 0,
            1 => 2,
            2 => 4,
            _ => 8,
        };
        let mut content = 0;
        for index in 0..width {
            content |= u64::from(byte(at + index)?) << (8 * index);
        }
        if width == 2 {
            content += 256;
        }
        let window = window.unwrap_or(content);
        if window > 1 << MOST_LOG {
            return Err(BAD);
        }
        Ok(Header { window, content: (width > 0).then_some(content) })
    }
}

pub(super) fn memory(frame: &[u8]) -> Result<u64, ApplyError> {
    Ok(Header::of(frame)?.window + 3 * BLOCK + TABLES)
}

pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    zstd: zstd::stream::raw::Decoder<'static>,
    /// Nothing comes after the end of the frame, whatever follows it.
    ended: bool,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(frame: &'a [u8], length: u64) -> Result<Decoder<'a>, ApplyError> {
        if Header::of(frame)?.content.is_some_and(|content| content != length) {
            return Err(ApplyError::Damaged("a stream says two lengths"));
        }
        let failed = |_| ApplyError::Damaged("the zstd decoder cannot begin");
        let mut zstd = zstd::stream::raw::Decoder::new().map_err(failed)?;
        zstd.set_parameter(DParameter::WindowLogMax(MOST_LOG)).map_err(failed)?;
        Ok(Decoder { rest: frame, zstd, ended: false })
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<(), ApplyError> {
        let mut done = 0;
        while done < buf.len() {
            let written = self.step(&mut buf[done..])?;
            done += written;
        }
        Ok(())
    }

    /// One call of zstd, which either reads or writes something, or fails.
    fn step(&mut self, buf: &mut [u8]) -> Result<usize, ApplyError> {
        const EARLY: ApplyError = ApplyError::Damaged("a stream ends too early");
        if self.ended {
            return Err(EARLY);
        }
        let status = self
            .zstd
            .run_on_buffers(self.rest, buf)
            .map_err(|_| ApplyError::Damaged("a stream's zstd frame is damaged"))?;
        self.ended = status.remaining == 0;
        self.rest = self.rest.get(status.bytes_read..).ok_or(EARLY)?;
        if status.bytes_read == 0 && status.bytes_written == 0 && !self.ended {
            return Err(EARLY);
        }
        Ok(status.bytes_written)
    }

    pub(super) fn finish(mut self) -> Result<(), ApplyError> {
        while !self.ended {
            self.step(&mut [])?;
        }
        if self.rest.is_empty() { Ok(()) } else { Err(ApplyError::Damaged("bytes follow the end of a stream")) }
    }
}
