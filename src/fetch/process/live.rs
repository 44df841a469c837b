//! One worker process, from its start until it is reaped.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal};

use super::grants::Granted;
use super::{Settings, Stderr, screen, seen};
use crate::fetch::confine::{Hardening, PLAN, Plan};
use crate::fetch::failure::{FetchFailure, WorkerFault};
use crate::fetch::wire::{self, Answer, Reply, Request};
use crate::fetch::worker::Attend;

/// Variables every worker inherits: what to log.
const INHERIT: [&str; 2] = ["RUST_LOG", "RUST_BACKTRACE"];
/// Variables that a worker inherits which uses the network: how to reach it.
const NETWORK: [&str; 10] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// Variables for tests; read and passed on only by builds with debug assertions.
#[cfg(debug_assertions)]
const TESTS: [&str; 5] = [
    "FETCHD_TEST_CHECKPOINT",
    "FETCHD_TEST_CHECKPOINT_FILE",
    "FETCHD_TEST_WORKER",
    "FETCHD_TEST_WORKER_FILE",
    "FETCHD_TEST_WORKER_WITHOUT",
];
#[cfg(not(debug_assertions))]
const TESTS: [&str; 0] = [];

/// How often [`Attend::stop`] is asked where nothing wakes us.
const GLANCE: Duration = Duration::from_millis(200);
/// How many messages a job may send at once, and then every second.
const BURST: u64 = 100;
const RATE: f64 = 50.0;
/// Bytes that a log may grow by while a worker lives.
const SLACK: u64 = 1 << 30;

/// What a worker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// To poll and to download.
    Network,
    /// To unpack what somebody else packed, or to apply a delta that somebody else made: it is told no password of a proxy and no credential, and opens nothing.
    Archive,
}

/// A started worker.
#[derive(Debug)]
pub(super) struct Live {
    duty: Duty,
    granted: Granted,
    child: Child,
    socket: UnixStream,
    inbox: Vec<u8>,
    end: Option<End>,
}

/// What is still to be sent.
#[derive(Debug, Default)]
struct Sent {
    bytes: Vec<u8>,
    files: Vec<OwnedFd>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Reaped(ExitStatus),
    /// Somebody else reaped it, as a PID 1 may; its number is not its own any more.
    Unknown,
}

