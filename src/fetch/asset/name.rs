//! Reading the name of an asset: which system, processor and C library it speaks of.

use crate::trust::Format;

/// What the name of an asset that may be meant says.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    stem: String,
    product: Fit,
    os: bool,
    arch: bool,
    libc: u8,
}

/// How well the words that are left fit the product's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Other,
    Similar,
    Exact,
}

/// How a system, a processor or a C library is written.
struct Spelling {
    /// As in a target triple.
    name: &'static str,
    words: &'static [&'static str],
}

const SYSTEMS: [Spelling; 9] = [
    Spelling { name: "linux", words: &["linux"] },
    Spelling { name: "darwin", words: &["darwin", "macos", "mac", "osx", "apple"] },
    Spelling { name: "windows", words: &["windows", "win", "win32", "win64", "msvc", "exe"] },
    Spelling { name: "freebsd", words: &["freebsd"] },
    Spelling { name: "netbsd", words: &["netbsd"] },
    Spelling { name: "openbsd", words: &["openbsd"] },
    Spelling { name: "illumos", words: &["illumos", "solaris", "sunos"] },
    Spelling { name: "android", words: &["android"] },
    Spelling { name: "wasi", words: &["wasi", "wasm", "wasm32"] },
];

const PROCESSORS: [Spelling; 8] = [
    Spelling { name: "x86_64", words: &["amd64", "x64", "amd64v1", "64bit"] },
    Spelling { name: "aarch64", words: &["aarch64", "arm64", "armv8", "arm64v8"] },
    Spelling { name: "i686", words: &["i686", "i386", "386", "x86", "i586", "32bit"] },
    Spelling { name: "armv7", words: &["armv7", "armv7l", "armhf", "arm", "armv6", "armv6l", "armv5"] },
    Spelling { name: "riscv64", words: &["riscv64", "riscv64gc"] },
    Spelling { name: "powerpc64le", words: &["powerpc64le", "ppc64le"] },
    Spelling { name: "s390x", words: &["s390x"] },
    Spelling { name: "loongarch64", words: &["loongarch64", "loong64"] },
];

const GNU: [&str; 5] = ["gnu", "glibc", "gnueabihf", "gnueabi", "gnu64"];
const MUSL: [&str; 4] = ["musl", "musleabihf", "musleabi", "static"];
/// Parts of triples that say nothing here.
const EMPTY: [&str; 7] = ["unknown", "pc", "v", "v1", "v2", "hf", "all"];

/// Files about other files.
const SIDECARS: [&str; 20] = [
    ".minisig",
    ".sig",
    ".asc",
    ".sha256",
    ".sha256sum",
    ".sha512",
    ".sha512sum",
    ".md5",
    ".sum",
    ".pem",
    ".crt",
    ".cert",
    ".sbom",
    ".spdx",
    ".json",
    ".jsonl",
    ".txt",
    ".md",
    ".fetchd",
    ".zsync",
];
/// Files that are no program by themselves, or not one for here.
const OTHERS: [&str; 25] = [
    ".deb",
    ".rpm",
    ".apk",
    ".pkg",
    ".dmg",
    ".msi",
    ".exe",
    ".sh",
    ".ps1",
    ".rb",
    ".patch",
    ".diff",
    ".dcz",
    ".fxd",
    ".tar",
    ".tar.bz2",
    ".bz2",
    ".7z",
    ".appimage",
    ".whl",
    ".gem",
    ".jar",
    ".flatpak",
    ".snap",
    ".yml",
];

/// Whether `name` is that of a signature, a checksum or a description.
pub(super) fn is_sidecar(name: &str) -> bool {
    ends_in(name, &SIDECARS)
}

fn ends_in(name: &str, suffixes: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    suffixes.iter().any(|suffix| name.ends_with(suffix))
}

/// The triples whose programs run on `target`, the best first: a static musl program runs on any
/// Linux, one that needs glibc does not run on a musl system.
pub(super) fn acceptable(target: &str) -> Vec<String> {
    let mut all = vec![target.to_owned()];
    if target.contains("linux") && target.contains("gnu") {
        all.push(target.replace("gnu", "musl"));
    }
    all
}

/// The system and the processor of a triple, as [`SYSTEMS`] and [`PROCESSORS`] call them.
pub(super) fn parts(target: &str) -> (&'static str, &'static str) {
    let words = words(target);
    let find = |all: &'static [Spelling], fallback| {
        all.iter().find(|one| words.iter().any(|word| one.words.contains(&word.as_str()))).map_or(fallback, |o| o.name)
    };
    // An Android triple speaks of Linux too.
    let os = if words.iter().any(|word| word == "android") { "android" } else { find(&SYSTEMS, "unknown") };
    (os, find(&PROCESSORS, "unknown"))
}

