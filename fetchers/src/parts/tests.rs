// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{FutureExt as _, StreamExt as _};
use url::Url;

use super::*;

/// A source whose answers come at any pace, break off, and are refused, as numbers that look like chance decide.
struct Fickle {
    object: Vec<u8>,
    dice: Mutex<u64>,
    /// Of a hundred steps, how many fail.
    failures: u64,
    /// What a failure is.
    kind: Kind,
    /// What was asked for.
    asked: Mutex<Vec<Range<u64>>>,
    open: Arc<AtomicUsize>,
    most: AtomicUsize,
}

impl Fickle {
    fn new(seed: u64, size: usize, failures: u64, kind: Kind) -> Arc<Fickle> {
        Arc::new(Fickle {
            object: (0..size).map(|index| (index * 31 % 251) as u8).collect(),
            dice: Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            failures,
            kind,
            asked: Mutex::default(),
            open: Arc::default(),
            most: AtomicUsize::new(0),
        })
    }

    fn roll(&self, sides: u64) -> u64 {
        let mut dice = self.dice.lock().unwrap();
        *dice ^= *dice << 13;
        *dice ^= *dice >> 7;
        *dice ^= *dice << 17;
        *dice % sides
    }

    fn error(&self) -> FetchError {
        FetchError::new(self.kind, &Url::parse("http://example.com/app").unwrap(), "as the dice fell")
    }

    /// Counts as a request until it ends or is dropped.
    fn stream(self: &Arc<Fickle>, range: Range<u64>) -> Chunks {
        struct Open(Arc<AtomicUsize>);
        impl Drop for Open {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let open = Open(Arc::clone(&self.open));
        self.most.fetch_max(self.open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let (fickle, mut at) = (Arc::clone(self), range.start);
        let mut open = Some(open);
        futures_util::stream::poll_fn(move |cx| {
            if at >= range.end {
                drop(open.take());
                return Poll::Ready(None);
            }
            if fickle.roll(3) > 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if fickle.roll(100) < fickle.failures {
                drop(open.take());
                return Poll::Ready(Some(Err(fickle.error())));
            }
            let length = (1 + fickle.roll(90)).min(range.end - at);
            let chunk = &fickle.object[at as usize..(at + length) as usize];
            at += length;
            Poll::Ready(Some(Ok(Bytes::copy_from_slice(chunk))))
        })
        .boxed()
    }
}

impl Ranges for Fickle {
    fn part(self: Arc<Self>, range: Range<u64>) -> BoxFuture<'static, Result<Chunks, FetchError>> {
        assert!(range.start < range.end && range.end <= self.object.len() as u64, "{range:?}");
        self.asked.lock().unwrap().push(range.clone());
        let refused = self.roll(100) < self.failures;
        async move { if refused { Err(self.error()) } else { Ok(self.stream(range)) } }.boxed()
    }
}

/// What was kept of the parts that began here.
#[derive(Default)]
struct Shelf(Mutex<BTreeMap<u64, (u64, Vec<u8>)>>);

impl Keeper for Shelf {
    fn keep(&self, part: u64, at: u64, bytes: &Bytes) {
        let mut shelf = self.0.lock().unwrap();
        // The first of it may have been there, and then it goes on from there.
        let (from, kept) = shelf.entry(part).or_insert((at, Vec::new()));
        assert_eq!(*from + kept.len() as u64, at, "the part at {part}");
        kept.extend_from_slice(bytes);
    }
}

/// Pieces of `object` behind `start`, as the dice fall.
fn pieces(fickle: &Fickle, start: u64) -> Vec<(u64, Bytes)> {
    let (mut at, mut pieces) = (start, Vec::new());
    for _ in 0..fickle.roll(5) {
        at += 1 + fickle.roll(200);
        let end = (at + 1 + fickle.roll(200)).min(fickle.object.len() as u64);
        if at >= end {
            break;
        }
        pieces.push((at, Bytes::copy_from_slice(&fickle.object[at as usize..end as usize])));
        at = end;
    }
    pieces
}

fn read<R: Ranges>(mut parts: Parts<R>) -> (Vec<u8>, Option<FetchError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move {
        let (mut bytes, mut most_held) = (Vec::new(), 0);
        while let Some(chunk) = parts.next().await {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(error) => return (bytes, Some(error)),
            }
            let held: u64 = parts.under_way.iter().skip(1).map(|part| part.at - part.passed).sum();
            most_held = most_held.max(held);
        }
        assert!(most_held <= parts.part_size * (parts.connections as u64 - 1), "{most_held} bytes held");
        (bytes, None)
    })
}

