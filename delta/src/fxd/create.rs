//! Making a delta: the files are laid side by side, then once more with their references resolved.

use sha2::{Digest, Sha256};

use super::align::align;
use super::bases::Bases;
use super::code::{Known, encode};
use super::container::{self, Coded, Container, Model, STREAMS};
use super::elf::{Elf, Role};
use super::fresh::{Code, Search};
use super::learned::Learned;
use super::limit::Clock;
use super::map::Map;
use super::rebuild::FrameTable;
use super::refer::Place;
use super::segment::{self, Segment};
use super::sites::{self, Tapes};
use super::views::view;
use super::walk::Walk;
use super::wrong::{Wrong, changed};
use super::{MOST_CONTROL, MOST_LENGTH, MOST_SEGMENTS, apply};
use crate::{ApplyError, CreateError, Format, Limits, Options, Phase, Progress};

const LEVEL: i32 = 19;
/// Bytes of streams that may be coded so that reading them takes long: so many for any file, and one more for each
/// so many bytes of the new one. A byte takes about half a microsecond on a core with much else to do, new bytes less.
///
/// just 1.58.0 to 1.59.0: what is worth it are 1.3 MB of its streams. ruff 0.17.4 to 0.17.5: the new bytes, the changes and
/// the targets, 1.96 MB of 2.94; all of them would save another 2 % and take a third more time.
const SLOW: u64 = 2_000_000;
const SLOW_PART: u64 = 256;
/// How often the files are laid side by side with their references resolved.
const ROUNDS: u64 = 2;

pub(super) fn create(old: &[u8], new: &[u8], options: &Options<'_>) -> Result<Vec<u8>, CreateError> {
    for file in [old, new] {
        let length = file.len() as u64;
        if length > MOST_LENGTH {
            return Err(CreateError::TooLarge { format: Format::Fxd1, length, most: MOST_LENGTH });
        }
    }
    let teller = Teller(options);
    teller.tell(Phase::References, 0, 1)?;
    let sides = Side::of(old).zip(Side::of(new)).filter(|(old, new)| old.elf.machine == new.elf.machine);
    let maker = Maker { old, new, level: options.level.unwrap_or(LEVEL), teller };
    if let Some((from, to)) = &sides {
        match maker.programs(from, to).and_then(|delta| Ok(maker.proves(&delta)?.then_some(delta))) {
            Ok(Some(delta)) => return Ok(delta),
            // A program that refers in a way that cannot be foretold, or said, still has its bytes.
            Ok(None) | Err(CreateError::Proof) => {}
            Err(error) => return Err(error),
        }
    }
    let delta = maker.plain()?;
    if maker.proves(&delta)? { Ok(delta) } else { Err(CreateError::Proof) }
}

/// A file, if it is a program whose references are known.
struct Side {
    elf: Elf,
    bases: Bases,
    tapes: Tapes,
    /// The same with those of the table of frames.
    table: Option<FrameTable>,
}

impl Side {
    fn of(file: &[u8]) -> Option<Side> {
        let elf = Elf::read(file)?;
        let bases = Bases::read(file, &elf);
        let table = FrameTable::find(file, &elf);
        let tapes = sites::find(file, &elf, &bases, false, None)?;
        Some(Side { elf, bases, tapes, table })
    }

    fn place(&self) -> Place<'_> {
        Place { loads: &self.elf.loads, bases: &self.bases }
    }
}

struct Teller<'a>(&'a Options<'a>);

impl Teller<'_> {
    fn tell(&self, phase: Phase, done: u64, total: u64) -> Result<(), CreateError> {
        match self.0.progress {
            Some(progress) if !progress(Progress { phase, done, total }) => Err(CreateError::Stopped),
            _ => Ok(()),
        }
    }
}

struct Maker<'a> {
    old: &'a [u8],
    new: &'a [u8],
    level: i32,
    teller: Teller<'a>,
}

