//! A changed configuration, applied by the same steps as another program: the one that runs is executed again.

use std::sync::PoisonError;

use rustix::process::Signal;

use super::resume::same_service;
use super::{Why, service_of};
use crate::daemon::Daemon;
use crate::failure::Reported;

impl Daemon {
    /// SIGHUP: passed on to the service, and a reason to look at the configuration file. Whoever wants only the second
    /// must not end a service that has no use for the signal.
    pub(in crate::daemon) fn hung_up(&mut self) {
        if self.text.is_none() {
            self.supervisor.forward(Signal::HUP);
        } else if !self.supervisor.forward_if_taken(Signal::HUP) {
            tracing::info!(
                event = "signal.kept",
                "SIGHUP is not passed on: the service does not catch it, and would end"
            );
        }
        self.reload();
    }

    /// Applies the configuration file, if there is one and it has changed. One that is wrong changes nothing and
    /// is shown in `status` until it is right.
    fn reload(&mut self) {
        let Some(itself) = &self.itself else { return };
        if self.text.is_none() || self.supervisor.is_stopping() {
            return;
        }
        if self.replacement.is_some() {
            // Whatever follows reads the file as it is then.
            tracing::info!(event = "configuration.waits", "fetchd replaces itself already");
            return;
        }
        let read = (itself.load)(None, &self.service_of.program).and_then(|loaded| loaded.checked());
        let fits = read.and_then(|loaded| {
            same_service(&self.service_of, &service_of(&loaded.config))?;
            Ok(loaded.text)
        });
        match fits {
            Err(report) => self.not_applied(&report),
            Ok(text) if text == self.text => self.note_trouble(None),
            Ok(_) => self.begin_replacement(Why::Configuration),
        }
    }

    /// Says that the configuration is not applied, and why.
    pub(super) fn not_applied(&self, why: &Reported) {
        tracing::error!(
            event = "configuration.refused",
            code = why.code,
            "the configuration is not applied: {}",
            why.message
        );
        self.note_trouble(Some(why.clone()));
    }

    pub(super) fn note_trouble(&self, trouble: Option<Reported>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
