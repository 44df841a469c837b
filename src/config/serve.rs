//! How the service is run, and how a new process takes over.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::effective::Effective;
use super::error::ConfigError;
use super::listen::Listen;
use super::restart::{Restart, restart};
use super::value::words;
use super::{amount, length};
use crate::units;

/// How the service is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// The service's working directory, absolute, symlinks left alone; `None`: the supervisor's own.
    pub directory: Option<PathBuf>,
    /// The sockets to hold, in their order; names and addresses are unique.
    pub listen: Vec<Listen>,
    /// Who brings a new binary to life.
    pub restart: Restart,
    /// How the service says that it can serve.
    pub ready: Ready,
    /// How long that may take.
    pub ready_deadline: Duration,
    /// How long the old process may take to finish.
    pub drain_deadline: Duration,
    /// How long a new release is watched; zero: it is confirmed at once.
    pub watch: Duration,
    /// What is asked meanwhile.
    pub health: Option<Health>,
    /// How often a service that sends `WATCHDOG=1` has to.
    pub watchdog: Option<Duration>,
    /// What the service does when its supervisor is killed.
    pub on_supervisor_death: OnDeath,
    /// Whether its stderr is read and passed on.
    pub capture_stderr: bool,
    /// What happens when it crashes.
    pub crash: Crash,
}

/// How the service says that it can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// `READY=1` on `NOTIFY_SOCKET`.
    Notify,
    /// It has run for so long.
    Alive(Duration),
    /// This command exits with 0; never empty.
    Exec(Vec<String>),
}

/// What is asked during the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// How often.
    pub interval: Duration,
}

/// What is asked during the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// This command; never empty.
    Command(Vec<String>),
    /// This URL; `http:` on the loopback interface.
    Url(Url),
}

/// What the service does when its supervisor is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeath {
    /// It finishes its requests and exits.
    Drain,
    /// It goes on.
    Keep,
}

/// What happens when the service crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// So many crashes …
    pub limit: u32,
    /// … within this time …
    pub window: Duration,
    /// … and within this time after the release was confirmed, roll it back.
    pub probation: Duration,
    /// The first wait before a restart.
    pub backoff: Duration,
    /// The longest; not below the first.
    pub backoff_max: Duration,
}

pub(super) fn serve(settings: &Effective) -> Result<Serve, ConfigError> {
    let crash = Crash {
        limit: u32::try_from(amount(settings, "crash.limit")).unwrap_or(u32::MAX),
        window: length(settings, "crash.window"),
        probation: length(settings, "crash.probation"),
        backoff: length(settings, "crash.backoff"),
        backoff_max: length(settings, "crash.backoff_max"),
    };
    if crash.backoff_max < crash.backoff {
        let message = format!("this is less than `crash.backoff`, {}", units::show_duration(crash.backoff));
        return Err(settings.wrong("crash.backoff_max", message));
    }
    Ok(Serve {
        directory: settings.path("directory"),
        listen: listen(settings)?,
        restart: restart(settings)?,
        ready: ready(settings)?,
        ready_deadline: length(settings, "ready_deadline"),
        drain_deadline: length(settings, "drain_deadline"),
        watch: length(settings, "watch"),
        health: health(settings)?,
        watchdog: settings.duration("watchdog").filter(|interval| !interval.is_zero()),
        on_supervisor_death: match settings.text("on_supervisor_death") {
            Some("keep") => OnDeath::Keep,
            _ => OnDeath::Drain,
        },
        capture_stderr: settings.on("capture_stderr"),
        crash,
    })
}

fn listen(settings: &Effective) -> Result<Vec<Listen>, ConfigError> {
    let base = settings.base("listen");
    let (mut addresses, mut names) = (HashSet::new(), HashSet::new());
    let mut sockets = Vec::new();
    for text in settings.list("listen") {
        let socket = Listen::parse(text, base).map_err(|error| settings.wrong("listen", error.to_string()))?;
        // Port 0 is a new port each time.
        let any_port = socket.address.to_string().ends_with(":0");
        if !addresses.insert(socket.address.clone()) && !any_port {
            return Err(settings.wrong("listen", format!("`{}` is given twice", socket.address)));
        }
        if let Some(name) = &socket.name
            && !names.insert(name.clone())
        {
            return Err(settings.wrong("listen", format!("two sockets are named `{name}`")));
        }
        sockets.push(socket);
    }
    Ok(sockets)
}

fn ready(settings: &Effective) -> Result<Ready, ConfigError> {
    let wrong = |message: String| settings.wrong("ready", message);
    let text = settings.text("ready").unwrap_or("notify");
    match text.split_once(':') {
        None if text == "notify" => Ok(Ready::Notify),
        Some(("alive", duration)) => {
            let alive = units::parse_duration(duration).map_err(|error| wrong(error.to_string()))?;
            let deadline = length(settings, "ready_deadline");
            if alive >= deadline {
                let (alive, deadline) = (units::show_duration(alive), units::show_duration(deadline));
                return Err(wrong(format!("`alive:{alive}` can never be reached within `ready_deadline`, {deadline}")));
            }
            Ok(Ready::Alive(alive))
        }
        Some(("exec", command)) => match words(command).map_err(wrong)? {
            words if words.first().is_none_or(String::is_empty) => {
                Err(wrong("the command after `exec:` is missing".to_owned()))
            }
            words => Ok(Ready::Exec(words)),
        },
        Some(("tcp" | "http" | "https", _)) => Err(wrong(format!(
            "`{text}` would prove nothing: old and new process share the listening socket, so an answer may come from \
             the old one"
        ))
        .hinted(
            "let the service send `READY=1` to `NOTIFY_SOCKET` (`notify`), or use `alive:2s` or `exec:COMMAND`; \
             `health` may be a URL, it is asked after the switch",
        )),
        _ => Err(wrong(format!("`{text}` is not one of `notify`, `alive:DURATION`, `exec:COMMAND`"))),
    }
}

fn health(settings: &Effective) -> Result<Option<Health>, ConfigError> {
    let command = settings.list("health");
    let interval = length(settings, "health_interval");
    let [first, rest @ ..] = command else { return Ok(None) };
    if !first.contains("://") {
        return Ok(Some(Health { probe: Probe::Command(command.to_vec()), interval }));
    }
    let wrong = |message: &str| settings.wrong("health", message);
    let url = Url::parse(first).map_err(|_| wrong("this is not a valid URL"))?;
    let local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() != "http" || !local || !rest.is_empty() {
        return Err(wrong(
            "a health URL is plain `http:` on this machine, such as `http://127.0.0.1:8080/health`; for anything else \
             give a command",
        ));
    }
    Ok(Some(Health { probe: Probe::Url(url), interval }))
}
