//! Zip archives: one reading of the file, or none.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};

use zip::ZipArchive;
use zip::result::ZipError;

use super::Which;
use super::limit::{Quota, copy, damaged};
use super::name::{MOST_ENTRIES, Search, plain};
use crate::fetch::failure::{ArchiveFault, FetchFailure};

/// The most bytes of the directory at the end.
const DIRECTORY: u64 = 16 << 20;
const END: &[u8; 4] = b"PK\x05\x06";
const END_SIZE: usize = 22;
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// Copies the one entry that is meant to `out`, and looks at all others.
pub(super) fn unpack(
    file: &mut File,
    which: Which<'_>,
    out: &mut dyn Write,
    quota: &mut Quota<'_>,
) -> Result<u64, FetchFailure> {
    let count = frame(file)?;
    let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(broken)?;
    // The reader keeps one of several entries with the same name.
    if archive.len() as u64 != count || archive.has_duplicate_names() {
        return Err(ArchiveFault::Ambiguous { entry: which.asked() }.into());
    }
    let mut search = Search::new(which)?;
    let mut chosen = None;
    for index in 0..archive.len() {
        quota.go_on()?;
        let file = archive.by_index_raw(index).map_err(broken)?;
        let name = plain(file.name_raw())?;
        let mode = file.unix_mode().unwrap_or(0) & KIND;
        let regular = !file.is_dir() && !file.is_symlink() && (mode == 0 || mode == REGULAR);
        if search.matches(&name, regular)? {
            chosen = Some(index);
        }
    }
    search.end()?;
    let index = chosen.ok_or(ArchiveFault::Missing { entry: which.asked() })?;
    let mut file = archive.by_index(index).map_err(broken)?;
    let claimed = file.size();
    if claimed > quota.binary {
        return Err(ArchiveFault::TooLarge { limit: quota.binary }.into());
    }
    let size = copy(&mut file, out, quota)?;
    if size != claimed {
        return Err(ArchiveFault::Disagreement { what: "a size".to_owned() }.into());
    }
    Ok(size)
}

/// Checks what stands around the entries, and tells how many there should be: nothing before the
/// first, nothing behind the end, no second end that another reader could take for the real one.
fn frame(file: &mut File) -> Result<u64, FetchFailure> {
    let disagree = |what: &str| FetchFailure::from(ArchiveFault::Disagreement { what: what.to_owned() });
    let length = file.seek(SeekFrom::End(0)).map_err(|e| damaged(&e))?;
    let tail = length.min(END_SIZE as u64 + u64::from(u16::MAX));
    file.seek(SeekFrom::Start(length - tail)).map_err(|e| damaged(&e))?;
    let mut bytes = Vec::new();
    file.take(tail).read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
    file.rewind().map_err(|e| damaged(&e))?;
    let mut ends = bytes.windows(END.len()).enumerate().filter(|(_, window)| *window == END).map(|(at, _)| at);
    let damage = |message: &str| FetchFailure::from(ArchiveFault::Damaged { message: message.to_owned() });
    let at = ends.next_back().ok_or_else(|| damage("it has no directory"))?;
    let end = bytes.get(at..at + END_SIZE).ok_or_else(|| damage("its directory is cut off"))?;
    let short = |from: usize| u64::from(u16::from_le_bytes([end[from], end[from + 1]]));
    let long = |from: usize| short(from) + (short(from + 2) << 16);
    if at as u64 + END_SIZE as u64 + short(20) != bytes.len() as u64 {
        return Err(ArchiveFault::Trailing.into());
    }
    let (count, size, offset) = (short(10), long(12), long(16));
    if short(4) != 0 || short(6) != 0 || short(8) != count {
        return Err(disagree("its volumes"));
    }
    if count > MOST_ENTRIES || size > DIRECTORY {
        return Err(ArchiveFault::Crowded { limit: MOST_ENTRIES }.into());
    }
    if offset + size != length - tail + at as u64 {
        return Err(disagree("where its directory is"));
    }
    Ok(count)
}

fn broken(error: ZipError) -> FetchFailure {
    match error {
        ZipError::Io(error) => damaged(&error),
        other => ArchiveFault::Damaged { message: other.to_string() }.into(),
    }
}
