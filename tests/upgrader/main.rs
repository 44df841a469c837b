//! The direct handoff, with real processes, sockets and load: nothing is lost, and whatever goes wrong, one process
//! accepts and the next upgrade works.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]

#[path = "../support/http2.rs"]
mod http2;
#[path = "../support/processes.rs"]
mod processes;
#[path = "../support/site.rs"]
mod site;

mod chain;
mod deaths;
mod drains;
mod failures;
mod kept;
mod load;
mod refusals;
mod systemd;
mod threads;
