//! Which method each stream of a delta is coded by. A maker's own choice, not the format's.

use super::{Known, Method, Stream, frame, mixed};
use crate::CreateError;

/// What is coded by the slow method saves a byte of so many of its own, or of so many that it is coded in otherwise:
/// time is worth something, too.
const WORTH: usize = 20;
const WORTH_CODED: usize = 8;
/// What is shorter takes no time that anybody notices.
const SHORT: u64 = 1 << 14;

/// A stream that could be coded by the slow method.
struct Slow {
    index: usize,
    /// What it takes: its bytes. What it brings: how many fewer it is coded in.
    length: u64,
    saves: u64,
    coded: Vec<u8>,
}

/// Each stream by the method that makes it shortest, but no more than `slow` bytes of all of them by the one that
/// takes the most time to read: of those streams where that brings the most. `level` is that of zstd; `tell` hears
/// of each stream before it is coded, and may end it.
pub(crate) fn encode(
    streams: &[(Stream, Vec<u8>)],
    known: &Known<'_>,
    level: i32,
    slow: u64,
    mut tell: impl FnMut(usize) -> Result<(), CreateError>,
) -> Result<Vec<Vec<u8>>, CreateError> {
    let (mut all, mut slower) = (Vec::new(), Vec::new());
    for (index, (kind, bytes)) in streams.iter().enumerate() {
        tell(index)?;
        let framed = frame::encode(bytes, level)?;
        let (method, coded) =
            if framed.len() < bytes.len() { (Method::Frame, framed) } else { (Method::Stored, bytes.clone()) };
        let length = bytes.len() as u64;
        let worth = if length < SHORT { 0 } else { (bytes.len() / WORTH).min(coded.len() / WORTH_CODED) };
        if length <= slow
            && let Some(mixed) =
                mixed::encode(*kind, bytes, known, coded.len()).filter(|mixed| mixed.len() + worth < coded.len())
        {
            let saves = (coded.len() - mixed.len()) as u64;
            slower.push(Slow { index, length, saves, coded: tagged(Method::Mixed, mixed) });
        }
        all.push(tagged(method, coded));
    }
    for chosen in best(slower, slow) {
        all[chosen.index] = chosen.coded;
    }
    Ok(all)
}

/// Those that save the most together, and have no more than `most` bytes together.
fn best(slower: Vec<Slow>, most: u64) -> Vec<Slow> {
    let sum = |chosen: u32, of: fn(&Slow) -> u64| -> u64 {
        slower.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1).map(|(_, one)| of(one)).sum()
    };
    // A delta has twelve streams: that is few enough to look at all there is to choose from.
    let choices = (0..1u32 << slower.len()).filter(|&chosen| sum(chosen, |one| one.length) <= most);
    let chosen = choices.max_by_key(|&chosen| sum(chosen, |one| one.saves)).unwrap_or(0);
    slower.into_iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1).map(|(_, one)| one).collect()
}

fn tagged(method: Method, mut coded: Vec<u8>) -> Vec<u8> {
    coded.insert(0, method as u8);
    coded
}
