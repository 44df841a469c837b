//! The smoke run: the candidate is asked for its version, and gets nothing else.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Signal};
use semver::Version;

use super::VerifyError;
use super::custody::Kept;
use super::version::{self, Pattern};
use crate::digest::Sha256;
use crate::failure::Exit;
use crate::spawn::{Child, Exited, Spawn, SpawnError, SpawnStep};
use crate::trust::Refused;

/// How the smoke run is made.
#[derive(Debug, Clone)]
pub struct Smoke {
    /// Whether it is made at all.
    pub enabled: bool,
    /// The arguments that make the program print its version and exit.
    pub args: Vec<OsString>,
    /// Where in its output the version stands; `None` = anywhere.
    pub pattern: Option<Pattern>,
    /// How long it may take.
    pub deadline: Duration,
    /// How many bytes it may print, stdout and stderr together.
    pub output_limit: usize,
}

impl Default for Smoke {
    fn default() -> Smoke {
        Smoke {
            enabled: true,
            args: vec!["--version".into()],
            pattern: None,
            deadline: Duration::from_secs(10),
            output_limit: 64 * 1024,
        }
    }
}

impl Smoke {
    /// Runs `program`, whose digest is `sha256` and right, and looks for `signed` in what it
    /// prints; without a signed version, for any version. Returns the version it found.
    ///
    /// When this returns, the process and its group are dead and reaped and its directory is gone.
    pub(super) fn run(
        &self,
        program: &Path,
        sha256: Sha256,
        signed: Option<&Version>,
        custody: &Path,
    ) -> Result<Version, VerifyError> {
        if is_this_program(program) {
            let refused = refusal("smoke.self", "the candidate is the very file this fetchd runs from".to_owned());
            return Err(refused.into());
        }
        let run = self.observe(program, sha256, custody)?;
        let refuse = |code, message| Err(VerifyError::blame(sha256, refusal(code, message)).with_output(run.tail()));
        let deadline = self.deadline.as_secs_f64();
        match run.end {
            End::Late => return refuse("smoke.timeout", format!("the smoke run did not end within {deadline} s")),
            End::Flood => {
                let message = format!("the smoke run printed more than {} bytes", self.output_limit);
                return refuse("smoke.output", message);
            }
            End::Exited(Exited::Code(0)) => {}
            End::Exited(Exited::Code(code)) => {
                return refuse("smoke.exit", format!("the smoke run ended with exit code {code}"));
            }
            End::Exited(signal) => return refuse("smoke.signal", format!("the smoke run was ended by {signal}")),
        }
        let stdout = String::from_utf8_lossy(&run.stdout);
        let found = version::find(&stdout, self.pattern.as_ref());
        match (signed, found) {
            (Some(signed), _) if version::names(&stdout, signed, self.pattern.as_ref()) => Ok(signed.clone()),
            (Some(signed), Some(found)) => {
                refuse("smoke.version", format!("the candidate says it is {found}, {signed} is signed"))
            }
            (Some(signed), None) => {
                refuse("smoke.version", format!("the candidate does not print the signed version {signed}"))
            }
            (None, Some(found)) => Ok(found),
            (None, None) => refuse("smoke.version", "the candidate prints no version".to_owned()),
        }
    }

    fn observe(&self, program: &Path, sha256: Sha256, custody: &Path) -> Result<Run, VerifyError> {
        let program = std::path::absolute(program).map_err(VerifyError::io(program, "resolving"))?;
        let directory = Kept::named(custody, "smoke")?;
        let made = DirBuilder::new().mode(0o700).create(&directory.path);
        made.map_err(VerifyError::io(&directory.path, "creating"))?;
        let (mut running, streams) = self.start(&program, sha256, &directory.path)?;
        running.watch(streams, self).map_err(VerifyError::io(&program, "watching the smoke run of"))
    }

    fn start(&self, program: &Path, sha256: Sha256, cwd: &Path) -> Result<(Running, [File; 2]), VerifyError> {
        let give_up = Instant::now() + BUSY_DEADLINE;
        loop {
            let pipe =
                |()| rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK);
            let open = || -> io::Result<_> { Ok((pipe(())?, pipe(())?)) };
            let ((out, out_end), (err, err_end)) = open().map_err(VerifyError::io(program, "making pipes for"))?;
            match self.program(program, cwd, out_end, err_end).spawn() {
                Ok(child) => return Ok((Running { child }, [out.into(), err.into()])),
                // A child of another thread may still hold a writing descriptor, between its fork and its exec.
                Err(e) if e.errno() == libc::ETXTBSY && Instant::now() < give_up => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(e) => return Err(not_started(program, sha256, e)),
            }
        }
    }

    fn program(&self, program: &Path, cwd: &Path, out: OwnedFd, err: OwnedFd) -> Spawn {
        let seconds = self.deadline.as_secs().saturating_add(1);
        let mut spawn = Spawn::new(program, self.args.iter().cloned());
        // fetchd itself refuses to run a service when it sees this: a candidate may be a fetchd.
        spawn.env = vec![(MARK.into(), "1".into())];
        spawn.cwd = Some(cwd.to_owned());
        // The program gets blocking pipes: the flag belongs to the open file, and each end of a pipe has its own.
        for (end, number) in [(out, 1), (err, 2)] {
            let _ = rustix::fs::fcntl_setfl(&end, rustix::fs::OFlags::empty());
            spawn.fds.push((end, number));
        }
        spawn.session = true;
        spawn.death_signal = Some(Signal::KILL);
        // No limit on processes: it would count those of the whole user, threads included, and blame the candidate.
        spawn.rlimits = vec![
            (Resource::Core, 0),
            (Resource::Nofile, 256),
            (Resource::Fsize, 1024 * 1024),
            (Resource::Cpu, seconds),
        ];
        spawn
    }
}