impl Live {
    pub(super) fn start(
        duty: Duty,
        granted: Granted,
        program: &Path,
        directory: &Path,
        settings: &Settings,
    ) -> Result<Live, FetchFailure> {
        let failed = |error: io::Error| {
            let (program, message) = (program.display().to_string(), error.to_string());
            FetchFailure::from(WorkerFault::Spawn { program, message })
        };
        let (socket, theirs) = UnixStream::pair().map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let mut command = Command::new(program);
        command.arg0("fetchd: worker");
        command.env_clear().env("FETCHD_ROLE", "worker").current_dir(directory).process_group(0);
        command.envs(INHERIT.iter().chain(&TESTS).filter_map(|name| inherited(name)));
        if duty == Duty::Network {
            let network = NETWORK.iter().copied().chain(settings.inherit.iter().map(String::as_str));
            command.envs(network.filter_map(inherited));
        }
        let plan = Plan { file_size: file_size(settings), ..granted.plan.clone() };
        command.env(PLAN, serde_json::to_string(&plan).map_err(|error| failed(error.into()))?);
        if let Some(user) = settings.user {
            // The standard library also lets go of every other group of this process.
            command.uid(user.uid).gid(user.gid);
        }
        command.envs(settings.set.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        command.stderr(match settings.stderr {
            Stderr::Inherit => Stdio::inherit(),
            Stderr::Null => Stdio::null(),
        });
        let child = command.spawn().map_err(failed)?;
        Ok(Live { duty, granted, child, socket, inbox: Vec::new(), end: None })
    }

    /// Whether it was started for this, and may open what this needs and nothing else.
    pub(super) fn serves(&self, duty: Duty, granted: &Granted) -> bool {
        self.duty == duty && self.granted == *granted
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs and has said nothing out of turn.
    pub(super) fn is_alive(&mut self) -> bool {
        let mut byte = [0];
        let quiet = matches!(self.socket.read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.look().is_none() && self.inbox.is_empty() && quiet
    }

    /// Whether it has ended by now.
    fn look(&mut self) -> Option<End> {
        if self.end.is_none() {
            self.end = match self.child.try_wait() {
                Ok(status) => status.map(End::Reaped),
                Err(_) => Some(End::Unknown),
            };
        }
        self.end
    }

    /// What holds of it: its first message, corrected by what the kernel shows.
    pub(super) fn hardening(
        &mut self,
        settings: &Settings,
        attend: &mut dyn Attend,
    ) -> Result<Hardening, FetchFailure> {
        let claimed =
            self.converse(Sent::default(), settings.silence * 2, settings, attend, |reply, _| match reply {
                Reply::Confined(hardening) => Ok(Some(hardening)),
                _ => Err(WorkerFault::Protocol { what: "an answer before it was asked".to_owned() }.into()),
            })?;
        Ok(seen::corrected(claimed, self.id(), settings))
    }

    /// One job, with `files` to go along. The outer failure is the worker's, the inner one the job's.
    pub(super) fn run(
        &mut self,
        request: &Request,
        files: Vec<OwnedFd>,
        limit: Duration,
        settings: &Settings,
        attend: &mut dyn Attend,
    ) -> Result<Result<Answer, FetchFailure>, FetchFailure> {
        let bytes = wire::encode(request).map_err(|error| protocol(&error))?;
        self.converse(Sent { bytes, files }, limit, settings, attend, |reply, attend| match reply {
            Reply::Alive => Ok(None),
            Reply::Progress(progress) => {
                attend.progress(screen::progress(progress));
                Ok(None)
            }
            Reply::Done(answer) => Ok(Some(Ok(answer))),
            Reply::Failed(failure) => Ok(Some(Err(failure))),
            Reply::Confined(_) => Err(WorkerFault::Protocol { what: "its first message again".to_owned() }.into()),
        })
    }

    /// Sends `sent` and hears the worker out until `take` has what it wants.
    fn converse<T>(
        &mut self,
        mut sent: Sent,
        limit: Duration,
        settings: &Settings,
        attend: &mut dyn Attend,
        mut take: impl FnMut(Reply, &mut dyn Attend) -> Result<Option<T>, FetchFailure>,
    ) -> Result<T, FetchFailure> {
        let begun = Instant::now();
        let mut heard = begun;
        let mut messages = 0_u64;
        let mut woken = false;
        loop {
            if attend.stop() {
                return Err(FetchFailure::Stopped);
            }
            if begun.elapsed() >= limit {
                return Err(WorkerFault::Deadline { limit }.into());
            }
            if heard.elapsed() >= settings.silence {
                return Err(WorkerFault::Silent { after: settings.silence }.into());
            }
            self.push(&mut sent)?;
            let open = self.pull()?;
            while let Some(reply) = wire::decode::<Reply>(&mut self.inbox).map_err(|error| protocol(&error))? {
                heard = Instant::now();
                messages += 1;
                if messages as f64 > BURST as f64 + RATE * begun.elapsed().as_secs_f64() {
                    let what = format!("{messages} messages within {:?}", begun.elapsed());
                    return Err(WorkerFault::Protocol { what }.into());
                }
                if let Some(taken) = take(reply, attend)? {
                    return Ok(taken);
                }
            }
            if !open {
                return Err(WorkerFault::Died { how: self.obituary(settings.dismiss) }.into());
            }
            let left = (limit.saturating_sub(begun.elapsed())).min(settings.silence.saturating_sub(heard.elapsed()));
            // A caller that is woken and does not stop may leave its descriptor readable.
            let wake = if woken { None } else { attend.wake() };
            woken = self.wait(left, !sent.bytes.is_empty(), wake)?;
        }
    }

    /// Sends what the socket takes of `sent`, its files with the first byte.
    fn push(&mut self, sent: &mut Sent) -> Result<(), FetchFailure> {
        while !sent.bytes.is_empty() {
            let written = match sent.files.as_slice() {
                [] => self.socket.write(&sent.bytes),
                files => wire::send_files(&self.socket, &sent.bytes, files),
            };
            match written {
                Ok(written) => {
                    sent.bytes.drain(..written);
                    sent.files.clear();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Reading tells what became of it.
                Err(error) if gone(&error) => *sent = Sent::default(),
                Err(error) => return Err(protocol(&error)),
            }
        }
        Ok(())
    }

    /// Takes in what has arrived, one message's worth at most. `false` at the end of file.
    fn pull(&mut self) -> Result<bool, FetchFailure> {
        let mut buffer = vec![0; 64 * 1024];
        while self.inbox.len() < wire::PREFIX + wire::MESSAGE_LIMIT {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => self.inbox.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if gone(&error) => return Ok(false),
                Err(error) => return Err(protocol(&error)),
            }
        }
        Ok(true)
    }

    /// Sleeps until the worker or the caller wants something, for `left` at most. `true` if it is
    /// the caller.
    fn wait(&self, left: Duration, writing: bool, wake: Option<BorrowedFd<'_>>) -> Result<bool, FetchFailure> {
        let events = if writing { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut descriptors = vec![PollFd::new(&self.socket, events)];
        if let Some(wake) = &wake {
            descriptors.push(PollFd::new(wake, PollFlags::IN));
        }
        let time = if wake.is_some() { left } else { left.min(GLANCE) };
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        match rustix::event::poll(&mut descriptors, Some(&timeout)) {
            Ok(_) => Ok(descriptors.get(1).is_some_and(|wake| !wake.revents().is_empty())),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(protocol(&errno.into())),
        }
    }

    /// How it ended, in words; it is given `patience` to do so.
    fn obituary(&mut self, patience: Duration) -> String {
        match self.end_within(patience) {
            Some(End::Reaped(status)) => in_words(status),
            Some(End::Unknown) => "an unknown status".to_owned(),
            None => "its socket closed, and runs on".to_owned(),
        }
    }

    fn end_within(&mut self, patience: Duration) -> Option<End> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_millis(1);
        loop {
            if self.look().is_some() || Instant::now() >= deadline {
                return self.end;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Lets it end by itself, for `patience`.
    pub(super) fn dismiss(mut self, patience: Duration) {
        // Only its own end of file tells it: both directions are shut, the descriptor stays.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        self.end_within(patience);
        self.kill();
    }

    /// Kills it and whatever it started, and reaps it.
    pub(super) fn kill(&mut self) {
        if self.look().is_some() {
            return;
        }
        // Not yet reaped, so the number is still its own. It may have ended all the same.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        // A killed process is gone in a moment, unless the kernel holds it: then nothing helps.
        self.end_within(Duration::from_secs(5));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The largest file: what is configured, and the log that standard error may be, which only grows.
fn file_size(settings: &Settings) -> Option<u64> {
    let log = rustix::fs::fstat(io::stderr()).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
    settings.file_size.map(|size| size.saturating_add(log).saturating_add(SLACK))
}

/// A variable of this process, if it is set.
fn inherited(name: &str) -> Option<(&str, OsString)> {
    Some((name, anywhere(name, std::env::var_os(name)?)))
}

/// The value of a variable, so that it means the same in another working directory.
pub(super) fn anywhere(name: &str, value: OsString) -> OsString {
    let relative = name.ends_with("_FILE") && !value.is_empty() && !value.as_bytes().starts_with(b"~");
    let absolute = if relative { std::path::absolute(&value).ok() } else { None };
    absolute.map_or(value, OsString::from)
}

fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn protocol(error: &io::Error) -> FetchFailure {
    WorkerFault::Protocol { what: error.to_string() }.into()
}

/// `exit status 3`, `signal 9 (SIGKILL)`.
fn in_words(status: ExitStatus) -> String {
    status.to_string().replacen(": ", " ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_variable_names_is_the_same_one_in_staging() {
        let here = std::env::current_dir().unwrap();
        let file = |value: &str| anywhere("AWS_WEB_IDENTITY_TOKEN_FILE", value.into());
        assert_eq!(file("token"), here.join("token"));
        assert_eq!(file("/run/token"), "/run/token");
        assert_eq!((file("~/token"), file("")), ("~/token".into(), "".into()));
        assert_eq!(anywhere("AWS_REGION", "eu-central-1".into()), "eu-central-1");
    }
}
