//! `fetchd fleet status`.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;

use super::open::Opened;
use crate::cli::{Out, out};
use crate::clock::Timestamp;
use crate::durable;
use crate::failure::{Exit, Reported, report};
use crate::fleet::head::Rollouts;
use crate::rollout::page::Shown;
use crate::rollout::view::Looker;
use crate::rollout::{View, metrics, page, text};

/// A rollout that is looked at, with what has been seen of it.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) opened: Opened,
    rollouts: Rollouts,
    looker: Looker,
}

impl Looked {
    /// Nothing is asked of the store yet.
    pub(super) fn new(opened: Opened) -> Looked {
        let rollouts = Rollouts { keys: opened.online.clone(), names: opened.names.clone() };
        Looked { looker: Looker::new(opened.names.clone()), rollouts, opened }
    }

    /// What is to be seen now.
    pub(super) fn look(&mut self) -> Result<View, Reported> {
        self.looker.look(&mut self.opened.store, &self.rollouts, Timestamp::now())
    }
}

/// How often `--watch` looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Prints what a rollout looks like; with `--watch`, again and again.
pub(super) fn status(matches: &ArgMatches, out: &mut Out) -> Result<Exit, Reported> {
    let mut looked = Looked::new(Opened::new(matches, false)?);
    if !matches.get_flag("watch-rollout") {
        let view = looked.look()?;
        if let Some(path) = matches.get_one::<PathBuf>("html") {
            durable::write(path, 0o644, page::file(Shown { view: Some(&view), trouble: None }).as_bytes())?;
        } else if matches.get_flag("prometheus") {
            out.bytes(metrics::text(&view, Duration::ZERO).as_bytes());
        } else if out.json() {
            out.object(&Bare(&view));
        } else {
            text::lines(&view).iter().for_each(|line| out.line(line));
        }
        return Ok(Exit::Done);
    }
    watch(&mut looked, out)
}

fn watch(looked: &mut Looked, out: &mut Out) -> Result<Exit, Reported> {
    let redraw = !out.json() && std::io::stdout().is_terminal();
    let mut shown = None;
    loop {
        match looked.look() {
            // Times go on being counted where they are redrawn; elsewhere only what changes is printed.
            Ok(view) if redraw => {
                // Home, then clear what was there: less flicker than clearing first.
                out.bytes(format!("\x1b[H\x1b[J{}\n", text::lines(&view).join("\n")).as_bytes());
            }
            Ok(view) => {
                let steady = view.steady();
                if shown.as_ref() != Some(&steady) {
                    if out.json() {
                        out.object(&Bare(&view));
                    } else {
                        text::lines(&view).iter().for_each(|line| out.line(line));
                        out.line("");
                    }
                    shown = Some(steady);
                }
            }
            // A bucket that does not answer now may answer the next time, and a rollout may begin. What nobody has signed is
            // nothing to watch.
            Err(trouble)
                if matches!(trouble.exit, Exit::Unreachable | Exit::Throttled)
                    || trouble.code == "fleet.no_rollout" =>
            {
                out::say(&report(&trouble));
            }
            Err(trouble) => return Err(trouble),
        }
        if out.closed() {
            return Ok(Exit::Done);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The view without its own schema member: `Out` writes one.
struct Bare<'a>(&'a View);

impl serde::Serialize for Bare<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serde_json::to_value(self.0).map_err(serde::ser::Error::custom)?;
        if let Some(object) = value.as_object_mut() {
            object.remove("schema");
        }
        value.serialize(serializer)
    }
}
