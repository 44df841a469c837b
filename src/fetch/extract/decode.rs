//! Decompression with a bound on memory, and nothing after the end.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use super::limit::damaged;
use crate::fetch::failure::{ArchiveFault, FetchFailure};
use crate::trust::Format;

/// The most memory xz may take: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 80 << 20;
/// The largest zstd window, as a power of two: 128 MiB, `zstd --ultra -22`.
const ZSTD_WINDOW: u32 = 27;

type Input = BufReader<File>;

/// One compressed stream.
pub(super) enum Packed {
    Gz(GzDecoder<Input>),
    Xz(XzDecoder<Input>),
    Zst(Box<zstd::stream::read::Decoder<'static, Input>>),
}

impl Packed {
    /// Reads `file` as the compression of `format`.
    pub(super) fn open(file: File, format: Format) -> Result<Packed, FetchFailure> {
        let input = BufReader::with_capacity(128 * 1024, file);
        match format {
            Format::Gz | Format::TarGz => Ok(Packed::Gz(GzDecoder::new(input))),
            Format::Xz | Format::TarXz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, 0).map_err(|e| damaged(&e.into()))?;
                Ok(Packed::Xz(XzDecoder::new_stream(input, stream)))
            }
            Format::Zst | Format::TarZst => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(input).map_err(|e| damaged(&e))?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW).map_err(|e| damaged(&e))?;
                Ok(Packed::Zst(Box::new(decoder)))
            }
            Format::Raw | Format::Zip => {
                Err(ArchiveFault::Damaged { message: "not a compressed stream".to_owned() }.into())
            }
        }
    }

    /// The stream must be at its end, its checksum right, and nothing may follow it.
    pub(super) fn finish(mut self) -> Result<(), FetchFailure> {
        // Decoders check their trailer on the read that finds the end.
        if self.read(&mut [0]).map_err(|e| damaged(&e))? != 0 {
            return Err(ArchiveFault::Trailing.into());
        }
        let input = match &mut self {
            Packed::Gz(decoder) => decoder.get_mut(),
            Packed::Xz(decoder) => decoder.get_mut(),
            Packed::Zst(decoder) => decoder.get_mut(),
        };
        if input.fill_buf().map_err(|e| damaged(&e))?.is_empty() { Ok(()) } else { Err(ArchiveFault::Trailing.into()) }
    }
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Packed::Gz(decoder) => decoder.read(buffer),
            Packed::Xz(decoder) => decoder.read(buffer).map_err(|error| {
                let memory = error.get_ref().and_then(|e| e.downcast_ref::<liblzma::stream::Error>());
                if memory.is_some_and(|e| matches!(e, liblzma::stream::Error::MemLimit)) {
                    return io::Error::other(ArchiveFault::Memory { limit: XZ_MEMORY });
                }
                error
            }),
            Packed::Zst(decoder) => decoder.read(buffer).map_err(|error| {
                if error.to_string().contains("too much memory") {
                    return io::Error::other(ArchiveFault::Memory { limit: 1 << ZSTD_WINDOW });
                }
                error
            }),
        }
    }
}
