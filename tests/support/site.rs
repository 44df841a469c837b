//! A place with a publisher, a program and a supervisor: real files, real processes, real sockets.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test programs")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "unwrap is how a test fails, stderr where it says why")]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use fetchd::control::{self, Line, Request, Status};
use fetchd::demo::Trailer;
use fetchd::publish::Publisher;
use fetchd::state::{Event, Record, Store};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// How long anything may take before a test gives up. Generous: the machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub const FETCHD: &str = env!("CARGO_BIN_EXE_fetchd");

/// A temporary directory with everything one service needs.
pub struct Site {
    dir: tempfile::TempDir,
    pub publisher: Publisher,
    elsewhere: Option<String>,
}

impl Site {
    /// With the demo service, version 1.0.0, at the program path and nothing published.
    pub fn new() -> Site {
        let site = Site::empty();
        site.put(&site.program(), &Trailer::version("1.0.0"));
        site
    }

    /// Without a program.
    pub fn empty() -> Site {
        let dir = tempfile::tempdir().unwrap();
        for name in ["pub", "srv", "bin"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let publisher = Publisher::new(dir.path().join("pub")).unwrap();
        Site { dir, publisher, elsewhere: None }
    }

    /// The same, following a source that the test itself publishes to.
    pub fn following(self, source: &str) -> Site {
        Site { elsewhere: Some(source.to_owned()), ..self }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The program path.
    pub fn program(&self) -> PathBuf {
        self.path().join("srv/app")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Where releases are published, for `--source`. They are offered at once, not after settling.
    pub fn source(&self) -> String {
        if let Some(source) = &self.elsewhere {
            return source.clone();
        }
        format!("{}?settle=0s", self.publisher.source())
    }

    /// A copy of the demo service with this trailer, at `path`.
    pub fn put(&self, path: &Path, trailer: &Trailer) {
        fetchd::demo::trailer::append(&demo_service(), path, trailer).unwrap();
    }

    /// The bytes of the demo service with this trailer.
    pub fn binary(&self, trailer: &Trailer) -> Vec<u8> {
        let mut bytes = fs::read(demo_service()).unwrap();
        bytes.extend_from_slice(trailer.text().as_bytes());
        bytes
    }

    /// Publishes the demo service with this trailer, under the trailer's own version.
    pub fn publish(&self, trailer: &Trailer) {
        self.publisher.publish(&trailer.version, &self.binary(trailer)).unwrap();
    }

    /// `fetchd COMMAND` for this service, with its source, its key and `more`.
    pub fn command(&self, command: &str, more: &[&str]) -> Command {
        let mut fetchd = Command::new(FETCHD);
        fetchd
            .arg(command)
            .args(["--product", "app", "--state-dir"])
            .arg(self.state_dir())
            .args(["--source", &self.source(), "--key", &self.publisher.public_key().to_string()])
            .args(more)
            .current_dir(self.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        fetchd
    }

    /// Starts `fetchd run` on port 0, polling every 200 ms, with a watch of 500 ms, and `more`.
    pub fn run(&self, more: &[&str]) -> Supervised<'_> {
        self.run_with(more, &[])
    }

    /// The same with environment variables.
    pub fn run_with(&self, more: &[&str], variables: &[(&str, &str)]) -> Supervised<'_> {
        let mut command = self.command("run", &["--jitter", "0"]);
        for (flag, value) in [("--interval", "200ms"), ("--watch", "500ms"), ("--listen", "web=127.0.0.1:0")] {
            if !more.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(more).arg("--").arg(self.program()).envs(variables.iter().copied());
        self.supervise(command)
    }

    /// Starts a whole command line that ends in a supervisor.
    pub fn supervise(&self, mut command: Command) -> Supervised<'_> {
        let log = self.path().join(format!("log-{}", fs::read_dir(self.path()).unwrap().count()));
        command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        Supervised { site: self, child, log, ended: None }
    }

    /// The same, with a stderr that holds one page and that nobody reads.
    pub fn supervise_unread(&self, mut command: Command) -> Supervised<'_> {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        rustix::pipe::fcntl_setpipe_size(child.stderr.as_ref().unwrap(), 4096).unwrap();
        Supervised { site: self, child, log: self.path().join("no-log"), ended: None }
    }

    /// What the state directory remembers.
    pub fn record(&self) -> Record {
        Store::read_only(&self.state_dir()).unwrap().record().clone()
    }

    /// What happened.
    pub fn history(&self) -> Vec<Event> {
        Store::read_only(&self.state_dir()).unwrap().history(usize::MAX).unwrap()
    }

    /// Whether the history has an event of this name with this code.
    pub fn happened(&self, event: &str, code: &str) -> bool {
        self.history().iter().any(|e| e.event == event && (code.is_empty() || e.code.as_deref() == Some(code)))
    }
}

/// A running `fetchd run`. Dropping it ends it and its service.
pub struct Supervised<'a> {
    pub site: &'a Site,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Supervised<'_> {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its status, if it answers.
    pub fn try_status(&self) -> Option<Status> {
        match control::ask(&control::path(&self.site.state_dir()), &Request::Status, PATIENCE, |_| {}) {
            Ok(Line::Status(status)) => Some(*status),
            _ => None,
        }
    }

    /// Waits until `what` holds of its status, and returns that status.
    #[track_caller]
    pub fn wait(&mut self, name: &str, what: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.try_status().filter(|status| what(status)) {
                return status;
            }
            if let Some(ended) = self.child.try_wait().unwrap() {
                panic!("fetchd {ended} while waiting for: {name}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "never: {name}\nlast: {:#?}\n{}", self.try_status(), self.log());
            pause();
        }
    }

    /// Waits until a process of this version serves, and nothing else does.
    #[track_caller]
    pub fn wait_for_version(&mut self, version: &str) -> Status {
        self.wait(&format!("version {version} serves"), |status| {
            let settled = status.updates.version.as_deref() == Some(version) && !status.service.watching;
            settled && status.service.generations.iter().any(|g| g.phase == "serving")
        })
    }

    /// Waits until the history has this event with this code.
    #[track_caller]
    pub fn wait_for_event(&mut self, event: &str, code: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.site.happened(event, code) {
            if let Some(ended) = self.child.try_wait().unwrap() {
                panic!("fetchd {ended} while waiting for {event} [{code}]\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "never: {event} [{code}]\n{:#?}\n{}", self.site.history(), self.log());
            pause();
        }
    }

    /// Waits until it serves for the first time, and returns the address of the first listener.
    #[track_caller]
    pub fn address(&mut self) -> SocketAddr {
        let status = self.wait("it serves", |status| status.service.generations.iter().any(|g| g.phase == "serving"));
        status.service.listeners[0].1.parse().unwrap()
    }

    /// `fetchd COMMAND`, to this supervisor.
    pub fn fetchd(&self, command: &str, more: &[&str]) -> Output {
        let mut fetchd = match command {
            "apply" | "check" => {
                let mut fetchd = self.site.command(command, more);
                fetchd.arg("--").arg(self.site.program());
                fetchd
            }
            _ => {
                let mut fetchd = Command::new(FETCHD);
                fetchd.arg(command).args(["--product", "app", "--state-dir"]).arg(self.site.state_dir()).args(more);
                fetchd
            }
        };
        fetchd.stdin(Stdio::null()).output().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.pid()), signal).unwrap();
    }

    /// Waits until it has ended, and returns how.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                self.ended = Some(ended);
                return ended;
            }
            assert!(Instant::now() < deadline, "fetchd does not end\n{}", self.log());
            pause();
        }
    }

    /// SIGTERM, and the wait for its end.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }
}

impl Drop for Supervised<'_> {
    fn drop(&mut self) {
        let services: Vec<u32> =
            self.try_status().map(|s| s.service.generations.iter().map(|g| g.pid).collect()).unwrap_or_default();
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // Their supervisor is gone: they drain. A test does not wait for a drain.
        for service in services {
            let _ = kill_process(pid(service), Signal::KILL);
        }
        if std::thread::panicking() {
            eprintln!("--- log of fetchd ---\n{}", self.log());
        }
    }
}

/// The demo service, as cargo built it beside the tests.
pub fn demo_service() -> PathBuf {
    let path = Path::new(FETCHD).parent().unwrap().join("examples/demo-service");
    assert!(
        path.is_file(),
        "`{}` is missing: `cargo test` builds it, `cargo test --test NAME` does not; run `cargo build --examples`",
        path.display()
    );
    path
}

/// One request on a connection of its own: the whole answer, or what went wrong.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Waits until `what` holds.
#[track_caller]
pub fn wait_until(name: &str, mut what: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !what() {
        assert!(Instant::now() < deadline, "never: {name}");
        pause();
    }
}

/// Whether a process of this id is there.
pub fn is_alive(id: u32) -> bool {
    test_kill_process(pid(id)).is_ok()
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed()).unwrap()
}

/// Between two looks at a state that is waited for with a deadline.
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// The text of an output, for assertions.
pub fn text(output: &Output) -> String {
    format!(
        "{}\nstdout: {}\nstderr: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
