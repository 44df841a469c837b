//! The handoff, with real processes and sockets: nothing is lost, nothing leaks, and the contract with the
//! service and with systemd holds.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]

#[path = "../support/http2.rs"]
mod http2;
#[path = "../support/site.rs"]
mod site;

mod bench;
mod changed;
mod contract;
mod crash;
mod datagrams;
mod deadlines;
mod endurance;
mod load;
mod orphan;
mod programs;
mod services;
mod signals;
mod sockets;
mod systemd;
