//! The table of `tests/support/failures.rs`, played: one scene for each column, and all rows in it.

mod direct;
mod nginx;
mod own;
mod page;
mod python;
mod supervise;

use std::process::Output;

use serde_json::Value;

use crate::failures::Fault;
use crate::site::text;

/// What cannot be executed, whatever its permissions.
const GARBAGE: [u8; 4096] = [0xa5; 4096];

/// The code of what went wrong in what a command printed with `--json`; empty for nothing.
#[track_caller]
fn code_of(output: &Output) -> String {
    let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(output)));
    object["error"]["code"].as_str().unwrap_or_default().to_owned()
}

/// A health check that does to the watched process what `HOME/fault` says.
fn health(home: &str) -> String {
    format!(
        "#!/bin/sh\ncase \"$(cat {home}/fault)\" in\ndies) kill -KILL \"$FETCHD_PID\"; exit 1 ;;\nunhealthy) exit 1 ;;\nesac\n"
    )
}

/// What `HOME/fault` says for a fault.
fn word(fault: Option<Fault>) -> &'static str {
    match fault {
        Some(Fault::DiesInWatch) => "dies",
        Some(Fault::Unhealthy) => "unhealthy",
        _ => "",
    }
}
