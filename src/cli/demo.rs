//! `fetchd demo`.

use std::io::IsTerminal as _;
use std::sync::Arc;

use clap::ArgMatches;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Ended, Out, out};
use crate::demo::show::Style;
use crate::demo::{Demo, DemoError, News, Watcher};
use crate::failure::{Failure as _, Reported, report as reported};

/// Plays the demo and shows it.
pub(super) fn demo(matches: &ArgMatches, out: &mut Out) -> Result<Ended, Reported> {
    let demo = Demo { keep: matches.get_flag("keep"), ..Demo::default() };
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let registered = signal_hook::flag::register(signal, Arc::clone(&demo.interrupted));
        registered.map_err(|source| DemoError::Io { doing: "listen to", path: "signals".into(), source })?;
    }
    let style = Style { colour: out.colour() };
    let redraw = !out.json() && std::io::stdout().is_terminal();
    let mut screen = Screen { out, style, redraw, requests: 0, failed: 0 };
    let played = demo.play(&mut screen)?;
    if out.json() {
        out.object(&played);
    } else if !played.steps.is_empty() {
        style.report(&played).iter().for_each(|line| out.line(line));
    }
    if let (false, Some(directory)) = (out.json(), &played.directory) {
        out.line(format!("  kept        {directory}"));
    }
    let Some(failure) = &played.error else { return Ok(crate::failure::Exit::Done.into()) };
    if let Some(tail) = played.log_tail.as_ref().filter(|tail| !tail.is_empty()) {
        out::say(&format!("the end of the supervisor's log:\n{tail}"));
    }
    if out.closed() {
        // Nobody reads: there is nobody to complain to either.
        return Ok(INTERRUPTED);
    }
    // Not as an error of the command: with `--json` the report is the one object.
    out::say(&reported(failure));
    Ok(if failure.code == DemoError::Interrupted.code() { INTERRUPTED } else { failure.exit.into() })
}

/// What a shell makes of a program that SIGINT ended.
const INTERRUPTED: Ended = Ended::Service(130);

/// Shows each step as it happens.
struct Screen<'a> {
    out: &'a mut Out,
    style: Style,
    redraw: bool,
    requests: u64,
    failed: u64,
}

impl Watcher for Screen<'_> {
    fn tell(&mut self, news: &News<'_>) -> bool {
        if self.out.json() {
            return true;
        }
        match news {
            News::Begun { dir, supervisor, address, clients } => {
                self.style.begun(dir, *supervisor, address, *clients).iter().for_each(|line| self.out.line(line));
            }
            News::Next { release, flaw } if self.redraw => {
                self.out.bytes(self.style.next(release, flaw).as_bytes());
            }
            News::Next { .. } => {}
            News::Done(step) => {
                (self.requests, self.failed) = (self.requests + step.requests, self.failed + step.failed);
                if self.redraw {
                    // Over the line of its beginning.
                    self.out.bytes(b"\r\x1b[K");
                }
                self.out.line(self.style.done(step, self.requests, self.failed));
            }
        }
        !self.out.closed()
    }
}
