//! Chunks that have arrived before their turn.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A chunk smaller than this is put together with its neighbours.
const SMALL: usize = 4 * 1024;
/// Neighbours make one piece of about this size.
const PIECE: usize = 64 * 1024;

/// The chunks of one part, in order.
///
/// How many bytes a chunk has is up to the server, and each costs memory besides its bytes: of a part
/// that comes byte by byte, a hundred times as much. So small ones are copied together.
#[derive(Default)]
pub(super) struct Held {
    pieces: VecDeque<Bytes>,
    /// What comes after the pieces.
    small: BytesMut,
}

impl Held {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.len() >= SMALL {
            self.end_piece();
            self.pieces.push_back(chunk);
            return;
        }
        self.small.extend_from_slice(&chunk);
        if self.small.len() >= PIECE {
            self.end_piece();
        }
    }

    /// The first of what is left.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.pieces.is_empty() {
            self.end_piece();
        }
        self.pieces.pop_front()
    }

    fn end_piece(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(byte: usize, length: usize) -> Bytes {
        Bytes::from(vec![byte as u8; length])
    }

    #[test]
    fn a_part_that_comes_byte_by_byte_is_held_in_few_pieces() {
        let mut held = Held::default();
        for byte in 0..1024 * 1024 {
            held.push(chunk(byte, 1));
        }
        assert!(held.pieces.len() <= 16, "{} pieces", held.pieces.len());
        let mut at = 0;
        while let Some(piece) = held.pop() {
            assert!(piece.iter().enumerate().all(|(index, byte)| *byte == (at + index) as u8));
            at += piece.len();
        }
        assert_eq!(at, 1024 * 1024);
    }

    #[test]
    fn chunks_of_every_size_come_out_in_order() {
        let lengths = [1, SMALL, SMALL - 1, 2, PIECE, 0, 3, PIECE - 1, SMALL, 1];
        let (mut held, mut expected, mut found) = (Held::default(), Vec::new(), Vec::new());
        for (index, length) in lengths.into_iter().enumerate() {
            held.push(chunk(index, length));
            expected.extend_from_slice(&chunk(index, length));
            if index == 4 {
                found.extend_from_slice(&held.pop().unwrap());
            }
        }
        while let Some(piece) = held.pop() {
            found.extend_from_slice(&piece);
        }
        assert!(found == expected);
    }
}
