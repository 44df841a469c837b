//! The command line: one file for each command, one table that joins them.

mod apply;
mod args;
mod bar;
mod completions;
mod config;
mod delta;
mod demo;
mod failed;
#[cfg(feature = "fleet")]
mod fleet;
mod history;
mod inspect;
mod keygen;
mod keys;
pub mod logging;
mod man;
mod operate;
mod out;
mod own;
mod password;
mod publish;
mod release;
mod run;
mod self_update;
mod settings;
mod sign;
mod state;
mod status;
mod usage;
mod verify;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::ArgMatches;
use serde::Serialize;

pub use failed::Failed;
pub use out::{Out, SCHEMA};
pub use settings::load;

use crate::daemon::probe;
use crate::failure::{Exit, Reported, report};

/// A command: reads its arguments, writes its data, and ends with an exit code or a failure.
type Act = fn(&ArgMatches, &mut Out) -> Result<Exit, Reported>;

/// How a command that did not fail ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// With a code of the table.
    Exit(Exit),
    /// With the code of the service that it ran.
    Service(u8),
}

impl From<Exit> for Ended {
    fn from(exit: Exit) -> Ended {
        Ended::Exit(exit)
    }
}

/// The commands and the functions that carry them out.
const DISPATCH: &[(&str, Act)] = &[
    ("check", apply::check),
    ("apply", apply::apply),
    ("rollback", operate::rollback),
    ("restart", operate::restart),
    ("hold", operate::hold),
    ("unhold", operate::unhold),
    ("status", status::status),
    ("history", history::history),
    ("state show", state::show),
    ("state repair", state::repair),
    ("keygen", keygen::keygen),
    ("sign", sign::sign),
    ("verify", verify::verify),
    ("publish", publish::publish),
    ("keys init", keys::init),
    ("keys add", keys::add),
    ("keys remove", keys::remove),
    ("keys rotate", keys::rotate),
    ("keys sign", keys::sign),
    ("keys show", keys::show),
    ("keys publish", keys::publish),
    ("inspect", inspect::inspect),
    ("delta create", delta::create),
    ("delta apply", delta::apply),
    ("delta inspect", delta::inspect),
    ("self-update", self_update::self_update),
    ("config init", config::init),
    ("config check", config::check),
    ("config show", config::show),
    ("completions", completions::print),
    ("man", man::print),
];

/// All of them.
fn commands() -> impl Iterator<Item = &'static (&'static str, Act)> {
    #[cfg(feature = "fleet")]
    let more = fleet::DISPATCH;
    #[cfg(not(feature = "fleet"))]
    let more: &[(&str, Act)] = &[];
    DISPATCH.iter().chain(more)
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(ended) = other_roles(&words) {
        return ended;
    }
    // A smoke run of fetchd itself asks only this, and the whole command line takes a while to build.
    if let [_, only] = words.as_slice()
        && (only == "--version" || only == "-V")
    {
        let mut out = Out::new(false);
        out.line(concat!("fetchd ", env!("CARGO_PKG_VERSION")));
        return end(Ok(Exit::Done.into()), out);
    }
    if let [_, one, two] = words.as_slice()
        && (one == "--version" && two == "--verbose" || one == "--verbose" && two == "--version")
    {
        let mut out = Out::new(false);
        out.line(concat!("fetchd ", env!("CARGO_PKG_VERSION")));
        out.line(format!("sha256: {}", crate::digest::Sha256::instructions()));
        return end(Ok(Exit::Done.into()), out);
    }
    let json = usage::wants_json(&words);
    let matches = match args::command().try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) => return end(usage::end(&error).map(Ended::Exit), Out::new(json)),
    };
    let (name, matches) = path(&matches);
    let mut out = Out::new(matches.try_get_one::<bool>("json").ok().flatten() == Some(&true));
    let result = match commands().find(|(known, _)| *known == name) {
        Some((_, act)) => act(matches, &mut out).map(Ended::Exit),
        None if name == "run" => run::run(matches).map(Ended::Service),
        None if name == "demo" => demo::demo(matches, &mut out),
        None => Err(Failed::NotBuiltIn { command: name }.into()),
    };
    end(result, out)
}

/// The command's whole name and its own matches.
fn path(matches: &ArgMatches) -> (String, &ArgMatches) {
    match matches.subcommand() {
        Some((name, inner)) => match path(inner) {
            (rest, innermost) if !rest.is_empty() => (format!("{name} {rest}"), innermost),
            _ => (name.to_owned(), inner),
        },
        None => (String::new(), matches),
    }
}

/// What this program is when it is not a command: a worker, the demo's service, a health probe.
fn other_roles(words: &[OsString]) -> Option<ExitCode> {
    if std::env::var_os("FETCHD_ROLE").is_some_and(|role| role == "worker") {
        return Some(crate::fetch::serve());
    }
    if let Some(url) = words.get(1..).and_then(probe::asked) {
        return Some(probe::main(url));
    }
    match words {
        [_, command, rest @ ..] if command == "demo-service" => Some(crate::demo::service::main(rest.iter().cloned())),
        // A release that is fetchd itself must not start a supervisor when it is asked for its version.
        [_, command, ..] if command == "run" && std::env::var_os(crate::verify::SMOKE_MARK).is_some() => {
            out::say("error: `fetchd run` was started by a smoke run [start.smoke]");
            Some(Exit::Usage.number().into())
        }
        _ => None,
    }
}

fn end(result: Result<Ended, Reported>, mut out: Out) -> ExitCode {
    let ended = result.unwrap_or_else(|failure| {
        if out.json() {
            out.object(&Error::of(&failure));
        }
        out::say(&report(&failure));
        failure.exit.into()
    });
    match out.finish() {
        Ok(()) => match ended {
            Ended::Exit(exit) => exit.number().into(),
            Ended::Service(code) => code.into(),
        },
        Err(source) => {
            out::say(&report(&Failed::Output { source }.into()));
            Exit::Install.number().into()
        }
    }
}

/// A failure as it stands on stdout with `--json`.
#[derive(Serialize)]
struct Error<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    exit: u8,
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> Error<'a> {
    fn of(failure: &'a Reported) -> Error<'a> {
        Error { error: ErrorBody::of(failure) }
    }
}

impl<'a> ErrorBody<'a> {
    fn of(failure: &'a Reported) -> ErrorBody<'a> {
        let Reported { code, exit, message, hint } = failure;
        ErrorBody { code, exit: exit.number(), message, hint: hint.as_deref() }
    }
}

/// The failure of writing `path`.
fn unwritable(path: &std::path::Path) -> impl FnOnce(io::Error) -> Reported + '_ {
    |source| Failed::Write { path: path.to_owned(), source }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        args::command().debug_assert();
    }

    #[test]
    fn every_command_is_dispatched() {
        for verb in args::verbs().filter(|verb| !["config", "delta", "state", "keys", "fleet"].contains(&verb.name)) {
            // Not of the table: two end with codes that are not in the other one, the third must not wait for the whole
            // command line to be built.
            let apart = ["run", "demo", "demo-service"].contains(&verb.name);
            assert!(apart || commands().any(|(name, _)| *name == verb.name), "{}", verb.name);
        }
        assert!(commands().all(|(name, _)| args::verbs().any(|verb| verb.name == *name)));
    }
}
