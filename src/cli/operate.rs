//! What is asked of a running supervisor: `rollback`, `restart`, `hold`, `unhold`.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::ArgMatches;

use super::{Out, load, logging, out};
use crate::clock::Timestamp;
use crate::config::{ConfigError, Place};
use crate::control::{self, ControlError, Line, Request};
use crate::failure::{Exit, Reported};
use crate::units;

/// Back to the previous release.
pub(super) fn rollback(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    through(&place(matches)?, &Request::Rollback, out)
}

/// The same binary as a new process; with `--supervisor`, fetchd itself from the file at its path.
pub(super) fn restart(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let request = if matches.get_flag("supervisor") { Request::ReplaceSupervisor } else { Request::Restart };
    through(&place(matches)?, &request, out)
}

/// No installs.
pub(super) fn hold(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let until = match matches.get_one::<String>("for") {
        None => None,
        Some(text) => {
            let long = units::parse_duration(text).map_err(|e| ConfigError::Value {
                at: "`--for`".to_owned(),
                message: e.to_string(),
                hint: None,
            })?;
            Some(Timestamp::now().plus(long))
        }
    };
    let reason = matches.get_one::<String>("reason").cloned();
    through(&place(matches)?, &Request::Hold { reason, until }, out)
}

/// Installs again.
pub(super) fn unhold(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    through(&place(matches)?, &Request::Unhold, out)
}

/// Which service is meant.
pub(super) fn place(matches: &ArgMatches) -> Result<Place, Reported> {
    let settings = load(matches)?;
    logging::start(&settings);
    Ok(Place::of(&settings)?)
}

/// Asks the supervisor and prints how it ended.
pub(super) fn through(place: &Place, request: &Request, out: &mut Out) -> Result<Exit, Reported> {
    let talks = !out.json() && std::io::stderr().is_terminal();
    let doing = |what: &str| {
        if talks && what != "idle" {
            out::say(&format!("… {what}"));
        }
    };
    match control::ask(&control::path(&place.state_dir), request, LONGEST_SILENCE, doing)? {
        Line::Answer(answer) => {
            if let Some(failure) = answer.error.clone().filter(|_| answer.outcome == "failed") {
                return Err(failure);
            }
            if out.json() {
                out.object(&answer);
            } else {
                match &answer.error {
                    Some(why) => {
                        out.line(format!("{} [{}]", answer.message, why.code));
                        why.hint.iter().for_each(|hint| out.line(format!("hint: {hint}")));
                    }
                    None => out.line(&answer.message),
                }
            }
            Ok(answer.exit)
        }
        _ => Err(ControlError::Refused("the supervisor gave another answer than was asked for".to_owned()).into()),
    }
}

/// How long one step of a pass may take without a word: a drain, a watch or a slow disk.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);
