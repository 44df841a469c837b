//! One process of the service, from its start to its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::Signal;

use super::carried::{CarriedGeneration, CarriedPhase, CarriedTail};
use super::options::Options;
use super::sockets::Listener;
use super::tail::{Holding, ServiceEnds, Tail};
use crate::clock::Steady;
use crate::install::Stamp;
use crate::restart::{HandoffError, Launch};
use crate::spawn::{Child, Exited, Held, Keep, Spawn, SpawnStep};

/// Where a generation is in its life. It only moves forward, but for `Paused` back to `Serving`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not ready yet; killed at the deadline.
    Starting { deadline: Instant },
    /// The one that serves.
    Serving,
    /// Keeps its connections and accepts nothing, for as long as its successor is watched.
    Paused,
    /// Told to drain; killed at the deadline, which can be moved up to `latest`.
    Draining { deadline: Instant, latest: Instant },
    /// Told to go away after a failure; killed at the deadline.
    Ending { deadline: Instant },
    /// Was sent SIGKILL.
    Killed { since: Instant },
}

impl Phase {
    /// The word in `status`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Phase::Starting { .. } => "starting",
            Phase::Serving => "serving",
            Phase::Paused => "paused",
            Phase::Draining { .. } => "draining",
            Phase::Ending { .. } | Phase::Killed { .. } => "ending",
        }
    }
}

/// A running process of the service.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) launch: Launch,
    pub(super) phase: Phase,
    pub(super) started: Instant,
    pub(super) ready_at: Option<Instant>,
    pub(super) status: Option<String>,
    pub(super) watchdog_seen: Option<Instant>,
    /// It said on its control descriptor that it can pause.
    pub(super) pauses: bool,
    child: Child,
    control: Option<OwnedFd>,
    tail: Option<Tail>,
}

impl Generation {
    /// Starts `launch` as generation `number` with the supervisor's sockets.
    pub(super) fn start(
        number: u64,
        launch: Launch,
        options: &Options,
        listeners: &[Arc<Listener>],
        notify: &str,
    ) -> Result<Generation, HandoffError> {
        let no_process = |source: io::Error| HandoffError::Spawn { source };
        if let Some(stamp) = &launch.stamp
            && !Stamp::of(&launch.program).is_ok_and(|found| found.same_bytes(stamp))
        {
            return Err(HandoffError::Changed { program: launch.program });
        }
        let (control, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .map_err(|e| no_process(e.into()))?;
        // Each end has its own flags: the service expects the usual blocking descriptor.
        rustix::io::ioctl_fionbio(&theirs, false).map_err(|e| no_process(e.into()))?;
        let tail = if options.capture_stderr { Some(Tail::start().map_err(no_process)?) } else { None };

        let mut spawn = Spawn::new(&launch.program, options.arguments.iter().cloned());
        // Which copy is started is our business: what a service finds beside its own name is what the operator put there.
        spawn.argv[0] = options.program.clone().into_os_string();
        spawn.cwd = options.directory.clone();
        let elsewhere = options.directory.is_some();
        let replaced = |name: &std::ffi::OsStr| is_ours(name) || elsewhere && name == "PWD";
        spawn.env = std::env::vars_os().filter(|(name, _)| !replaced(name)).collect();
        let contract = contract(number, &launch, options, listeners, notify);
        spawn.env.extend(contract.into_iter().map(|(name, value)| (name.into(), value.into())));
        spawn.pid_variable = (!listeners.is_empty()).then(|| "LISTEN_PID".to_owned());
        spawn.death_signal = options.drain_on_supervisor_death.then_some(Signal::TERM);
        spawn.fds =
            descriptors(listeners, options.drain_on_supervisor_death.then_some(theirs), &tail).map_err(no_process)?;
        let now = Instant::now();
        let child = spawn.spawn().map_err(|e| {
            let source = io::Error::from_raw_os_error(e.errno());
            let machine = matches!(
                e.errno(),
                libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EIO | libc::ETIMEDOUT | libc::ETXTBSY
            );
            match (e.step(), &options.directory) {
                (SpawnStep::Exec, _) if !machine => HandoffError::Exec { program: launch.program.clone(), source },
                (SpawnStep::WorkingDirectory, Some(directory)) => {
                    HandoffError::Directory { directory: directory.clone(), source }
                }
                _ => no_process(io::Error::new(source.kind(), e)),
            }
        })?;
        Ok(Generation {
            number,
            launch,
            phase: Phase::Starting { deadline: now + options.ready_deadline },
            started: now,
            ready_at: None,
            status: None,
            watchdog_seen: None,
            pauses: false,
            child,
            control: Some(control),
            tail: tail.map(|(tail, _)| tail),
        })
    }

    /// What another program of this process goes on from; its descriptors stay open. `None` for one on its way to
    /// readiness, which is waited for.
    pub(super) fn carry<'a>(&'a self, keep: &mut Keep<'a>) -> Option<CarriedGeneration> {
        Some(CarriedGeneration {
            number: self.number,
            launch: self.launch.clone(),
            phase: CarriedPhase::of(self.phase)?,
            started: Steady::of(self.started),
            ready_at: self.ready_at.map(Steady::of),
            status: self.status.clone(),
            watchdog_seen: self.watchdog_seen.map(Steady::of),
            pauses: self.pauses,
            pid: self.pid(),
            pidfd: keep.add(self.child.pidfd()),
            control: self.control.as_ref().map(|control| keep.add(control.as_fd())),
            stderr: self.tail.as_ref().map(|tail| CarriedTail { reader: keep.add(tail.reader()), kept: tail.kept() }),
        })
    }

