//! Metrics and health of a host: what a scraper sees while polls, deltas, handoffs and rollbacks happen, and that no client
//! is in the way of any of it.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]
#![allow(unreachable_pub, reason = "modules of one test program")]

#[path = "../support/site.rs"]
mod site;

mod client;
mod clients;
mod deltas;
mod format;
mod places;
mod updates;
