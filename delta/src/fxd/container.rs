//! How an fxd-1 delta is laid out: a header of numbers, then the streams one behind the other.

use super::bases::{Base, Bases};
use super::bytes::{put_varint, unzigzag, varint, zigzag};
use super::code::{Decoder, Stream, memory};
use super::elf::{Elf, Load, Loads, MOST_LOADS, Machine};
use super::fresh::Code;
use super::numbers::{self, Numbers};
use super::rebuild::FrameTable;
use super::segment::Segment;
use super::sites::{LONGEST, index_memory};
use super::{MOST_CONTROL, MOST_LENGTH, MOST_SEGMENTS, learned, map};
use crate::{ApplyError, Format, Limits};

/// The streams in their order, by what they hold and what is said of them.
pub(super) const STREAMS: [(Stream, &str); 12] = [
    (Stream::Control, "lengths between copies"),
    (Stream::Control, "places of copies"),
    (Stream::Control, "lengths of copies"),
    (Stream::Literals, "new bytes"),
    (Stream::Gaps, "gaps of bytes"),
    (Stream::Changes, "changed bytes"),
    (Stream::Gaps, "gaps of references in code"),
    (Stream::References, "references in code"),
    (Stream::Residuals, "kinds of references in new code"),
    (Stream::Targets, "references in new code"),
    (Stream::Gaps, "gaps of references in data"),
    (Stream::References, "references in data"),
];

/// What a stream of [`STREAMS`] holds in a delta for this machine.
pub(super) fn kind(stream: Stream, machine: Option<Machine>) -> Stream {
    if stream == Stream::Literals && machine == Some(Machine::Arm) { Stream::Words } else { stream }
}

/// Streams that are read at the same time.
const TOGETHER: [std::ops::Range<usize>; 5] = [0..3, 3..6, 6..8, 8..10, 10..12];

/// What is known of the new file's references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) machine: Machine,
    /// Differences from the old file's.
    loads: Vec<[i64; 4]>,
    bases: [i64; 7],
    pub(super) table: Option<FrameTable>,
    pub(super) code: Code,
    /// Bytes that the old file's sites take, in code and in data.
    pub(super) tapes: (usize, usize),
    /// Places in the table of what is learned.
    pub(super) slots: usize,
}

impl Model {
    pub(super) fn new(
        old: (&Elf, &Bases),
        new: (&Elf, &Bases),
        table: Option<FrameTable>,
        tapes: (usize, usize),
        slots: usize,
    ) -> Model {
        let mut loads = Vec::new();
        let mut before = [0; 4];
        for (index, load) in new.0.loads.0.iter().enumerate() {
            before = old.0.loads.0.get(index).map_or(before, fields);
            let now = fields(load);
            loads.push(std::array::from_fn(|field| now[field] - before[field]));
        }
        let bases = std::array::from_fn(|base| i64::from(new.1.0[base]) - i64::from(old.1.0[base]));
        Model { machine: new.0.machine, loads, bases, table, code: Code::of(new.0), tapes, slots }
    }

    /// The new file's loads and bases, if `old` is what they are said against.
    pub(super) fn resolve(&self, old: &Elf, bases: &Bases) -> Result<(Loads, Bases), ApplyError> {
        const BAD: ApplyError = ApplyError::Damaged("an address does not fit into 32 bits");
        let add = |value: i64, more: i64| u32::try_from(value.checked_add(more)?).ok();
        let mut loads = Vec::with_capacity(self.loads.len());
        let mut before = [0; 4];
        for (index, more) in self.loads.iter().enumerate() {
            before = old.loads.0.get(index).map_or(before, fields);
            let field = |field: usize| add(before[field], more[field]).ok_or(BAD);
            let load = Load { address: field(0)?, offset: field(1)?, in_file: field(2)?, in_memory: field(3)? };
            load.address.checked_add(load.in_memory.max(load.in_file)).ok_or(BAD)?;
            load.offset.checked_add(load.in_file).ok_or(BAD)?;
            loads.push(load);
        }
        let mut now = Bases::default();
        for base in Base::ALL.map(|base| base as usize) {
            now.0[base] = add(i64::from(bases.0[base]), self.bases[base]).ok_or(BAD)?;
        }
        Ok((Loads(loads), now))
    }

