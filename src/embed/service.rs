//! A server that looks after itself: its first process becomes the supervisor, the others serve.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::{ExitCode, Termination};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fetchd_fetchers::Registry;
use rustix::process::Signal;

use super::alone;
use super::context::ServiceContext;
use super::log;
use super::process::{Process, WORKER, role};
use super::replace::loaded;
use super::settings::{Settings, settings_methods};
use super::source_check;
use crate::agent::{Observer, UpdateEvent};
use crate::config::{Config, ConfigError, Restart, Trust};
use crate::daemon::{self, Loaded, Outfit, Prepared, Restarts, probe, replace};
use crate::failure::{Exit, Reported, chain, report};
use crate::service::{Inherited, Listener};
use crate::verify::{Check, SMOKE_MARK, Verified};

/// A server with its supervisor inside.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use fetchd::{Service, ServiceContext};
///
/// fn main() -> ExitCode {
///     Service::new("web")
///         .version(env!("CARGO_PKG_VERSION"))
///         .listen("web", ":8080")
///         .source("https://dl.example.com/web/stable.fetchd")
///         .key("RWTKG7iiOuSsTvJFGcUFqWzaI4MOPyVYDuohUp6y2ieJSGPoYnk3MiuW")
///         .run(serve)
/// }
///
/// fn serve(mut context: ServiceContext) -> std::io::Result<()> {
///     let draining = context.draining()?;
///     let listener = context.listener("web").expect("it is configured above");
///     // … prepare; accept nothing yet …
///     context.ready().map_err(std::io::Error::other)?;
///     // … accept and serve …
/// #   drop(listener);
///     draining.wait();
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Service {
    pub(super) settings: Settings,
    required: bool,
    pub(super) restarts: Restarts,
    pub(super) restart_signal: Signal,
    pub(super) fetchers: Registry,
    pub(super) outfit: Outfit,
    pub(super) observers: Vec<Observer>,
    pub(super) replaces: bool,
}

impl Service {
    settings_methods!();

    /// A service whose releases are signed for `product`: 1 to 64 letters, digits, `.`, `_` and `-`.
    pub fn new(product: &str) -> Service {
        Service {
            settings: Settings::new(product),
            required: false,
            restarts: Restarts::default(),
            restart_signal: Signal::USR2,
            fetchers: Registry::builtin(),
            outfit: Outfit::default(),
            observers: Vec::new(),
            replaces: true,
        }
    }

    /// A socket that the supervisor holds: `:8080`, `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`. May be called again.
    ///
    /// A name is 1 to 255 printable characters of ASCII without `/`, `:` and `=`. A socket of that name that systemd passes
    /// is taken instead.
    #[must_use]
    pub fn listen(mut self, name: &str, address: &str) -> Service {
        self.settings.add("listen", format!("{name}={address}"));
        self
    }

