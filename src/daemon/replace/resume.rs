//! The next program's side: it goes on where the one before it stopped, or lets that one go on.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::state::{Outline, Service, State, outline, text_of};
use super::{
    Becomes, RELEASE, RESUME, RESUME_FAILED, RESUME_WHY, ReplaceError, STATE_FD, WORD, environment, service_of, tell,
    tell_done,
};
use crate::agent::{Ledger, Message, Shown};
use crate::clock::Timestamp;
use crate::config::{Config, Restart};
use crate::control::{self, Server};
use crate::daemon::signals::Signals;
use crate::daemon::{Daemon, Embedded, Itself, Loaded, Parts, control_socket, machinery, setup, start_failure};
use crate::failure::{Exit, Reported};
use crate::restart::supervise::Supervisor;
use crate::restart::{Registry, Stop};
use crate::spawn::{Held, Successor};
use crate::state::{Event, StateError, Store};

/// In the role [`CHECK`](super::CHECK): whether this program could go on, with the configuration as it is now. `load`
/// reads it, with everything that it names, for the program at the path it is given. Returns what is to be printed.
pub fn check(load: impl FnOnce(&Path) -> Result<Config, Reported>) -> Result<&'static str, Reported> {
    let at = state_descriptor()?;
    let held = Held::adopt(&[at]).map_err(unreadable)?;
    let state = State::read(&text_of(held.copy(at).map_err(unreadable)?)?)?;
    same_service(&state.service, &service_of(&load(&state.service.program)?))?;
    Ok(WORD)
}

/// Goes on with the state that was left to this program, or lets the one before it go on.
pub(in crate::daemon) fn resume(itself: Itself, embedded: Embedded, drivers: &Registry) -> Result<Daemon, Reported> {
    let handed = Handed::take()?;
    let (mut daemon, state, restart) = handed.resume(|handed| go_on(handed, itself, embedded, drivers))?;
    name_process(&state.program);
    daemon.supervisor.take_over(if handed.is_again() { "fetchd was not replaced" } else { "fetchd was replaced" });
    handed.taken_over(&state, &daemon);
    if restart {
        // What changed reaches the service with its next generation, which is watched.
        daemon.post.send(Message::Restart(None));
    }
    Ok(daemon)
}

