//! What servers do with signals, as tables.

use rustix::process::Signal;

/// How a server comes to a new binary.
#[derive(Debug)]
pub(crate) enum Recipe {
    /// One signal, and it is done.
    Reload {
        /// The usual signal.
        signal: Signal,
        /// Whether another process takes over, whose number is then in the PID file.
        successor: bool,
        /// Whether the process has to start a new child: one that could not read its configuration would not.
        worker: bool,
    },
    /// Old and new process side by side, until one of them is told to go.
    Upgrade(Upgrading),
}

/// The two processes of an upgrade: what their PID files are called meanwhile, and the signals they know.
#[derive(Debug)]
pub(crate) struct Upgrading {
    /// Starts the new process beside the old one.
    pub(super) begin: Signal,
    /// Lets the old process's workers finish and go.
    pub(super) retire: Signal,
    /// Brings the old process's workers back.
    pub(super) resume: Signal,
    /// Lets a process finish its requests and end.
    pub(super) end: Signal,
    /// What follows the name of the old process's PID file while there are two.
    pub(super) old: &'static str,
    /// What follows the name of the new process's.
    pub(super) new: &'static str,
}

/// `restart_recipe`: its values; the first is the default.
pub(crate) const RECIPES: [(&str, Recipe); 6] = [
    ("reload", Recipe::Reload { signal: Signal::HUP, successor: false, worker: false }),
    ("successor", Recipe::Reload { signal: Signal::USR2, successor: true, worker: false }),
    ("haproxy", Recipe::Reload { signal: Signal::USR2, successor: false, worker: true }),
    ("nginx", Recipe::Upgrade(Upgrading { old: ".oldbin", new: "", ..UPGRADING })),
    ("unicorn", Recipe::Upgrade(Upgrading { old: ".oldbin", new: "", ..UPGRADING })),
    ("gunicorn", Recipe::Upgrade(Upgrading { old: "", new: ".2", end: Signal::TERM, ..UPGRADING })),
];

const UPGRADING: Upgrading =
    Upgrading { begin: Signal::USR2, retire: Signal::WINCH, resume: Signal::HUP, end: Signal::QUIT, old: "", new: "" };

/// `restart_signal`: its values.
pub(crate) const SIGNALS: [(&str, Signal); 7] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("TERM", Signal::TERM),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("WINCH", Signal::WINCH),
];

/// The signal of this name.
pub(super) fn named(name: &str) -> Option<Signal> {
    SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal)
}
