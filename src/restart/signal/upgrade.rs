//! Two processes side by side, as nginx, unicorn and gunicorn can have them: the old one keeps the sockets and can have
//! its workers back until the new one has proved itself.

use std::path::PathBuf;
use std::time::Instant;

use super::process::{KINDLY, PidFile, Process};
use super::recipe::Upgrading;
use crate::restart::external::{Action, Switch, Wait};
use crate::restart::{HandoffError, Launch};

#[derive(Debug)]
pub(super) struct Upgrade {
    pid_file: PidFile,
    program: PathBuf,
    signals: &'static Upgrading,
    state: State,
    /// One that was told to end and may still finish requests.
    leaving: Option<Process>,
}

#[derive(Debug)]
enum State {
    /// One process, as far as this driver knows.
    Single,
    /// The new one never came: this one was told nothing more and serves.
    Kept(Process),
    /// The new one serves; the old one has sent its workers home and waits.
    Both { old: Process, new: Process },
}

impl Upgrade {
    pub(super) fn new(pid_file: PidFile, program: PathBuf, signals: &'static Upgrading) -> Upgrade {
        Upgrade { pid_file, program, signals, state: State::Single, leaving: None }
    }

    /// While there are two: the file of the old one, and that of the new one.
    fn files(&self) -> (PidFile, PidFile) {
        (self.pid_file.with_suffix(self.signals.old), self.pid_file.with_suffix(self.signals.new))
    }

    /// The old and the new process of an upgrade that has not ended, whoever began it.
    fn both(&self) -> Option<(Process, Process)> {
        let (old, new) = self.files();
        let (old, new) = (old.service(&self.program).ok()?, new.process().ok()?);
        (old.pid() != new.pid()).then_some((old, new))
    }

    /// Waits for the end of an upgrade before this one. One that was cut off in its watch is taken back: whoever was to
    /// confirm it is gone.
    fn settle(&mut self, wait: &Wait) -> Result<(), HandoffError> {
        let ended = wait.find("the processes of the upgrade before had not ended", || {
            let Some((old, new)) = self.both() else { return Ok(Some(None)) };
            // With its workers gone and nobody to tell it so, it waits for ever.
            let told = self.leaving.as_ref().is_some_and(|leaving| leaving.pid() == old.pid());
            Ok((!told && old.children() == [new.pid()]).then_some(Some((old, new))))
        });
        match ended {
            Ok(None) => Ok(()),
            Ok(Some((old, new))) => {
                tracing::warn!(
                    event = "handoff.unfinished",
                    old = old.pid(),
                    new = new.pid(),
                    "taking back an upgrade that was cut off"
                );
                self.take_back(old, new, wait)
            }
            // Somebody else's, or an old process with requests that take long: later, perhaps.
            Err(HandoffError::Deadline { lacks, .. }) => Err(wait.unreachable(lacks)),
            Err(other) => Err(other),
        }
    }

    /// The old process gets its workers back, and the new one goes.
    fn take_back(&mut self, old: Process, new: Process, wait: &Wait) -> Result<(), HandoffError> {
        let signals = self.signals;
        let others = [new.pid()];
        old.signal(signals.resume)
            .map_err(|e| wait.failed(format!("process {} could not be signalled: {e}", old.pid())))?;
        wait.find("the old process had no worker again", || {
            if !old.lives() {
                return Err(wait.failed(format!("the old process {} ended", old.pid())));
            }
            Ok(old.children().iter().any(|child| !others.contains(child)).then_some(()))
        })?;
        new.end(signals.end, wait.until());
        wait.find("the PID file did not name the old process again", || {
            Ok(self.pid_file.process().is_ok_and(|process| process.pid() == old.pid()).then_some(()))
        })?;
        self.state = State::Kept(old);
        Ok(())
    }

