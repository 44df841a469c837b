//! fetchd replaces itself: the same process, the same children and sockets, and nothing lost.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]

#[path = "../handoff/bench.rs"]
#[allow(dead_code, reason = "this suite uses a part of it")]
mod bench;
#[path = "../support/http2.rs"]
mod http2;
#[path = "../support/site.rs"]
mod site;

mod continuity;
mod datagrams;
mod load;
mod refusals;
mod reload;
mod stand;
mod systemd;
