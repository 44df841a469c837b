//! `fetchd fleet gc`: what old rollouts have left.

use std::time::Duration;

use clap::ArgMatches;
use serde::Serialize;

use super::confirm::confirmed;
use super::open::Opened;
use crate::cli::release::Expiry;
use crate::cli::{Failed, Out};
use crate::failure::{Exit, Reported};
use crate::fleet::Caps;
use crate::rollout::gc::{Old, old, remove};

pub(super) fn gc(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let older = matches.get_one::<Expiry>("older").and_then(|expiry| expiry.0).unwrap_or(Duration::MAX);
    let dry_run = matches.get_flag("dry-run");
    let mut opened = Opened::new(matches, false)?;
    let caps = opened.desk().caps()?;
    opened.store.set_deletes(caps.unwrap_or_else(Caps::unknown).deletes());
    let mut desk = opened.desk();
    let found = old(&mut desk, older)?;
    if !out.json() {
        for Old { rollout, last, objects, .. } in &found {
            out.line(format!("{rollout}  {objects} objects, the last of {last}"));
        }
    }
    let mut removed = 0;
    if !dry_run && !found.is_empty() {
        if !matches.get_flag("yes") && !confirmed(out.json())? {
            let hint = "nothing was removed".to_owned();
            return Err(Failed::Usage { message: "it was not confirmed".to_owned(), hint }.into());
        }
        removed = remove(&mut desk, &found)?;
    }
    if out.json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            dry_run: bool,
            rollouts: &'a [Old],
            removed: usize,
        }
        out.object(&Answer { dry_run, rollouts: &found, removed });
    } else if dry_run {
        out.line("nothing was removed");
    } else {
        out.line(format!("{removed} objects were removed"));
    }
    Ok(Exit::Done)
}
