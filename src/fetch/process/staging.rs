//! The worker's own directory, before the next worker gets it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::fetch::failure::FetchFailure;

/// Removes what no honest worker makes: whatever is not a plain file with one name. A worker that was taken over may
/// have left a pipe or a link there, for the next one to wait at or to write through.
pub(super) fn tidy(staging: &Path) -> Result<(), FetchFailure> {
    let failed = |error: io::Error| FetchFailure::staging("clear", staging, &error);
    let entries = match fs::read_dir(staging) {
        Ok(entries) => entries,
        // The job will say so.
        Err(_) => return Ok(()),
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_file() && meta.nlink() == 1 {
            continue;
        }
        let removed = if meta.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(failed)?;
        tracing::warn!(event = "staging.stranger", path = %path.display(), "removed what no worker should have made");
    }
    Ok(())
}
