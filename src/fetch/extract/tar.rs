//! Tar archives, read entry by entry.
//!
//! Extension headers are read here and not by the `tar` crate: it would take them at any size,
//! and it would silently prefer one of two contradicting sizes or names.

use std::io::{self, Read, Write};

use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::Which;
use super::limit::{Quota, copy, damaged};
use super::name::{Search, count, plain};
use crate::fetch::failure::{ArchiveFault, FetchFailure};

/// The most bytes of one extension header.
const EXTENSION: u64 = 64 * 1024;

/// Copies the one entry that is meant to `out`, and looks at all others.
pub(super) fn unpack(
    from: &mut dyn Read,
    which: Which<'_>,
    out: &mut dyn Write,
    quota: &mut Quota<'_>,
) -> Result<u64, FetchFailure> {
    let mut search = Search::new(which)?;
    let mut archive = Archive::new(Metered { from, left: quota.archive(), limit: quota.archive() });
    let (mut size, mut entries) = (0, 0);
    let mut said = Extensions::default();
    for entry in archive.entries().map_err(|e| damaged(&e))?.raw(true) {
        quota.go_on()?;
        count(&mut entries)?;
        let mut entry = entry.map_err(|e| damaged(&e))?;
        if said.take_in(&mut entry)? {
            continue;
        }
        let extensions = std::mem::take(&mut said);
        let claimed = entry.header().entry_size().map_err(|e| damaged(&e))?;
        let kind = entry.header().entry_type();
        let name = extensions.name(&entry, claimed)?;
        let name = plain(&name)?;
        if search.matches(&name, kind.is_file() && !extensions.sparse)? {
            size = copy(&mut entry, out, quota)?;
            if size != claimed {
                return Err(ArchiveFault::Damaged { message: format!("`{name}` is cut off") }.into());
            }
        }
    }
    search.end()?;
    padding(archive.into_inner())?;
    Ok(size)
}

/// What extension headers said about the entry that follows them.
#[derive(Debug, Default)]
struct Extensions {
    pax_name: Option<Vec<u8>>,
    gnu_name: Option<Vec<u8>>,
    size: Option<Vec<u8>>,
    sparse: bool,
}

impl Extensions {
    /// Reads `entry` if it is an extension header.
    fn take_in(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<bool, FetchFailure> {
        let kind = entry.header().entry_type();
        match kind {
            EntryType::XHeader | EntryType::XGlobalHeader => {
                let text = content(entry)?;
                for pair in PaxExtensions::new(&text) {
                    let pair = pair.map_err(|e| damaged(&e))?;
                    self.pax(kind, pair.key_bytes(), pair.value_bytes())?;
                }
            }
            EntryType::GNULongName => {
                let mut name = content(entry)?;
                if name.last() == Some(&0) {
                    name.pop();
                }
                once(&mut self.gnu_name, name, "a name")?;
            }
            EntryType::GNULongLink => drop(content(entry)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn pax(&mut self, kind: EntryType, key: &[u8], value: &[u8]) -> Result<(), FetchFailure> {
        let sparse = key.starts_with(b"GNU.sparse");
        if kind == EntryType::XGlobalHeader && (sparse || key == b"path" || key == b"size") {
            return Err(disagreement("every entry at once"));
        }
        match key {
            b"path" => once(&mut self.pax_name, value.to_vec(), "a name")?,
            b"size" => once(&mut self.size, value.to_vec(), "a size")?,
            _ => self.sparse |= sparse,
        }
        Ok(())
    }

    /// The name of `entry`, if all headers that speak of it say the same.
    fn name(&self, entry: &Entry<'_, impl Read>, claimed: u64) -> Result<Vec<u8>, FetchFailure> {
        if self.size.as_ref().is_some_and(|size| *size != claimed.to_string().into_bytes()) {
            return Err(disagreement("a size"));
        }
        match (&self.pax_name, &self.gnu_name) {
            (Some(pax), Some(gnu)) if pax != gnu => Err(disagreement("a name")),
            (Some(name), _) | (None, Some(name)) => Ok(name.clone()),
            (None, None) => Ok(entry.header().path_bytes().into_owned()),
        }
    }
}

fn once(slot: &mut Option<Vec<u8>>, value: Vec<u8>, what: &str) -> Result<(), FetchFailure> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(disagreement(what)),
    }
}

fn disagreement(what: &str) -> FetchFailure {
    ArchiveFault::Disagreement { what: what.to_owned() }.into()
}

fn content(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, FetchFailure> {
    let size = entry.header().entry_size().map_err(|e| damaged(&e))?;
    if size > EXTENSION {
        return Err(ArchiveFault::Damaged { message: "an extension header is too large".to_owned() }.into());
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
    if bytes.len() as u64 != size {
        return Err(ArchiveFault::Damaged { message: "an extension header is cut off".to_owned() }.into());
    }
    Ok(bytes)
}

/// Behind the end there may only be zeros.
fn padding(mut rest: impl Read) -> Result<(), FetchFailure> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) if buffer[..read].iter().all(|byte| *byte == 0) => {}
            Ok(_) => return Err(ArchiveFault::Trailing.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(damaged(&error)),
        }
    }
}

/// Fails once more than `limit` bytes have been read: entries that are skipped are unpacked too.
struct Metered<'a> {
    from: &'a mut dyn Read,
    left: u64,
    limit: u64,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(ArchiveFault::TooLarge { limit: self.limit }))?;
        Ok(read)
    }
}
