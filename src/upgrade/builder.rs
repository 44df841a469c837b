//! The settings of an [`Upgrader`], and its start.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fmt};

use super::ancestors::Ancestors;
use super::error::{Refusal, StartError};
use super::kept::Kept;
use super::phase::Stage;
use super::program::Program;
use super::signals::Signals;
use super::successor::Parent;
use super::{After, Before, Options, Shared, UpgradeError, Upgraded, Upgrader, channel};
use crate::service::{Control, Inherited, Listener};

/// A signal that begins an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// `SIGUSR2`.
    Usr2,
    /// `SIGHUP`.
    Hup,
}

type Make = Box<dyn FnOnce() -> io::Result<OwnedFd>>;

/// The settings of an [`Upgrader`].
pub struct Builder {
    listen: Vec<(String, String)>,
    descriptors: Vec<(String, Make)>,
    pid_file: Option<PathBuf>,
    ready_deadline: Duration,
    drain_deadline: Duration,
    pause: Duration,
    triggers: Vec<Trigger>,
    before: Option<Before>,
    after: Option<After>,
    program: Option<PathBuf>,
    args: Option<Vec<OsString>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("listen", &self.listen).field("program", &self.program).finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            listen: Vec::new(),
            descriptors: Vec::new(),
            pid_file: None,
            ready_deadline: DEADLINE,
            drain_deadline: DEADLINE,
            pause: PAUSE,
            triggers: vec![Trigger::Usr2],
            before: None,
            after: None,
            program: None,
            args: None,
        }
    }

    /// Listens on `address` (`host:port`, or `unix:/path`) as `name`: with the socket that was inherited under that name, or
    /// with a new one with a queue of 4096. May be called for several names.
    ///
    /// A Unix socket's path belongs to the chain of processes: nobody removes it on leaving (test
    /// `the_path_of_a_unix_socket_outlives_every_parent`).
    #[must_use]
    pub fn listen(mut self, name: impl Into<String>, address: impl Into<String>) -> Builder {
        self.listen.push((name.into(), address.into()));
        self
    }

    /// Keeps another descriptor and hands it on as `name`: a datagram socket, a pipe, a file. `make` is called only
    /// where it was not inherited.
    #[must_use]
    pub fn descriptor(
        mut self,
        name: impl Into<String>,
        make: impl FnOnce() -> io::Result<OwnedFd> + 'static,
    ) -> Builder {
        self.descriptors.push((name.into(), Box::new(make)));
        self
    }

    /// Writes the id of the process that accepts to `path`, by rename: a reader finds a whole number. It is not removed.
    #[must_use]
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Builder {
        self.pid_file = Some(path.into());
        self
    }

    /// How long a successor may prepare; 30 s by default.
    #[must_use]
    pub fn ready_deadline(mut self, deadline: Duration) -> Builder {
        self.ready_deadline = deadline;
        self
    }

    /// How long this process may drain after it has handed over; then it is ended. 30 s by default.
    #[must_use]
    pub fn drain_deadline(mut self, deadline: Duration) -> Builder {
        self.drain_deadline = deadline;
        self
    }

    /// How long this process stays paused and would accept again if the successor died; 10 s by default. The successor
    /// ends the pause when it hands over itself.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Builder {
        self.pause = pause;
        self
    }

    /// Which signals begin an upgrade; `SIGUSR2` by default, none for an empty list.
    #[must_use]
    pub fn signals(mut self, triggers: impl IntoIterator<Item = Trigger>) -> Builder {
        self.triggers = triggers.into_iter().collect();
        self
    }

    /// Called before anything is started, on the thread that upgrades; an error with a reason ends the upgrade.
    #[must_use]
    pub fn before(mut self, hook: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Builder {
        self.before = Some(Box::new(hook));
        self
    }

    /// Called with the outcome of each upgrade, whoever asked for it and also if it was refused, on the
    /// thread that upgrades; after a success, before the program is told to drain.
    #[must_use]
    pub fn after(mut self, hook: impl Fn(&Result<Upgraded, UpgradeError>) + Send + Sync + 'static) -> Builder {
        self.after = Some(Box::new(hook));
        self
    }

    /// The program of the successors; a relative path is taken from the working directory now. By default, the path
    /// that this process was started by, links in it included, told once at the start, so that it does not matter what becomes of the file.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Builder {
        self.program = Some(path.into());
        self
    }

    /// The arguments of the successors, without the zeroth; by default this process's own.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Builder {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Takes what was inherited, binds what was not, and begins to listen for the signals, which take effect with
    /// [`ready`](Upgrader::ready).
    ///
    /// **Call it once, first thing in `main`, before any thread is started and before anything opens a descriptor**, for the reasons of
    /// [`Inherited::take`].
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn start(self) -> Result<Upgrader, StartError> {
        let mut inherited = Inherited::take()?;
        let environment = inherited.environment().clone();
        let role = environment.role.as_deref();
        let (supervised, successor) = (role == Some("service"), role == Some("successor"));
        self.check_names()?;

        let mut kept = Kept::default();
        let mut ancestors = Ancestors::default();
        let (mut parent, mut orders) = (None, None);
        let control = if supervised {
            inherited.control()
        } else {
            if let Some(line) = inherited.control().filter(|_| successor) {
                let within = environment.ready_within.unwrap_or(DEADLINE);
                parent = Some(Parent::greet(line.into(), Instant::now() + within, within, &mut kept, &mut ancestors)?);
            }
            let (ours, programs) = channel::pair().map_err(StartError::Prepare)?;
            orders = Some(ours);
            Control::new(programs)
        };
        for (name, address) in &self.listen {
            kept.listeners.extend(match inherited.named(name) {
                named if !named.is_empty() => named,
                // A listener that is new with this release.
                _ if successor => vec![Listener::bind(name, address)?],
                _ => inherited.listen_or_bind(name, address)?,
            });
        }
        for (name, make) in self.descriptors {
            if !kept.claim(&name) {
                let made = make().map_err(|source| StartError::Descriptor { name: name.clone(), source })?;
                kept.hand_on(&name, made);
            }
        }
        let known = environment.program.clone().filter(|_| successor);
        let mut program = Program::tell(self.program, known).map_err(StartError::Program)?;
        if let Some(args) = self.args {
            program.argv.truncate(1);
            program.argv.extend(args);
        }
        let refusal = refusal(supervised, std::process::id(), |name| env::var_os(name));
        if let Some(refusal) = &refusal {
            tracing::info!(event = "upgrade.refused_here", reason = %refusal);
        }
        Ok(Upgrader {
            shared: Arc::new(Shared {
                options: Options {
                    ready_deadline: self.ready_deadline,
                    drain_deadline: self.drain_deadline,
                    pause: self.pause,
                    pid_file: self.pid_file.map(|path| absolute(&program.cwd, &path)),
                    before: self.before,
                    after: self.after,
                },
                generation: environment.generation.unwrap_or(1),
                notify: inherited.notify().clone(),
                stage: Stage::new().map_err(StartError::Prepare)?,
                signals: Mutex::new(Some(Signals::listen(&self.triggers).map_err(StartError::Prepare)?)),
                kept: Mutex::new(kept),
                control: Mutex::new(control),
                parent: Mutex::new(parent),
                ancestors: Mutex::new(ancestors),
                elsewhere: Arc::new(AtomicBool::new(supervised)),
                orders,
                program,
                environment,
                refusal,
            }),
        })
    }

    fn check_names(&self) -> Result<(), StartError> {
        for names in [
            self.listen.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            self.descriptors.iter().map(|(name, _)| name).collect(),
        ] {
            for (at, name) in names.iter().enumerate() {
                check_name(name)?;
                if names[..at].contains(name) {
                    return Err(StartError::Name { name: (*name).clone() });
                }
            }
        }
        Ok(())
    }
}

