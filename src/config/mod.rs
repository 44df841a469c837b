//! The configuration: a table of settings, four layers merged, and one [`Config`] made from them.
//!
//! [`setting::Setting`] says what a setting is, `table` lists them all. [`Effective`] merges flags,
//! environment, file and defaults and remembers where each value came from. [`Config`] is made
//! from it once, with every rule between settings checked; nothing is checked again after that.

mod effective;
mod environment;
mod error;
mod file;
mod fleet;
#[cfg(all(debug_assertions, feature = "cli", feature = "http"))]
pub(crate) mod fuzz;
mod listen;
mod metrics;
mod opened;
pub mod reference;
mod release;
mod restart;
mod serve;
pub mod setting;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agent::{Hook, Hooking};
use crate::fetch::Harden;
pub use effective::{Effective, Host, Layer, Origin};
pub use environment::{FILE as FILE_VARIABLE, PROTOCOL as PROTOCOL_VARIABLES};
pub use error::{ConfigError, Position};
pub use fleet::{Fleet, Pin};
pub use listen::{Address, BadListen, Listen};
pub use metrics::Metrics;
pub use opened::{fetcher, key_set, rollout_keys, trusted_keys};
pub use release::{KeyRef, Policy, Signature, Source, Trust, floor, keys, provisioned};
pub use restart::{Driver, Restart};
pub use serve::{Crash, Health, OnDeath, Probe, Ready, Serve};
pub use table::{find, settings};
pub use value::{Given, Value};

/// Which service is meant: enough to find its state and its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name that releases are signed for.
    pub product: String,
    /// The state directory of this one service; absolute.
    pub state_dir: PathBuf,
}

/// A valid configuration. Paths are absolute; what is checked here is not checked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which service.
    pub place: Place,
    /// What runs.
    pub program: Program,
    /// Where releases come from, and what is believed of them; `None`: nothing is fetched.
    pub source: Option<Source>,
    /// How often the source is asked.
    pub schedule: Schedule,
    /// What is taken.
    pub policy: Policy,
    /// Bounds of the network and of the disk.
    pub download: Download,
    /// What is checked before anything is installed.
    pub verify: Verify,
    /// How it is installed.
    pub install: Install,
    /// How it is run and handed off to.
    pub serve: Serve,
    /// The worker process.
    pub worker: Worker,
    /// Where this host is measured; `None`: nowhere.
    pub metrics: Option<Metrics>,
    /// The operator's programs that are asked, and told.
    pub hooks: Hooking,
}

/// The program to keep running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its path as it was written, made absolute; symlinks are not resolved, existence is not checked.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// How often the source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The time between two polls.
    pub interval: Duration,
    /// By how many per cent it is varied, each way; 0 to 100.
    pub jitter: u8,
}

/// Bounds of the network and of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download {
    /// Whether deltas are used.
    pub deltas: bool,
    /// The longest that one poll may take.
    pub poll: Duration,
    /// The longest that one download may take.
    pub total: Duration,
    /// The longest wait for the next byte.
    pub stall: Duration,
    /// The least bytes a second over 30 seconds; 0 is off.
    pub min_rate: u64,
    /// The largest artifact and binary, in bytes.
    pub max_size: u64,
    /// Bytes to leave free on the disk.
    pub reserve: u64,
}

/// What is checked before anything is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// The target triple whose artifact is taken.
    pub target: String,
    /// Whether the binary's header must agree with it.
    pub target_check: bool,
    /// The smoke run; `None`: off.
    pub smoke: Option<SmokeRun>,
}

/// How the new binary is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmokeRun {
    /// Its arguments.
    pub args: Vec<String>,
    /// The longest that it may take.
    pub deadline: Duration,
}

/// How the binary is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Install {
    /// Where it goes.
    pub layout: Layout,
    /// Whether an install goes on when owner, mode or attributes cannot be carried over.
    pub best_effort: bool,
}

/// Where a new binary goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// In place of the program's file.
    Replace,
    /// Into a directory of its own, with a symlink to it.
    Releases {
        /// So many are kept.
        keep: usize,
    },
    /// Somebody else puts it there.
    External,
}

/// The worker process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// How far it is confined.
    pub hardening: Harden,
    /// Whom it runs as, as it was written; `None`: as fetchd.
    pub user: Option<String>,
    /// The limit of its address space, in bytes; `None`: no limit.
    pub memory: Option<u64>,
    /// It stays if the next poll is nearer than this.
    pub stay: Duration,
}

/// The target triple that this fetchd was built for.
pub const BUILD_TARGET: &str = env!("BUILD_TARGET_TRIPLE");

impl Place {
    /// Finds the service: by `product`, else by the program's file name, and by `state_dir`.
    pub fn of(settings: &Effective) -> Result<Place, ConfigError> {
        let product = product(settings)?;
        let state_dir = match settings.path("state_dir") {
            Some(path) => path,
            None => state_home(settings.host())?.join("fetchd").join(&product),
        };
        Ok(Place { product, state_dir })
    }
}

