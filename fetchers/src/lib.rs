//! Where releases come from.
//!
//! A [`Fetcher`] polls one source and streams its assets. [`Registry::builtin`] opens the sources
//! that are compiled in, each a feature of this crate: `file`, `http`, `s3`, `github`. The crate knows nothing of
//! trust, installation or processes: all it returns are claims and bytes. A fetcher of one's own
//! depends on this crate alone, and [`conformance`](self) (feature `conformance`) is its test suite.

mod ahead;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod fetcher;
#[cfg(feature = "file")]
pub mod file;
#[cfg(all(debug_assertions, feature = "http"))]
#[doc(hidden)]
pub mod fuzz {
    //! What the fuzzer calls: `fetchd::fuzz` says how.

    pub use crate::net::fuzz::http;
}
#[cfg(feature = "github")]
pub mod github;
#[cfg(any(feature = "http", feature = "s3"))]
mod headers;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
mod net;
mod options;
#[cfg(any(feature = "http", feature = "s3"))]
mod parts;
mod redact;
mod registry;
#[cfg(feature = "s3")]
pub mod s3;

pub use ahead::{Ahead, Keeper};
pub use error::{FetchError, Kind, Retry};
pub use fetcher::{Asset, AssetName, BadAssetName, Body, Fetcher, Polled, Release, Revision, Start};
pub use options::{ConfigError, Known, Options};
pub use redact::redact;
pub use registry::{Make, Registry, SchemeTaken, parse_source, variables};

/// The largest object that a poll reads into [`Release::document`], in bytes.
pub const DOCUMENT_LIMIT: u64 = 512 * 1024;

/// Whether a path names a small document that a poll reads whole.
#[cfg(any(feature = "file", feature = "http", feature = "s3"))]
fn is_document(path: &str) -> bool {
    path.ends_with(".fetchd") || path.ends_with(".json")
}

#[cfg(doctest)]
#[doc = include_str!("../../docs/writing-a-fetcher.md")]
mod writing_a_fetcher {}
