//! Bad releases, one after the other, at a service under load: nobody loses a request, and the next good one goes live.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]

mod artifact;
mod bundle;
mod owner;
mod scene;
#[path = "../support/site.rs"]
mod site;
