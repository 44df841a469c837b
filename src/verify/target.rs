//! Whether a binary is for this machine, read from its header alone.

use object::endian::Endianness;
use object::read::elf::FileHeader as _;
use object::read::macho::{FatArch as _, MachHeader as _, MachOFatFile32, MachOFatFile64};
use object::{FileKind, elf, macho};

/// How much of a file [`inspect`] has to be given.
pub(super) const HEAD: u64 = 4096;

/// Whether the file that begins with `head` is a program for `triple`; the refusal as a sentence.
pub(super) fn check(head: &[u8], triple: &str) -> Result<(), String> {
    let Some(wanted) = Machine::of_triple(triple) else {
        return Err(format!("fetchd does not know what a program for `{triple}` looks like"));
    };
    let found = inspect(head)?;
    if found.iter().any(|machine| machine.runs_as(&wanted)) {
        return Ok(());
    }
    let names: Vec<_> = found.iter().map(Machine::to_string).collect();
    let names = if names.is_empty() { "no machine".to_owned() } else { names.join(" and ") };
    Err(format!("is {names}, this machine is {}", wanted.name()))
}

/// What a program is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Machine {
    system: System,
    kind: Kind,
    bits: u8,
    little: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Elf,
    MachO,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    X86,
    Arm,
    PowerPc,
    Riscv,
    LoongArch,
    Mips,
    S390,
    Sparc,
    Other(u32),
}

impl Machine {
    fn of_triple(triple: &str) -> Option<Machine> {
        let (arch, rest) = triple.split_once('-')?;
        let system = if rest.contains("apple") || rest.contains("darwin") { System::MachO } else { System::Elf };
        let (kind, bits, little) = match arch {
            "x86_64" | "amd64" | "x86_64h" if rest.ends_with("gnux32") => (Kind::X86, 32, true),
            "x86_64" | "amd64" | "x86_64h" => (Kind::X86, 64, true),
            "i386" | "i486" | "i586" | "i686" => (Kind::X86, 32, true),
            "aarch64" | "arm64" | "arm64e" => (Kind::Arm, 64, true),
            "aarch64_be" => (Kind::Arm, 64, false),
            "armeb" | "armebv7r" => (Kind::Arm, 32, false),
            _ if arch.starts_with("arm") || arch.starts_with("thumb") => (Kind::Arm, 32, true),
            _ if arch.starts_with("riscv64") => (Kind::Riscv, 64, true),
            _ if arch.starts_with("riscv32") => (Kind::Riscv, 32, true),
            "powerpc64le" => (Kind::PowerPc, 64, true),
            "powerpc64" => (Kind::PowerPc, 64, false),
            "powerpc" => (Kind::PowerPc, 32, false),
            "loongarch64" => (Kind::LoongArch, 64, true),
            "mips" | "mipsisa32r6" => (Kind::Mips, 32, false),
            "mipsel" | "mipsisa32r6el" => (Kind::Mips, 32, true),
            "mips64" | "mipsisa64r6" => (Kind::Mips, 64, false),
            "mips64el" | "mipsisa64r6el" => (Kind::Mips, 64, true),
            "s390x" => (Kind::S390, 64, false),
            "sparc64" | "sparcv9" => (Kind::Sparc, 64, false),
            _ => return None,
        };
        Some(Machine { system, kind, bits, little })
    }

    fn runs_as(&self, wanted: &Machine) -> bool {
        self == wanted && !matches!(self.kind, Kind::Other(_))
    }

    fn name(&self) -> String {
        let name = match (self.kind, self.bits, self.little) {
            (Kind::X86, 64, _) => "x86_64",
            (Kind::X86, _, _) => "x86 (32 bits)",
            (Kind::Arm, 64, true) => "aarch64",
            (Kind::Arm, 64, false) => "aarch64_be",
            (Kind::Arm, _, true) => "arm (32 bits)",
            (Kind::Arm, _, false) => "armeb (32 bits)",
            (Kind::PowerPc, 64, true) => "powerpc64le",
            (Kind::PowerPc, 64, false) => "powerpc64",
            (Kind::PowerPc, _, _) => "powerpc (32 bits)",
            (Kind::Riscv, 64, _) => "riscv64",
            (Kind::Riscv, _, _) => "riscv32",
            (Kind::LoongArch, _, _) => "loongarch64",
            (Kind::Mips, 64, true) => "mips64el",
            (Kind::Mips, 64, false) => "mips64",
            (Kind::Mips, _, true) => "mipsel",
            (Kind::Mips, _, false) => "mips",
            (Kind::S390, _, _) => "s390x",
            (Kind::Sparc, _, _) => "sparc64",
            (Kind::Other(number), _, _) => return format!("machine number {number}"),
        };
        name.to_owned()
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = match self.system {
            System::Elf => "an ELF",
            System::MachO => "a Mach-O",
        };
        write!(f, "{format} for {}", self.name())
    }
}