/// The name that releases are signed for: `product`, else the program's file name.
pub fn product(settings: &Effective) -> Result<String, ConfigError> {
    let program = settings.list("program").first().map(PathBuf::from);
    let named = program.as_ref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
    let product = match settings.text("product").or(named) {
        Some(product) => product.to_owned(),
        None => {
            return Err(ConfigError::Missing {
                what: "it is not known which service is meant".to_owned(),
                hint: "name it with `--product NAME`, or give its file with `--config FILE`".to_owned(),
            });
        }
    };
    if !is_name(&product) {
        let key = if settings.text("product").is_some() { "product" } else { "program" };
        return Err(settings.wrong(key, format!("`{product}` cannot be a product's name; {NAMES}")));
    }
    Ok(product)
}

fn hooking(settings: &Effective, product: &str, program: &Path) -> Hooking {
    let command = |hook: Hook| {
        let words = settings.list(hook.key());
        (!words.is_empty()).then(|| (hook, words.iter().map(Into::into).collect()))
    };
    Hooking {
        commands: Hook::ALL.into_iter().filter_map(command).collect(),
        deadline: length(settings, "hooks.deadline"),
        product: product.to_owned(),
        program: program.to_owned(),
    }
}

impl Config {
    /// Checks everything, and the rules between settings.
    pub fn of(settings: &Effective) -> Result<Config, ConfigError> {
        let [path, args @ ..] = settings.list("program") else {
            return Err(ConfigError::Missing {
                what: "no program to keep running is given".to_owned(),
                hint: "write it after the flags, as in `fetchd run --listen :8080 -- ./server`, or as \
                       `program = [\"./server\"]` in the file"
                    .to_owned(),
            });
        };
        let path = effective::absolute(settings.base("program"), path.as_ref());
        let verify = Verify {
            target: settings.text("target").unwrap_or(BUILD_TARGET).to_owned(),
            target_check: settings.on("target_check"),
            smoke: settings.on("smoke").then(|| SmokeRun {
                args: settings.list("smoke_args").to_vec(),
                deadline: length(settings, "smoke_deadline"),
            }),
        };
        let layout = match settings.text("layout") {
            Some("external") => Layout::External,
            Some("releases") => Layout::Releases { keep: usize::try_from(amount(settings, "keep")).unwrap_or(2) },
            _ => Layout::Replace,
        };
        let memory = amount(settings, "worker.memory");
        let place = Place::of(settings)?;
        let source = release::source(settings, layout)?;
        let hooks = hooking(settings, &place.product, &path);
        if source.as_ref().is_some_and(|source| source.fleet.is_some())
            && hooks.commands.contains_key(&Hook::PreInstall)
        {
            let why = "in a fleet the rollout says when a release is installed, and does not wait for a host's program";
            let hint = "keep this host back with `fetchd hold`, or with a window of the rollout's plan";
            return Err(settings.wrong("hooks.pre_install", why).hinted(hint));
        }
        Ok(Config {
            hooks,
            place,
            program: Program { path, args: args.to_vec() },
            source,
            schedule: Schedule {
                interval: length(settings, "interval"),
                jitter: u8::try_from(amount(settings, "jitter")).unwrap_or(100),
            },
            policy: release::policy(settings)?,
            download: Download {
                deltas: settings.on("deltas"),
                poll: length(settings, "poll_deadline"),
                total: length(settings, "download_deadline"),
                stall: length(settings, "stall_deadline"),
                min_rate: amount(settings, "min_rate"),
                max_size: amount(settings, "max_size"),
                reserve: amount(settings, "reserve"),
            },
            verify,
            install: Install { layout, best_effort: settings.text("metadata") == Some("best-effort") },
            metrics: metrics::metrics(settings)?,
            serve: serve::serve(settings)?,
            worker: Worker {
                hardening: match settings.text("worker.hardening") {
                    Some("require") => Harden::Require,
                    Some("off") => Harden::Off,
                    _ => Harden::Auto,
                },
                user: settings.text("worker.user").map(str::to_owned),
                memory: (memory > 0).then_some(memory),
                stay: length(settings, "worker.stay"),
            },
        })
    }

    /// The source, for commands that cannot do without.
    pub fn require_source(&self) -> Result<&Source, ConfigError> {
        self.source.as_ref().ok_or_else(|| ConfigError::Missing {
            what: "no source to ask is given".to_owned(),
            hint: "name one with `--source URL`, or as `source = \"URL\"` in the file".to_owned(),
        })
    }
}

/// Where state directories are by default.
fn state_home(host: &Host) -> Result<PathBuf, ConfigError> {
    if host.root {
        return Ok(PathBuf::from("/var/lib"));
    }
    // The XDG specification: a relative path there is to be ignored.
    let xdg = host.variable("XDG_STATE_HOME").filter(|path| path.is_absolute()).map(PathBuf::from);
    let home = host.variable("HOME").filter(|path| path.is_absolute()).map(|home| home.join(".local/state"));
    xdg.or(home).ok_or_else(|| ConfigError::Missing {
        what: "there is no place for the state: neither `XDG_STATE_HOME` nor `HOME` is set".to_owned(),
        hint: "name one with `--state-dir DIR`".to_owned(),
    })
}

/// Products and channels become parts of paths and of signed comments.
fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

const NAMES: &str = "use 1 to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or a digit";

/// The duration of a setting whose default is a duration: the table's test keeps it one.
fn length(settings: &Effective, key: &str) -> Duration {
    settings.duration(key).unwrap_or_default()
}

/// The number of a setting whose default is a number: the table's test keeps it one.
fn amount(settings: &Effective, key: &str) -> u64 {
    settings.number(key).unwrap_or_default()
}
