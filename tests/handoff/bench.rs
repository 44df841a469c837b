//! What the tests of this suite share.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fetchd::control::{self, Line, Request, Status};
use fetchd::load::{Load, LoadPlan, Target};
use rustix::process::{Pid, Signal, kill_process};

use crate::site::{FETCHD, PATIENCE, Site, Supervised, is_alive, wait_until};

/// `fetchd run` with no source: a service that is supervised and never updated.
pub(crate) fn plain(site: &Site, more: &[&str], program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(FETCHD);
    command.args(["run", "--product", "app", "--state-dir"]).arg(site.state_dir());
    for (flag, value) in [("--watch", "100ms"), ("--listen", "web=127.0.0.1:0")] {
        if !more.contains(&flag) {
            command.args([flag, value]);
        }
    }
    command.args(more).arg("--").arg(program).args(arguments);
    command.current_dir(site.path()).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// `fetchd run` with a source that has nothing yet, and arguments for the service.
pub(crate) fn updated(site: &Site, more: &[&str], arguments: &[&str]) -> Command {
    let mut command = site.command("run", &["--jitter", "0", "--interval", "200ms"]);
    command.args(more).arg("--").arg(site.program()).args(arguments);
    command
}

/// Writes a Python program and returns its path.
pub(crate) fn script(site: &Site, name: &str, text: &str) -> PathBuf {
    let found = Command::new("python3").arg("--version").output();
    assert!(found.is_ok_and(|output| output.status.success()), "python3 is missing; these tests need it");
    let path = site.path().join("bin").join(name);
    fs::write(&path, format!("#!/usr/bin/env python3\n{text}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The usual load: eight clients of each kind unless said otherwise.
pub(crate) fn load(target: Target, fresh: usize, keep_alive: usize) -> Load {
    Load::start(LoadPlan { fresh, keep_alive, ..LoadPlan::new(target) }).unwrap()
}

pub(crate) fn tcp(address: SocketAddr) -> Target {
    Target::Tcp(address)
}

/// `fetchd restart`, to its end.
#[track_caller]
pub(crate) fn restart(fetchd: &Supervised<'_>) {
    let asked = control::ask(&control::path(&fetchd.site.state_dir()), &Request::Restart, PATIENCE, |_| {});
    match asked {
        Ok(Line::Answer(answer)) => assert_eq!(answer.outcome, "restarted", "{answer:#?}\n{}", fetchd.log()),
        other => panic!("{other:?}\n{}", fetchd.log()),
    }
}

/// Waits until one more generation may drain: a fifth would cost the oldest its requests, as it should.
#[track_caller]
pub(crate) fn room_to_drain(fetchd: &mut Supervised<'_>) -> Status {
    fetchd.wait("there is room to drain", |status| status.service.generations.len() <= 4)
}

/// The generation in `phase`, newest first.
pub(crate) fn in_phase(status: &Status, phase: &str) -> Vec<(u64, u32)> {
    let generations = status.service.generations.iter().rev();
    generations.filter(|g| g.phase == phase).map(|g| (g.generation, g.pid)).collect()
}

/// Waits until exactly one process serves and no other is there; returns its number and process.
#[track_caller]
pub(crate) fn settled(fetchd: &mut Supervised<'_>) -> (u64, u32) {
    let status = fetchd.wait("one generation serves, alone", |status| {
        let generations = &status.service.generations;
        generations.len() == 1 && generations[0].phase == "serving" && !status.service.watching
    });
    in_phase(&status, "serving")[0]
}

/// Waits until generation `number` or a later one serves; returns it.
#[track_caller]
pub(crate) fn serves_from(fetchd: &mut Supervised<'_>, number: u64) -> (u64, u32) {
    let status = fetchd.wait(&format!("generation {number} serves"), |status| {
        in_phase(status, "serving").first().is_some_and(|serving| serving.0 >= number)
    });
    in_phase(&status, "serving")[0]
}

/// The environment a process was started with.
pub(crate) fn environment(pid: u32) -> BTreeMap<String, String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The open descriptors of a process and what they are.
pub(crate) fn descriptors(pid: u32) -> BTreeMap<i32, String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    entries
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, target.to_string_lossy().into_owned()))
        })
        .collect()
}

/// The sockets a process has open.
pub(crate) fn open_sockets(pid: u32) -> BTreeSet<String> {
    descriptors(pid).into_values().filter(|what| what.starts_with("socket:")).collect()
}

/// The processes with this parent: number and state.
pub(crate) fn children(of: u32) -> Vec<(u32, char)> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(process.path().join("stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let state = fields.next()?.chars().next()?;
            (fields.next()?.parse::<u32>().ok()? == of).then_some((pid, state))
        })
        .collect()
}

/// Ends a process that its supervisor can no longer end. Dropped last, so that a failed test leaves none.
pub(crate) struct Orphan(pub(crate) u32);

impl Drop for Orphan {
    fn drop(&mut self) {
        if is_alive(self.0) {
            let _ = kill_process(Pid::from_raw(self.0.cast_signed()).unwrap(), Signal::KILL);
        }
    }
}

/// Waits until a process is gone or a zombie that only its adopter has to reap.
#[track_caller]
pub(crate) fn gone(pid: u32) {
    wait_until(&format!("process {pid} is gone"), || {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
    });
}

/// The lines of a file that a service writes; none if it is not there.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
