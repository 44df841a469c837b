//! Programs whose supervisor cannot be started.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Embed, said};
use crate::site::{PATIENCE, text, wait_until};

/// A program that runs alone. Dropping it ends it.
struct Alone {
    child: Child,
    address: SocketAddr,
}

impl Alone {
    fn start(mut command: Command) -> Alone {
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut alone = Alone { child, address: ([127, 0, 0, 1], 0).into() };
        let (tell, told) = std::sync::mpsc::channel();
        let lines = BufReader::new(alone.child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        while alone.address.port() == 0 {
            let line = told.recv_timeout(PATIENCE).unwrap();
            if let Some(address) = line.strip_prefix("listening on ") {
                alone.address = address.parse().unwrap();
            }
        }
        alone
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn without_a_supervisor_the_program_serves_alone_and_leaves_in_order() {
    let embed = Embed::of("embedded");
    for (variable, value) in [("FETCHD_KEY", ""), ("FETCHD_INTERVALL", "5s"), ("FETCHD_STATE_DIR", "/proc/nowhere")] {
        let mut command = embed.command(&["service"]);
        command.env(variable, value);
        if variable == "FETCHD_STATE_DIR" {
            command.env("FETCHD_KEY", "/nowhere/release.pub");
        }
        let mut alone = Alone::start(command);
        assert_eq!(said(alone.address, "supervised"), "false", "{variable}");
        assert_eq!(said(alone.address, "version"), "1.0.0");
        kill_process(Pid::from_child(&alone.child), Signal::TERM).unwrap();
        wait_until("it leaves", || alone.child.try_wait().unwrap().is_some());
        assert_eq!(alone.child.wait().unwrap().code(), Some(0), "{variable}");
    }
}

/// Runs it to its end, and ends it if it does not come.
#[track_caller]
fn ended(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let ran_on = child.try_wait().unwrap().is_none();
    // Its service, if it has one, ends with it.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    assert!(!ran_on, "it did not end\n{}", text(&output));
    output
}

#[test]
fn a_supervisor_that_is_required_and_cannot_be_started_ends_the_program() {
    let embed = Embed::of("embedded");
    let mut command = embed.command(&["service", "--required"]);
    command.env("FETCHD_KEY", "");
    let output = ended(command);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("no key to check its releases with"), "{}", text(&output));
    let sources = [
        (format!("{}&settel=1s", embed.site.source()), "settel"),
        // Opened in a process of its own, which says so.
        ("s3://bucket/stable.fetchd?regoin=eu-west-1".to_owned(), "regoin"),
    ];
    for (source, wrong) in sources {
        let mut command = embed.command(&["service", "--required"]);
        command.env("FETCHD_SOURCE", source);
        let output = ended(command);
        assert_eq!(output.status.code(), Some(64), "{}", text(&output));
        assert!(text(&output).contains(wrong), "{}", text(&output));
    }
}

#[test]
fn two_supervisors_of_one_service_are_one_too_many() {
    let embed = Embed::of("embedded");
    let mut supervised = embed.run(&["service"]);
    supervised.address();
    let output = ended(embed.command(&["service"]));
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
    assert_eq!(supervised.stop().code(), Some(0));
}

#[test]
fn asked_for_its_version_it_prints_it_and_starts_nothing() {
    let embed = Embed::of("embedded");
    for (words, variable) in [(&["--version"] as &[&str], "NOTHING"), (&["service"], "FETCHD_SMOKE")] {
        let mut command = embed.command(words);
        command.env(variable, "1");
        let output = ended(command);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed.lines().last(), Some("app 1.0.0"), "{printed}");
        assert!(!embed.site.state_dir().exists());
    }
}
