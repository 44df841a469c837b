//! One signal: the process executes its program again, or another one takes over from it.

use std::path::PathBuf;
use std::time::Instant;

use rustix::process::Signal;

use super::process::{KINDLY, PidFile, Process};
use crate::restart::external::{Action, Switch, Wait};
use crate::restart::{HandoffError, Launch};

#[derive(Debug)]
pub(super) struct Reload {
    pid_file: PidFile,
    program: PathBuf,
    signal: Signal,
    successor: bool,
    worker: bool,
    /// The process that serves, once one was switched to.
    serves: Option<Process>,
}

impl Reload {
    pub(super) fn new(pid_file: PidFile, program: PathBuf, signal: Signal, successor: bool, worker: bool) -> Reload {
        Reload { pid_file, program, signal, successor, worker, serves: None }
    }

    /// The process that has taken over from `old`, if one has.
    fn taken_over(&self, old: &Process) -> Option<Process> {
        self.pid_file.process().ok().filter(|process| process.pid() != old.pid())
    }

    /// What `process`, which stays the same, still lacks.
    fn lacks(&self, process: &Process, children: Option<&[u32]>, follows: bool) -> Option<&'static str> {
        if follows && process.executes(&self.program) == Some(false) {
            return Some("the process still executed the previous binary");
        }
        let children = children?;
        let has_new = process.children().iter().any(|child| !children.contains(child));
        (!has_new).then_some("the process had started no new worker")
    }
}

impl Switch for Reload {
    fn name(&self) -> &'static str {
        "signal"
    }

    fn prepare(&mut self, _: Action, wait: &Wait) -> Result<(), HandoffError> {
        self.pid_file.service(&self.program).map(drop).map_err(|why| wait.unreachable(why))
    }

    fn switch(&mut self, _: &Launch, _: Action, wait: &Wait) -> Result<(), HandoffError> {
        let old = self.pid_file.service(&self.program).map_err(|why| wait.unreachable(why))?;
        // A compiled server executes the file at the path again. One that an interpreter runs cannot be seen to.
        let follows = old.was_started_from(&self.program);
        let before = old.children();
        let children = self.worker.then_some(&*before);
        let pid = old.pid();
        old.signal(self.signal).map_err(|e| wait.unreachable(format!("process {pid} could not be signalled: {e}")))?;
        if self.successor {
            // The old one may end before the other has written its number: only the deadline tells that none comes.
            let new = wait.find("no other process was in the PID file", || Ok(self.taken_over(&old)));
            if let Err(HandoffError::Deadline { .. }) = &new {
                // One that hangs would keep the sockets from whoever has to start the service later.
                let until = Instant::now() + KINDLY;
                let hung = old.started_since(&before).into_iter();
                hung.filter(|new| !follows || new.was_started_from(&self.program))
                    .for_each(|new| new.end(Signal::TERM, until));
            }
            self.serves = Some(new?);
            return Ok(());
        }
        let mut lacks = None;
        let done = wait.find("", || {
            if !old.lives() {
                return Err(wait.failed(format!("process {pid} ended instead of going on")));
            }
            lacks = self.lacks(&old, children, follows);
            Ok(lacks.is_none().then_some(()))
        });
        match (done, lacks) {
            (Err(HandoffError::Deadline { .. }), Some(lacks)) => return Err(wait.late(lacks)),
            (done, _) => done?,
        }
        self.serves = Some(old);
        Ok(())
    }

    fn look(&mut self, _: &Wait) -> Result<(), String> {
        match &self.serves {
            Some(process) if !process.lives() => Err(format!("(process {}) ended", process.pid())),
            _ => Ok(()),
        }
    }

    fn pid(&self) -> u32 {
        self.serves.as_ref().map_or(0, Process::pid)
    }
}
