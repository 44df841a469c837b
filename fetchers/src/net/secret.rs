//! Secrets in files and in headers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reqwest::header::HeaderValue;

use crate::options::ConfigError;

/// A file of secrets larger than this is not one.
const FILE_LIMIT: u64 = 64 * 1024;

/// What is in `file`. Errors name the option and not the file: where a path is meant, people
/// paste the token itself.
pub(crate) fn contents(option: &str, file: &Path) -> Result<String, ConfigError> {
    let refused = |why: &str| ConfigError::new(format!("the `{option}` {why}"));
    let seen = fs::metadata(file).map_err(|error| refused(&format!("cannot be read: {error}")))?;
    if !seen.is_file() || seen.len() > FILE_LIMIT {
        return Err(refused("is not a file of at most 65,536 bytes"));
    }
    fs::read_to_string(file).map_err(|error| refused(&format!("cannot be read: {error}")))
}

/// Warns if others than its owner may read `file`.
pub(crate) fn warn_if_open(option: &str, file: &Path) {
    if let Ok(seen) = fs::metadata(file)
        && seen.permissions().mode() & 0o077 != 0
    {
        let mode = format!("{:04o}", seen.permissions().mode() & 0o7777);
        tracing::warn!(option, %mode, "a file of secrets is open to other users; make it 0600");
    }
}

/// A header whose Debug hides the value; nothing if no header can have it.
pub(crate) fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}
