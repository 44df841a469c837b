//! The successor's side: what it gets from its parent, and how it takes over.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ancestors::{Ancestor, Ancestors};
use super::error::{ReadyError, StartError};
use super::kept::Kept;
use super::phase::Phase;
use super::{Shared, channel, lock, pid_file};

/// The line to the process that started this one.
#[derive(Debug)]
pub(super) struct Parent {
    line: OwnedFd,
    within: Duration,
}

impl Parent {
    /// Takes everything that the parent hands on before `begin`.
    pub(super) fn greet(
        line: OwnedFd,
        deadline: Instant,
        within: Duration,
        kept: &mut Kept,
        ancestors: &mut Ancestors,
    ) -> Result<Parent, StartError> {
        loop {
            let packet = match channel::receive(&line, deadline) {
                Ok(Some(packet)) => packet,
                Ok(None) => return Err(StartError::ParentGone),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(StartError::ParentSilent(within)),
                Err(error) => return Err(StartError::Prepare(error)),
            };
            let (verb, rest) = packet.text.split_once(' ').unwrap_or((&packet.text, ""));
            match (verb, packet.descriptor) {
                ("descriptor", Some(descriptor)) => kept.inherit(rest, descriptor),
                ("ancestor", Some(pidfd)) => ancestors.push(Ancestor { pid: rest.parse().unwrap_or(0), pidfd }),
                ("begin", _) => return Ok(Parent { line, within }),
                // A later release may say more.
                _ => {}
            }
        }
    }

    fn say(&self, word: &str) -> io::Result<()> {
        channel::send(&self.line, word, None, Instant::now() + self.within)
    }

    /// Says `ready`, and waits until the parent has stopped accepting.
    fn hand_over(&self) -> Result<(), ReadyError> {
        // A parent that is gone shows below.
        let _ = self.say("ready");
        let deadline = Instant::now() + self.within;
        loop {
            match channel::receive(&self.line, deadline) {
                Ok(Some(packet)) if packet.text == "go" => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => return Err(ReadyError::ParentGone),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(ReadyError::ParentSilent(self.within));
                }
                Err(error) => return Err(ReadyError::Broken(error)),
            }
        }
    }
}

impl Shared {
    pub(super) fn take_over(self: &Arc<Self>) -> Result<(), ReadyError> {
        let Some(signals) = lock(&self.signals).take() else { return Err(ReadyError::Twice) };
        let path = self.options.pid_file.as_ref();
        let pid_file = path.map(|path| {
            pid_file::Prepared::beside(path).map_err(|source| ReadyError::PidFile { path: path.clone(), source })
        });
        let pid_file = pid_file.transpose()?;
        self.kept().forget_unknown();

        let parent = lock(&self.parent).take();
        if let Some(parent) = &parent {
            parent.hand_over()?;
        }
        // From here on nobody else accepts: whatever fails is said, and not a reason to leave.
        {
            let mut phase = self.stage.phase();
            if *phase == Phase::Leaving {
                return Err(ReadyError::Leaving);
            }
            *phase = Phase::Serving;
        }
        if let Some(Err(error)) = pid_file.map(pid_file::Prepared::place) {
            tracing::warn!(event = "upgrade.pid_file", error = %error);
        }
        match parent {
            None => self.told(self.notify.ready()),
            Some(parent) => {
                let _ = parent.say("took");
                *lock(&self.parent) = Some(parent);
                let shared = Arc::clone(self);
                let main = std::thread::Builder::new().name("fetchd-ready".to_owned());
                if let Err(error) = main.spawn(move || shared.await_main()) {
                    tracing::warn!(event = "upgrade.no_thread", error = %error);
                }
            }
        }
        if let Err(error) = signals.obey(Arc::clone(self)) {
            tracing::warn!(event = "upgrade.no_thread", error = %error);
        }
        Ok(())
    }

    /// Tells systemd that this process is ready, once it is the main process. If the parent died before it could
    /// say so, this process says it itself.
    fn await_main(&self) {
        let copy = lock(&self.parent).as_ref().and_then(|parent| parent.line.try_clone().ok());
        let deadline = Instant::now() + MAIN;
        let main = copy.is_some_and(|line| {
            loop {
                match channel::receive(&line, deadline) {
                    Ok(Some(packet)) if packet.text == "main" => return true,
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return false,
                }
            }
        });
        if main {
            self.told(self.notify.ready());
        } else {
            self.told(self.notify.send(&format!("MAINPID={}\nREADY=1", std::process::id())));
        }
    }

    pub(super) fn reject(&self, reason: &str) {
        if let Some(parent) = &*lock(&self.parent) {
            let reason: String =
                reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_WORDS).collect();
            // A parent that cannot be told sees this process end.
            let _ = parent.say(&format!("reject {reason}"));
        }
    }

    /// Tells the parent that this process hands over itself now: there is nothing left to be watched.
    pub(super) fn settled(&self) {
        if let Some(parent) = &*lock(&self.parent) {
            // Gone, most of the time.
            let _ = channel::send(&parent.line, "settled", None, Instant::now());
        }
    }
}

/// The parent waits at most 5 s for systemd.
const MAIN: Duration = Duration::from_secs(10);

/// Characters of a reason: four bytes each, they fit into a packet.
const MOST_WORDS: usize = 100;
