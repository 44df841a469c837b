//! A server and its successors, as one thing that a test starts and that ends with it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use fetchd::demo::Trailer;
use rustix::process::{Pid, Signal, kill_process};

use crate::processes::{runs, signal};
use crate::site::{Site, get, wait_until};

/// A place with the demo service, version 1.0.0, at the program path.
pub(crate) fn site() -> Site {
    let site = Site::empty();
    put(&site, &site.program(), &Trailer::version("1.0.0"));
    site
}

/// Puts the demo service with this trailer at `path`, as a deployment does.
pub(crate) fn put(site: &Site, path: &Path, trailer: &Trailer) {
    put_bytes(path, &site.binary(trailer), 0o755);
}

/// Puts an executable at `path`. Another process writes it: one that this process had open for writing stays busy in
/// whatever another test starts at the same time.
pub(crate) fn put_bytes(path: &Path, bytes: &[u8], mode: u32) {
    let (written, beside) = (path.with_extension("written"), path.with_extension("next"));
    fs::write(&written, bytes).unwrap();
    assert!(Command::new("cp").args([&written, &beside]).status().unwrap().success());
    fs::remove_file(written).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(beside, path).unwrap();
}

/// The first process, which the test started, and all that came of it.
pub(crate) struct Chain<'a> {
    pub(crate) site: &'a Site,
    first: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl<'a> Chain<'a> {
    /// The demo service at the program path, and `more` arguments.
    pub(crate) fn start(site: &'a Site, more: &[&str]) -> Chain<'a> {
        Chain::start_with(site, Command::new(site.program()), more)
    }

    /// The same with a command that is its beginning.
    pub(crate) fn start_with(site: &'a Site, mut command: Command, more: &[&str]) -> Chain<'a> {
        let log = site.path().join("log");
        command.args(["--direct", "--pid-file"]).arg(pid_file(site)).args(more);
        // A pipe that the test reads one line of and drops: later generations write nothing to it.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut first = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(first.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").map(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("`{line}`: {}", fs::read_to_string(&log).unwrap()));
        let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let chain = Chain { site, first, address, log };
        wait_until("the first process is ready", || chain.try_pid().is_some());
        chain
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn try_pid(&self) -> Option<u32> {
        fs::read_to_string(pid_file(self.site)).ok()?.trim().parse().ok()
    }

    /// The process in the PID file.
    pub(crate) fn pid(&self) -> u32 {
        self.try_pid().unwrap()
    }

    pub(crate) fn generation(&self) -> u64 {
        let answer = get(self.address, "/").unwrap();
        field(&answer, "generation").parse().unwrap()
    }

    /// The process that answers a new connection.
    pub(crate) fn answering(&self) -> u32 {
        field(&get(self.address, "/").unwrap(), "pid").parse().unwrap()
    }

    /// Puts a program at the program path, as a deployment does.
    pub(crate) fn deploy(&self, trailer: &Trailer) {
        put(self.site, &self.site.program(), trailer);
    }

    /// SIGUSR2 to the serving process, and the outcome of its upgrade.
    #[track_caller]
    pub(crate) fn upgrade(&self) -> String {
        let pid = self.pid();
        let before = self.outcomes(pid).len();
        signal(pid, Signal::USR2);
        self.outcome(pid, before)
    }

    /// What came of an upgrade of `pid`, which has seen `before` others.
    #[track_caller]
    pub(crate) fn outcome(&self, pid: u32, before: usize) -> String {
        wait_until("the upgrade has an outcome", || self.outcomes(pid).len() > before);
        self.outcomes(pid).swap_remove(before)
    }

    fn outcomes(&self, pid: u32) -> Vec<String> {
        let log = self.log();
        let own = log.lines().filter_map(|line| line.strip_prefix(&format!("{pid} ")));
        own.filter(|words| words.starts_with("upgrade")).map(str::to_owned).collect()
    }

    /// A request that the serving process has accepted and answers after a minute.
    #[track_caller]
    pub(crate) fn slow_request(&self) -> JoinHandle<std::io::Result<String>> {
        let slow = crate::processes::slow_request(self.address, Duration::from_secs(60));
        wait_until("the slow request is accepted", || connections(self.pid(), self.address.port()) > 0);
        slow
    }

    /// SIGUSR2 to the serving process; returns as soon as its successor is the one in the PID file.
    #[track_caller]
    pub(crate) fn switch(&self) -> u32 {
        let before = self.pid();
        signal(before, Signal::USR2);
        wait_until(&format!("a successor of {before} serves\n{}", self.log()), || self.pid() != before);
        self.pid()
    }

    /// The processes of the chain that run.
    pub(crate) fn running(&self) -> Vec<u32> {
        running(self.site.path())
    }

    /// Reaps the first process, so that it can be seen to be gone.
    pub(crate) fn reap_first(&mut self) -> Option<std::process::ExitStatus> {
        self.first.try_wait().unwrap()
    }
}

impl Drop for Chain<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the chain ---\n{}", self.log());
        }
        end_all(self.site.path());
        let _ = self.first.wait();
    }
}

/// Kills every process whose program lies below `dir`, until there is none: one may be starting another.
pub(crate) fn end_all(dir: &Path) {
    let deadline = std::time::Instant::now() + crate::site::PATIENCE;
    loop {
        let left = running(dir);
        if left.is_empty() || std::time::Instant::now() > deadline {
            return;
        }
        for pid in left {
            let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// The processes whose program lies, or lay, below `dir`.
pub(crate) fn running(dir: &Path) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(dir)) && runs(*pid))
        .collect()
}

/// How many connections to `port` a process has accepted and not closed.
pub(crate) fn connections(pid: u32, port: u16) -> usize {
    // One that has ended has none.
    let all = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let held: Vec<_> = all.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let established = table.lines().filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let here = fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "01";
        here && held.contains(&PathBuf::from(format!("socket:[{}]", fields[9])))
    });
    established.count()
}

pub(crate) fn pid_file(site: &Site) -> PathBuf {
    site.path().join("app.pid")
}

/// A field of a flat JSON object.
pub(crate) fn field<'a>(json: &'a str, name: &str) -> &'a str {
    let key = format!("\"{name}\":");
    let rest = &json[json.find(&key).unwrap_or_else(|| panic!("no {name} in {json}")) + key.len()..];
    rest[..rest.find([',', '}']).unwrap_or(rest.len())].trim_matches('"')
}

/// Waits until a process has ended, whoever reaps it.
#[track_caller]
pub(crate) fn gone(pid: u32) {
    wait_until(&format!("process {pid} has ended"), || !runs(pid));
}
