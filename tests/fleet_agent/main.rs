//! A host that follows its fleet: the real program, real processes, and a bucket that misbehaves when it is asked to.

#![allow(clippy::print_stderr, reason = "the long run shows how far it is")]
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

#[path = "../support/site.rs"]
mod site;

mod bucket;
mod field;
mod keys;
mod many;
mod rollout;
mod state;
mod stewards;