/// What a smoke run showed.
struct Run {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    end: End,
}

enum End {
    Exited(Exited),
    Late,
    Flood,
}

impl Run {
    /// The end of what it printed, fit for a log: stderr, or stdout if there was none.
    fn tail(&self) -> String {
        let bytes = if self.stderr.trim_ascii().is_empty() { &self.stdout } else { &self.stderr };
        let end = &bytes[bytes.len().saturating_sub(TAIL)..];
        let text = String::from_utf8_lossy(end);
        let clean: String = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
        clean.trim().to_owned()
    }
}

/// A process group that does not outlive this value.
struct Running {
    child: Child,
}

impl Running {
    fn watch(&mut self, streams: [File; 2], smoke: &Smoke) -> io::Result<Run> {
        let deadline = Instant::now() + smoke.deadline;
        let mut streams = streams.map(Some);
        let mut printed = [Vec::new(), Vec::new()];
        let mut exited = None;
        let mut stop = deadline;
        let end = loop {
            if streams.iter().all(Option::is_none)
                && let Some(exited) = exited
            {
                break End::Exited(exited);
            }
            if Instant::now() >= stop {
                break exited.map_or(End::Late, End::Exited);
            }
            let ready = wait_for(&streams, exited.is_none().then_some(&self.child), stop)?;
            for (index, stream) in streams.iter_mut().enumerate() {
                if ready[index]
                    && let Some(file) = stream
                    && !read_some(file, &mut printed[index])?
                {
                    *stream = None;
                }
            }
            if printed[0].len() + printed[1].len() > smoke.output_limit {
                break End::Flood;
            }
            if ready[2] && exited.is_none() {
                // Whatever it left behind goes now, and with it the other ends of the pipes.
                exited = Some(self.finish()?);
                // A process that left the group may still hold them: what the candidate itself wrote is in the pipe
                // already, so there is nothing to wait for but that.
                stop = Instant::now() + GRACE;
            }
        };
        let [stdout, stderr] = printed;
        Ok(Run { stdout, stderr, end })
    }

    /// Kills the group, and reaps the leader. The group first: until the leader is reaped nobody else can have its id.
    fn finish(&mut self) -> io::Result<Exited> {
        let _ = self.child.kill_group(Signal::KILL);
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill_group(Signal::KILL);
        // A process in the kernel's uninterruptible sleep dies when it wakes up; fetchd does not wait for that.
        match self.child.ended_by(Instant::now() + REAP_DEADLINE) {
            Ok(true) => drop(self.child.wait()),
            _ => tracing::warn!(pid = ?self.child.pid(), "the smoke run was killed and has not ended yet"),
        }
    }
}

/// Which of stdout, stderr and the end of the child can be looked at.
fn wait_for(streams: &[Option<File>; 2], child: Option<&Child>, until: Instant) -> io::Result<[bool; 3]> {
    let sources = [streams[0].as_ref().map(File::as_fd), streams[1].as_ref().map(File::as_fd), child.map(Child::pidfd)];
    let mut fds = Vec::new();
    let mut places = Vec::new();
    for (place, fd) in sources.iter().enumerate() {
        if let Some(fd) = fd {
            fds.push(PollFd::new(fd, PollFlags::IN));
            places.push(place);
        }
    }
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    let mut ready = [false; 3];
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    for (fd, place) in fds.iter().zip(places) {
        ready[place] = !fd.revents().is_empty();
    }
    Ok(ready)
}

/// Reads once. `false`: there will be no more.
fn read_some(file: &mut File, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 8192];
    match file.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(read) => {
            into.extend_from_slice(&buffer[..read]);
            Ok(true)
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(true),
        Err(e) => Err(e),
    }
}

/// Whose fault it is that a program could not be started: the candidate's, or this machine's.
fn not_started(program: &Path, sha256: Sha256, error: SpawnError) -> VerifyError {
    let what = match (error.step(), error.errno()) {
        (SpawnStep::Exec, libc::ENOEXEC) => "the candidate is nothing this kernel can execute",
        (SpawnStep::Exec, libc::ENOENT) => "the candidate needs an interpreter or loader that is not on this machine",
        (SpawnStep::Exec, libc::ELIBBAD | libc::EINVAL) => "the candidate's program header is damaged",
        (SpawnStep::Exec, libc::ELOOP) => "the candidate is a script of a script",
        _ => return VerifyError::Start { path: program.to_owned(), source: error },
    };
    VerifyError::blame(sha256, refusal("smoke.exec", what.to_owned()))
}

fn refusal(code: &'static str, message: String) -> Refused {
    Refused::new(code, Exit::Smoke, message)
}

fn is_this_program(path: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    id(path).is_some() && id(path) == id(Path::new("/proc/self/exe"))
}

/// Set in the environment of a smoke run, and nothing else is.
pub const MARK: &str = "FETCHD_SMOKE";
/// How long a file may stay open for writing somewhere else.
const BUSY_DEADLINE: Duration = Duration::from_secs(2);
/// How long the pipes are read after the candidate has ended.
const GRACE: Duration = Duration::from_millis(100);
const REAP_DEADLINE: Duration = Duration::from_secs(5);
/// How much of its output a refusal carries, in bytes.
const TAIL: usize = 2048;
