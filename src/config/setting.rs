//! What a setting is: one row of the table that everything else is made from.

use std::fmt;

/// One setting, defined once. The flag, the environment variable, the key in the file, the
/// help, the completions, the man page and the reference all come from this row.
#[derive(Debug)]
pub struct Setting {
    /// The key in the file, with dots for tables: `worker.memory`.
    pub key: &'static str,
    /// What its values look like.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: Preset,
    /// The value's name in help texts: `URL`.
    pub value_name: &'static str,
    /// A valid value, shown where there is no default.
    pub example: &'static str,
    /// One line, without a final stop.
    pub doc: &'static str,
    /// Units, limits and reasons; may be empty.
    pub long: &'static str,
    /// The heading it stands under.
    pub group: Group,
    /// The commands that take it as a flag.
    pub scope: Scope,
    /// Where it may be set.
    pub places: Places,
}

/// The form of a setting's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Several texts: a repeated flag, an array in the file, commas in the environment.
    List,
    /// A duration, with its bounds in milliseconds.
    Duration {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A number of bytes.
    Size,
    /// True or false.
    Bool,
    /// A whole number with its bounds.
    Integer {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A percentage, 0 to 100.
    Percent,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A path; a relative one is relative to the file it stands in, else to the working directory.
    Path,
    /// A command: words separated by white space, or an array of strings. Never a shell.
    Argv,
    /// Names and values that somebody else gives meaning to.
    Table,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Text => f.write_str("text"),
            Kind::List => f.write_str("list of texts"),
            Kind::Duration { .. } => f.write_str("duration"),
            Kind::Size => f.write_str("size"),
            Kind::Bool => f.write_str("`true` or `false`"),
            Kind::Integer { min, max } => write!(f, "whole number, {min} to {max}"),
            Kind::Percent => f.write_str("percentage, `0%` to `100%`"),
            Kind::Choice(words) => {
                for (at, word) in words.iter().enumerate() {
                    write!(f, "{}`{word}`", if at == 0 { "" } else { " or " })?;
                }
                Ok(())
            }
            Kind::Path => f.write_str("path"),
            Kind::Argv => f.write_str("command"),
            Kind::Table => f.write_str("table"),
        }
    }
}

/// What holds when a setting is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// This value.
    Value(&'static str),
    /// These words; for a [`Kind::List`] or [`Kind::Argv`].
    Words(&'static [&'static str]),
    /// Nothing, or something that is worked out; said in words.
    Derived(&'static str),
}

/// The headings of help and reference, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What runs, and under which name.
    Service,
    /// Where releases come from.
    Source,
    /// What is believed.
    Trust,
    /// What is taken, and when.
    Policy,
    /// Who this host is in a fleet.
    Fleet,
    /// Bounds of the network and of the disk.
    Download,
    /// What is checked before anything runs.
    Verify,
    /// How the binary is replaced.
    Install,
    /// How the new process takes over.
    Handoff,
    /// The worker process.
    Worker,
    /// Logs.
    Logging,
    /// Metrics and health.
    Metrics,
    /// Programs that are asked, and told.
    Hooks,
}

impl Group {
    /// All of them, in the order of the reference.
    pub const ALL: [Group; 13] = [
        Group::Service,
        Group::Source,
        Group::Trust,
        Group::Policy,
        Group::Fleet,
        Group::Download,
        Group::Verify,
        Group::Install,
        Group::Handoff,
        Group::Worker,
        Group::Logging,
        Group::Metrics,
        Group::Hooks,
    ];

    /// The heading.
    pub const fn title(self) -> &'static str {
        match self {
            Group::Service => "Service",
            Group::Source => "Source",
            Group::Trust => "Trust",
            Group::Policy => "Policy",
            Group::Fleet => "Fleet",
            Group::Download => "Download",
            Group::Verify => "Verify",
            Group::Install => "Install",
            Group::Handoff => "Handoff",
            Group::Worker => "Worker",
            Group::Logging => "Logging",
            Group::Metrics => "Metrics",
            Group::Hooks => "Hooks",
        }
    }
}

/// The commands that take a setting as a flag. The file and the environment serve them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `run` alone.
    Run,
    /// `run`, `apply` and `state repair`: whatever has to know where the program lies.
    Install,
    /// `run`, `apply` and `check`: whatever polls.
    Pass,
    /// As [`Scope::Pass`], and `verify`, which looks at a release with the same eyes.
    Trust,
    /// Whatever has to find the service: as [`Scope::Pass`], and the commands that talk to a supervisor.
    Service,
    /// Every command.
    All,
}

impl Scope {
    /// Whether `command` takes the flag.
    pub fn holds(self, command: &str) -> bool {
        const TALK: [&str; 7] = ["rollback", "restart", "hold", "unhold", "status", "history", "state show"];
        // `config show` and `config check` explain what a `run` with the same flags would see.
        match self {
            Scope::Run => matches!(command, "run" | "config show" | "config check"),
            // A repair has to know what `run` knows: the keys, and where the program lies.
            Scope::Install => Scope::Run.holds(command) || matches!(command, "apply" | "state repair"),
            Scope::Pass => Scope::Install.holds(command) || command == "check",
            Scope::Trust => Scope::Pass.holds(command) || command == "verify",
            Scope::Service => Scope::Pass.holds(command) || TALK.contains(&command),
            Scope::All => true,
        }
    }
}

/// Where a setting may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Places {
    /// Flag, environment and file.
    All,
    /// Only the command line: it must be somebody's decision at this very start.
    Flag,
    /// The words after the flags, and the file; the variable of that name belongs to the handoff.
    Arguments,
}

impl Setting {
    /// The flag without its dashes: `worker-memory`.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// The environment variable: `FETCHD_WORKER_MEMORY`.
    pub fn variable(&self) -> String {
        format!("FETCHD_{}", self.key.replace('.', "_").to_uppercase())
    }

    /// The default as one reads it.
    pub fn default_text(&self) -> String {
        match self.default {
            Preset::Value(text) => format!("`{text}`"),
            Preset::Words(words) => format!("`{}`", words.join(" ")),
            Preset::Derived(said) => said.to_owned(),
        }
    }
}
