//! Services that somebody else runs, with the real nginx, gunicorn, unicorn, HAProxy and supervisord: each is brought to a new
//! release, and what cannot run is taken back.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]

#[path = "../support/processes.rs"]
mod processes;
#[path = "../support/site.rs"]
mod site;

mod command;
mod gunicorn;
mod haproxy;
mod nginx;
mod own;
mod scene;
mod settings;
mod signal;
mod supervisord;
mod systemd;
mod unicorn;
