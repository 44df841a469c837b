//! What must hold of a coded stream whatever its bytes are.

use super::{Decoder, Known, Stream, encode, memory};
use crate::{ApplyError, Limits};

/// The kind, the length in two bytes, and a coded stream: it is read alike in one piece and byte by byte, and what
/// can be read can be coded and read again.
pub fn stream(data: &[u8]) -> bool {
    let Some((&[kind, low, high], coded)) = data.split_first_chunk() else { return false };
    let kind = Stream::ALL[usize::from(kind) % Stream::ALL.len()];
    let length = u16::from_le_bytes([low, high]).into();
    let whole = read(kind, coded, length, usize::MAX);
    // Why a damaged frame is refused is told by zstd, which sees the damage later where it is given less room.
    assert_eq!(whole.as_ref().ok(), read(kind, coded, length, 1).as_ref().ok(), "the pieces matter");
    let Ok(bytes) = whole else { return false };
    let parts = [(0, bytes.len() as u32)];
    let known = Known { file: &bytes, parts: &parts, old: &[] };
    let again = encode(&[(kind, bytes.clone())], &known, 1, u64::MAX, |_| Ok(()));
    let again = again.expect("what was read can be coded").remove(0);
    assert!(again.len() <= bytes.len() + 1, "{} bytes became {}", bytes.len(), again.len());
    assert_eq!(read(kind, &again, length, 100).as_ref(), Ok(&bytes), "it is another stream when coded again");
    true
}

fn read(kind: Stream, coded: &[u8], length: usize, piece: usize) -> Result<Vec<u8>, ApplyError> {
    let needed = memory(kind, coded, length as u64)?;
    assert!(needed <= 9 << 20, "{needed} bytes of memory");
    let mut decoder = Decoder::new(kind, coded, length as u64, &Limits::default())?;
    let mut bytes = vec![0; length];
    for from in (0..length).step_by(piece) {
        let part = from..length.min(from.saturating_add(piece));
        if kind.is_new() { decoder.fill(&mut bytes, part)? } else { decoder.read(&mut bytes[part])? }
    }
    decoder.finish()?;
    Ok(bytes)
}
