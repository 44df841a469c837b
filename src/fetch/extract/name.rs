//! The names of entries: plain paths below nowhere, or refused.

use super::Which;
use crate::fetch::failure::{ArchiveFault, FetchFailure};

/// `raw` without `.` components and a trailing `/`, if it is a relative path that stays below
/// where it starts and can name a file on any system.
pub(super) fn plain(raw: &[u8]) -> Result<String, FetchFailure> {
    let refused =
        || FetchFailure::from(ArchiveFault::UnsafeName { name: raw[..raw.len().min(256)].escape_ascii().to_string() });
    let text = std::str::from_utf8(raw).map_err(|_| refused())?;
    let drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic();
    if text.is_empty() || text.len() > 4096 || text.starts_with('/') || text.contains('\\') || drive {
        return Err(refused());
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(refused()),
            part if part.chars().any(char::is_control) => return Err(refused()),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

impl Which<'_> {
    /// What is looked for, in a message.
    pub(super) fn asked(&self) -> Option<String> {
        match self {
            Which::Only => None,
            Which::At(entry) | Which::Called(entry) => Some((*entry).to_owned()),
        }
    }
}

/// Finds the one entry that is meant while entries pass by.
#[derive(Debug)]
pub(super) struct Search {
    wanted: Wanted,
    asked: Option<String>,
    found: bool,
}

#[derive(Debug)]
enum Wanted {
    Any,
    Path(String),
    Name(String),
}

impl Search {
    pub(super) fn new(which: Which<'_>) -> Result<Search, FetchFailure> {
        let wanted = match which {
            Which::Only => Wanted::Any,
            Which::At(entry) => Wanted::Path(plain(entry.as_bytes())?),
            Which::Called(name) => Wanted::Name(name.to_owned()),
        };
        Ok(Search { wanted, asked: which.asked(), found: false })
    }

    /// Whether this entry is the one. `Err` if it should be and cannot, or if it is the second.
    pub(super) fn matches(&mut self, name: &str, regular: bool) -> Result<bool, FetchFailure> {
        match &self.wanted {
            Wanted::Path(wanted) if wanted != name => return Ok(false),
            Wanted::Path(_) if self.found => {}
            Wanted::Path(_) if !regular => return Err(ArchiveFault::NotAFile { name: name.to_owned() }.into()),
            Wanted::Name(wanted) if name.rsplit('/').next() != Some(wanted) => return Ok(false),
            Wanted::Any | Wanted::Name(_) if !regular => return Ok(false),
            _ => {}
        }
        if std::mem::replace(&mut self.found, true) {
            return Err(ArchiveFault::Ambiguous { entry: self.asked.clone() }.into());
        }
        Ok(true)
    }

    /// After the last entry.
    pub(super) fn end(self) -> Result<(), FetchFailure> {
        if self.found { Ok(()) } else { Err(ArchiveFault::Missing { entry: self.asked }.into()) }
    }
}

/// More entries than this are refused.
pub(super) const MOST_ENTRIES: u64 = 10_000;

/// Counts an entry.
pub(super) fn count(entries: &mut u64) -> Result<(), FetchFailure> {
    *entries += 1;
    if *entries > MOST_ENTRIES { Err(ArchiveFault::Crowded { limit: MOST_ENTRIES }.into()) } else { Ok(()) }
}
