//! fetchd inside a program: real releases, real processes, real sockets.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]

#[path = "../support/site.rs"]
mod site;

#[path = "../support/processes.rs"]
mod processes;

mod alone;
mod asked;
mod bad;
mod bench;
mod my_app;
mod one_process;
mod replace;
mod self_update;
mod updater;
