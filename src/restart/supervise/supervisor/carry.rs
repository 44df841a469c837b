//! The supervisor as it goes from one program to the next, in the same process.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::carried::Carried;
use super::super::crash::Crashes;
use super::super::generation::Generation;
use super::super::notify::{NotifySocket, Strangers};
use super::super::options::Options;
use super::super::sockets::Listener;
use super::super::systemd::Systemd;
use super::super::tail::Holding;
use super::Supervisor;
use crate::clock::Steady;
use crate::spawn::{Held, Keep};

/// Nothing of any generation's stderr is between its pipe and ours for as long as this lives.
#[derive(Debug)]
#[must_use]
pub struct Quiet<'a>(#[allow(dead_code, reason = "held, not read")] Vec<Holding<'a>>);

impl Supervisor {
    /// Why another program could not go on in its place now, if that is so.
    pub fn unrest(&self) -> Option<&'static str> {
        if self.stop.is_some() {
            Some("the supervisor is stopping")
        } else if self.start.is_some() {
            Some("a generation is being started")
        } else if self.watch.is_some() || self.resumed.is_some() {
            Some("a generation is being watched")
        } else if self.verdict_by.is_some() || !self.news.is_empty() {
            Some("the service crashed too often, and it is not decided what follows")
        } else {
            None
        }
    }

    /// Whether nothing is started any more.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Waits, a moment at most, until no byte of a service's stderr is on its way. `None`: nobody reads our stderr.
    pub fn quiet(&self) -> Option<Quiet<'_>> {
        let give_up = Instant::now() + WRITTEN_WITHIN;
        loop {
            let held: Option<Vec<_>> = self.generations.iter().map(Generation::hold_copying).collect();
            match held {
                Some(held) => return Some(Quiet(held.into_iter().flatten().collect())),
                None if Instant::now() < give_up => std::thread::sleep(Duration::from_millis(1)),
                None => return None,
            }
        }
    }

    /// What another program goes on from; its descriptors stay open. `None` while there is some [`unrest`].
    ///
    /// [`unrest`]: Supervisor::unrest
    pub fn carry<'a>(&'a self, keep: &mut Keep<'a>) -> Option<Carried> {
        if self.unrest().is_some() {
            return None;
        }
        Some(Carried {
            // What has not been handed over yet is asked for anew by whoever reads the configuration.
            listeners: self.settled_listeners().iter().map(|listener| listener.carry(keep)).collect(),
            notify: keep.add(self.notify.as_fd()),
            notify_address: self.notify.address().to_owned(),
            ready_sent: self.systemd.was_ready(),
            generations: self.generations.iter().map(|generation| generation.carry(keep)).collect::<Option<_>>()?,
            next_number: self.next_number,
            current: self.current.clone(),
            crashes: self.crashes.carry(),
            confirmed: self.confirmed,
            probation_until: Steady::of(self.probation_until),
            restart_at: self.restart_at.map(Steady::of),
            last_code: self.last_code,
        })
    }

    /// Goes on where an earlier program of this process stopped. The stderr of the services waits for
    /// [`Supervisor::take_over`]: until then, another program may still go on in this one's place.
    pub fn resume(options: Options, carried: Carried, held: &Held) -> io::Result<Supervisor> {
        let listeners = carried.listeners.into_iter().map(|listener| Listener::resume(listener, held).map(Arc::new));
        let generations = carried.generations.into_iter().map(|generation| Generation::carried(generation, held));
        Ok(Supervisor {
            listeners: listeners.collect::<io::Result<_>>()?,
            before: None,
            notify: NotifySocket::inherited(held.copy(carried.notify)?, carried.notify_address),
            systemd: Systemd::resume(carried.ready_sent),
            generations: generations.collect::<io::Result<_>>()?,
            next_number: carried.next_number,
            current: carried.current,
            start: None,
            watch: None,
            resumed: None,
            failed_watch: None,
            crashes: Crashes::resume(options.crash, &carried.crashes),
            confirmed: carried.confirmed,
            returned_to: None,
            probation_until: carried.probation_until.instant(),
            restart_at: carried.restart_at.map(Steady::instant),
            verdict_by: None,
            news: Vec::new(),
            last_code: carried.last_code,
            stop: None,
            strangers: Strangers::default(),
            options,
        })
    }

    /// This program goes on: stderr flows again, and systemd hears that the reload is over.
    pub fn take_over(&mut self, status: &str) {
        for generation in &self.generations {
            if let Err(e) = generation.begin_copying() {
                // It writes into a pipe that holds a while, and is not harmed.
                tracing::error!(event = "stderr.unread", error = %e, generation = generation.number, "nobody reads its stderr");
            }
        }
        self.store_new_listeners();
        self.reloaded(status);
    }

    /// Tells systemd that this process is about to change.
    pub fn reloading(&self, status: &str) {
        self.systemd.reloading(status);
    }

    /// Tells systemd that the change is over, whatever came of it.
    pub fn reloaded(&mut self, status: &str) {
        if self.systemd.was_ready() {
            self.systemd.ready(status);
        }
    }
}

/// Longer than anybody takes who reads our stderr at all.
const WRITTEN_WITHIN: Duration = Duration::from_millis(500);
