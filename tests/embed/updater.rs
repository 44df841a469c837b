//! The loop alone, inside a program that says what it hears.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use fetchd::demo::Trailer;

use crate::bench::Embed;
use crate::site::{PATIENCE, wait_until};

/// A program with an updater. Dropping it ends it.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    /// It polls only when it is told to: the interval is an hour, and the first poll within it is awaited.
    fn start(embed: &Embed, arguments: &[&str]) -> Program {
        let mut words = vec!["updater"];
        words.extend(arguments);
        let mut command = embed.command(&words);
        command.env("FETCHD_INTERVAL", "1h").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || stdout.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        let program = Program { child, lines };
        assert_eq!(program.line(), "INFO starting up, library 7.7.7");
        program
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// Tells it to do something; what it prints up to the answer.
    #[track_caller]
    fn does(&mut self, what: &str) -> Vec<String> {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
        let mut said = Vec::new();
        while said.last().is_none_or(|line: &String| !["answer", "failure", "end"].iter().any(|w| line.starts_with(w)))
        {
            said.push(self.line());
        }
        said
    }

    /// Everything but polls that it heard of since it was last asked.
    #[track_caller]
    fn events(&mut self) -> Vec<String> {
        let said = self.does("events").into_iter();
        said.filter_map(|line| line.strip_prefix("event ").map(str::to_owned)).filter(|e| e != "up_to_date").collect()
    }

    /// Closes its input, at which it stops the updater and ends.
    #[track_caller]
    fn stop(mut self) {
        drop(self.child.stdin.take());
        assert_eq!(self.line(), "stopped");
        wait_until("it ends", || self.child.try_wait().unwrap().is_some());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn updates(arguments: &[&str]) {
    let embed = Embed::of("embedded");
    embed.publish(&Trailer::version("1.0.0"));
    let mut program = Program::start(&embed, arguments);
    assert_eq!(program.does("poll"), ["answer up_to_date "]);
    program.events();
    let second = embed.publish(&Trailer::version("2.0.0"));
    assert_eq!(program.does("poll"), ["decide 2.0.0", "answer updated "]);
    assert_eq!(embed.at_path(), second);
    assert_eq!(program.events(), ["polling", "installing 2.0.0", "handed off 2.0.0", "updated"]);
    // A hold holds, and ends.
    assert_eq!(program.does("hold"), ["answer held "]);
    let third = embed.publish(&Trailer::version("3.0.0"));
    assert_eq!(program.does("poll"), ["answer held policy.hold"]);
    assert_eq!((embed.at_path(), program.events()), (second, vec!["polling".to_owned(), "held".to_owned()]));
    assert_eq!(program.does("unhold"), ["answer unheld "]);
    assert_eq!(program.does("poll"), ["decide 3.0.0", "answer updated "]);
    assert_eq!(embed.at_path(), third);
    // And back.
    assert_eq!(program.does("back"), ["decide 2.0.0", "answer rolled_back "]);
    assert_eq!(embed.at_path(), second);
    program.stop();
}

#[test]
fn releases_are_installed_and_events_come_in_order() {
    updates(&[]);
}

#[test]
fn the_same_with_a_worker_in_the_very_process() {
    updates(&["--local"]);
}

#[test]
fn a_release_whose_successor_fails_is_put_back_and_not_tried_again() {
    let embed = Embed::of("embedded");
    let first = embed.at_path();
    let mut program = Program::start(&embed, &["--decide", "fail"]);
    embed.publish(&Trailer::version("2.0.0"));
    assert_eq!(program.does("poll"), ["decide 2.0.0", "answer failed handoff.rejected"]);
    assert_eq!(embed.at_path(), first);
    assert_eq!(program.does("poll"), ["answer held release.quarantined"]);
    program.stop();
}

#[test]
fn a_program_that_wants_to_end_does_so_once_the_release_is_recorded() {
    let embed = Embed::of("embedded");
    let mut program = Program::start(&embed, &["--decide", "exit"]);
    let second = embed.publish(&Trailer::version("2.0.0"));
    writeln!(program.child.stdin.as_mut().unwrap(), "poll").unwrap();
    wait_until("it ends", || program.child.try_wait().unwrap().is_some());
    assert_eq!(program.child.wait().unwrap().code(), Some(5));
    assert_eq!(embed.at_path(), second);
    assert_eq!(embed.site.record().confirmed.unwrap().sha256, second);
    drop(program);
    let mut program = Program::start(&embed, &[]);
    assert_eq!(program.does("poll"), ["answer up_to_date "]);
    program.stop();
}
