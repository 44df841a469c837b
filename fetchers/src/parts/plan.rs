//! How many parts at once, and of what size.

use crate::options::{ConfigError, Known};

/// How an object is read in parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Requests at the same time for one download.
    pub(crate) connections: usize,
    /// Bytes asked for with one request.
    pub(crate) part_size: u64,
}

/// The smallest and the largest part: below, requests cost more than bytes; above, memory does.
const SIZES: std::ops::RangeInclusive<u64> = 64 * 1024..=64 * 1024 * 1024;

/// What the parts of a download may take together, in bytes: a worker has 1 GiB for everything.
const MOST_IN_MEMORY: u64 = 256 * 1024 * 1024;

impl Plan {
    /// As `options` say, or four connections and parts of `part_size`.
    pub(crate) fn read(options: Known<'_>, part_size: u64) -> Result<Plan, ConfigError> {
        let connections = match options.one("connections")? {
            None => 4,
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| (1..=16).contains(count))
                .ok_or_else(|| ConfigError::new("the option `connections` is not a number from 1 to 16"))?,
        };
        let part_size = size(options, "part_size")?.unwrap_or(part_size);
        if part_size.saturating_mul(connections as u64) > MOST_IN_MEMORY {
            return Err(ConfigError::new("`part_size` times `connections` is more than 256 MiB, all of it memory")
                .hint("make one of them smaller"));
        }
        Ok(Plan { connections, part_size })
    }
}

/// The option `name`: a size in `KiB` or `MiB`.
pub(crate) fn size(options: Known<'_>, name: &str) -> Result<Option<u64>, ConfigError> {
    let Some(text) = options.one(name)? else { return Ok(None) };
    let (number, unit) = match text.strip_suffix("MiB") {
        Some(number) => (number, 1024 * 1024),
        None => (text.strip_suffix("KiB").unwrap_or_default(), 1024),
    };
    let size = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|size| SIZES.contains(size)).map(Some).ok_or_else(|| {
        ConfigError::new(format!("the option `{name}` is not a size from 64 KiB to 64 MiB")).hint("write it as `8MiB`")
    })
}
