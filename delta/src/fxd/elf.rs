//! What is read of an ELF file: where it is loaded, and which of its sections hold references.

use super::bytes::{u16_at, u32_at, u64_at};

/// The most that is read of either table; real programs have 15 and 60.
pub(super) const MOST_LOADS: usize = 32;
const MOST_SECTIONS: usize = 4096;

const PT_LOAD: u32 = 1;
const SHF_EXECINSTR: u64 = 4;
pub(super) const SHT_PROGBITS: u32 = 1;
pub(super) const SHT_SYMTAB: u32 = 2;
pub(super) const SHT_NOBITS: u32 = 8;
pub(super) const SHT_DYNSYM: u32 = 11;

/// The processors whose references are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    X86,
    Arm,
}

/// A part of the file that is mapped into memory. All of it lies below 4 GiB, in the file as in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) address: u32,
    pub(super) offset: u32,
    pub(super) in_file: u32,
    pub(super) in_memory: u32,
}

/// Where what is mapped lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loads(pub(super) Vec<Load>);

impl Loads {
    pub(super) fn address(&self, offset: u32) -> Option<u32> {
        let load = self.0.iter().find(|load| offset >= load.offset && offset - load.offset < load.in_file)?;
        load.address.checked_add(offset - load.offset)
    }

    pub(super) fn offset(&self, address: u32) -> Option<u32> {
        let load = self.0.iter().find(|load| address >= load.address && address - load.address < load.in_file)?;
        load.offset.checked_add(address - load.address)
    }

    /// Whether `address` is in what is mapped, or just behind it.
    pub(super) fn holds(&self, address: u32) -> bool {
        self.0.iter().any(|load| address >= load.address && address - load.address <= load.in_memory)
    }

    pub(super) fn relocatable(&self) -> bool {
        self.0.first().is_some_and(|load| load.address == 0)
    }
}

/// What a section's name says that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Text,
    ReadOnly,
    Relocations,
    TypeLinks,
    Frames,
    FrameTable,
    PcLines,
    GoFunctions,
    GoTypes,
    GoModule,
    Pointers,
    Other,
}

impl Role {
    fn of(name: &[u8]) -> Role {
        match name {
            b".text" => Role::Text,
            b".rela.dyn" | b".rela.plt" => Role::Relocations,
            b".typelink" => Role::TypeLinks,
            b".eh_frame" => Role::Frames,
            b".eh_frame_hdr" => Role::FrameTable,
            b".gopclntab" | b".data.rel.ro.gopclntab" => Role::PcLines,
            b".go.func.*" | b".go.func" => Role::GoFunctions,
            b".go.type" => Role::GoTypes,
            b".go.module" => Role::GoModule,
            b".init_array" | b".fini_array" | b".got" | b".data.rel.ro" | b".data" => Role::Pointers,
            _ if name.starts_with(b".rodata") => Role::ReadOnly,
            _ => Role::Other,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) role: Role,
    /// `sh_type`.
    pub(super) sort: u32,
    pub(super) executable: bool,
    pub(super) address: u32,
    pub(super) offset: usize,
    pub(super) size: usize,
}

impl Section {
    pub(super) fn end(&self) -> usize {
        self.offset + self.size
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elf {
    pub(super) machine: Machine,
    pub(super) loads: Loads,
    /// In the order of the section table.
    pub(super) sections: Vec<Section>,
}

impl Elf {
    /// `None` where the file is no whole ELF program of 64 bits for a known processor.
    pub(super) fn read(file: &[u8]) -> Option<Elf> {
        if !file.starts_with(b"\x7fELF\x02\x01\x01") || u32::try_from(file.len()).is_err() {
            return None;
        }
        if !matches!(u16_at(file, 16)?, 2 | 3) {
            return None;
        }
        let machine = match u16_at(file, 18)? {
            62 => Machine::X86,
            183 => Machine::Arm,
            _ => return None,
        };
        Some(Elf { machine, loads: loads(file)?, sections: sections(file)? })
    }

    pub(super) fn section(&self, role: Role) -> Option<&Section> {
        self.sections.iter().find(|section| section.role == role)
    }

    /// The lowest address of a section, which is the lowest that a pointer can have.
    pub(super) fn lowest(&self) -> Option<u32> {
        self.sections.iter().map(|section| section.address).filter(|&address| address > 0).min()
    }
}

fn loads(file: &[u8]) -> Option<Loads> {
    let table = usize::try_from(u64_at(file, 32)?).ok()?;
    let mut loads = Vec::new();
    for index in 0..usize::from(u16_at(file, 56)?) {
        let at = table.checked_add(index * 56)?;
        if u32_at(file, at)? != PT_LOAD {
            continue;
        }
        let field = |offset: usize| u32::try_from(u64_at(file, at.checked_add(offset)?)?).ok();
        let load = Load { offset: field(8)?, address: field(16)?, in_file: field(32)?, in_memory: field(40)? };
        load.address.checked_add(load.in_memory.max(load.in_file))?;
        if load.offset.checked_add(load.in_file)? as usize > file.len() || loads.len() == MOST_LOADS {
            return None;
        }
        loads.push(load);
    }
    (!loads.is_empty()).then_some(Loads(loads))
}

fn sections(file: &[u8]) -> Option<Vec<Section>> {
    let table = usize::try_from(u64_at(file, 40)?).ok()?;
    let count = usize::from(u16_at(file, 60)?);
    let header = |index: usize| table.checked_add(index * 64);
    if count == 0 || count > MOST_SECTIONS {
        return None;
    }
    let names = u64_at(file, header(usize::from(u16_at(file, 62)?))?.checked_add(24)?)?;
    let mut sections = Vec::with_capacity(count);
    for index in 0..count {
        let at = header(index)?;
        // The whole header is there, so that no field below can overflow.
        file.get(at..at.checked_add(64)?)?;
        let name = usize::try_from(names.checked_add(u64::from(u32_at(file, at)?))?).ok()?;
        let name = file.get(name..)?;
        let length = name.iter().take(64).position(|&byte| byte == 0).unwrap_or(0);
        let sort = u32_at(file, at + 4)?;
        let (offset, size) = (u32::try_from(u64_at(file, at + 24)?).ok()?, u64_at(file, at + 32)?);
        let in_file = if sort == SHT_NOBITS { 0 } else { u32::try_from(size).ok()? };
        if offset.checked_add(in_file)? as usize > file.len() && in_file > 0 {
            return None;
        }
        sections.push(Section {
            role: Role::of(name.get(..length)?),
            sort,
            executable: u64_at(file, at + 8)? & SHF_EXECINSTR != 0,
            address: u32::try_from(u64_at(file, at + 16)?).ok()?,
            offset: offset as usize,
            size: in_file as usize,
        });
    }
    Some(sections)
}
