//! `fetchd fleet doctor`: what a store can do.

use clap::ArgMatches;

use super::super::Out;
use crate::clock::Timestamp;
use crate::failure::{Exit, Reported};
use crate::fleet::Feature;
use crate::rollout::doctor::{examine, write_down};

pub(crate) fn doctor(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let store = super::store(matches)?;
    let found = store.run(async |carrier| examine(carrier, Timestamp::now()).await)?;
    if out.json() {
        out.object(&found);
    } else {
        out.bytes(found.to_text().as_bytes());
    }
    if !matches.get_flag("dry-run") {
        store.run(async |carrier| write_down(carrier, &found.caps).await)?;
    }
    for needed in matches.get_many::<Feature>("need").unwrap_or_default() {
        found.caps.allows(*needed)?;
    }
    Ok(Exit::Done)
}
