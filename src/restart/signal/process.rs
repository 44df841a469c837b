//! Processes that somebody else started: found by a PID file, held by a pidfd.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

/// A process that is not a child of ours. Its number may be used again once it is gone; the descriptor never means
/// another one.
#[derive(Debug)]
pub(super) struct Process {
    pid: u32,
    pidfd: OwnedFd,
}

impl Process {
    /// The process `pid`, if there is one that has not ended.
    pub(super) fn open(pid: u32) -> Option<Process> {
        // 0 would be this process's group, 1 is nobody's to restart.
        let number = i32::try_from(pid).ok().filter(|number| *number > 1)?;
        let pidfd = rustix::process::pidfd_open(Pid::from_raw(number)?, PidfdFlags::empty()).ok()?;
        Some(Process { pid, pidfd }).filter(Process::lives)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not ended. One that nobody has reaped has.
    pub(super) fn lives(&self) -> bool {
        let mut polled = [PollFd::new(&self.pidfd, PollFlags::IN)];
        !matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// Whether it executes this very file; `None` if that cannot be seen.
    pub(super) fn executes(&self, file: &Path) -> Option<bool> {
        let (runs, wanted) = (fs::metadata(format!("/proc/{}/exe", self.pid)).ok()?, fs::metadata(file).ok()?);
        Some((runs.dev(), runs.ino()) == (wanted.dev(), wanted.ino()))
    }

    /// Whether what it executes was started from `path`, also if another file lies there by now.
    pub(super) fn was_started_from(&self, path: &Path) -> bool {
        let Ok(link) = fs::read_link(format!("/proc/{}/exe", self.pid)) else { return false };
        let link = link.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
        let directory = path.parent().and_then(|directory| fs::canonicalize(directory).ok());
        let resolved = directory.zip(path.file_name()).map(|(directory, name)| directory.join(name));
        resolved.is_some_and(|resolved| resolved == Path::new(&link))
    }

    /// The processes that it has started and not reaped.
    pub(super) fn children(&self) -> Vec<u32> {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| Stat::of(*pid).is_some_and(|stat| stat.parent == self.pid && stat.lives)).collect()
    }

    /// Whether `child` has executed a program since it was forked off: the kernel gives each program addresses of its own.
    pub(super) fn executed_since(&self, child: u32) -> bool {
        let addresses = |pid: u32| fs::read(format!("/proc/{pid}/auxv")).ok().filter(|read| !read.is_empty());
        addresses(self.pid).zip(addresses(child)).is_some_and(|(own, other)| own != other)
    }

    /// What it has started since it had the children `before`, and what is no mere worker of it.
    pub(super) fn started_since(&self, before: &[u32]) -> Vec<Process> {
        let new = self.children().into_iter().filter(|child| !before.contains(child) && self.executed_since(*child));
        new.filter_map(Process::open).collect()
    }

    /// Ends it by `signal`; by force, with what it has forked off, if it still lives at `until`, or after [`KINDLY`].
    pub(super) fn end(&self, signal: Signal, until: Instant) {
        let ended = |until: Instant| {
            while self.lives() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(10));
            }
            !self.lives()
        };
        // One that has ended meanwhile needs no signal.
        let _ = self.signal(signal);
        if ended((Instant::now() + KINDLY).min(until)) {
            return;
        }
        let children: Vec<Process> = self.children().into_iter().filter_map(Process::open).collect();
        for process in children.iter().chain([self]) {
            let _ = process.signal(Signal::KILL);
        }
        ended(Instant::now() + KINDLY);
    }

    /// The user that it runs as.
    fn user(&self) -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
    }

    /// When it was started, in whole seconds.
    fn started(&self) -> Option<SystemTime> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let boot: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(UNIX_EPOCH + Duration::from_secs(boot + Stat::of(self.pid)?.ticks / TICKS))
    }
}

/// The part of `/proc/PID/stat` that is looked at.
struct Stat {
    parent: u32,
    lives: bool,
    ticks: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the command in parentheses and may hold anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let lives = !matches!(*fields.first()?, "Z" | "X");
        Some(Stat { parent: fields.get(1)?.parse().ok()?, lives, ticks: fields.get(19)?.parse().ok()? })
    }
}

/// A file in which a server writes its own number.
#[derive(Debug, Clone)]
pub(super) struct PidFile(pub(super) PathBuf);

impl PidFile {
    /// The same with something after its name.
    pub(super) fn with_suffix(&self, suffix: &str) -> PidFile {
        let mut name = self.0.clone().into_os_string();
        name.push(suffix);
        PidFile(name.into())
    }