/// The supervisor of the program before this one, in this one. Nothing of the service is touched.
fn go_on(
    handed: &Handed,
    itself: Itself,
    embedded: Embedded,
    drivers: &Registry,
) -> Result<(Daemon, State, bool), Reported> {
    let state = handed.state()?;
    let Embedded { outfit, observer, restarts, restart_signal } = embedded;
    let load = |text| (itself.load)(text, &state.service.program);
    // The old program goes on by the configuration that it had: what is there now may be why the new one could not.
    let text = state.configuration.as_deref().filter(|_| handed.is_again());
    let Loaded { config, wanted, text } = load(text)?;
    let before = match &state.configuration {
        // What the one before this one went by. One that cannot be read any more is taken as no change.
        Some(before) if !handed.is_again() => load(Some(before)).map_or(config.clone(), |before| before.config),
        _ => config.clone(),
    };
    same_service(&state.service, &service_of(&config))?;
    let resumed = |e: io::Error| start_failure("replace.resume", &e);
    let stop = Stop::default();
    let driver = setup::driver(&config, drivers, &stop)?;
    let signals = match itself.becomes {
        Becomes::OwnPath => Signals::listen(restart_signal),
        Becomes::Release { .. } => Signals::listen_among_threads(restart_signal),
    };
    let signals = signals.map_err(resumed)?;
    let options = setup::options(&config)?;
    let (wanted, missing) = match wanted {
        Ok(wanted) => (wanted, None),
        Err(report) if handed.is_again() => (None, Some(report)),
        Err(report) => return Err(report),
    };
    let dir = &config.place.state_dir;
    let open = || match state.lock {
        Some(lock) => {
            let step = "taking over the lock of";
            let lock = handed.held.copy(lock).map_err(|source| StateError::Io { path: dir.clone(), step, source })?;
            Store::open_with(dir, lock)
        }
        None => Store::open(dir),
    };
    let mut machinery = machinery(&config, wanted, open, Some(state.supervisor.serves()), &outfit)?;
    if let Some(line) = &mut machinery.line {
        line.running = state.updates.running();
    }
    machinery.off = machinery.off.or(missing);
    let shown = Shown::default();
    shown.write(|shown| {
        // Another source, or another rhythm, is a reason to look at once.
        let same = before.source == config.source && before.schedule == config.schedule;
        shown.next_poll = state.updates.next_poll.filter(|_| same);
        shown.last.clone_from(&state.updates.last);
    });
    let mut supervisor = Supervisor::resume(options, state.supervisor.clone(), &handed.held).map_err(resumed)?;
    // The old program goes on with what it has.
    let restart = !handed.is_again() && supervisor.change(setup::listens(&config), arguments(&before))?;
    let restart = restart && config.serve.restart == Restart::Supervise;
    let began = state.began.instant();
    let serves = state.supervisor.serves();
    let at_path = state.updates.sha256.or(serves);
    let parts = Parts {
        signals,
        supervisor,
        machinery,
        driver,
        stop,
        started: None,
        at_path,
        shown,
        began,
        observer,
        restarts,
        ledger: Ledger::of(super::counts_of_before()),
    };
    let mut daemon = Daemon::of(&config, parts, Some((itself, text)))?;
    daemon.program = state.program.clone();
    // Last: nothing may fail any more once its path would go with it.
    let control = state.control.map(|control| handed.held.copy(control).map_err(resumed)).transpose()?;
    daemon.control = match control {
        Some(control) => Some(Server::resume(&control::path(dir), control)),
        None => control_socket(&config),
    };
    Ok((daemon, state, restart))
}

fn arguments(config: &Config) -> Vec<OsString> {
    config.program.args.iter().map(Into::into).collect()
}

/// What arrived, until this program has taken over.
#[derive(Debug)]
struct Handed {
    memory: RawFd,
    text: Held,
    held: Held,
    outline: Outline,
    /// Why the program that was to follow gave up: this is the old one again.
    failed: Option<Reported>,
}

impl Handed {
    /// Takes what the program before this one has left.
    fn take() -> Result<Handed, Reported> {
        let memory = state_descriptor()?;
        let text = Held::adopt(&[memory]).map_err(unreadable)?;
        let outline = outline(&text_of(text.copy(memory).map_err(unreadable)?)?)?;
        let held = Held::adopt(&outline.descriptors).map_err(unreadable)?;
        let failed = std::env::var(RESUME_FAILED).ok().map(|text| {
            serde_json::from_str(&text).unwrap_or_else(|_| Reported {
                code: "replace.gave_up".to_owned(),
                exit: Exit::Handoff,
                message: text,
                hint: None,
            })
        });
        Ok(Handed { memory, text, held, outline, failed })
    }

    /// Whether this is the old program again: then the configuration is the one it had.
    fn is_again(&self) -> bool {
        self.failed.is_some()
    }

    /// The state.
    fn state(&self) -> Result<State, ReplaceError> {
        let copy = self.text.copy(self.memory).map_err(|source| ReplaceError::State { source })?;
        State::read(&text_of(copy)?)
    }

