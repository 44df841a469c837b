//! This program as one that makes or applies a single delta, so that its cost can be seen from outside.

use std::fs::{File, OpenOptions};

use fetchd_delta::map::{Mapped, Output};
use fetchd_delta::{Limits, Options};

/// `create FORMAT OLD NEW DELTA` or `apply LENGTH OLD DELTA OUT`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let [verb, argument, first, second, third] = arguments else { return Err("five arguments".into()) };
    let (old, second) = (mapped(first)?, mapped(second)?);
    if verb == "create" {
        let format = argument.parse().map_err(said)?;
        let delta = fetchd_delta::create(&old, &second, format, &Options::default()).map_err(said)?;
        return std::fs::write(third, delta).map_err(said);
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(third).map_err(said)?;
    let mut out = Output::new(&file, argument.parse().map_err(said)?).map_err(said)?;
    fetchd_delta::apply(&old, &second, &mut out, &Limits::default()).map_err(said)
}

fn mapped(path: &str) -> Result<Mapped, String> {
    File::open(path).and_then(|file| Mapped::open(&file)).map_err(|error| format!("{path}: {error}"))
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