    /// Goes on from there. Its stderr waits for [`Generation::begin_copying`].
    pub(super) fn carried(carried: CarriedGeneration, held: &Held) -> io::Result<Generation> {
        let pid = rustix::process::Pid::from_raw(carried.pid.cast_signed());
        let pid = pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "0 is no process"))?;
        let tail = match carried.stderr {
            Some(tail) => Some(Tail::resume(held.copy(tail.reader)?, tail.kept)),
            None => None,
        };
        Ok(Generation {
            number: carried.number,
            launch: carried.launch,
            phase: carried.phase.resume(),
            started: carried.started.instant(),
            ready_at: carried.ready_at.map(Steady::instant),
            status: carried.status,
            watchdog_seen: carried.watchdog_seen.map(Steady::instant),
            pauses: carried.pauses,
            child: Child::inherited(pid, held.copy(carried.pidfd)?)?,
            control: carried.control.map(|control| held.copy(control)).transpose()?,
            tail,
        })
    }

    /// Copies its stderr from now on.
    pub(super) fn begin_copying(&self) -> io::Result<()> {
        self.tail.as_ref().map_or(Ok(()), Tail::begin)
    }

    /// See [`Tail::hold`]; `Some(None)` if there is nothing to copy.
    pub(super) fn hold_copying(&self) -> Option<Option<Holding<'_>>> {
        self.tail.as_ref().map_or(Some(None), |tail| tail.hold().map(Some))
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid().as_raw_nonzero().get().unsigned_abs()
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    /// Whether it has ended, reaped or not.
    pub(super) fn has_ended(&self) -> bool {
        self.child.ended_by(Instant::now()).unwrap_or(true)
    }

    /// How it ended, if it has; reaps it.
    pub(super) fn try_wait(&mut self) -> Option<Exited> {
        // A process that cannot be asked after will not be there to be waited for again.
        self.child.try_wait().unwrap_or(Some(Exited::Code(-1)))
    }

    /// Sends it a signal. One that has ended needs none.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = self.child.kill(signal);
    }

    /// Whether `signal` would simply end it: it neither catches nor blocks nor ignores it, as far as /proc can be read.
    pub(super) fn is_ended_by(&self, signal: Signal) -> bool {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", self.pid())) else { return false };
        let bit = 1_u64 << (signal.as_raw() - 1);
        let mut sets = status.lines().filter_map(|line| {
            let (name, set) = line.split_once(':')?;
            ["SigBlk", "SigIgn", "SigCgt"].contains(&name).then(|| u64::from_str_radix(set.trim(), 16).ok())?
        });
        sets.all(|set| set & bit == 0)
    }

    /// The control descriptor, until the service has closed its end.
    pub(super) fn control(&self) -> Option<BorrowedFd<'_>> {
        self.control.as_ref().map(AsFd::as_fd)
    }

    /// Reads what came on the control descriptor. One that the service has closed is dropped: it
    /// would be readable for ever.
    pub(super) fn read_control(&mut self) {
        let mut bytes = [0_u8; 256];
        while let Some(control) = &self.control {
            match rustix::net::recv(control, &mut bytes[..], RecvFlags::DONTWAIT) {
                Ok((1.., length)) if bytes[..length].trim_ascii() == b"hello pause" => self.pauses = true,
                Ok((1.., _)) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Ok((0, _)) | Err(_) => {
                    self.control = None;
                    self.pauses = false;
                }
            }
        }
    }

    /// Stops accepting without draining. False if this service cannot.
    pub(super) fn pause(&mut self) -> bool {
        let paused = self.pauses && self.say("pause");
        if paused {
            self.phase = Phase::Paused;
        }
        paused
    }

    /// Accepts again after a pause.
    pub(super) fn resume(&mut self) -> bool {
        let resumed = self.phase == Phase::Paused && self.say("resume");
        if resumed {
            self.phase = Phase::Serving;
        }
        resumed
    }

    /// Asks for a drain: the control message where it is understood, and SIGTERM for everybody.
    pub(super) fn drain(&mut self, within: Duration, now: Instant) {
        if self.pauses {
            self.say(&format!("drain {}", within.as_millis()));
        }
        self.signal(Signal::TERM);
        self.phase = Phase::Draining { deadline: now + within, latest: now + within * EXTENSIONS };
    }

    /// Ends a failed process: SIGTERM, then SIGKILL after [`ENDING`].
    pub(super) fn end(&mut self, now: Instant) {
        self.signal(Signal::TERM);
        self.phase = Phase::Ending { deadline: now + ENDING };
    }

    pub(super) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.phase = Phase::Killed { since: Instant::now() };
    }

    /// When something is to be done about it, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting { deadline } | Phase::Draining { deadline, .. } | Phase::Ending { deadline } => {
                Some(deadline)
            }
            // Looked at once more, should the kernel not let go of it.
            Phase::Killed { since } => Some(since + KILLED_LOOK).filter(|at| *at > Instant::now()),
            Phase::Serving | Phase::Paused => None,
        }
    }

    /// `EXTEND_TIMEOUT_USEC`: moves the present deadline to `by` from now, but never beyond ten
    /// times what was configured.
    pub(super) fn extend(&mut self, by: Duration, options: &Options, now: Instant) {
        match &mut self.phase {
            Phase::Starting { deadline } => {
                let latest = self.started + options.ready_deadline * EXTENSIONS;
                *deadline = (now + by.min(options.ready_deadline * EXTENSIONS)).max(*deadline).min(latest);
            }
            Phase::Draining { deadline, latest } => {
                *deadline = (now + by.min(options.drain_deadline * EXTENSIONS)).max(*deadline).min(*latest);
            }
            _ => {}
        }
    }

    /// The end of its stderr, waiting a moment for the last of it.
    pub(super) fn stderr(&self) -> String {
        self.tail.as_ref().map(|tail| tail.end(Duration::from_millis(200))).unwrap_or_default()
    }

    fn say(&self, message: &str) -> bool {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        self.control.as_ref().is_some_and(|control| rustix::net::send(control, message.as_bytes(), flags).is_ok())
    }
}