    /// The process that it names, if that lives; else why there is none.
    pub(super) fn process(&self) -> Result<Process, String> {
        let shown = self.0.display();
        let file = self.open().map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => format!("there is no PID file `{shown}`"),
            _ => format!("the PID file `{shown}` cannot be read: {e}"),
        })?;
        let mut text = String::new();
        // More is no number.
        file.take(64).read_to_string(&mut text).map_err(|e| format!("the PID file `{shown}` cannot be read: {e}"))?;
        let pid: u32 = text.trim().parse().map_err(|_| format!("the PID file `{shown}` holds no number"))?;
        Process::open(pid).ok_or_else(|| format!("the PID file `{shown}` names process {pid}, which does not run"))
    }

    /// The process of the service, which was started from `program` or has at least written this file itself: a number that
    /// has been given to somebody else since would get a signal that ends it.
    pub(super) fn service(&self, program: &Path) -> Result<Process, String> {
        let process = self.process()?;
        let file = fs::metadata(&self.0).ok();
        let owner = file.as_ref().map(|file| file.uid());
        let ours = rustix::process::geteuid().as_raw();
        if !owner.zip(process.user()).is_some_and(|(owner, user)| may_name(owner, ours, user)) {
            let (shown, pid) = (self.0.display(), process.pid());
            return Err(format!(
                "the PID file `{shown}` belongs to somebody who could not signal process {pid} himself"
            ));
        }
        let written = file.and_then(|file| file.modified().ok());
        let before = process.started().zip(written).is_some_and(|(started, written)| started <= written + SLACK);
        if !process.was_started_from(program) && !before {
            let (shown, pid) = (self.0.display(), process.pid());
            return Err(format!(
                "the PID file `{shown}` is older than process {pid}, which it names: it was left behind"
            ));
        }
        Ok(process)
    }

    fn open(&self) -> io::Result<File> {
        // What is no file at all must not block.
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.0)
    }
}

/// Whether a PID file of `owner` may name a process of `user`, in the eyes of a fetchd that runs as `ours`.
fn may_name(owner: u32, ours: u32, user: u32) -> bool {
    owner == 0 || owner == ours || owner == user
}

/// How long a process may take to end before it is killed.
pub(super) const KINDLY: Duration = Duration::from_secs(5);

/// The unit of times in `/proc/PID/stat`: `USER_HZ`, which is 100 wherever Rust runs on Linux.
const TICKS: u64 = 100;

/// Between the clock of the machine and that of its boot, and of rounding.
const SLACK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn pid_file(text: &str) -> (tempfile::TempDir, PidFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.pid");
        fs::write(&path, text).unwrap();
        (dir, PidFile(path))
    }

    #[test]
    fn a_pid_file_names_a_process_that_runs_or_says_why_not() {
        let own = std::process::id();
        let (_dir, file) = pid_file(&format!("{own}\n"));
        assert_eq!(file.process().unwrap().pid(), own);
        assert!(file.with_suffix(".oldbin").process().unwrap_err().contains("there is no PID file"));
        for text in ["", "x", "-1", "12 13", "99999999999"] {
            assert!(pid_file(text).1.process().unwrap_err().contains("holds no number"), "{text}");
        }
        for text in ["0", "1", "4194305"] {
            assert!(pid_file(text).1.process().unwrap_err().contains("does not run"), "{text}");
        }
    }

    #[test]
    fn nobody_signals_through_fetchd_what_he_could_not_signal_himself() {
        let (root, own, web, other) = (0, 1000, 33, 34);
        assert!(may_name(root, root, web) && may_name(web, root, web) && may_name(own, own, web));
        assert!(!may_name(web, root, root) && !may_name(web, root, other) && !may_name(web, own, own));
        let process = Process::open(std::process::id()).unwrap();
        assert_eq!(process.user(), Some(rustix::process::getuid().as_raw()));
    }

    #[test]
    fn a_process_that_was_not_reaped_does_not_live() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::open(child.id()).unwrap();
        process.signal(Signal::KILL).unwrap();
        let given_up = std::time::Instant::now() + Duration::from_secs(60);
        while process.lives() {
            assert!(std::time::Instant::now() < given_up);
        }
        assert!(Process::open(child.id()).is_none());
        child.wait().unwrap();
    }

    #[test]
    fn a_number_that_was_given_to_somebody_else_is_not_believed() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (_dir, file) = pid_file(&child.id().to_string());
        assert_eq!(file.service(Path::new("/nowhere/app")).unwrap().pid(), child.id());
        let past = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(&file.0).unwrap().set_modified(past).unwrap();
        let said = file.service(Path::new("/nowhere/app")).unwrap_err();
        // Unless it is the program itself: then the file was carried over, or the clock set.
        let program = fs::read_link(format!("/proc/{}/exe", child.id())).unwrap();
        let known = file.service(&program).map(|process| process.pid());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(said.contains("was left behind"), "{said}");
        assert_eq!(known, Ok(child.id()));
    }

    #[test]
    fn a_child_that_was_only_forked_has_executed_nothing() {
        // The shell forks for a group of commands and executes nothing in it.
        let mut parent = std::process::Command::new("sh");
        parent.args(["-c", "sleep 60 & ( sleep 60; true ) & read x"]).stdin(std::process::Stdio::piped());
        let mut parent = parent.spawn().unwrap();
        let process = Process::open(parent.id()).unwrap();
        let given_up = std::time::Instant::now() + Duration::from_secs(60);
        let found = loop {
            let children = process.children();
            let executed: Vec<bool> = children.iter().map(|child| process.executed_since(*child)).collect();
            if executed.len() == 2 && executed.contains(&true) && executed.contains(&false) {
                break true;
            }
            if std::time::Instant::now() > given_up {
                break false;
            }
        };
        for child in process.children() {
            for grandchild in Process::open(child).iter().flat_map(Process::children) {
                let _ = Process::open(grandchild).map(|process| process.signal(Signal::KILL));
            }
            let _ = Process::open(child).map(|process| process.signal(Signal::KILL));
        }
        parent.kill().unwrap();
        parent.wait().unwrap();
        assert!(found);
    }
}
