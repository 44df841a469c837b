//! The demo service without a supervisor: it hands over to its own successor.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::site::Site;
use super::{PATIENCE, process};

/// The process in the PID file, and those before it that drain. Dropping it ends the last one.
pub(crate) struct Direct {
    first: Child,
    pid_file: PathBuf,
    address: SocketAddr,
    /// What the last handoff replaced.
    old: Option<u32>,
}

impl Direct {
    /// Serves on a port of its own, and is paused for as long after a handoff as a supervised one is watched.
    pub(crate) fn start(site: &Site) -> Direct {
        let pid_file = site.program().with_extension("pid");
        let mut command = Command::new(site.program());
        command.args(["demo-service", "--direct", "--pause-ms", "300", "--pid-file"]).arg(&pid_file);
        let mut first = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(first.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("it says where it listens").parse().unwrap();
        let direct = Direct { first, pid_file, address, old: None };
        direct.until("it serves", || direct.try_pid().is_some());
        direct
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// One handoff: from SIGUSR2 to the moment in which the successor is the one in the PID file.
    pub(crate) fn hand_over(&mut self) -> Duration {
        let before = self.try_pid().unwrap();
        let begun = Instant::now();
        signal(before, Signal::USR2);
        self.until("the successor serves", || self.try_pid().is_some_and(|pid| pid != before));
        self.old = Some(before);
        begun.elapsed()
    }

    /// Waits until the process before has drained and ended.
    pub(crate) fn settle(&mut self) {
        let Some(old) = self.old.take() else { return };
        if old == self.first.id() {
            self.first.wait().unwrap();
        }
        self.until("the old one ends", || !process::runs(old));
    }

    fn try_pid(&self) -> Option<u32> {
        fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()
    }

    fn until(&self, name: &str, what: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !what() {
            assert!(Instant::now() < deadline, "never: {name}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        if let Some(pid) = self.try_pid() {
            signal(pid, Signal::TERM);
        }
        // A process that drains ends by its own deadline.
        let _ = self.first.wait();
    }
}

fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
}
