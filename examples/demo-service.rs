//! A small HTTP service that hands over without losing a request, and that fails on request.
//!
//! `cargo run --example demo-service --features hyper -- --bind 127.0.0.1:8080`

use std::process::ExitCode;

fn main() -> ExitCode {
    fetchd::demo::service::main(std::env::args_os().skip(1))
}
