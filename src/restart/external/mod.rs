//! What drivers share that leave the process to somebody else: deadlines, the watch with its health checks, and the
//! way back.
//!
//! A [`Switch`] knows one kind of supervisor or server; [`External`] makes a [`RestartDriver`] of it. Drivers
//! outside this crate can be made in the same way.

mod program;
mod wait;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use super::registry::Setup;
use super::supervise::watch::HealthCheck;
use super::{Handoff, HandoffError, Launch, RestartDriver};
use crate::failure::Reported;
pub(super) use program::{Words, program_of, run};
pub use wait::Wait;

/// Why a service is brought to what lies at the program path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is a new release, or the same one for a fresh start.
    Handoff,
    /// It is the previous one: a new release failed.
    RollBack,
}

impl Action {
    /// `handoff` or `rollback`.
    pub const fn word(self) -> &'static str {
        match self {
            Action::Handoff => "handoff",
            Action::RollBack => "rollback",
        }
    }
}

/// One way to have somebody else restart a service, and to know what came of it.
pub trait Switch: Debug + Send {
    /// The name in the configuration.
    fn name(&self) -> &'static str;

    /// Looks whether the service can be restarted. `Err`: it cannot, and nothing was touched.
    fn prepare(&mut self, action: Action, wait: &Wait) -> Result<(), HandoffError>;

    /// Makes the service run what lies at the program path. `Ok`: it does. `Err`: it does not, and whether the old process
    /// still runs is for [`Switch::revert`] to say.
    ///
    /// [`HandoffError::Stopping`] and [`HandoffError::Unreachable`] are answered only if the service is as it was.
    fn switch(&mut self, to: &Launch, action: Action, wait: &Wait) -> Result<(), HandoffError>;

    /// One look at the process in the watch. `Err`: what became of it, as in "the new process …". What cannot be found
    /// out counts as well.
    fn look(&mut self, wait: &Wait) -> Result<(), String> {
        let _ = wait;
        Ok(())
    }

    /// The service's process, for the health check; 0 if it is not known.
    fn pid(&self) -> u32 {
        0
    }

    /// The new process has proved itself: an old one that was kept may go.
    fn commit(&mut self) {}

    /// Goes back to an old process that was kept. `None`: there is none, the previous binary has to be started.
    fn revert(&mut self, wait: &Wait) -> Option<Result<(), HandoffError>> {
        let _ = wait;
        None
    }
}

/// A driver whose service belongs to somebody else.
#[derive(Debug)]
pub struct External<S> {
    switch: S,
    setup: Setup,
    /// What was confirmed last, as far as this process knows.
    confirmed: Option<Launch>,
    /// What is being watched.
    candidate: Option<Launch>,
    since: Instant,
    /// A switch has failed: whoever runs the service has to be brought back.
    owed: bool,
}

impl<S: Switch> External<S> {
    /// A driver that restarts by `switch`.
    pub fn new(switch: S, setup: Setup) -> External<S> {
        External { switch, setup, confirmed: None, candidate: None, since: Instant::now(), owed: false }
    }

    /// Makes what lies at the program path again, `to`, serve.
    fn bring_back(&mut self, to: &Launch) -> Result<(), HandoffError> {
        // Not even a stop leaves a service half way.
        let wait = Wait::to_the_end(self.switch.name(), self.setup.deadline);
        if let Some(result) = self.switch.revert(&wait) {
            return result;
        }
        self.switch.prepare(Action::RollBack, &wait)?;
        self.switch.switch(to, Action::RollBack, &wait)?;
        self.switch.commit();
        Ok(())
    }

