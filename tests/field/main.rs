//! The world around a server: supervisord, systemd, containers, deploy jobs, packages, other languages. With the real
//! things, and with the very files of `packaging` and `examples`.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "functions beside the tests fail as the tests do")]

#[path = "../support/failures.rs"]
mod failures;
#[path = "../support/site.rs"]
mod site;

mod bench;
mod booted;
mod container;
mod deploy;
mod languages;
mod logging;
mod machine;
mod package;
mod restarted;
mod supervisord;
mod systemd;
