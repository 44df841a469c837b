//! Parts that arrive before their turn, and what becomes of them when a download is interrupted.

#[cfg(any(feature = "http", feature = "s3"))]
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// What is there of an asset beyond the byte that a body begins at, and who keeps more of it.
///
/// The default is nothing and nobody.
#[derive(Clone, Default)]
pub struct Ahead {
    /// Pieces that earlier attempts left, each with the byte of the asset it begins at: in order, apart from each other, and
    /// all of them behind [`Start::byte`](crate::Start::byte).
    ///
    /// They came with [`Start::validator`](crate::Start::validator), so they are good only in a body that begins at that
    /// byte. A body that begins at 0 instead is another object's, and uses none.
    pub kept: Vec<(u64, Bytes)>,
    /// Is told of what arrives before its turn.
    pub keeper: Option<Arc<dyn Keeper>>,
}

/// Keeps what arrives before its turn, so that it need not be fetched again after an interruption.
pub trait Keeper: Send + Sync {
    /// `bytes`, which begin at the byte `at` of the asset, belong to the part that begins at `part`. Those of one part come
    /// in order. Returns at once: it is called while a body is read. What cannot be kept is fetched again, and no error.
    fn keep(&self, part: u64, at: u64, bytes: &Bytes);
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept: Vec<_> = self.kept.iter().map(|(at, bytes)| *at..*at + bytes.len() as u64).collect();
        f.debug_struct("Ahead").field("kept", &kept).field("keeper", &self.keeper.is_some()).finish()
    }
}

/// Pieces by their place. Each is taken once.
#[cfg(any(feature = "http", feature = "s3"))]
pub(crate) struct Pieces(VecDeque<(u64, Bytes)>);

#[cfg(any(feature = "http", feature = "s3"))]
impl Pieces {
    pub(crate) fn new(kept: Vec<(u64, Bytes)>) -> Pieces {
        Pieces(kept.into())
    }

    /// The first byte at `from` or behind it that is there.
    pub(crate) fn next(&self, from: u64) -> Option<u64> {
        let (at, _) = self.0.iter().find(|(at, bytes)| at + bytes.len() as u64 > from)?;
        Some(from.max(*at))
    }

    /// What is there from the byte `from` on, `most` bytes of it at most. What lies before it is of no use any more.
    pub(crate) fn take(&mut self, from: u64, most: u64) -> Option<Bytes> {
        while self.0.front().is_some_and(|(at, bytes)| at + bytes.len() as u64 <= from) {
            self.0.pop_front();
        }
        let (at, mut bytes) = self.0.pop_front_if(|(at, _)| *at <= from)?;
        let mut bytes = bytes.split_off(usize::try_from(from - at).ok()?);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if bytes.len() > most {
            self.0.push_front((from + most as u64, bytes.split_off(most)));
        }
        Some(bytes)
    }
}

#[cfg(all(test, any(feature = "http", feature = "s3")))]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_taken_once_and_in_order() {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let mut pieces = Pieces::new(vec![(10, bytes("abcdef")), (20, bytes("ghi")), (30, bytes("j"))]);
        assert_eq!(
            (pieces.next(0), pieces.next(12), pieces.next(16), pieces.next(31)),
            (Some(10), Some(12), Some(20), None)
        );
        assert_eq!(pieces.take(9, 100), None);
        assert_eq!(pieces.take(12, 3), Some(bytes("cde")));
        assert_eq!(pieces.take(15, 100), Some(bytes("f")));
        assert_eq!(pieces.take(30, 100), Some(bytes("j")), "what lies before is dropped");
        assert_eq!(pieces.next(0), None);
    }
}