    fn watched(&mut self, health: &mut Option<HealthCheck>) -> Result<(), HandoffError> {
        let begun = Instant::now();
        let until = begun + self.setup.watch;
        let mut next_look = begun;
        loop {
            if self.setup.stop.is_asked() {
                return Err(HandoffError::Stopping);
            }
            let now = Instant::now();
            let over = now >= until && health.as_ref().is_none_or(HealthCheck::has_passed);
            if over || now >= next_look {
                let wait = Wait::new(self.switch.name(), LOOK_DEADLINE, &self.setup.stop);
                self.switch.look(&wait).map_err(|status| HandoffError::DiedInWatch {
                    status,
                    after: self.since.elapsed(),
                    stderr: String::new(),
                })?;
                next_look = Instant::now() + LOOK;
            }
            if over {
                return Ok(());
            }
            if let Some(health) = health
                && let Some(failure) = health.turn(now, 0, self.switch.pid())
            {
                return Err(failure);
            }
            self.setup.stop.wait(wait::TICK);
        }
    }
}

impl<S: Switch> RestartDriver for External<S> {
    fn name(&self) -> &'static str {
        self.switch.name()
    }

    fn handoff(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        if self.setup.stop.is_asked() {
            return Err(HandoffError::Stopping);
        }
        let begun = Instant::now();
        let wait = Wait::new(self.switch.name(), self.setup.deadline, &self.setup.stop);
        self.switch.prepare(Action::Handoff, &wait)?;
        tracing::info!(event = "handoff.start", driver = self.switch.name(), program = %to.program.display(), "restarting");
        let switched = self.switch.switch(to, Action::Handoff, &wait);
        self.owed = match &switched {
            Ok(()) | Err(HandoffError::Stopping | HandoffError::Unreachable { .. }) => false,
            Err(_) => true,
        };
        switched?;
        self.candidate = Some(to.clone());
        self.since = Instant::now();
        Ok(Handoff { generation: 0, took: begun.elapsed() })
    }

    fn watch(&mut self) -> Result<(), HandoffError> {
        tracing::info!(event = "handoff.ready", driver = self.switch.name(), "the new process runs and is watched");
        let mut health = self.setup.health.as_ref().map(|plan| HealthCheck::new(plan, Instant::now()));
        let result = self.watched(&mut health);
        if let Some(health) = health {
            health.end();
        }
        if matches!(result, Err(HandoffError::Stopping)) {
            // Nobody will be there to confirm it. Where the old process was kept it serves again, as the next start of
            // fetchd will find the previous binary at the path.
            let wait = Wait::to_the_end(self.switch.name(), self.setup.deadline);
            if let Some(Err(failure)) = self.switch.revert(&wait) {
                tracing::error!(event = "rollback.failed", "{}", Reported::of(&failure).message);
            }
        }
        result
    }

    fn confirm(&mut self) {
        self.switch.commit();
        self.confirmed = self.candidate.take().or(self.confirmed.take());
    }

    fn abort(&mut self) {
        if !std::mem::take(&mut self.owed) {
            return;
        }
        let unknown = || Launch { program: self.setup.program.clone(), sha256: None, version: None, stamp: None };
        let to = self.confirmed.clone().unwrap_or_else(unknown);
        match self.bring_back(&to) {
            Ok(()) => tracing::info!(event = "handoff.undone", "the previous binary serves"),
            Err(failure) => {
                let report = Reported::of(&failure);
                tracing::error!(event = "rollback.failed", code = report.code, "{}", report.message);
            }
        }
    }

    fn roll_back(&mut self, to: &Launch) -> Result<Handoff, HandoffError> {
        let begun = Instant::now();
        self.candidate = None;
        self.bring_back(to)?;
        self.confirmed = Some(to.clone());
        Ok(Handoff { generation: 0, took: begun.elapsed() })
    }

    fn give_up(&mut self) {
        // The service is not ours to end: whoever runs it has his own rules for one that does not hold.
        tracing::error!(event = "rollback.failed", driver = self.switch.name(), "neither release holds");
    }
}

/// Between two looks at a process in its watch.
const LOOK: Duration = Duration::from_millis(250);

/// How long one look may take.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);
