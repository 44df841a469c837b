//! Deltas that a fuzzer can change with effect.

use super::apply;
use super::bytes::put_varint;
use super::code::{Decoder, bare};
use super::container::Container;
use crate::{ApplyError, Limits};

/// `delta`, which makes a file of `old`, with each stream as it is, so that a changed byte is a changed number.
pub(crate) fn uncoded(old: &[u8], delta: &[u8]) -> Result<Vec<u8>, ApplyError> {
    let mut container = Container::read(delta)?;
    let beside = apply::beside(old, &container)?;
    let mut streams = Vec::new();
    for (index, stream) in container.streams.iter().enumerate() {
        let mut bytes = vec![0; usize::try_from(stream.length).unwrap_or(0)];
        match index {
            3 => bytes.clone_from(&beside[0]),
            5 => bytes.clone_from(&beside[1]),
            _ => {
                let mut decoder = Decoder::new(stream.kind, stream.coded, stream.length, &Limits::default())?;
                decoder.read(&mut bytes)?;
                decoder.finish()?;
            }
        }
        streams.push(bare(&bytes));
    }
    for (stream, coded) in container.streams.iter_mut().zip(&streams) {
        stream.coded = coded;
    }
    Ok(container.write())
}

/// What stands before the lengths of the streams, and the streams.
pub(crate) type Parts = (Vec<u8>, Vec<(u64, Vec<u8>)>);

/// What stands before the lengths of the streams, and each stream's length and bytes.
pub(crate) fn parts(delta: &[u8]) -> Result<Parts, ApplyError> {
    let container = Container::read(delta)?;
    let streams: Vec<_> = container.streams.iter().map(|stream| (stream.length, stream.coded.to_vec())).collect();
    let behind: usize = streams
        .iter()
        .map(|(length, coded)| {
            let mut numbers = Vec::new();
            put_varint(*length, &mut numbers);
            put_varint(coded.len() as u64, &mut numbers);
            numbers.len() + coded.len()
        })
        .sum();
    Ok((delta[..delta.len() - behind].to_vec(), streams))
}