impl Maker<'_> {
    fn plain(&self) -> Result<Vec<u8>, CreateError> {
        let length = self.new.len() as u64;
        let segments = align(self.old, self.new, 0..0, &|done| self.teller.tell(Phase::Alignment, done, length))?;
        let segments = fitting(segments);
        self.write(&segments, None, [const { Vec::new() }; 6], |_| false)
    }

    fn programs(&self, from: &Side, to: &Side) -> Result<Vec<u8>, CreateError> {
        let length = self.new.len() as u64;
        let report = |round: u64| {
            let teller = &self.teller;
            move |done| teller.tell(Phase::Alignment, round * length + done, (ROUNDS + 1) * length)
        };
        let code = Code::of(&to.elf);
        let code = code.from as usize..code.to as usize;
        let mut segments = fitting(align(self.old, self.new, code.clone(), &report(0))?);
        for round in 1..=ROUNDS {
            let map = Map::new(&segments, self.old.len(), &from.elf.loads, &to.elf.loads);
            let (learned, _) = self.walk(from, to, &from.tapes, &segments, self.most_slots(from))?;
            let moved = |target| learned.get(target).or_else(|| map.address(target)).unwrap_or(target);
            let old = view(self.old, from.place(), &from.tapes, moved);
            let new = view(self.new, to.place(), &to.tapes, |target| target);
            drop(learned);
            segments = fitting(align(&old, &new, code.clone(), &report(round))?);
        }
        self.with_references(from, to, segments)
    }

    fn most_slots(&self, from: &Side) -> usize {
        (from.tapes.code.count() + from.tapes.data.count()) * 3 / 2 + 16
    }

    fn with_references(&self, from: &Side, to: &Side, segments: Vec<Segment>) -> Result<Vec<u8>, CreateError> {
        let table = to.table.filter(|_| from.elf.section(Role::FrameTable).is_some());
        let segments = match table {
            Some(table) => without(segments, table.at, table.at + table.size),
            None => segments,
        };
        let with_table;
        let tapes = match table {
            Some(_) => &from.tapes,
            None => {
                with_table = sites::find(self.old, &from.elf, &from.bases, true, None).ok_or(CreateError::Proof)?;
                &with_table
            }
        };
        let (learned, _) = self.walk(from, to, tapes, &segments, self.most_slots(from))?;
        let slots = (learned.count() * 5 / 4 + 16).min(self.old.len());
        let (_, wrong) = self.walk(from, to, tapes, &segments, slots)?;
        let sizes = (tapes.code.size(), tapes.data.size());
        let model = Model::new((&from.elf, &from.bases), (&to.elf, &to.bases), table, sizes, slots);
        let settled = wrong.settled;
        self.write(&segments, Some(model), wrong.streams, |at| settled[at as usize / 8] >> (at % 8) & 1 != 0)
    }

    /// What the prediction learns, and where it is wrong.
    fn walk(
        &self,
        from: &Side,
        to: &Side,
        tapes: &Tapes,
        segments: &[Segment],
        slots: usize,
    ) -> Result<(Learned, Wrong<'_>), CreateError> {
        let map = Map::new(segments, self.old.len(), &from.elf.loads, &to.elf.loads);
        let walk = Walk { old: self.old, segments, map: &map, from: from.place(), to: to.place() };
        let mut learned = Learned::new(slots);
        let mut wrong = Wrong::new(self.new);
        let mut clock = Clock::new(None);
        let code = Code::of(&to.elf);
        let machine = to.elf.machine;
        let search = Search {
            old: self.old,
            segments,
            tape: &tapes.code,
            map: &map,
            from: walk.from,
            to: walk.to,
            code,
            machine,
        };
        let walked = walk
            .run(&tapes.code, &mut learned, &mut wrong, &mut clock)
            .and_then(|()| search.run(&learned, &mut wrong, &mut clock))
            .and_then(|()| {
                wrong.next_tape();
                walk.run(&tapes.data, &mut learned, &mut wrong, &mut clock)
            });
        walked.map_err(|_: ApplyError| CreateError::Proof)?;
        Ok((learned, wrong))
    }

    fn write(
        &self,
        segments: &[Segment],
        model: Option<Model>,
        references: [Vec<u8>; 6],
        settled: impl Fn(u32) -> bool,
    ) -> Result<Vec<u8>, CreateError> {
        let length = self.new.len() as u32;
        let table = model.as_ref().and_then(|model| model.table);
        let machine = model.as_ref().map(|model| model.machine);
        let [between, places, copies] = segment::write(segments);
        let plain = self.plain_bytes(segments, table, settled);
        let parts: Vec<(u32, u32)> = segment::between(segments, length)
            .flat_map(|(from, to)| match table {
                Some(table) => [(from, table.at.clamp(from, to)), ((table.at + table.size).clamp(from, to), to)],
                None => [(from, to), (to, to)],
            })
            .collect();
        let literals = parts.iter().flat_map(|(from, to)| &plain[*from as usize..*to as usize]).copied().collect();
        let ([gaps, changes], beside) = changed(self.old, &plain, segments);
        let streams = [between, places, copies, literals, gaps, changes].into_iter().chain(references);
        let streams: Vec<_> =
            streams.zip(STREAMS).map(|(stream, (kind, _))| (container::kind(kind, machine), stream)).collect();
        let known = Known { file: &plain, parts: &parts, old: &beside };
        let slow = SLOW + u64::from(length) / SLOW_PART;
        let tell = |done| self.teller.tell(Phase::Compression, done as u64, STREAMS.len() as u64);
        let coded = encode(&streams, &known, self.level, slow, tell)?;
        let streams = streams.iter().zip(&coded).map(|((kind, stream), coded)| Coded {
            kind: *kind,
            length: stream.len() as u64,
            coded,
        });
        let container = Container {
            from: Sha256::digest(self.old).into(),
            old_length: self.old.len() as u32,
            length,
            model,
            segments: segments.len(),
            streams: streams.collect(),
        };
        Ok(container.write())
    }

    /// The new file as it is before its references are restored.
    fn plain_bytes(&self, segments: &[Segment], table: Option<FrameTable>, settled: impl Fn(u32) -> bool) -> Vec<u8> {
        let mut plain = self.new.to_vec();
        for (from, to) in segment::between(segments, plain.len() as u32) {
            for at in (from..to).filter(|&at| settled(at) || table.is_some_and(|table| table.holds(at))) {
                plain[at as usize] = 0;
            }
        }
        for segment in segments {
            for at in (0..segment.length).filter(|at| settled(segment.new + at)) {
                plain[(segment.new + at) as usize] = self.old[(segment.old + at) as usize];
            }
        }
        plain
    }

    /// Whether `delta` makes the new file.
    fn proves(&self, delta: &[u8]) -> Result<bool, CreateError> {
        self.teller.tell(Phase::Proof, 0, 1)?;
        let mut out = vec![0; self.new.len()];
        let limits = Limits { memory: u64::MAX, ..Limits::default() };
        let container = Container::read(delta).map_err(|_| CreateError::Proof)?;
        let restored = apply::restore(self.old, &container, &mut out, &limits).is_ok();
        self.teller.tell(Phase::Proof, 1, 1)?;
        Ok(restored && out == self.new)
    }
}

/// As many segments as a delta may have; the shortest go first.
fn fitting(mut segments: Vec<Segment>) -> Vec<Segment> {
    // Three numbers of at most five bytes each are sent of each.
    let most = MOST_SEGMENTS.min(MOST_CONTROL as usize / 15) - 1;
    if segments.len() > most {
        let mut lengths: Vec<u32> = segments.iter().map(|segment| segment.length).collect();
        let (_, &mut least, _) = lengths.select_nth_unstable_by(most, |a, b| b.cmp(a));
        segments.retain(|segment| segment.length > least);
    }
    segments
}

/// The segments without what they make of `from..to`.
fn without(segments: Vec<Segment>, from: u32, to: u32) -> Vec<Segment> {
    let mut left = Vec::with_capacity(segments.len() + 1);
    for segment in segments {
        let before = segment.new_end().min(from).saturating_sub(segment.new);
        if before > 0 {
            left.push(Segment { length: before, ..segment });
        }
        let skip = to.saturating_sub(segment.new);
        if skip < segment.length && segment.new_end() > to {
            let skip = skip.max(before);
            left.push(Segment { new: segment.new + skip, old: segment.old + skip, length: segment.length - skip });
        }
    }
    left
}
