//! Ways in which servers that speak S3 differ from S3, for one request.

use hyper::http::Extensions;

/// What this request meets instead of S3. The fault layer leaves it among the request's extensions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quirks {
    pub(super) writes: Writes,
    pub(super) read_conditions_ignored: bool,
    pub(super) range_ignored: bool,
    pub(super) checksum_on_range: bool,
}

/// What becomes of the conditions of writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Writes {
    /// Checked and written in one step.
    #[default]
    Strict,
    /// Not looked at.
    Ignored,
    /// Checked, and written later without another look.
    NotAtomic,
    /// An ETag matches only without its quotes; a race is an internal error of the server.
    Unquoted,
}

impl Quirks {
    pub(super) fn of(extensions: &Extensions) -> Quirks {
        extensions.get().copied().unwrap_or_default()
    }
}
