//! Whole deltas, changed where it hurts: numbers of streams and of the header, streams exchanged, cut or doubled, the old
//! file beneath them.

use fetchd_delta::fuzz;

use crate::seeds;

/// How many inputs there were, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) tried: u64,
    pub(crate) taken: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Counts) {
        self.tried += other.tried;
        self.taken += other.taken;
    }
}

struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        if most == 0 { 0 } else { (self.next() >> 11) as usize % most }
    }
}

/// Values at which arithmetic turns.
const EDGES: [u64; 14] =
    [0, 1, 2, 127, 128, 255, 4095, 65535, 1 << 31, (1 << 31) - 1, u32::MAX as u64, 1 << 32, i64::MAX as u64, u64::MAX];

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// The length of the number at `at`.
fn width(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().take(10).take_while(|byte| **byte >= 128).count() + 1
}

fn change(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    if bytes.is_empty() {
        return;
    }
    let at = numbers.below(bytes.len());
    match numbers.below(7) {
        0 => bytes[at] ^= 1 << numbers.below(8),
        1 => bytes[at] = numbers.next() as u8,
        // Another number in place of one.
        2 | 3 => {
            let end = (at + width(bytes, at)).min(bytes.len());
            let edge = EDGES[numbers.below(EDGES.len())];
            let value = if numbers.below(2) == 0 { edge } else { numbers.next() >> numbers.below(64) };
            bytes.splice(at..end, varint(value));
        }
        4 => bytes.truncate(at),
        // A part of it once more, or not at all.
        5 => {
            let end = at + numbers.below((bytes.len() - at).min(40));
            let part = bytes[at..end].to_vec();
            let to = numbers.below(bytes.len());
            bytes.splice(to..to, part);
        }
        _ => {
            let end = at + numbers.below((bytes.len() - at).min(40));
            bytes.drain(at..end);
        }
    }
}

/// A delta taken apart: what stands before the streams' lengths, and the streams.
struct Parts {
    head: Vec<u8>,
    /// The length that is said, and the coded bytes.
    streams: Vec<(u64, Vec<u8>)>,
}

impl Parts {
    fn of(delta: &[u8]) -> Parts {
        let (head, streams) = fuzz::parts(delta);
        Parts { head, streams }
    }

    fn joined(&self) -> Vec<u8> {
        let mut all = self.head.clone();
        for (length, coded) in &self.streams {
            all.extend(varint(*length));
            all.extend(varint(coded.len() as u64));
        }
        self.streams.iter().for_each(|(_, coded)| all.extend(coded));
        all
    }

    fn change(&mut self, numbers: &mut Numbers) {
        let count = self.streams.len();
        let index = numbers.below(count);
        match numbers.below(8) {
            // Beyond the magic number and the digest.
            0 => {
                let mut rest = self.head.split_off(40);
                change(&mut rest, numbers);
                self.head.extend(rest);
            }
            1 => self.streams.swap(index, numbers.below(count)),
            2 => self.streams[index].0 = EDGES[numbers.below(EDGES.len())],
            _ => {
                let (length, coded) = &mut self.streams[index];
                change(coded, numbers);
                // The bytes as they are: their number is that of what is there.
                if coded.first() == Some(&0) && numbers.below(8) > 0 {
                    *length = coded.len() as u64 - 1;
                }
            }
        }
    }
}

/// Tries `times` changed deltas; panics with what to do again.
pub(crate) fn run(seed: u64, times: u64) -> Counts {
    let wholes: Vec<(Vec<u8>, Vec<u8>)> = seeds::whole();
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut counts = Counts::default();
    for _ in 0..times {
        let (old, delta) = &wholes[numbers.below(wholes.len())];
        let mut old = old.clone();
        let mut parts = Parts::of(delta);
        if numbers.below(4) == 0 {
            for _ in 0..=numbers.below(6) {
                change(&mut old, &mut numbers);
            }
            // The old file's length is a number of the head: the old one if it is to be looked at at all.
            old.resize(wholes_length(&wholes, delta), 0);
        }
        for _ in 0..numbers.below(4) {
            parts.change(&mut numbers);
        }
        let input = fuzz::join(&old, &parts.joined());
        let taken = std::panic::catch_unwind(|| fuzz::delta(&input));
        let Ok(taken) = taken else {
            let path = std::env::temp_dir().join(format!("fetchd-delta-broken-{seed}-{}", counts.tried));
            std::fs::write(&path, &input).unwrap();
            panic!("{} breaks a promise", path.display());
        };
        counts.tried += 1;
        counts.taken += u64::from(taken);
    }
    counts
}

/// Tries `times` changed seeds of another target.
pub(crate) fn run_seeds(name: &str, target: fn(&[u8]) -> bool, seed: u64, times: u64) -> Counts {
    let wholes = seeds::of(name);
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut counts = Counts::default();
    for _ in 0..times {
        let mut input = wholes[numbers.below(wholes.len())].bytes.clone();
        for _ in 0..=numbers.below(5) {
            change(&mut input, &mut numbers);
        }
        let Ok(taken) = std::panic::catch_unwind(|| target(&input)) else {
            let path = std::env::temp_dir().join(format!("fetchd-delta-broken-{name}-{seed}-{}", counts.tried));
            std::fs::write(&path, &input).unwrap();
            panic!("{} breaks a promise", path.display());
        };
        counts.tried += 1;
        counts.taken += u64::from(taken);
    }
    counts
}

fn wholes_length(wholes: &[(Vec<u8>, Vec<u8>)], delta: &[u8]) -> usize {
    wholes.iter().find(|(_, one)| one == delta).map_or(0, |(old, _)| old.len())
}
