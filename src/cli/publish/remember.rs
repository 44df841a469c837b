//! Where `fetchd publish` remembers how far channels are.

use std::env;
use std::path::PathBuf;

use clap::ArgMatches;

use crate::cli::out;
use crate::failure::{Reported, chain};
use crate::publish::{Memory, PublishError};

/// The memory that is asked for, else the usual one if it can be written.
pub(in crate::cli) fn memory(matches: &ArgMatches) -> Result<Option<Memory>, Reported> {
    if matches.get_flag("no-memory") {
        return Ok(None);
    }
    let given = matches.get_one::<PathBuf>("memory");
    let Some(path) = given.cloned().or_else(usual) else { return Ok(None) };
    let memory = Memory::at(&path);
    if matches.get_flag("dry-run") {
        return Ok(Some(memory));
    }
    match memory.prepare() {
        Ok(()) => Ok(Some(memory)),
        Err(error) if given.is_some() => Err(error.into()),
        Err(error) => {
            out::say(&format!("warning: {}; nothing is remembered of this publish", said(&error)));
            Ok(None)
        }
    }
}

fn said(error: &PublishError) -> String {
    chain(error)
}

/// `$XDG_STATE_HOME/fetchd/publish.json`. An empty or relative directory counts as none, as the specification has it.
fn usual() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("fetchd/publish.json"))
}

/// Says, once for each channel where there is a memory, that the pointer was believed.
pub(super) fn unknown(matches: &ArgMatches, pointer: &str, memory: Option<&Memory>) {
    if matches.get_flag("no-memory") {
        return;
    }
    let from_now = match memory {
        Some(memory) if !matches.get_flag("dry-run") => {
            format!("; it is remembered in `{}` from now on", memory.path().display())
        }
        _ => String::new(),
    };
    out::say(&format!(
        "note: nothing was known of `{pointer}` here, so what is there was believed{from_now}; where nothing lasts, as on \
         a build machine, say how far the channel must be with `--at-least-seq N`"
    ));
}
