//! The parent's side: HANDOFF 1.5, step by step.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdFlags, Signal};

use super::{Shared, UpgradeError, Upgraded, channel, lock};
use crate::spawn::{Child, Exited, Spawn, SpawnError, SpawnStep};

impl Shared {
    /// One upgrade from its beginning to its outcome, which everybody hears of.
    pub(super) fn upgrade(&self) -> Result<Upgraded, UpgradeError> {
        let outcome = self.hand_over();
        match &outcome {
            Ok(Upgraded { pid, generation, .. }) => tracing::info!(event = "upgrade.done", pid, generation),
            Err(error) => {
                let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(event = "upgrade.failed", code = error.code(), error = %error, cause);
            }
        }
        // Also if the hook panics: the successor serves.
        let leaves = outcome.is_ok().then(|| Leaves(self));
        if let Some(after) = &self.options.after {
            after(&outcome);
        }
        drop(leaves);
        outcome
    }

    fn hand_over(&self) -> Result<Upgraded, UpgradeError> {
        if let Some(refusal) = &self.refusal {
            return Err(UpgradeError::Refused(refusal.clone()));
        }
        let claim = self.claim()?;
        if let Some(before) = &self.options.before {
            before().map_err(|reason| UpgradeError::Vetoed { reason })?;
        }
        tracing::info!(event = "upgrade.started", program = %self.program.path.display());
        let begun = Instant::now();
        let within = self.options.ready_deadline;
        let mut successor = Successor::start(self, begun + within)?;
        successor.await_ready(begun + within, within, self.stage.left())?;
        let ready_after = begun.elapsed();

        self.pause()?;
        self.settled();
        let switched = Instant::now();
        let watched = self.watch(&mut successor, switched);
        if let Err(error) = watched {
            // First somebody accepts again, then the successor is dealt with.
            drop(claim);
            return Err(error);
        }
        successor.stays = true;
        // The claim would make this process accept again.
        std::mem::forget(claim);
        Ok(Upgraded { pid: successor.pid(), generation: self.generation + 1, ready_after })
    }

    /// From `go` to the end of the pause.
    fn watch(&self, successor: &mut Successor, switched: Instant) -> Result<(), UpgradeError> {
        successor.go(switched)?;
        tracing::info!(event = "upgrade.switched", pid = successor.pid());
        self.main_process(successor.pid());
        successor.say("main");
        successor.await_pause(switched, switched + self.options.pause, self.stage.left())
    }
}

/// This process has handed over: it drains when this is dropped.
#[derive(Debug)]
struct Leaves<'a>(&'a Shared);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The process that is to take over. Dropped before it has stayed, it is ended and reaped.
#[derive(Debug)]
struct Successor {
    child: Child,
    line: Option<OwnedFd>,
    stays: bool,
}

/// What is heard of a successor.
#[derive(Debug)]
enum Heard {
    Word(String),
    Ended(Exited),
    /// This process was told to leave.
    Leaving,
    Late,
}