    fn write(&self, into: &mut Vec<u8>) {
        put_varint(self.loads.len() as u64, into);
        for value in self.loads.iter().flatten().chain(&self.bases) {
            put_varint(zigzag(*value), into);
        }
        let table = self.table.map_or([0; 5], FrameTable::fields);
        let table = if self.table.is_some() { &table[..] } else { &table[..1] };
        let rest =
            [self.code.from.into(), self.code.to.into(), self.tapes.0 as u64, self.tapes.1 as u64, self.slots as u64];
        for value in table.iter().copied().chain(rest) {
            put_varint(value, into);
        }
    }

    fn read(machine: Machine, reader: &mut Reader<'_>, old_length: u32, length: u32) -> Result<Model, ApplyError> {
        let count = reader.number()?;
        if count == 0 || count > MOST_LOADS as u64 {
            return Err(ApplyError::Damaged("there are too many loads, or none"));
        }
        let mut loads = Vec::new();
        for _ in 0..count {
            let mut load = [0; 4];
            for field in &mut load {
                *field = unzigzag(reader.number()?);
            }
            loads.push(load);
        }
        let mut bases = [0; 7];
        for base in &mut bases {
            *base = unzigzag(reader.number()?);
        }
        let table = FrameTable::read(|| reader.number(), length)?;
        let code = Code { from: reader.length()?, to: reader.length()? };
        if code.from > code.to || code.to > length {
            return Err(ApplyError::Damaged("the code lies outside of the file"));
        }
        let tape = |bytes: u64| {
            let bytes = usize::try_from(bytes).ok().filter(|&bytes| bytes <= old_length as usize);
            bytes.ok_or(ApplyError::Damaged("there are more references than bytes"))
        };
        let tapes = (tape(reader.number()?)?, tape(reader.number()?)?);
        let slots = usize::try_from(reader.number()?).ok().filter(|&slots| slots <= old_length as usize);
        let slots = slots.ok_or(ApplyError::Damaged("there is more to learn than bytes"))?;
        Ok(Model { machine, loads, bases, table, code, tapes, slots })
    }
}

fn fields(load: &Load) -> [i64; 4] {
    [load.address, load.offset, load.in_file, load.in_memory].map(i64::from)
}

/// One stream: the bytes that it holds, and how they are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coded<'a> {
    pub(super) kind: Stream,
    pub(super) length: u64,
    pub(super) coded: &'a [u8],
}

/// A delta, of which nothing is decoded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container<'a> {
    pub(super) from: [u8; 32],
    pub(super) old_length: u32,
    pub(super) length: u32,
    pub(super) model: Option<Model>,
    pub(super) segments: usize,
    pub(super) streams: Vec<Coded<'a>>,
}

