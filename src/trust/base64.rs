//! Canonical base64: one text for each sequence of bytes, and nothing else decodes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Decodes padded base64 without white space; trailing bits that are not zero are refused.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Decodes exactly `N` bytes.
pub(super) fn decode_array<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    // Checked before decoding, so that a long line costs nothing.
    if text.len() != N.div_ceil(3) * 4 {
        return None;
    }
    decode(text)?.try_into().ok()
}

/// The one way to write `bytes`.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