    /// Runs `go_on`, which makes a supervisor that has changed nothing yet. If it cannot, the old program goes on in
    /// this process; returns only if that is impossible, too.
    fn resume<T>(&self, go_on: impl FnOnce(&Handed) -> Result<T, Reported>) -> Result<T, Reported> {
        let resumed = catch_unwind(AssertUnwindSafe(|| go_on(self))).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            let message = format!("fetchd itself failed: {said}");
            Err(Reported { code: "internal.panic".to_owned(), exit: Exit::State, message, hint: None })
        });
        match resumed {
            Ok(resumed) => Ok(resumed),
            Err(report) if self.is_again() => Err(report),
            Err(report) => Err(self.fall_back(report)),
        }
    }

    fn fall_back(&self, why: Reported) -> Reported {
        let mut env = environment(RESUME, self.memory, &why_of_this(), &super::counts_of_before());
        env.push((RESUME_FAILED.into(), serde_json::to_string(&why).unwrap_or_default().into()));
        let mut keep = self.held.keep();
        keep.append(self.text.keep());
        let program = PathBuf::from(format!("/proc/self/fd/{}", self.outline.image));
        let source = Successor { program, argv: std::env::args_os().collect(), env, keep }.take_over();
        tracing::error!(event = "supervisor.lost", error = %source, "the old fetchd cannot be executed any more");
        why
    }

    /// The supervisor goes on: whoever asked is told.
    fn taken_over(self, state: &State, daemon: &Daemon) {
        let asker = state.asker.and_then(|number| self.held.copy(number).ok()).map(UnixStream::from);
        let took = Instant::now().saturating_duration_since(state.asked.instant());
        match &self.failed {
            Some(why) if asker.is_none() && why_of_this() == RELEASE => {
                daemon.note_trouble(state.trouble.clone());
                daemon.stays(&Reported::of(&ReplaceError::GaveUp { why: why.clone() }));
            }
            Some(why) if asker.is_none() => daemon.not_applied(why),
            None if asker.is_none() && why_of_this() != RELEASE => {
                tracing::info!(event = "configuration.applied", "the configuration is applied as it is now");
            }
            Some(why) => {
                daemon.note_trouble(state.trouble.clone());
                let report = Reported::of(&ReplaceError::GaveUp { why: why.clone() });
                daemon.stays(&report);
                asker.iter().for_each(|asker| tell(asker, &report));
            }
            None => {
                let (from, to, took) = (&state.fetchd, env!("CARGO_PKG_VERSION"), milliseconds(took));
                let message = format!(
                    "fetchd {to} goes on where fetchd {from} stopped, in the same process, {took} ms after it was asked"
                );
                tracing::info!(event = "supervisor.replaced", from, to, took_ms = took, "{message}");
                daemon.note(
                    Event::new(Timestamp::now(), "supervisor.replaced").message(&message).detail("took_ms", took),
                );
                asker.iter().for_each(|asker| tell_done(asker, message.clone()));
            }
        }
    }
}

/// Why this program was executed.
fn why_of_this() -> String {
    std::env::var(RESUME_WHY).unwrap_or_default()
}

/// The name that `ps` and `pgrep` know: a file that was executed by its descriptor has none of its own.
fn name_process(program: &Path) {
    let name = program.file_name().and_then(|name| CString::new(name.as_bytes()).ok());
    // It is there for people.
    let _ = name.map(|name| rustix::thread::set_name(&name));
}

/// Fails if the configuration is of another service, or asks for what cannot change in a running supervisor.
pub(super) fn same_service(before: &Service, now: &Service) -> Result<(), ReplaceError> {
    let changed = [
        ("product", before.product != now.product),
        ("state_dir", before.state_dir != now.state_dir),
        ("program", before.program != now.program),
        ("restart", before.restart != now.restart),
        ("layout", before.layout != now.layout),
    ];
    match changed.into_iter().find(|(_, changed)| *changed) {
        Some((setting, _)) => Err(ReplaceError::Setting { setting }),
        None => Ok(()),
    }
}

fn state_descriptor() -> Result<RawFd, Reported> {
    let named = std::env::var(STATE_FD).ok().and_then(|number| number.parse().ok());
    named.ok_or_else(|| {
        let source = io::Error::new(io::ErrorKind::NotFound, format!("`{STATE_FD}` names no descriptor"));
        Reported::of(&ReplaceError::State { source })
    })
}

fn unreadable(source: io::Error) -> Reported {
    Reported::of(&ReplaceError::State { source })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
