//! `fetchd completions`.

use clap::ArgMatches;
use clap_complete::Shell;

use super::{Out, args};
use crate::failure::{Exit, Reported};

pub(super) fn print(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let shell = match matches.get_one::<String>("shell").map(String::as_str) {
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "fetchd", &mut text);
    out.bytes(&text);
    Ok(Exit::Done)
}
