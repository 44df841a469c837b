//! What a zstd frame says of itself (RFC 8878, section 3.1.1.1).

use crate::ApplyError;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The header of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The window in bytes.
    pub(super) window: u64,
    /// The length of what it decodes to, where it says so.
    pub(super) length: Option<u64>,
}

impl Frame {
    /// Reads the header that `frame` begins with. One that names a dictionary by number is refused: the old file has none.
    pub(super) fn read(frame: &[u8]) -> Result<Frame, ApplyError> {
        let short = ApplyError::Damaged("it ends within the header of its zstd frame");
        let Some((magic, rest)) = frame.split_first_chunk() else { return Err(short) };
        if *magic != MAGIC {
            return Err(ApplyError::Damaged("no zstd frame follows its header"));
        }
        let Some((&descriptor, mut rest)) = rest.split_first() else { return Err(short) };
        if descriptor & 0b1000 != 0 {
            return Err(ApplyError::Damaged("its zstd frame has a reserved bit set"));
        }
        if descriptor & 0b11 != 0 {
            return Err(ApplyError::Damaged("its zstd frame names a dictionary by number"));
        }
        let single = descriptor & 0b10_0000 != 0;
        let mut window = None;
        if !single {
            let Some((&byte, after)) = rest.split_first() else { return Err(short) };
            let base = 1_u64 << (10 + (byte >> 3));
            (window, rest) = (Some(base + base / 8 * u64::from(byte & 7)), after);
        }
        let width = match descriptor >> 6 {
            0 => usize::from(single),
            1 => 2,
            2 => 4,
            _ => 8,
        };
        let Some(bytes) = rest.get(..width) else { return Err(short) };
        let mut number = [0; 8];
        number[..width].copy_from_slice(bytes);
        let length = u64::from_le_bytes(number).wrapping_add(if width == 2 { 256 } else { 0 });
        let length = (width > 0).then_some(length);
        // A frame of one segment has its content as its window.
        Ok(Frame { window: window.or(length).unwrap_or(0), length })
    }
}
