use super::*;

/// A sequence that repeats nothing for long, and is the same each time.
pub(super) fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    }
}

/// Streams of several kinds: none, one byte, noise, runs, words that come again, all of one byte.
pub(super) fn streams() -> Vec<Vec<u8>> {
    let mut next = numbers(7);
    let noise: Vec<u8> = (0..5000).map(|_| next() as u8).collect();
    let words: Vec<u8> = (0..3000).flat_map(|_| (next() as u32 & 0x3f).to_le_bytes()).collect();
    let mut text = Vec::new();
    while text.len() < 300_000 {
        let from = next() as usize % 4000;
        text.extend_from_slice(&noise[from..from + next() as usize % 40]);
    }
    vec![vec![], vec![0], vec![255; 3], noise, words, text, vec![0; 400_000]]
}

const KINDS: [Stream; 4] = [Stream::Control, Stream::Literals, Stream::Gaps, Stream::Residuals];

fn decode(kind: Stream, coded: &[u8], length: usize, piece: usize) -> Result<Vec<u8>, ApplyError> {
    let mut decoder = Decoder::new(kind, coded, length as u64, &Limits::default())?;
    let mut out = vec![0; length];
    for part in out.chunks_mut(piece) {
        decoder.read(part)?;
    }
    decoder.finish()?;
    Ok(out)
}

#[test]
fn what_is_written_is_read_whatever_the_pieces() {
    for kind in KINDS {
        for bytes in streams() {
            let coded = encode(kind, &bytes, 3).unwrap();
            for piece in [1, 7, 4096, 1 << 20] {
                assert!(decode(kind, &coded, bytes.len(), piece).unwrap() == bytes, "{kind:?}, pieces of {piece}");
            }
        }
    }
}

#[test]
fn a_stream_has_its_length_and_no_other() {
    for bytes in streams() {
        let coded = encode(Stream::Literals, &bytes, 3).unwrap();
        decode(Stream::Literals, &coded, bytes.len() + 1, 100).unwrap_err();
        if !bytes.is_empty() {
            decode(Stream::Literals, &coded, bytes.len() - 1, 100).unwrap_err();
        }
        let more = [&coded[..], &[0]].concat();
        decode(Stream::Literals, &more, bytes.len(), 100).unwrap_err();
    }
}
