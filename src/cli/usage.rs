//! clap's errors in fetchd's form: one line, a hint, exit 64.

use std::ffi::OsString;

use clap::error::ErrorKind;

use super::{Failed, Out, out};
use crate::failure::{Exit, Reported};

/// Whether the command line asks for JSON, as far as can be told of one that does not parse.
pub(super) fn wants_json(words: &[OsString]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// Ends a run for which clap has the last word: help and version on stdout, or a usage failure.
pub(super) fn end(error: &clap::Error) -> Result<Exit, Reported> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let mut stdout = Out::new(false);
            let text = error.render();
            let text = if stdout.colour() { text.ansi().to_string() } else { text.to_string() };
            stdout.bytes(text.as_bytes());
            stdout.finish().map(|()| Exit::Done).map_err(|source| Failed::Output { source }.into())
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            out::say(error.render().to_string().trim_end());
            Err(Failed::Usage {
                message: "no command is given".to_owned(),
                hint: "`--help` lists what there is".to_owned(),
            }
            .into())
        }
        _ => Err(failed(&error.render().to_string()).into()),
    }
}

/// The first paragraph is the message, its lines and the tips are the rest.
fn failed(rendered: &str) -> Failed {
    let text = rendered.strip_prefix("error: ").unwrap_or(rendered).replace('\'', "`");
    let mut paragraphs = text.split("\n\n");
    let message: Vec<&str> = paragraphs.next().unwrap_or_default().lines().map(str::trim).collect();
    let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: ")).collect::<Vec<_>>().join("; ");
    let hint = if tips.is_empty() { "`--help` lists what can be given".to_owned() } else { tips };
    Failed::Usage { message: message.join(" "), hint }
}
