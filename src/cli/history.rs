//! `fetchd history`.

use clap::ArgMatches;

use super::{Out, operate};
use crate::failure::{Exit, Reported};
use crate::state::{Event, Store};

/// Prints what happened, newest last. With `--json`, one object a line.
pub(super) fn history(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let place = operate::place(matches)?;
    let limit = matches.get_one::<usize>("limit").copied().unwrap_or(usize::MAX);
    let events = Store::read_only(&place.state_dir)?.history(limit)?;
    for event in &events {
        if out.json() {
            // The lines of the history carry their own schema.
            match serde_json::to_string(event) {
                Ok(text) => out.line(text),
                Err(e) => tracing::warn!(error = %e, "a line of the history cannot be printed"),
            }
        } else {
            out.line(line(event));
        }
    }
    if events.is_empty() && !out.json() {
        out.line(format!("nothing has happened yet (`{}`)", place.state_dir.display()));
    }
    Ok(Exit::Done)
}

fn line(event: &Event) -> String {
    let version = event.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let digest = event.sha256.map(|sha256| format!(" ({})", sha256.short())).unwrap_or_default();
    let code = event.code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
    let message = event.message.as_deref().unwrap_or_default().replace('\n', "\n    ");
    format!("{}  {:<20}{version}{digest}{code} {message}", event.at, event.event).trim_end().to_owned()
}
