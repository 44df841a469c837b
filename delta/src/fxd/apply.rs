//! Applying: the bytes that are no references first, then the references in code, then those in data.

use super::bases::Bases;
use super::code::{Beside, Decoder};
use super::container::{Container, Model};
use super::elf::{Elf, Loads};
use super::fresh::{Fresh, Guess, Search};
use super::learned::Learned;
use super::limit::Clock;
use super::map::Map;
use super::numbers::{Changes, Corrections, Numbers};
use super::refer::{Place, field};
use super::segment::{self, Segment};
use super::sites::{self, Kind};
use super::walk::{New, Walk};
use crate::{ApplyError, Limits};

/// Literals are read in pieces of this many bytes, between two looks at the clock.
const PIECE: usize = 1 << 18;

/// Makes the new file, whatever `old` is: that it is the right one has been checked, or is left to whoever
/// compares the result's digest.
pub(super) fn restore(
    old: &[u8],
    container: &Container<'_>,
    out: &mut [u8],
    limits: &Limits,
) -> Result<(), ApplyError> {
    if old.len() as u64 != u64::from(container.old_length) {
        return Err(ApplyError::OtherOld);
    }
    if out.len() as u64 != u64::from(container.length) {
        let says = u64::from(container.length);
        return Err(ApplyError::OtherLength { says, expected: out.len() as u64 });
    }
    let needed = container.memory()?;
    if needed > limits.memory {
        return Err(ApplyError::Memory { needed, allowed: limits.memory });
    }
    let mut clock = Clock::new(limits.until);
    clock.look()?;
    let segments = segments(container, limits)?;
    plain(old, container, &segments, out, limits, &mut clock)?;
    match &container.model {
        Some(model) => references(old, container, model, &segments, out, limits, &mut clock),
        None => {
            for index in 6..12 {
                container.numbers(index, limits)?.finish()?;
            }
            Ok(())
        }
    }
}

fn segments(container: &Container<'_>, limits: &Limits) -> Result<Vec<Segment>, ApplyError> {
    let mut streams = [container.numbers(0, limits)?, container.numbers(1, limits)?, container.numbers(2, limits)?];
    let segments = segment::read(&mut streams, container.segments, container.old_length, container.length)?;
    for stream in streams {
        stream.finish()?;
    }
    Ok(segments)
}

/// Copies, new bytes, and what differs in the copies outside of references: from the beginning of the file to its
/// end, as what comes later is read by what stands before it.
fn plain(
    old: &[u8],
    container: &Container<'_>,
    segments: &[Segment],
    out: &mut [u8],
    limits: &Limits,
    clock: &mut Clock,
) -> Result<(), ApplyError> {
    let mut literals = container.stream(3, limits)?;
    let mut changes = Changes::new(container.numbers(4, limits)?, container.stream(5, limits)?)?;
    let mut end = 0;
    for segment in segments.iter().map(Some).chain([None]) {
        clock.tick()?;
        let to = segment.map_or(container.length, |segment| segment.new);
        new_bytes(container, &mut literals, out, (end, to), clock)?;
        if let Some(segment) = segment {
            copy(old, segment, &mut changes, out, clock)?;
            end = segment.new_end();
        }
    }
    literals.finish()?;
    changes.finish()
}

/// The new bytes and the changes of a delta that was made from `old`.
#[cfg(debug_assertions)]
pub(super) fn beside(old: &[u8], container: &Container<'_>) -> Result<[Vec<u8>; 2], ApplyError> {
    let limits = Limits { memory: u64::MAX, ..Limits::default() };
    let segments = segments(container, &limits)?;
    let mut out = vec![0; container.length as usize];
    plain(old, container, &segments, &mut out, &limits, &mut Clock::new(None))?;
    let table = container.model.as_ref().and_then(|model| model.table);
    let new = segment::between(&segments, container.length)
        .flat_map(|(from, to)| from..to)
        .filter(|&at| table.is_none_or(|table| !table.holds(at)))
        .map(|at| out[at as usize]);
    let changes = segments.iter().flat_map(|segment| {
        let (from, to) = (&old[segment.old as usize..], &out[segment.new as usize..segment.new_end() as usize]);
        to.iter().zip(from).map(|(to, from)| to.wrapping_sub(*from)).filter(|change| *change != 0)
    });
    Ok([new.collect(), changes.collect()])
}

const OUTSIDE: ApplyError = ApplyError::Damaged("a segment lies outside of the files");

/// What no segment makes.
fn new_bytes(
    container: &Container<'_>,
    literals: &mut Decoder<'_>,
    out: &mut [u8],
    (from, to): (u32, u32),
    clock: &mut Clock,
) -> Result<(), ApplyError> {
    // The table of frames is made, not sent: here it is zeros.
    let table = container.model.as_ref().and_then(|model| model.table);
    let (cut, resume) =
        table.map_or((to, to), |table| (table.at.clamp(from, to), (table.at + table.size).clamp(from, to)));
    for (from, to) in [(from, cut), (resume, to)] {
        for piece in (from..to).step_by(PIECE) {
            clock.look()?;
            literals.fill(out, piece as usize..to.min(piece.saturating_add(PIECE as u32)) as usize)?;
        }
        if to == cut {
            out.get_mut(cut as usize..resume as usize).ok_or(OUTSIDE)?.fill(0);
        }
    }
    Ok(())
}