impl<'a> Container<'a> {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut all = Format::Fxd1.magic().to_vec();
        all.extend(self.from);
        put_varint(u64::from(self.old_length), &mut all);
        put_varint(u64::from(self.length), &mut all);
        all.push(match self.model.as_ref().map(|model| model.machine) {
            None => 0,
            Some(Machine::X86) => 1,
            Some(Machine::Arm) => 2,
        });
        if let Some(model) = &self.model {
            model.write(&mut all);
        }
        put_varint(self.segments as u64, &mut all);
        for stream in &self.streams {
            put_varint(stream.length, &mut all);
            put_varint(stream.coded.len() as u64, &mut all);
        }
        self.streams.iter().for_each(|stream| all.extend(stream.coded));
        all
    }

    pub(super) fn read(delta: &'a [u8]) -> Result<Container<'a>, ApplyError> {
        let rest = delta.strip_prefix(Format::Fxd1.magic()).ok_or(ApplyError::NotADelta)?;
        let (from, rest) = rest.split_first_chunk().ok_or(TOO_SHORT)?;
        let mut reader = Reader(rest);
        let (old_length, length) = (reader.length()?, reader.length()?);
        let model = match reader.byte()? {
            0 => None,
            1 => Some(Model::read(Machine::X86, &mut reader, old_length, length)?),
            2 => Some(Model::read(Machine::Arm, &mut reader, old_length, length)?),
            _ => return Err(ApplyError::Damaged("it is for an unknown processor")),
        };
        let segments = reader.number()?;
        let mut lengths = Vec::new();
        for _ in STREAMS {
            lengths.push((reader.number()?, reader.number()?));
        }
        let mut streams = Vec::new();
        let mut rest = reader.0;
        for ((kind, _), (length, coded)) in STREAMS.into_iter().zip(lengths) {
            let coded = usize::try_from(coded).map_err(|_| TOO_SHORT)?;
            let (coded, behind) = rest.split_at_checked(coded).ok_or(TOO_SHORT)?;
            let kind = self::kind(kind, model.as_ref().map(|model| model.machine));
            streams.push(Coded { kind, length, coded });
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(ApplyError::Damaged("bytes follow the last stream"));
        }
        let control = streams[..3].iter().try_fold(0u64, |sum, stream| sum.checked_add(stream.length));
        if control.is_none_or(|control| control > MOST_CONTROL) || segments > streams[0].length {
            return Err(ApplyError::Damaged("there is more control than there may be"));
        }
        let segments = usize::try_from(segments).ok().filter(|&segments| segments <= MOST_SEGMENTS);
        let segments = segments.ok_or(ApplyError::Damaged("there are too many segments"))?;
        if streams[3].length > u64::from(length) {
            return Err(ApplyError::Damaged("there are more new bytes than bytes"));
        }
        Ok(Container { from: *from, old_length, length, model, segments, streams })
    }

    /// The anonymous memory that applying takes, in bytes: all of it, as the header says.
    pub(super) fn memory(&self) -> Result<u64, ApplyError> {
        let mut streams = 0;
        for together in TOGETHER {
            let mut sum = 0u64;
            for stream in &self.streams[together] {
                sum = sum
                    .saturating_add(memory(stream.kind, stream.coded, stream.length)?)
                    .saturating_add(numbers::MEMORY);
            }
            streams = sum.max(streams);
        }
        let segments = self.segments as u64;
        let mut all = streams.saturating_add(segments * size_of::<Segment>() as u64 + FIXED);
        if let Some(model) = &self.model {
            let old = u64::from(self.old_length);
            let tapes = (model.tapes.0 + model.tapes.1 + 2 * LONGEST) as u64 + 2 * index_memory(old);
            let starts = if model.machine == Machine::X86 { old / 32 } else { 0 };
            all = all.saturating_add(tapes + starts + map::memory(segments, old) + learned::memory(model.slots as u64));
        }
        Ok(all)
    }

    pub(super) fn stream(&self, index: usize, limits: &Limits) -> Result<Decoder<'a>, ApplyError> {
        let stream = &self.streams[index];
        Decoder::new(stream.kind, stream.coded, stream.length, limits)
    }

    pub(super) fn numbers(&self, index: usize, limits: &Limits) -> Result<Numbers<'a>, ApplyError> {
        Ok(Numbers::new(self.stream(index, limits)?))
    }
}

/// What every delta takes, roughly: the tables of sections and loads, and what is on the stack.
const FIXED: u64 = 1 << 20;

const TOO_SHORT: ApplyError = ApplyError::Damaged("it ends too early");

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, ApplyError> {
        let (first, rest) = self.0.split_first().ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, ApplyError> {
        varint(|| self.byte())
    }

    fn length(&mut self) -> Result<u32, ApplyError> {
        let length = u32::try_from(self.number()?).ok().filter(|&length| u64::from(length) <= MOST_LENGTH);
        length.ok_or(ApplyError::Damaged("a file is longer than fxd-1 can say"))
    }
}

#[cfg(test)]
mod tests;
