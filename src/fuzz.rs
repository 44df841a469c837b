//! What bytes from outside go through, as functions of the bytes alone: for the fuzzer, and for the
//! test that replays its corpus.
//!
//! Each function panics where a promise is broken, and tells whether the bytes were taken for what
//! they should be. Only builds with debug assertions have it: `cargo test` and `cargo fuzz` need no
//! feature to be named, and a release has nothing of it. What a function asserts stands in the module
//! whose promise it is.

pub use fetchd_fetchers::fuzz::http;

pub use crate::config::fuzz::config;
pub use crate::control::fuzz::control;
pub use crate::fetch::fuzz::{archive, worker};
pub use crate::restart::supervise::fuzz::notify;
pub use crate::service::fuzz::drain;
pub use crate::trust::fuzz::{bundle, keys, manifest, minisign, sign};

/// A target of the fuzzer.
pub type Target = fn(&[u8]) -> bool;

/// Every target by its name: that of its program in `fuzz/fuzz_targets` and of its corpus.
pub const TARGETS: [(&str, Target); 11] = [
    ("archive", archive),
    ("bundle", bundle),
    ("config", config),
    ("control", control),
    ("drain", drain),
    ("http", http),
    ("keys", keys),
    ("manifest", manifest),
    ("minisign", minisign),
    ("notify", notify),
    ("worker", worker),
];