/// Every way in which a system or a processor is written.
pub(super) fn spellings(name: &str) -> Vec<String> {
    let found = SYSTEMS.iter().chain(&PROCESSORS).find(|one| one.name == name);
    let mut all: Vec<String> = found.into_iter().flat_map(|one| one.words.iter().copied()).map(str::to_owned).collect();
    all.extend([name.to_owned()]);
    if name == "x86_64" {
        all.push("x86-64".to_owned());
    }
    if name == "darwin" {
        all.push("macOS".to_owned());
    }
    let capital = |word: &String| word[..1].to_ascii_uppercase() + &word[1..];
    let capitals: Vec<String> = all.iter().map(capital).collect();
    all.extend(capitals);
    all
}

impl Reading {
    /// What `name` says; `None` if it is not for `target`, or no program at all.
    pub(super) fn of(name: &str, product: &str, version: Option<&str>, target: &str) -> Option<Reading> {
        if is_sidecar(name) || ends_in(name, &OTHERS) {
            return None;
        }
        let stem = name.strip_suffix(suffix(name)).unwrap_or(name);
        let mut rest = stem.to_ascii_lowercase();
        if let Some(version) = version {
            rest = rest.replace(&version.to_ascii_lowercase(), "-");
        }
        let (os, arch) = parts(target);
        let musl_here = target.contains("musl");
        let all = words(&rest);
        // A product may itself be called after a system.
        let own = words(&product.to_ascii_lowercase());
        let begins = all.starts_with(&own);
        let said = if begins { &all[own.len()..] } else { &all[..] };
        let about = |all: &'static [Spelling]| -> Vec<&'static str> {
            let named = |word: &String| all.iter().find(|one| one.words.contains(&word.as_str())).map(|one| one.name);
            said.iter().filter_map(named).collect()
        };
        let (mut systems, processors) = (about(&SYSTEMS), about(&PROCESSORS));
        if systems.contains(&"android") {
            systems.retain(|system| *system == "android");
        }
        let universal = os == "darwin" && said.iter().any(|word| word.starts_with("universal"));
        if systems.iter().any(|said| *said != os) || (!universal && processors.iter().any(|said| *said != arch)) {
            return None;
        }
        let has = |list: &[&str]| said.iter().any(|word| list.contains(&word.as_str()));
        let libc = match (has(&GNU), has(&MUSL)) {
            (true, _) if musl_here => return None,
            (true, _) => 2,
            (false, true) if musl_here => 2,
            (false, true) => 0,
            (false, false) => 1,
        };
        let known = |word: &str| {
            let spelled = |all: &[Spelling]| all.iter().any(|one| one.words.contains(&word));
            spelled(&SYSTEMS)
                || spelled(&PROCESSORS)
                || GNU.contains(&word)
                || MUSL.contains(&word)
                || EMPTY.contains(&word)
                || word.starts_with("universal")
                || word.bytes().all(|b| b.is_ascii_digit())
        };
        let left: Vec<&String> = said.iter().filter(|word| !known(word)).collect();
        let product = match (begins, left.is_empty()) {
            (true, true) => Fit::Exact,
            (true, false) | (false, true) => Fit::Similar,
            (false, false) => Fit::Other,
        };
        let (os, arch) = (!systems.is_empty(), !processors.is_empty() || universal);
        // A name that says nothing of a machine is this product's, or nothing.
        if !os && !arch && product != Fit::Exact {
            return None;
        }
        Some(Reading { stem: stem.to_owned(), product, os, arch, libc })
    }

    /// The name without what says how the file is packed.
    pub(super) fn stem(&self) -> &str {
        &self.stem
    }

    /// The higher the better.
    pub(super) fn rank(&self) -> impl Ord + Copy + use<> {
        (self.product, self.os as u8 + self.arch as u8, self.libc)
    }
}

/// What `name` ends in because it is packed.
fn suffix(name: &str) -> &str {
    let packed = Format::of_name(name);
    if packed == Format::Raw {
        return "";
    }
    let tail = if packed.is_archive() && !name.ends_with(".zip") {
        name.rfind(".t").map_or(name.len(), |at| at)
    } else {
        name.rfind('.').unwrap_or(name.len())
    };
    &name[tail..]
}

/// The words of a name, in lower case.
fn words(text: &str) -> Vec<String> {
    let text = text.to_ascii_lowercase().replace("x86_64", "amd64").replace("x86-64", "amd64");
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