/// A name that `LISTEN_FDNAMES` and a packet can hold.
pub(super) fn check_name(name: &str) -> Result<(), StartError> {
    let fits = !name.is_empty() && name.len() <= LONGEST_NAME && name.trim() == name;
    if fits && !name.chars().any(|c| c == ':' || c.is_control()) {
        return Ok(());
    }
    Err(StartError::Name { name: name.to_owned() })
}

/// Why a direct handoff would harm the service, as far as the environment says.
fn refusal(supervised: bool, pid: u32, get: impl Fn(&str) -> Option<OsString>) -> Option<Refusal> {
    let process = get("SUPERVISOR_PROCESS_NAME").map(|name| name.to_string_lossy().into_owned());
    if supervised {
        Some(Refusal::Fetchd)
    } else if process.is_some() || get("SUPERVISOR_ENABLED").is_some() {
        Some(Refusal::Supervisord { process })
    } else {
        (pid == 1).then_some(Refusal::Init)
    }
}

fn absolute(cwd: &Path, path: &Path) -> PathBuf {
    cwd.join(path)
}

const LONGEST_NAME: usize = 200;

/// HANDOFF 1.5: "30 s" for ready; 1.4: 30 s for the drain.
const DEADLINE: Duration = Duration::from_secs(30);

/// HANDOFF 1.5: "stays paused 10 s".
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_watches_is_told_by_the_environment_and_the_process_id() {
        let none = |_: &str| None;
        let with = |wanted: &'static str, value: &'static str| {
            move |name: &str| (name == wanted).then(|| OsString::from(value))
        };
        assert_eq!(refusal(false, 7, none), None);
        assert_eq!(refusal(false, 1, none), Some(Refusal::Init));
        assert_eq!(refusal(true, 7, none), Some(Refusal::Fetchd));
        let named = refusal(false, 7, with("SUPERVISOR_PROCESS_NAME", "web"));
        assert_eq!(named, Some(Refusal::Supervisord { process: Some("web".to_owned()) }));
        let unnamed = refusal(false, 7, with("SUPERVISOR_ENABLED", "1"));
        assert_eq!(unnamed, Some(Refusal::Supervisord { process: None }));
    }

    #[test]
    fn names_fit_into_the_variable_and_are_used_once() {
        for name in ["", "a:b", "a\nb", " a", &"x".repeat(201)] {
            assert!(matches!(check_name(name), Err(StartError::Name { .. })), "{name:?}");
        }
        check_name("web two").unwrap();
        let twice = Upgrader::builder().listen("web", "a").listen("web", "b");
        assert!(matches!(twice.check_names(), Err(StartError::Name { name }) if name == "web"));
    }
}
