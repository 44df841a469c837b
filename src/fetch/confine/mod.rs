//! What a worker gives up before it hears its first request, and how much of that holds.
//!
//! The supervisor writes the [`Plan`]; the worker carries it out while it has one thread, and says in
//! its first message what the kernel granted. Nothing here is needed for the line to be right: what a
//! worker brings is verified in any case ([`crate::verify`]). It bounds what somebody can do who has
//! taken the worker over.

mod calls;
mod files;
mod privileges;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The variable that holds the plan, as JSON.
pub(super) const PLAN: &str = "FETCHD_WORKER_PLAN";

/// How much hardening a worker must have to be given a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harden {
    /// What the kernel offers; what it does not offer is logged and shown.
    #[default]
    Auto,
    /// All of it: without, no job is given.
    Require,
    /// Resource limits only.
    Off,
}

impl Harden {
    /// The word in the configuration and in `status`.
    pub fn word(self) -> &'static str {
        match self {
            Harden::Auto => "auto",
            Harden::Require => "require",
            Harden::Off => "off",
        }
    }
}

/// What one worker may do. Made by the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Plan {
    pub(super) harden: Harden,
    /// Whether it may open connections.
    pub(super) network: bool,
    /// Directories in which it may make, change and remove plain files.
    pub(super) write: Vec<PathBuf>,
    /// Files, and directories with all below, that it may read.
    pub(super) read: Vec<PathBuf>,
    /// The most bytes of private memory.
    pub(super) memory: Option<u64>,
    /// The most bytes of one file.
    pub(super) file_size: Option<u64>,
    /// Whether its user is nobody else's: then the number of its processes can be limited.
    pub(super) own_user: bool,
}

/// A protection of the worker's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measure {
    /// No program it could start would gain privileges.
    NoNewPrivs,
    /// It has no capability, whoever its user is.
    Capabilities,
    /// It runs as the user that was configured.
    User,
    /// Landlock: the kernel lets it open what its job needs and nothing else.
    Landlock,
    /// seccomp: the kernel refuses it the system calls of an intruder.
    Seccomp,
    /// Bounds on memory, descriptors, file sizes and core files.
    Limits,
}

impl Measure {
    /// As it is called in `status` and in the log.
    pub fn word(self) -> &'static str {
        match self {
            Measure::NoNewPrivs => "no_new_privs",
            Measure::Capabilities => "capabilities",
            Measure::User => "user",
            Measure::Landlock => "landlock",
            Measure::Seccomp => "seccomp",
            Measure::Limits => "limits",
        }
    }
}

/// A measure that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// Which.
    pub measure: Measure,
    /// Why, as the end of a sentence.
    pub why: String,
}

/// What holds of a worker: its own claim, and what the supervisor could see for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hardening {
    /// What was asked for.
    pub mode: Harden,
    /// Whether no program it starts gains privileges.
    pub no_new_privs: bool,
    /// Whether it has no capability.
    pub capabilities: bool,
    /// The user it runs as.
    pub user: u32,
    /// The version of Landlock's interface that confines it; `None` = nothing does.
    pub landlock: Option<u32>,
    /// Whether its system calls are filtered.
    pub seccomp: bool,
    /// Whether its resource limits hold.
    pub limits: bool,
    /// What was asked for and does not hold.
    pub lacking: Vec<Lacking>,
}

impl Hardening {
    pub(super) fn lacks(&mut self, measure: Measure, why: impl Into<String>) {
        if !self.lacking.iter().any(|lacking| lacking.measure == measure) {
            self.lacking.push(Lacking { measure, why: why.into() });
        }
    }

    /// What does not hold, as the end of a sentence; empty if all holds.
    pub fn missing(&self) -> String {
        let words = self.lacking.iter().map(|lacking| format!("{} ({})", lacking.measure.word(), lacking.why));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// The plan that the supervisor wrote. Without one nothing may be opened at all.
pub(super) fn plan() -> Plan {
    let text = std::env::var(PLAN).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Gives up what `plan` does not name. For a process of one thread, which it must stay until this returns.
pub(super) fn confine(plan: &Plan) -> Hardening {
    let mut held = Hardening { mode: plan.harden, user: rustix::process::geteuid().as_raw(), ..Hardening::default() };
    match privileges::limit(plan) {
        Ok(()) => held.limits = true,
        Err(why) => held.lacks(Measure::Limits, why),
    }
    if plan.harden == Harden::Off {
        return held;
    }
    // The order matters: Landlock and seccomp ask for no_new_privs, and seccomp refuses what the others call.
    match offered(Measure::NoNewPrivs).and_then(|()| privileges::no_new()) {
        Ok(()) => held.no_new_privs = true,
        Err(why) => held.lacks(Measure::NoNewPrivs, why),
    }
    match offered(Measure::Landlock).and_then(|()| files::confine(plan)) {
        Ok(abi) => {
            held.landlock = Some(abi);
            if abi < files::WHOLE {
                held.lacks(Measure::Landlock, format!("version {abi} leaves gaps, {} is whole", files::WHOLE));
            }
        }
        Err(why) => held.lacks(Measure::Landlock, why),
    }
    match offered(Measure::Capabilities).and_then(|()| privileges::drop_all()) {
        Ok(()) => held.capabilities = true,
        Err(why) => held.lacks(Measure::Capabilities, why),
    }
    match offered(Measure::Seccomp).and_then(|()| calls::filter(plan.network)) {
        Ok(()) => held.seccomp = true,
        Err(why) => held.lacks(Measure::Seccomp, why),
    }
    held
}

/// Whether the kernel may be asked for `measure`: a test can play a kernel without it.
#[cfg_attr(not(debug_assertions), allow(clippy::unnecessary_wraps, reason = "only tests refuse"))]
fn offered(measure: Measure) -> Result<(), String> {
    #[cfg(debug_assertions)]
    if std::env::var(WITHOUT).is_ok_and(|without| without.split(',').any(|word| word == measure.word())) {
        return Err("a test plays a kernel without it".to_owned());
    }
    let _ = measure;
    Ok(())
}

/// Names measures, with commas between, that tests take away; only builds with debug assertions read it.
#[cfg(debug_assertions)]
const WITHOUT: &str = "FETCHD_TEST_WORKER_WITHOUT";
