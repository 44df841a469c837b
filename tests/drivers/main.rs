//! Services that somebody else runs, with the real nginx, gunicorn, unicorn, HAProxy and supervisord: each is brought to a new
//! release, and what cannot run is taken back.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]

#[allow(dead_code, reason = "a part of it is used")]
#[path = "../upgrader/chain.rs"]
mod chain;
#[path = "../support/failures.rs"]
mod failures;
#[path = "../support/processes.rs"]
mod processes;
#[path = "../support/site.rs"]
mod site;

mod command;
mod gunicorn;
mod haproxy;
mod matrix;
mod nginx;
mod own;
mod scene;
mod settings;
mod signal;
mod supervisord;
mod systemd;
mod unicorn;