/// The machines the file that begins with `head` runs on; what it is instead, as a sentence, if it
/// is no program at all.
fn inspect(head: &[u8]) -> Result<Vec<Machine>, String> {
    if head.starts_with(b"#!") {
        return Err("is a script, not a compiled program".to_owned());
    }
    if head.starts_with(b"MZ") {
        return Err("is a program for Windows".to_owned());
    }
    let cut = |_| "has a damaged header".to_owned();
    match FileKind::parse(head) {
        Ok(FileKind::Elf32) => elf(elf::FileHeader32::<Endianness>::parse(head).map_err(cut)?, 32),
        Ok(FileKind::Elf64) => elf(elf::FileHeader64::<Endianness>::parse(head).map_err(cut)?, 64),
        Ok(FileKind::MachO32) => mach_o(macho::MachHeader32::<Endianness>::parse(head, 0).map_err(cut)?),
        Ok(FileKind::MachO64) => mach_o(macho::MachHeader64::<Endianness>::parse(head, 0).map_err(cut)?),
        Ok(FileKind::MachOFat32) => {
            let fat = MachOFatFile32::parse(head).map_err(cut)?;
            Ok(fat.arches().iter().map(|arch| of_cpu(arch.cputype())).collect())
        }
        Ok(FileKind::MachOFat64) => {
            let fat = MachOFatFile64::parse(head).map_err(cut)?;
            Ok(fat.arches().iter().map(|arch| of_cpu(arch.cputype())).collect())
        }
        _ => Err("is neither an ELF nor a Mach-O program".to_owned()),
    }
}

fn elf<Header: object::read::elf::FileHeader<Endian = Endianness>>(
    header: &Header,
    bits: u8,
) -> Result<Vec<Machine>, String> {
    let endian = header.endian().map_err(|_| "has a damaged header".to_owned())?;
    if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
        return Err("is an ELF file, but no program".to_owned());
    }
    let machine = header.e_machine(endian);
    let kind = match machine {
        elf::EM_X86_64 | elf::EM_386 => Kind::X86,
        elf::EM_AARCH64 | elf::EM_ARM => Kind::Arm,
        elf::EM_PPC64 | elf::EM_PPC => Kind::PowerPc,
        elf::EM_RISCV => Kind::Riscv,
        elf::EM_LOONGARCH => Kind::LoongArch,
        elf::EM_MIPS => Kind::Mips,
        elf::EM_S390 => Kind::S390,
        elf::EM_SPARCV9 => Kind::Sparc,
        other => Kind::Other(other.0.into()),
    };
    // One machine number per width for some: a 64-bit header with the 32-bit number runs nowhere.
    let wide = match machine {
        elf::EM_AARCH64 | elf::EM_PPC64 | elf::EM_SPARCV9 => bits == 64,
        elf::EM_386 | elf::EM_ARM | elf::EM_PPC => bits == 32,
        _ => true,
    };
    let kind = if wide { kind } else { Kind::Other(machine.0.into()) };
    Ok(vec![Machine { system: System::Elf, kind, bits, little: header.is_little_endian() }])
}

fn mach_o<Header: object::read::macho::MachHeader<Endian = Endianness>>(
    header: &Header,
) -> Result<Vec<Machine>, String> {
    let endian = header.endian().map_err(|_| "has a damaged header".to_owned())?;
    if header.filetype(endian) != macho::MH_EXECUTE {
        return Err("is a Mach-O file, but no program".to_owned());
    }
    Ok(vec![of_cpu(header.cputype(endian))])
}

