//! The S3 fetcher against servers that behave, misbehave and lie.

mod conformance;
mod server;
mod settings;
mod support;
mod surroundings;
mod wire_download;
mod wire_errors;
mod wire_poll;