fn copy(
    old: &[u8],
    segment: &Segment,
    changes: &mut Changes<'_>,
    out: &mut [u8],
    clock: &mut Clock,
) -> Result<(), ApplyError> {
    let from = old.get(segment.old as usize..segment.old_end() as usize).ok_or(OUTSIDE)?;
    let mut at = segment.new as usize;
    let end = segment.new_end() as usize;
    out.get_mut(at..end).ok_or(OUTSIDE)?.copy_from_slice(from);
    while let Some(right) = changes.skip((end - at) as u64)? {
        clock.tick()?;
        at += right as usize;
        let last = at.checked_sub(1).and_then(|last| out.get(last)).copied().unwrap_or(0);
        let byte = out.get_mut(at).ok_or(OUTSIDE)?;
        *byte = byte.wrapping_add(changes.value(Beside { old: *byte, last })?);
        at += 1;
    }
    Ok(())
}

fn references(
    old: &[u8],
    container: &Container<'_>,
    model: &Model,
    segments: &[Segment],
    out: &mut [u8],
    limits: &Limits,
    clock: &mut Clock,
) -> Result<(), ApplyError> {
    const OTHER: ApplyError = ApplyError::Damaged("the old file is not the program that it was made from");
    let elf = Elf::read(old).filter(|elf| elf.machine == model.machine).ok_or(OTHER)?;
    let bases = Bases::read(old, &elf);
    let (loads, new_bases) = model.resolve(&elf, &bases)?;
    clock.look()?;
    let tapes = sites::find(old, &elf, &bases, model.table.is_none(), Some(model.tapes)).ok_or(OTHER)?;
    clock.look()?;
    let map = Map::new(segments, old.len(), &elf.loads, &loads);
    let from = Place { loads: &elf.loads, bases: &bases };
    let to = Place { loads: &loads, bases: &new_bases };
    let walk = Walk { old, segments, map: &map, from, to };
    let mut learned = Learned::new(model.slots);
    let mut code = Restored { out, corrections: corrections(container, 6, limits)? };
    walk.run(&tapes.code, &mut learned, &mut code, clock)?;
    code.corrections.finish()?;
    let search =
        Search { old, segments, tape: &tapes.code, map: &map, from, to, code: model.code, machine: model.machine };
    let (kinds, targets) = (container.numbers(8, limits)?, container.numbers(9, limits)?);
    let mut fresh = Called { out, kinds, targets };
    search.run(&learned, &mut fresh, clock)?;
    fresh.kinds.finish()?;
    fresh.targets.finish()?;
    let mut data = Restored { out, corrections: corrections(container, 10, limits)? };
    walk.run(&tapes.data, &mut learned, &mut data, clock)?;
    data.corrections.finish()?;
    clock.look()?;
    match &model.table {
        Some(table) => table.make(out, &loads),
        None => Ok(()),
    }
}

fn corrections<'a>(container: &Container<'a>, index: usize, limits: &Limits) -> Result<Corrections<'a>, ApplyError> {
    Corrections::new(container.numbers(index, limits)?, container.numbers(index + 1, limits)?)
}

/// The new file while the references in new code are written.
struct Called<'a, 'b> {
    out: &'a mut [u8],
    kinds: Numbers<'b>,
    targets: Numbers<'b>,
}

impl Fresh for Called<'_, '_> {
    fn bytes(&self) -> &[u8] {
        self.out
    }

    fn settle(&mut self, at: u32, kind: Kind, loads: &Loads, guess: &mut Guess) -> Result<(), ApplyError> {
        const OUTSIDE: ApplyError = ApplyError::Damaged("a reference in new code is none");
        let target = match self.kinds.byte()? {
            0 => {
                let mut target = [0; 4];
                for byte in &mut target {
                    *byte = self.targets.byte()?;
                }
                u32::from_be_bytes(target)
            }
            number => guess.target(number).ok_or(OUTSIDE)?,
        };
        guess.remember(target);
        let bases = Bases::default();
        let place = self.out.get_mut(at as usize..).and_then(|rest| rest.first_chunk_mut()).ok_or(OUTSIDE)?;
        let word = u64::from(u32::from_le_bytes(*place));
        let field = Place { loads, bases: &bases }.field(at, kind, target, word).ok_or(OUTSIDE)?;
        *place = (field as u32).to_le_bytes();
        Ok(())
    }
}

/// The new file as it is being made.
struct Restored<'a, 'b> {
    out: &'a mut [u8],
    corrections: Corrections<'b>,
}

impl New for Restored<'_, '_> {
    fn bytes(&self) -> &[u8] {
        self.out
    }

    fn settle(&mut self, at: usize, kind: Kind, predicted: u64) -> Result<(), ApplyError> {
        let width = kind.width();
        let is = field(kind, predicted.wrapping_add_signed(self.corrections.next()?));
        let place = self.out.get_mut(at..at + width);
        let place = place.ok_or(ApplyError::Damaged("a reference lies outside of the new file"))?;
        place.copy_from_slice(&is.to_le_bytes()[..width]);
        Ok(())
    }
}
