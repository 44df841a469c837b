//! The conformance suite over every fetcher there is, and over one written outside of
//! `fetchd-fetchers`. A new fetcher is one line here.

// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

#[path = "support/memory_fetcher.rs"]
mod memory_fetcher;

use fetchd_fetchers::conformance::{FileOrigin, HttpOrigin};

fetchd_fetchers::conformance_tests!(file, FileOrigin::start);
fetchd_fetchers::conformance_tests!(http, HttpOrigin::start);
fetchd_fetchers::conformance_tests!(memory, crate::memory_fetcher::MemoryOrigin::start);