fn of_cpu(cpu: macho::CpuType) -> Machine {
    let (kind, bits) = match cpu {
        macho::CPU_TYPE_X86_64 => (Kind::X86, 64),
        macho::CPU_TYPE_X86 => (Kind::X86, 32),
        macho::CPU_TYPE_ARM64 => (Kind::Arm, 64),
        other => (Kind::Other(other.0), 64),
    };
    Machine { system: System::MachO, kind, bits, little: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of an ELF program.
    fn elf(class: u8, data: u8, machine: u16, kind: u16) -> Vec<u8> {
        let mut head = vec![0x7f, b'E', b'L', b'F', class, data, 1, 0];
        head.resize(64, 0);
        let put = |number: u16| if data == 1 { number.to_le_bytes() } else { number.to_be_bytes() };
        head[16..18].copy_from_slice(&put(kind));
        head[18..20].copy_from_slice(&put(machine));
        head
    }

    #[test]
    fn a_program_for_this_machine_passes() {
        for (head, triple) in [
            (elf(2, 1, 62, 3), "x86_64-unknown-linux-gnu"),
            (elf(2, 1, 62, 2), "x86_64-unknown-linux-musl"),
            (elf(2, 1, 183, 3), "aarch64-unknown-linux-gnu"),
            (elf(1, 1, 40, 3), "armv7-unknown-linux-gnueabihf"),
            (elf(1, 1, 3, 3), "i686-unknown-linux-gnu"),
            (elf(2, 1, 243, 3), "riscv64gc-unknown-linux-gnu"),
            (elf(2, 2, 22, 3), "s390x-unknown-linux-gnu"),
            (elf(2, 1, 21, 3), "powerpc64le-unknown-linux-gnu"),
        ] {
            assert_eq!(check(&head, triple), Ok(()), "{triple}");
        }
    }

    #[test]
    fn a_program_for_another_machine_is_named() {
        let here = "x86_64-unknown-linux-gnu";
        for (head, message) in [
            (elf(2, 1, 183, 3), "is an ELF for aarch64, this machine is x86_64"),
            (elf(1, 1, 3, 3), "is an ELF for x86 (32 bits), this machine is x86_64"),
            (elf(1, 1, 62, 3), "is an ELF for x86 (32 bits), this machine is x86_64"),
            (elf(2, 2, 62, 3), "is an ELF for x86_64, this machine is x86_64"),
            (elf(2, 1, 4711, 3), "is an ELF for machine number 4711, this machine is x86_64"),
            (elf(2, 1, 62, 1), "is an ELF file, but no program"),
            (b"#!/bin/sh\n".to_vec(), "is a script, not a compiled program"),
            (b"MZ".to_vec(), "is a program for Windows"),
            (b"\x7fELF".to_vec(), "is neither an ELF nor a Mach-O program"),
            (elf(2, 1, 62, 3)[..40].to_vec(), "has a damaged header"),
            (vec![b'x'; 4096], "is neither an ELF nor a Mach-O program"),
        ] {
            assert_eq!(check(&head, here), Err(message.to_owned()));
        }
        assert!(check(&elf(2, 1, 62, 3), "pdp11-dec-unix").unwrap_err().contains("does not know"));
    }

    #[test]
    fn mach_o_programs_and_universal_binaries() {
        let mut thin = 0xfeed_facf_u32.to_le_bytes().to_vec();
        thin.extend_from_slice(&0x0100_000c_u32.to_le_bytes());
        thin.extend_from_slice(&0_u32.to_le_bytes());
        thin.extend_from_slice(&2_u32.to_le_bytes());
        thin.resize(32, 0);
        assert_eq!(check(&thin, "aarch64-apple-darwin"), Ok(()));
        let message = "is a Mach-O for aarch64, this machine is x86_64";
        assert_eq!(check(&thin, "x86_64-apple-darwin"), Err(message.to_owned()));
        assert!(check(&thin, "aarch64-unknown-linux-gnu").is_err());

        let mut fat = 0xcafe_babe_u32.to_be_bytes().to_vec();
        fat.extend_from_slice(&2_u32.to_be_bytes());
        for cpu in [0x0100_0007_u32, 0x0100_000c] {
            fat.extend_from_slice(&cpu.to_be_bytes());
            fat.extend_from_slice(&[0; 16]);
        }
        assert_eq!(check(&fat, "aarch64-apple-darwin"), Ok(()));
        assert_eq!(check(&fat, "x86_64-apple-darwin"), Ok(()));
        assert!(check(&fat, "i686-apple-darwin").is_err());
    }
}
