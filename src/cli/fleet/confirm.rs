//! A change on the command line: shown, confirmed, written.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::ArgMatches;
use serde::Serialize;

use super::open::Opened;
use crate::cli::release::Expiry;
use crate::cli::{Failed, Out, out};
use crate::clock::Timestamp;
use crate::failure::{Exit, Reported};
use crate::rollout::{Desk, Done, Effect, GOOD_FOR, Proposal, RolloutError};

/// Makes a proposal.
pub(super) type Propose<'a> = dyn Fn(&mut Desk<'_>, Duration) -> Result<Proposal, RolloutError> + 'a;

/// Shows what `propose` proposes, asks whether that is right, and writes it. Whoever was too late on a terminal is shown
/// what it would do now, and asked once more.
pub(super) fn carry_out(
    verb: &str,
    matches: &ArgMatches,
    out: &mut Out,
    propose: &Propose<'_>,
) -> Result<Exit, Reported> {
    let dry_run = matches.get_flag("dry-run");
    let yes = matches.get_flag("yes");
    let mut opened = Opened::new(matches, !dry_run)?;
    let keys = opened.keys.clone();
    let good_for = matches.get_one::<Expiry>("valid").and_then(|expiry| expiry.0).unwrap_or(GOOD_FOR);
    let mut desk = opened.desk();
    loop {
        let proposal = propose(&mut desk, good_for)?;
        expected(matches, &proposal)?;
        if !out.json() {
            let head = &proposal.after;
            out.line(format!("{verb}  {} on {}", head.product, head.channel));
            for line in proposal.effect.lines() {
                out.line(line);
            }
        }
        for note in &proposal.notes {
            out::say(&format!("note: {note}"));
        }
        if dry_run {
            return shown(verb, &proposal, None, out);
        }
        if !yes && !confirmed(out.json())? {
            let hint = "nothing was written".to_owned();
            return Err(Failed::Usage { message: "it was not confirmed".to_owned(), hint }.into());
        }
        match proposal.write(&mut desk, &keys) {
            Ok(done) => return shown(verb, &proposal, Some(&done), out),
            Err(error @ RolloutError::Changed { .. }) if !yes => {
                out::say(&crate::failure::report(&error.into()));
                out::say("this is what it would do now:");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the state that is there is the one that a script has seen.
fn expected(matches: &ArgMatches, proposal: &Proposal) -> Result<(), Reported> {
    let Some(wanted) = matches.get_one::<u64>("if-seq") else { return Ok(()) };
    let there = proposal.before.as_ref().map(|found| &found.head);
    if there.map_or(0, |head| head.seq) == *wanted {
        return Ok(());
    }
    let now = there.map_or("nothing".to_owned(), Effect::line);
    Err(RolloutError::Changed { read: *wanted, now }.into())
}

/// Asks on the terminal.
pub(super) fn confirmed(json: bool) -> Result<bool, Failed> {
    let stdin = std::io::stdin();
    if json || !stdin.is_terminal() {
        let hint = "look at it with `--dry-run`, then say `--yes`".to_owned();
        return Err(Failed::Usage { message: "nobody can be asked whether this is right".to_owned(), hint });
    }
    // What cannot be asked is not confirmed.
    let _ = write!(std::io::stderr(), "Write it? [y/N] ");
    let mut answer = String::new();
    let read = stdin.lock().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn shown(verb: &str, proposal: &Proposal, done: Option<&Done>, out: &mut Out) -> Result<Exit, Reported> {
    let notes = done.map(|done| done.notes.as_slice()).unwrap_or_default();
    for note in notes {
        out::say(&format!("note: {note}"));
    }
    if out.json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            command: &'a str,
            written: bool,
            product: &'a str,
            channel: &'a str,
            rollout: &'a str,
            release: &'a str,
            seq: u64,
            nonce: &'a str,
            valid_until: Timestamp,
            effect: &'a Effect,
            notes: Vec<&'a String>,
        }
        let head = &proposal.after;
        out.object(&Answer {
            command: verb,
            written: done.is_some(),
            product: &head.product,
            channel: &head.channel,
            rollout: &head.rollout,
            release: &head.release,
            seq: head.seq,
            nonce: &head.nonce,
            valid_until: head.valid_until,
            effect: &proposal.effect,
            notes: proposal.notes.iter().chain(notes).collect(),
        });
    } else {
        out.line(match done {
            Some(done) => format!("wrote {}", Effect::line(&done.head)),
            None => "nothing was written".to_owned(),
        });
    }
    Ok(Exit::Done)
}
