//! A service with a publisher and a supervisor.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fetchd::control::{self, Line, Request, Status};
use fetchd::demo::{Trailer, trailer};
use fetchd::publish::Publisher;
use rustix::process::{Pid, Signal, kill_process};

use super::peer::Peer;
use super::{PATIENCE, fetchd, process};

/// A temporary directory with the demo service, version 1.0.0, running nowhere and published on a web server.
pub(crate) struct Site {
    directory: tempfile::TempDir,
    publisher: Publisher,
    pub(crate) peer: Peer,
    fetchd: PathBuf,
}

impl Site {
    pub(crate) fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let publications = directory.path().join("pub");
        fs::create_dir(&publications).unwrap();
        fs::create_dir(directory.path().join("srv")).unwrap();
        let publisher = Publisher::new(&publications).unwrap();
        let site = Site { peer: Peer::start(&publications), publisher, directory, fetchd: fetchd() };
        // The demo service is a role of the program; a copy of it is a program of its own, with pages of its own.
        trailer::append(&site.fetchd, &site.program(), &Trailer::version("1.0.0")).unwrap();
        site.publisher.publish("1.0.0", &fs::read(site.program()).unwrap()).unwrap();
        site
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.directory.path().join("srv/app")
    }

    /// What its web server serves.
    pub(crate) fn publications(&self) -> PathBuf {
        self.directory.path().join("pub")
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// `fetchd COMMAND` of one that is about the state.
    pub(crate) fn about(&self, command: &str) -> Command {
        let mut fetchd = Command::new(&self.fetchd);
        fetchd.arg(command).args(["--product", "app", "--state-dir"]).arg(self.state());
        fetchd.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        fetchd
    }

    /// `fetchd COMMAND` with everything it has to know.
    pub(crate) fn command(&self, command: &str, more: &[&str]) -> Command {
        let mut fetchd = self.about(command);
        fetchd.args(["--source", &self.peer.url("stable.fetchd"), "--key", &self.publisher.public_key().to_string()]);
        fetchd.args(more).arg("--").arg(self.program());
        fetchd
    }

    /// Starts `fetchd run` and waits until the service serves.
    pub(crate) fn run(&self, more: &[&str]) -> Supervised {
        let flags = ["--jitter", "0", "--watch", "300ms", "--listen", "web=127.0.0.1:0"];
        let mut command = self.command("run", &[&flags, more].concat());
        let child = command.arg("demo-service").spawn().unwrap();
        let mut supervised = Supervised { child, socket: control::path(&self.state()) };
        supervised.wait("it serves", |status| status.service.generations.iter().any(|g| g.phase == "serving"));
        supervised
    }
}

/// A running `fetchd run`, which is stopped when this is dropped.
pub(crate) struct Supervised {
    child: Child,
    socket: PathBuf,
}

impl Supervised {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn ask(&self, request: &Request) -> Line {
        control::ask(&self.socket, request, PATIENCE, |_| {}).unwrap()
    }

    fn status(&self) -> Option<Status> {
        match control::ask(&self.socket, &Request::Status, PATIENCE, |_| {}) {
            Ok(Line::Status(status)) => Some(*status),
            _ => None,
        }
    }

    pub(crate) fn wait(&mut self, name: &str, what: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.status().filter(|status| what(status)) {
                return status;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "never: {name}; fetchd ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn address(&mut self) -> SocketAddr {
        self.wait("it listens", |status| !status.service.listeners.is_empty()).service.listeners[0].1.parse().unwrap()
    }

    /// One pass that finds nothing new.
    pub(crate) fn apply(&self) {
        match self.ask(&Request::Apply { force: false }) {
            Line::Answer(answer) if answer.error.is_none() => {}
            other => panic!("the pass failed: {other:?}"),
        }
    }

    /// The same, and the end of the worker that made it.
    pub(crate) fn pass(&mut self) {
        self.apply();
        self.settle();
    }

    /// One handoff to a new process of the same binary: from its start to its READY, and from the request
    /// to the end of its watch.
    pub(crate) fn restart(&self) -> (Duration, Duration) {
        let begun = Instant::now();
        let Line::Answer(answer) = self.ask(&Request::Restart) else { panic!("no answer to a restart") };
        assert!(answer.error.is_none(), "{}", answer.message);
        let words: Vec<&str> = answer.message.split(' ').collect();
        let at = words.iter().position(|word| *word == "after").unwrap();
        (Duration::from_millis(words[at + 1].parse().unwrap()), begun.elapsed())
    }

    /// The same, asked for by a thread of its own, which ends with the watch.
    pub(crate) fn begin_restart(&self) -> JoinHandle<()> {
        let socket = self.socket.clone();
        std::thread::spawn(move || match control::ask(&socket, &Request::Restart, PATIENCE, |_| {}) {
            Ok(Line::Answer(answer)) if answer.error.is_none() => {}
            other => panic!("no restart: {other:?}"),
        })
    }

    /// The supervisor replaces itself, in the same process: from the request to the answer of the new one.
    pub(crate) fn replace(&self) -> Duration {
        let begun = Instant::now();
        match self.ask(&Request::ReplaceSupervisor) {
            Line::Answer(answer) if answer.error.is_none() && answer.outcome == "replaced" => begun.elapsed(),
            other => panic!("it did not replace itself: {other:?}"),
        }
    }

    /// Waits until one process of the service runs and nothing else.
    pub(crate) fn settle(&mut self) {
        self.wait("one generation", |status| status.service.generations.len() == 1 && !status.service.watching);
        let deadline = Instant::now() + PATIENCE;
        while process::children(self.pid()).len() > 1 {
            assert!(Instant::now() < deadline, "never: the worker ends");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_raw(self.pid().cast_signed()).unwrap(), Signal::TERM);
        let _ = self.child.wait();
    }
}
