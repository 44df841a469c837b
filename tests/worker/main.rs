//! The whole product with a worker that fails and an origin that misbehaves: the service notices
//! nothing, the failure is told, and the next pass works.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod faults;
mod hardening;
mod malice;
mod origin;
mod signals;

#[path = "../support/processes.rs"]
mod processes;
#[path = "../support/site.rs"]
mod site;
#[path = "../support/web.rs"]
mod web;
