//! The S3 fetcher against servers that behave, misbehave and lie.
// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

mod server;
mod settings;
mod support;
mod surroundings;
mod wire_download;
mod wire_errors;
mod wire_poll;

fetchd_fetchers::conformance_tests!(s3, fetchd_stand_ins::s3::S3Origin::start);