    /// Waits until the new process has written its number and forked off a worker.
    fn arrived(&self, old: &Process, before: &[u32], wait: &Wait) -> Result<Process, HandoffError> {
        let (old_file, new_file) = self.files();
        let mut seen: Option<Process> = None;
        let mut renamed = false;
        wait.find("no new process had started its workers", || {
            if !old.lives() {
                return Err(wait.failed(format!("the old process {} ended", old.pid())));
            }
            if let Ok(new) = new_file.process()
                && !new.children().is_empty()
                // Whatever the file says, nobody else is signalled.
                && old.children().contains(&new.pid())
            {
                return Ok(Some(new));
            }
            // Where the old process's file is renamed meanwhile, it gets its name back when the new process has ended.
            let is_renamed =
                !self.signals.old.is_empty() && old_file.process().is_ok_and(|named| named.pid() == old.pid());
            if renamed && !is_renamed {
                return Err(wait.failed("the new process ended before it had started its workers"));
            }
            renamed = is_renamed;
            match &seen {
                Some(new) if !new.lives() => {
                    Err(wait.failed("the new process ended before it had started its workers"))
                }
                Some(_) => Ok(None),
                None => {
                    seen = old.started_since(before).into_iter().next();
                    Ok(None)
                }
            }
        })
    }
}

impl Switch for Upgrade {
    fn name(&self) -> &'static str {
        "signal"
    }

    fn prepare(&mut self, _: Action, wait: &Wait) -> Result<(), HandoffError> {
        self.settle(wait)?;
        self.state = State::Single;
        let mut found = self.pid_file.service(&self.program).map(drop);
        if self.leaving.take().is_some() && found.is_err() {
            // The old process has gone with its file a moment ago, and the new one has not made it its own yet.
            let named = wait.find("", || {
                found = self.pid_file.service(&self.program).map(drop);
                Ok(found.is_ok().then_some(()))
            });
            if let Err(HandoffError::Stopping) = named {
                return Err(HandoffError::Stopping);
            }
        }
        found.map_err(|why| wait.unreachable(why))
    }

    fn switch(&mut self, _: &Launch, _: Action, wait: &Wait) -> Result<(), HandoffError> {
        let old = self.pid_file.service(&self.program).map_err(|why| wait.unreachable(why))?;
        let before = old.children();
        let signalled = |process: &Process, signal| {
            let failed = |e| wait.failed(format!("process {} could not be signalled: {e}", process.pid()));
            process.signal(signal).map_err(failed)
        };
        signalled(&old, self.signals.begin)?;
        let arrived = self.arrived(&old, &before, wait).and_then(|new| {
            signalled(&old, self.signals.retire)?;
            Ok(new)
        });
        match arrived {
            Ok(new) => {
                self.state = State::Both { old, new };
                Ok(())
            }
            Err(failure) => {
                let until = Instant::now() + KINDLY;
                old.started_since(&before).iter().for_each(|new| new.end(self.signals.end, until));
                self.state = State::Kept(old);
                Err(failure)
            }
        }
    }

    fn look(&mut self, _: &Wait) -> Result<(), String> {
        match &self.state {
            State::Both { new, .. } if !new.lives() => Err(format!("(process {}) ended", new.pid())),
            _ => Ok(()),
        }
    }

    fn pid(&self) -> u32 {
        match &self.state {
            State::Both { new, .. } => new.pid(),
            State::Kept(old) => old.pid(),
            State::Single => 0,
        }
    }

    fn commit(&mut self) {
        if let State::Both { old, .. } = std::mem::replace(&mut self.state, State::Single) {
            // It may have ended by itself.
            let _ = old.signal(self.signals.end);
            self.leaving = Some(old);
        }
    }

    fn revert(&mut self, wait: &Wait) -> Option<Result<(), HandoffError>> {
        match std::mem::replace(&mut self.state, State::Single) {
            State::Both { old, new } if old.lives() => Some(self.take_back(old, new, wait)),
            State::Kept(old) if old.lives() => {
                self.state = State::Kept(old);
                Some(Ok(()))
            }
            _ => None,
        }
    }
}
