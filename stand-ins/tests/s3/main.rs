//! The S3 fetcher against servers that behave, misbehave and lie.
// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

mod conformance;
mod server;
mod settings;
mod support;
mod surroundings;
mod wire_download;
mod wire_errors;
mod wire_poll;