impl Successor {
    fn start(shared: &Shared, deadline: Instant) -> Result<Successor, UpgradeError> {
        let (line, theirs) = channel::pair().map_err(UpgradeError::Spawn)?;
        let descriptors = shared.kept().copies().map_err(UpgradeError::Spawn)?;
        let patience = Instant::now() + BUSY;
        let child = loop {
            match Successor::process(shared, &theirs) {
                Err(UpgradeError::Exec { source, .. })
                    if source.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < patience =>
                {
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => break other?,
            }
        };
        // The successor has its own by now: with this one, its end would never be seen.
        drop(theirs);
        let successor = Successor { child, line: Some(line), stays: false };
        successor.hand_on(shared, &descriptors, deadline);
        Ok(successor)
    }

    fn process(shared: &Shared, theirs: &OwnedFd) -> Result<Child, UpgradeError> {
        let listeners = shared.kept().listener_copies().map_err(UpgradeError::Spawn)?;
        let theirs = theirs.try_clone().map_err(UpgradeError::Spawn)?;
        let program = &shared.program;
        let contract = contract(shared, &listeners);
        let mut spawn = Spawn::new(&program.path, []);
        spawn.argv.clone_from(&program.argv);
        spawn.cwd = Some(program.cwd.clone());
        spawn.env = std::env::vars_os().filter(|(name, _)| !contract.iter().any(|(own, _)| name == own)).collect();
        spawn.env.extend(contract.into_iter().map(|(name, value)| (name.into(), value)));
        spawn.pid_variable = Some("LISTEN_PID".to_owned());
        // No death signal: the successor outlives this process, on whatever thread it was made.
        spawn.fds = placed(listeners, theirs).map_err(UpgradeError::Spawn)?;
        spawn.spawn().map_err(|error| not_started(error, shared))
    }

    /// Sends what no number announces. A successor that is gone already shows when it is waited for.
    fn hand_on(&self, shared: &Shared, descriptors: &[(String, OwnedFd)], deadline: Instant) {
        let Some(line) = &self.line else { return };
        let send = |text: &str, descriptor: Option<BorrowedFd<'_>>| channel::send(line, text, descriptor, deadline);
        let all = || -> io::Result<()> {
            for (name, descriptor) in descriptors {
                send(&format!("descriptor {name}"), Some(descriptor.as_fd()))?;
            }
            for ancestor in lock(&shared.ancestors).living() {
                send(&format!("ancestor {}", ancestor.pid), Some(ancestor.pidfd.as_fd()))?;
            }
            let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
            send(&format!("ancestor {}", std::process::id()), Some(own.as_fd()))?;
            send("begin", None)
        };
        if let Err(error) = all() {
            tracing::warn!(event = "upgrade.not_handed_on", error = %error);
        }
    }

    fn pid(&self) -> u32 {
        self.child.pid().as_raw_nonzero().get().unsigned_abs()
    }

    fn await_ready(
        &mut self,
        deadline: Instant,
        waited: Duration,
        leaving: BorrowedFd<'_>,
    ) -> Result<(), UpgradeError> {
        loop {
            match self.hear(deadline, Some(leaving)) {
                Heard::Word(word) if word == "ready" => return Ok(()),
                Heard::Word(word) => {
                    if let Some(reason) = word.strip_prefix("reject ") {
                        return Err(UpgradeError::Rejected { reason: reason.to_owned() });
                    }
                }
                Heard::Ended(exited) => return Err(UpgradeError::ExitedBeforeReady { exited }),
                Heard::Leaving => return Err(UpgradeError::Leaving),
                Heard::Late => return Err(UpgradeError::ReadyDeadline { waited }),
            }
        }
    }

    /// Lets it accept, and waits until it says that it does.
    fn go(&mut self, switched: Instant) -> Result<(), UpgradeError> {
        self.say("go");
        loop {
            match self.hear(switched + TAKE, None) {
                Heard::Word(word) if word == "took" => return Ok(()),
                Heard::Word(_) | Heard::Leaving => {}
                Heard::Ended(exited) => return Err(UpgradeError::Died { exited, after: switched.elapsed() }),
                Heard::Late => {
                    // It may have begun to accept or not: it must not do so later.
                    let _ = self.child.kill(Signal::KILL);
                    return Err(UpgradeError::NotTaken { waited: TAKE });
                }
            }
        }
    }

    /// Watches it until `deadline`, until it hands over itself, or until this process is to leave anyway.
    fn await_pause(
        &mut self,
        switched: Instant,
        deadline: Instant,
        leaving: BorrowedFd<'_>,
    ) -> Result<(), UpgradeError> {
        loop {
            match self.hear(deadline, Some(leaving)) {
                Heard::Word(word) if word != "settled" => {}
                Heard::Word(_) | Heard::Leaving | Heard::Late => return Ok(()),
                Heard::Ended(exited) => return Err(UpgradeError::Died { exited, after: switched.elapsed() }),
            }
        }
    }

    fn say(&self, word: &str) {
        if let Some(line) = &self.line {
            // One that cannot hear it has ended, or will not answer.
            let _ = channel::send(line, word, None, Instant::now());
        }
    }

    /// The next word, or the end, of the successor.
    fn hear(&mut self, deadline: Instant, leaving: Option<BorrowedFd<'_>>) -> Heard {
        loop {
            // Words first: one that says why and ends has said why.
            if let Some(line) = &self.line {
                match channel::try_receive(line) {
                    Ok(Some(packet)) => return Heard::Word(packet.text),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // It closed its end, or broke it; its end will show, or the deadline.
                    Ok(None) | Err(_) => self.line = None,
                }
            }
            if let Ok(Some(exited)) = self.child.try_wait() {
                return Heard::Ended(exited);
            }
            let mut fds = vec![PollFd::from_borrowed_fd(self.child.pidfd(), PollFlags::IN)];
            fds.extend(self.line.as_ref().map(|line| PollFd::new(line, PollFlags::IN)));
            let before = fds.len();
            fds.extend(leaving.map(|leaving| PollFd::from_borrowed_fd(leaving, PollFlags::IN)));
            match channel::wait(&mut fds, Some(deadline)) {
                Ok(true) if fds[before..].iter().any(|fd| !fd.revents().is_empty()) => return Heard::Leaving,
                Ok(true) => {}
                // Without `poll` nothing can be watched.
                Ok(false) | Err(_) => return Heard::Late,
            }
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        // Its line stays open until it has ended, so that it cannot take its parent for dead.
        let _ = self.child.kill(Signal::TERM);
        if !self.child.ended_by(Instant::now() + ENDING).unwrap_or(false) {
            let _ = self.child.kill(Signal::KILL);
        }
        if self.child.ended_by(Instant::now() + KILLED).unwrap_or(false) {
            let _ = self.child.wait();
        } else {
            tracing::warn!(event = "upgrade.not_reaped", pid = self.pid());
        }
    }
}

/// The variables of HANDOFF 1.3 and 1.5.
fn contract(shared: &Shared, listeners: &[(String, OwnedFd)]) -> Vec<(&'static str, OsString)> {
    let names: Vec<&str> = listeners.iter().map(|(name, _)| name.as_str()).collect();
    let ms = |time: Duration| time.as_millis().to_string().into();
    let mut variables: Vec<(&'static str, OsString)> = vec![
        ("LISTEN_FDS", listeners.len().to_string().into()),
        ("LISTEN_FDNAMES", names.join(":").into()),
        ("FETCHD_PROTO", "1".into()),
        ("FETCHD_ROLE", "successor".into()),
        ("FETCHD_GENERATION", (shared.generation + 1).to_string().into()),
        ("FETCHD_PROGRAM", shared.program.path.clone().into()),
        ("FETCHD_CONTROL_FD", (FIRST as usize + listeners.len()).to_string().into()),
        ("FETCHD_READY_MS", ms(shared.options.ready_deadline)),
        ("FETCHD_DRAIN_MS", ms(shared.options.drain_deadline)),
        // The shell's word for the directory in which it is started.
        ("PWD", shared.program.cwd.clone().into()),
    ];
    if let Some(every) = shared.environment.watchdog {
        variables.push(("WATCHDOG_USEC", every.as_micros().to_string().into()));
    }
    if let Some(address) = shared.notify.address() {
        variables.push(("NOTIFY_SOCKET", address));
    }
    variables
}

/// The listeners from 3 on, the control descriptor behind them.
fn placed(listeners: Vec<(String, OwnedFd)>, control: OwnedFd) -> io::Result<Vec<(OwnedFd, RawFd)>> {
    let mut placed = Vec::new();
    for (descriptor, number) in [(io::stdin().as_fd(), 0), (io::stdout().as_fd(), 1), (io::stderr().as_fd(), 2)] {
        // One that is closed is `/dev/null` in the successor.
        placed.extend(descriptor.try_clone_to_owned().ok().map(|copy| (copy, number)));
    }
    let all = listeners.into_iter().map(|(_, socket)| socket).chain([control]);
    placed.extend(all.zip(FIRST..));
    Ok(placed)
}

fn not_started(error: SpawnError, shared: &Shared) -> UpgradeError {
    let source = io::Error::from_raw_os_error(error.errno());
    if error.step() == SpawnStep::Exec {
        UpgradeError::Exec { program: shared.program.path.clone(), source }
    } else {
        UpgradeError::Spawn(io::Error::new(source.kind(), error))
    }
}

/// systemd's SD_LISTEN_FDS_START.
const FIRST: RawFd = 3;

/// A file is busy while any process has it open to write, and be it one that another thread has just made and that
/// has not become its program yet: that is over at once.
const BUSY: Duration = Duration::from_millis(500);

/// From `go` to `took` is a rename and a message.
const TAKE: Duration = Duration::from_secs(10);

/// HANDOFF 1.4 step 2: "TERM, 2 s, KILL, reap".
const ENDING: Duration = Duration::from_secs(2);

/// A killed process that is stuck in the kernel is not waited for any longer.
const KILLED: Duration = Duration::from_secs(5);