/// Where each descriptor goes: the listeners from 3 on, the control descriptor behind them, and,
/// where stderr is captured, the read end that keeps its pipe alive.
fn descriptors(
    listeners: &[Arc<Listener>],
    control: Option<OwnedFd>,
    tail: &Option<(Tail, ServiceEnds)>,
) -> io::Result<Vec<(OwnedFd, RawFd)>> {
    let mut placed = Vec::with_capacity(listeners.len() + 5);
    for (descriptor, number) in [(io::stdin().as_fd(), 0), (io::stdout().as_fd(), 1)] {
        placed.push((descriptor.try_clone_to_owned()?, number));
    }
    let mut next = FIRST_DESCRIPTOR;
    for listener in listeners {
        placed.push((listener.as_fd().try_clone_to_owned()?, next));
        next += 1;
    }
    if let Some(control) = control {
        placed.push((control, next));
    }
    match tail {
        Some((_, ends)) => {
            placed.push((ends.writer.as_fd().try_clone_to_owned()?, 2));
            placed.push((ends.keeper.as_fd().try_clone_to_owned()?, next + 1));
        }
        None => placed.push((io::stderr().as_fd().try_clone_to_owned()?, 2)),
    }
    Ok(placed)
}

/// The variables of HANDOFF 1.3.
fn contract(
    number: u64,
    launch: &Launch,
    options: &Options,
    listeners: &[Arc<Listener>],
    notify: &str,
) -> Vec<(&'static str, String)> {
    let names: Vec<&str> = listeners.iter().map(|listener| listener.name()).collect();
    let mut variables = vec![
        ("NOTIFY_SOCKET", notify.to_owned()),
        ("FETCHD_PROTO", "1".to_owned()),
        ("FETCHD_ROLE", "service".to_owned()),
        ("FETCHD_GENERATION", number.to_string()),
        ("FETCHD_PROGRAM", options.program.display().to_string()),
        ("FETCHD_READY_MS", options.ready_deadline.as_millis().to_string()),
        ("FETCHD_DRAIN_MS", options.drain_deadline.as_millis().to_string()),
    ];
    // Its end of file would tell a service that is to outlive us to drain.
    if options.drain_on_supervisor_death {
        variables.push(("FETCHD_CONTROL_FD", (FIRST_DESCRIPTOR as usize + listeners.len()).to_string()));
    }
    if !listeners.is_empty() {
        variables.push(("LISTEN_FDS", listeners.len().to_string()));
        variables.push(("LISTEN_FDNAMES", names.join(":")));
    }
    if let Some(directory) = &options.directory {
        // As a shell's `cd` sets it: the way there, which the kernel does not remember.
        variables.push(("PWD", directory.display().to_string()));
    }
    if let Some(version) = &launch.version {
        variables.push(("FETCHD_VERSION", version.to_string()));
    }
    if let Some(interval) = options.watchdog {
        variables.push(("WATCHDOG_USEC", interval.as_micros().to_string()));
    }
    if let Some(sha256) = &launch.sha256 {
        variables.push(("FETCHD_DIGEST", sha256.to_string()));
    }
    variables
}

/// What the service must not inherit: the supervisor's own descriptors, its line to systemd, and
/// its configuration, which may hold secrets.
fn is_ours(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("FETCHD_")
        || matches!(
            &*name,
            "LISTEN_FDS"
                | "LISTEN_PID"
                | "LISTEN_FDNAMES"
                | "NOTIFY_SOCKET"
                | "WATCHDOG_USEC"
                | "WATCHDOG_PID"
                | "FDSTORE"
        )
}

/// systemd's SD_LISTEN_FDS_START.
const FIRST_DESCRIPTOR: i32 = 3;

/// HANDOFF 1.4 step 2: "TERM, 2 s, KILL, reap".
const ENDING: Duration = Duration::from_secs(2);

/// HANDOFF 1.3: "at most ten times the configured".
const EXTENSIONS: u32 = 10;

/// When a process that was killed and is still there is looked at again: after the supervisor's patience with it.
const KILLED_LOOK: Duration = Duration::from_millis(5100);
