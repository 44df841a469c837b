//! Applying: the bytes that are no references first, then the references in code, then those in data.

use super::bases::Bases;
use super::container::{Container, Model};
use super::elf::{Elf, Loads};
use super::fresh::{Fresh, Guess, Search};
use super::learned::Learned;
use super::limit::Clock;
use super::map::Map;
use super::numbers::{Corrections, Numbers};
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

/// Copies, new bytes, and what differs in the copies outside of references.
fn plain(
    old: &[u8],
    container: &Container<'_>,
    segments: &[Segment],
    out: &mut [u8],
    limits: &Limits,
    clock: &mut Clock,
) -> Result<(), ApplyError> {
    const OUTSIDE: ApplyError = ApplyError::Damaged("a segment lies outside of the files");
    let table = container.model.as_ref().and_then(|model| model.table);
    let mut literals = container.stream(3, limits)?;
    for (from, to) in segment::between(segments, container.length) {
        // The table of frames is made, not sent.
        let (cut, resume) =
            table.map_or((to, to), |table| (table.at.clamp(from, to), (table.at + table.size).clamp(from, to)));
        for (from, to) in [(from, cut), (resume, to)] {
            let part = out.get_mut(from as usize..to.max(from) as usize).ok_or(OUTSIDE)?;
            for piece in part.chunks_mut(PIECE) {
                clock.look()?;
                literals.read(piece)?;
            }
        }
    }
    literals.finish()?;
    let mut changes = Corrections::new(container.numbers(4, limits)?, container.numbers(5, limits)?)?;
    for segment in segments {
        clock.tick()?;
        let from = old.get(segment.old as usize..segment.old_end() as usize).ok_or(OUTSIDE)?;
        let to = out.get_mut(segment.new as usize..segment.new_end() as usize).ok_or(OUTSIDE)?;
        to.copy_from_slice(from);
        let mut rest = to;
        while let Some((right, change)) = changes.skip(rest.len() as u64)? {
            clock.tick()?;
            let (_, wrong) = rest.split_at_mut_checked(right as usize).ok_or(OUTSIDE)?;
            let (byte, behind) = wrong.split_first_mut().ok_or(OUTSIDE)?;
            *byte = byte.wrapping_add(change);
            rest = behind;
        }
    }
    changes.finish()
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
