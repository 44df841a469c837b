//! `fetchd fleet pause`, `resume` and what else changes the rollout that is there.

use clap::ArgMatches;

use super::confirm::carry_out;
use crate::cli::Out;
use crate::failure::{Exit, Reported};
use crate::fleet::HostId;
use crate::fleet::plan::Pin;
use crate::rollout::{Change, Proposal, seen};

pub(super) fn pause(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    change("fleet pause", &Change::Pause, matches, out)
}

pub(super) fn resume(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let hosts = matches.get_many::<String>("exclude").unwrap_or_default();
    let exclude = hosts.map(|host| host.parse().unwrap_or_else(|_| HostId::named(host))).collect();
    let ack = matches.get_one::<String>("ack").cloned();
    let change = Change::Resume { ack, exclude };
    carry_out("fleet resume", matches, out, &|desk, good_for| {
        let named = matches.get_many::<String>("exclude").unwrap_or_default();
        for host in named.filter(|_| !matches.get_flag("unseen")) {
            seen::host(desk, host)?;
        }
        Proposal::change(desk, &change, good_for)
    })
}

pub(super) fn promote(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    change("fleet promote", &Change::Promote, matches, out)
}

pub(super) fn skip_step(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    change("fleet skip-step", &Change::SkipStep, matches, out)
}

pub(super) fn abort(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    change("fleet abort", &Change::Abort, matches, out)
}

pub(super) fn finish(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    change("fleet finish", &Change::Finish, matches, out)
}

pub(super) fn pin(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let pin = Pin { host: host(matches), release: matches.get_one::<String>("pinned").cloned() };
    carry_out("fleet pin", matches, out, &|desk, good_for| {
        desk.needed_head()?;
        if !matches.get_flag("unseen") {
            seen::host(desk, &pin.host)?;
        }
        // Hosts would look for it for ever.
        if let Some(release) = &pin.release {
            desk.lies_there(release)?;
        }
        Proposal::change(desk, &Change::Pin(pin.clone()), good_for)
    })
}

pub(super) fn unpin(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    change("fleet unpin", &Change::Unpin(host(matches)), matches, out)
}

pub(super) fn retry(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    change("fleet retry", &Change::Retry, matches, out)
}

pub(super) fn renew(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    change("fleet renew", &Change::Renew, matches, out)
}

pub(super) fn host(matches: &ArgMatches) -> String {
    matches.get_one::<String>("host").cloned().unwrap_or_default()
}

fn change(verb: &str, change: &Change, matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    carry_out(verb, matches, out, &|desk, good_for| Proposal::change(desk, change, good_for))
}