    /// How often the source is asked; 5 min by default.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Service {
        self.settings.duration("interval", interval);
        self
    }

    /// How long a new process may take to be ready; 30 s by default.
    #[must_use]
    pub fn ready_deadline(mut self, deadline: Duration) -> Service {
        self.settings.duration("ready_deadline", deadline);
        self
    }

    /// How long an old process may take to finish its requests; 30 s by default.
    #[must_use]
    pub fn drain_deadline(mut self, deadline: Duration) -> Service {
        self.settings.duration("drain_deadline", deadline);
        self
    }

    /// How long a new release is watched before it is confirmed; 10 s by default.
    #[must_use]
    pub fn watch(mut self, watch: Duration) -> Service {
        self.settings.duration("watch", watch);
        self
    }

    /// If the supervisor cannot be started, so is nothing. By default the program is run alone then, without updates, on
    /// sockets that this process binds, and the reason is logged: a server that cannot be updated is better than none.
    ///
    /// That another supervisor looks after this service ends the process in any case, with 75.
    #[must_use]
    pub fn required(mut self, required: bool) -> Service {
        self.required = required;
        self
    }

    /// The signal to the supervisor that asks for a graceful restart: `HUP`, `USR1` or `USR2`, the default. The other two
    /// are passed on to the service.
    #[must_use]
    pub fn restart_signal(mut self, signal: Signal) -> Service {
        self.restart_signal = signal;
        self
    }

    /// Whether a new release is handed off to as soon as it is verified, as it is by default.
    ///
    /// If not, it waits: downloaded, verified, and not yet at the program path. A restart takes it, by the signal, by
    /// [`ServiceContext::restart`] or by `fetchd restart`, with watch and roll back like any other. After the end of the
    /// supervisor it is fetched again.
    #[must_use]
    pub fn restart_after_update(mut self, at_once: bool) -> Service {
        self.restarts = if at_once { Restarts::AtOnce } else { Restarts::WhenAsked };
        self
    }

    /// Never hands off by itself: releases are installed at the program path, and the restart signal, like
    /// [`ServiceContext::restart`], drains and **ends** supervisor and service. For whoever has another way to start them
    /// again.
    ///
    /// What is installed so was never watched: only a service that crashes again and again soon afterwards is rolled back.
    #[must_use]
    pub fn restart_by_others(mut self) -> Service {
        self.restarts = Restarts::ByOthers;
        self
    }

    /// Whether the supervisor becomes a release once it is confirmed, as it does by default: the same process, with the same
    /// children and sockets, runs the new program, and no request is lost
    /// (`the_supervisor_becomes_each_release_under_load_and_no_request_is_lost`).
    ///
    /// If not, the first process goes on with the program that it was started with, until `fetchd restart --supervisor`
    /// or whoever started it says otherwise. Never by itself with [`restart_by_others`](Service::restart_by_others).
    #[must_use]
    pub fn replace_supervisor(mut self, replace: bool) -> Service {
        self.replaces = replace;
        self
    }

    /// Adds a condition that a release must meet before it is installed, and before it is run for the first time.
    /// [`check`](fn@super::check) makes one of a closure.
    #[must_use]
    pub fn check(mut self, check: impl Check + 'static) -> Service {
        self.outfit.checks.push(Arc::new(check));
        self
    }

    /// Asked in the supervisor after every check has passed, and before anything is installed. `Err`: not now. The release
    /// is not blamed; it is asked about again at the next poll.
    #[must_use]
    pub fn before_install<F>(mut self, consent: F) -> Service
    where
        F: FnMut(&Verified) -> Result<(), Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        self.outfit.consent = Some(Arc::new(Mutex::new(consent)));
        self
    }

    /// Told in the supervisor, in order, of everything that happens; see [`UpdateEvent`]. May be called again.
    ///
    /// It runs between two steps of an update and should not take long. A panic in it is logged and changes nothing.
    #[must_use]
    pub fn on_event(mut self, tell: impl FnMut(&UpdateEvent) + Send + 'static) -> Service {
        self.observers.push(Observer::new(tell));
        self
    }

    /// Told that a release has taken over, and is watched from now on.
    #[must_use]
    pub fn after_handoff(self, mut tell: impl FnMut(&UpdateEvent) + Send + 'static) -> Service {
        self.on_event(move |event| {
            if matches!(event, UpdateEvent::HandedOff { .. }) {
                tell(event)
            }
        })
    }

    /// Told that a release did not take over or did not stay.
    #[must_use]
    pub fn on_rollback(self, mut tell: impl FnMut() + Send + 'static) -> Service {
        self.on_event(move |event| {
            if matches!(event, UpdateEvent::RolledBack) {
                tell()
            }
        })
    }

    /// Told that what the source offers is not believed, or is bad.
    #[must_use]
    pub fn on_refused(self, mut tell: impl FnMut(&Reported) + Send + 'static) -> Service {
        self.on_event(move |event| {
            if let UpdateEvent::Refused(why) = event {
                tell(why)
            }
        })
    }

    /// The fetchers to choose from, instead of those that are built in.
    #[must_use]
    pub fn fetchers(mut self, fetchers: Registry) -> Service {
        self.fetchers = fetchers;
        self
    }

    /// Becomes what this process is to be, and returns when it is over: end with what is returned.
    ///
    /// **First thing in `main`, before any thread is started and before a file is opened that is to stay open.** Printing is
    /// no matter. The first process becomes the supervisor and starts this same program again, with the same arguments; in
    /// those processes `program` is called. With `--version` as its only argument, and in a smoke run, it prints name and
    /// version and does nothing else.
    ///
    /// The exit code is the service's; that of a failure of the supervisor itself is one of `docs/operations.md`.
    pub fn run<R: Termination>(self, program: impl FnOnce(ServiceContext) -> R) -> ExitCode {
        let process = Process::this();
        let role = role();
        match role.as_ref().map(|role| role.to_string_lossy()).as_deref() {
            Some(WORKER) => crate::fetch::serve_with(self.fetchers),
            Some(source_check::ROLE) => source_check::main(&self.settings, &process, &self.fetchers),
            Some(replace::CHECK) => self.could_go_on(&process),
            Some(replace::RESUME) => self.go_on(&process),
            Some("service" | "successor") => match Inherited::take() {
                Ok(inherited) => {
                    let context = ServiceContext::new(inherited, &process, self.settings.version.as_deref());
                    program(context).report()
                }
                Err(e) => failed(&start_failure("start.inherited", &e)),
            },
            Some(other) => failed(&Reported {
                code: "start.role".to_owned(),
                exit: Exit::Usage,
                message: format!("`FETCHD_ROLE` is `{other}`, which is nothing this program can be"),
                hint: Some("unset it".to_owned()),
            }),
            None => {
                if let Some(ended) = self.asked_for_its_version(&process) {
                    return ended;
                }
                match probe::asked(process.arguments()) {
                    Some(url) => probe::main(url),
                    None => self.supervise(&process, program),
                }
            }
        }
    }

    /// A release must not start a supervisor when it is asked for its version.
    fn asked_for_its_version(&self, process: &Process) -> Option<ExitCode> {
        let smoke = std::env::var_os(SMOKE_MARK).is_some();
        let only = process.arguments().len() == 1;
        let asked = only && process.arguments().iter().any(|word| word == "--version" || word == "-V");
        match &self.settings.version {
            Some(version) if smoke || asked => {
                let printed = writeln!(io::stdout(), "{} {version}", self.settings.product);
                Some(if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            None if smoke => Some(failed(&Reported {
                code: "start.smoke".to_owned(),
                exit: Exit::Usage,
                message: "this is a smoke run, and the program does not know its version".to_owned(),
                hint: Some("set it with `version`".to_owned()),
            })),
            _ => None,
        }
    }

    fn supervise<R: Termination>(mut self, process: &Process, program: impl FnOnce(ServiceContext) -> R) -> ExitCode {
        let log = log::make(&self.settings.product, self.log_level(process).as_deref());
        let (passed, broken) = match Inherited::take_sockets() {
            Ok(passed) => (passed, None),
            Err(e) => (Vec::new(), Some(start_failure("start.inherited", &e))),
        };
        // For the case that this process has to use them itself: those of the supervisor are closed when it fails.
        let copies: Vec<Listener> = passed.iter().filter_map(|listener| listener.try_clone().ok()).collect();
        let (required, settings) = (self.required, self.settings.clone());
        let prepare = || broken.map_or_else(|| self.prepare(process, passed), Err);
        let prepared = match &log {
            Some((log, _)) => tracing::dispatcher::with_default(log, prepare),
            None => prepare(),
        };
        match prepared {
            Ok((prepared, text)) => {
                drop((copies, settings));
                // Before there is any thread of ours: what is sent while the program is replaced must not reach one.
                if let Err(report) = daemon::hold_signals() {
                    return failed(&report);
                }
                let unblocked = log.and_then(|(log, later)| {
                    // Nobody has set another one since.
                    let _ = tracing::dispatcher::set_global_default(log);
                    later.begin()
                });
                match prepared.serve(self.itself(process, unblocked.as_ref()), text) {
                    Ok(code) => ExitCode::from(code),
                    Err(report) => failed(&report),
                }
            }
            Err(report) if required || report.exit == Exit::Locked => failed(&report),
            Err(why) => {
                tracing::error!(event = "supervisor.off", code = why.code, "{}; the program runs alone", why.message);
                drop(log);
                said(&format!("{}\nthe program runs alone, without updates", report(&why)));
                match alone::context(&settings, process, copies) {
                    Ok(context) => program(context).report(),
                    Err(report) => failed(&report),
                }
            }
        }
    }

    /// Everything that can go wrong at the start, and the text of the configuration file, if there is one.
    fn prepare(&mut self, process: &Process, passed: Vec<Listener>) -> Result<(Prepared, Option<String>), Reported> {
        if ![Signal::HUP, Signal::USR1, Signal::USR2].contains(&self.restart_signal) {
            return Err(Reported {
                code: "config.value".to_owned(),
                exit: Exit::Usage,
                message: format!("{:?} cannot ask for a restart", self.restart_signal),
                hint: Some("use `HUP`, `USR1` or `USR2`".to_owned()),
            });
        }
        let Loaded { config, wanted, text } = loaded(&self.settings, process, None)?;
        let wanted = wanted?;
        if config.serve.restart != Restart::Supervise {
            return Err(ConfigError::Conflict {
                what: "`restart` is set, and a program with its supervisor inside is restarted by that".to_owned(),
                hint: "drop it; `restart_by_others` leaves restarts to whoever starts the supervisor".to_owned(),
            }
            .into());
        }
        warn_unsigned(&config);
        match &config.source {
            Some(source) if source.url.scheme() == "file" => {
                source_check::open(&self.settings, process, &self.fetchers)?;
            }
            Some(_) => source_check::ask(process)?,
            None => {}
        }
        Ok((Prepared::of(&config, wanted, passed, self.embedded())?, text))
    }
}

/// Said at every start.
pub(super) fn warn_unsigned(config: &Config) {
    if config.source.as_ref().is_some_and(|source| source.trust == Trust::Unsigned) {
        tracing::warn!(
            event = "trust.unsigned",
            "RELEASES ARE NOT CHECKED: `insecure_unsigned` takes whatever the source shows"
        );
    }
}

pub(super) fn start_failure(code: &str, error: &(dyn Error + 'static)) -> Reported {
    Reported { code: code.to_owned(), exit: Exit::Usage, message: chain(error), hint: None }
}

pub(super) fn failed(failure: &Reported) -> ExitCode {
    said(&report(failure));
    ExitCode::from(failure.exit.number())
}

fn said(text: &str) {
    // Nobody is left to hear of an error of stderr.
    let _ = writeln!(io::stderr(), "{text}");
}
