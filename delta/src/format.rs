//! The two formats, their names and how they begin.

use std::fmt;
use std::str::FromStr;

/// How a delta is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Dictionary-compressed zstd, RFC 9842.
    Dcz,
    /// References of programs predicted; `docs/formats/fxd-1.md`.
    Fxd1,
}

impl Format {
    /// Every format, the one that everybody reads first.
    pub const ALL: [Format; 2] = [Format::Dcz, Format::Fxd1];

    /// Its name, as manifests write it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Dcz => "dcz",
            Format::Fxd1 => "fxd-1",
        }
    }

    /// The bytes it begins with.
    pub fn magic(self) -> &'static [u8; 8] {
        match self {
            // A skippable zstd frame of 32 bytes, which is why any zstd reads on after it.
            Format::Dcz => &[0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0],
            Format::Fxd1 => b"\x89fxd-1\r\n",
        }
    }

    /// The format that `delta` begins as.
    pub fn of(delta: &[u8]) -> Option<Format> {
        Format::ALL.into_iter().find(|format| delta.starts_with(format.magic()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no format's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no delta format: dcz and fxd-1 are")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}