const KINDS: [Kind; 4] = [Kind::Incomplete, Kind::Changed, Kind::Other, Kind::Throttled];

#[test]
fn in_whatever_order_it_comes_it_is_the_object_or_its_beginning_and_an_error() {
    let (mut whole, mut broken, mut spared) = (0, 0, 0);
    for seed in 0..4000_u64 {
        let kind = KINDS[(seed % 4) as usize];
        let fickle = Fickle::new(seed, 40 + (seed as usize * 37) % 900, [0, 0, 1, 5, 20][(seed % 5) as usize], kind);
        let plan = Plan { connections: 2 + (seed as usize / 7) % 4, part_size: 16 + seed % 77 };
        let (total, start) = (fickle.object.len() as u64, seed % 40);
        let shelf = Arc::new(Shelf::default());
        let kept = if seed % 3 == 0 { Vec::new() } else { pieces(&fickle, start) };
        let ahead = Ahead { kept: kept.clone(), keeper: Some(shelf.clone()) };
        let rest = fickle.stream(start..total);
        let (bytes, error) = read(Parts::beside(Arc::clone(&fickle), &plan, rest, start..total, ahead));
        let expected = &fickle.object[start as usize..];
        match error {
            None => assert!(bytes == expected, "seed {seed}"),
            Some(error) => {
                assert!(expected.starts_with(&bytes) && error.kind() == kind, "seed {seed}: {error}");
                assert!(fickle.failures > 0);
                broken += 1;
            }
        }
        whole += usize::from(bytes == expected);
        for (at, bytes) in shelf.0.lock().unwrap().values() {
            assert!(fickle.object[*at as usize..].starts_with(bytes), "seed {seed}: other bytes are kept");
        }
        let there = |range: &Range<u64>| {
            kept.iter().any(|(at, bytes)| *at < range.end && range.start < *at + bytes.len() as u64)
        };
        let twice = fickle.asked.lock().unwrap().iter().filter(|range| there(range)).count();
        assert!(fickle.failures > 0 || twice == 0, "seed {seed}: what is there was asked for");
        spared += usize::from(!kept.is_empty() && bytes == expected);
        assert!(fickle.most.load(Ordering::Relaxed) <= plan.connections, "seed {seed}");
        assert_eq!(fickle.open.load(Ordering::Relaxed), 0, "seed {seed}");
    }
    assert!(whole > 1000 && broken > 300 && spared > 500, "{whole} whole, {broken} broken, {spared} spared");
}

#[test]
#[cfg(feature = "s3")]
fn parts_that_are_not_asked_for_twice_end_with_their_first_error() {
    for seed in 0..1000_u64 {
        let fickle = Fickle::new(seed, 500, [0, 3][(seed % 2) as usize], Kind::Incomplete);
        let plan = Plan { connections: 3, part_size: 64 };
        let first = fickle.stream(0..64);
        let (bytes, error) = read(Parts::new(Arc::clone(&fickle), &plan, first, 0..64, 500, Ahead::default()));
        assert!(fickle.object.starts_with(&bytes), "seed {seed}");
        assert_eq!(error.is_none(), bytes.len() == 500, "seed {seed}");
        assert!(fickle.most.load(Ordering::Relaxed) <= 3, "seed {seed}");
    }
}
