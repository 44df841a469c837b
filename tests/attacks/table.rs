//! What a row of the table says: the attack, what carries it, and how it must end.

use std::collections::BTreeMap;

use crate::bench::Bench;
use crate::maker::Maker;

/// Files at a source, by their names relative to the pointer.
pub type Files = BTreeMap<String, Vec<u8>>;

/// One row: one of the cases of the list of attacks.
pub struct Case {
    /// Its number in the list, for ever.
    pub id: u8,
    /// What is done, in a few words.
    pub attack: &'static str,
    /// The folder of its files under `fixtures/attacks`, without the number in front.
    pub fixture: &'static str,
    /// How it is played.
    pub plays: &'static [Play],
}

/// One way to play a case.
pub enum Play {
    /// The files of the fixture are shown by the source, and `fetchd apply` ends as told.
    Serve {
        /// Tells it from the other plays of the case, and names its folder; empty if it is the only one.
        variant: &'static str,
        /// Makes the files, the same ones each time.
        make: fn(&Maker) -> Files,
        /// Flags of `apply` beside the usual ones.
        flags: &'static [&'static str],
        /// What carries it.
        over: &'static [Carry],
        /// How it ends.
        verdict: Verdict,
    },
    /// Anything else: the function does it and asserts what is special; the verdict is for the table
    /// and for [`Bench::assert_verdict`].
    Act {
        /// Tells it from the other plays of the case; empty if it is the only one.
        variant: &'static str,
        /// What carries it.
        over: &'static [Carry],
        /// How it ends.
        verdict: Verdict,
        /// Does it.
        act: fn(&mut Bench, &Verdict),
    },
    /// Other tests prove it: the paths of their files and their names.
    Proved {
        /// Which ones.
        by: &'static [(&'static str, &'static str)],
        /// How it ends.
        verdict: Verdict,
    },
    /// There is nothing here that it could be done to.
    DoesNotApply {
        /// Why.
        why: &'static str,
    },
}

/// How a pass ends.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    /// The exit code.
    pub exit: u8,
    /// The stable code of the failure; empty for 0.
    pub code: &'static str,
    /// The event in the history; empty = none is written.
    pub event: &'static str,
    /// What has changed afterwards.
    pub change: Change,
}

/// What a pass may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing at all.
    Nothing,
    /// The floor, because everything up to it was right.
    Floor,
    /// The candidate was executed, once it was known to be what was signed.
    Executed,
    /// The floor, and what has come of the artifact stays for the next attempt.
    Part,
    /// The release was installed.
    Installed,
    /// The state is damaged, so nothing can be said of it.
    State,
}

/// What carries the files of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// A directory.
    File,
    /// A web server.
    Http,
    /// A bucket.
    S3,
    /// A repository whose releases have the files as assets.
    GitHub,
}

impl Carry {
    /// Everything that can carry a file.
    pub const ALL: &'static [Carry] = &[Carry::File, Carry::Http, Carry::S3];
    /// Enough where what carries it makes no difference.
    pub const FILE: &'static [Carry] = &[Carry::File];
    /// What is a matter of HTTP.
    pub const HTTP: &'static [Carry] = &[Carry::Http];
    /// What is a matter of the network.
    pub const NET: &'static [Carry] = &[Carry::Http, Carry::S3];
    /// What is a matter of GitHub.
    pub const GITHUB: &'static [Carry] = &[Carry::GitHub];
    /// The network, with GitHub.
    pub const WEB: &'static [Carry] = &[Carry::Http, Carry::S3, Carry::GitHub];
    /// Everything, with GitHub.
    pub const EVERY: &'static [Carry] = &[Carry::File, Carry::Http, Carry::S3, Carry::GitHub];

    pub fn name(self) -> &'static str {
        match self {
            Carry::File => "file",
            Carry::Http => "http",
            Carry::S3 => "s3",
            Carry::GitHub => "github",
        }
    }
}

impl Verdict {
    /// Refused before anything was raised.
    pub const fn refused(exit: u8, code: &'static str) -> Verdict {
        Verdict { exit, code, event: "release.refused", change: Change::Nothing }
    }

    /// Not taken now.
    pub const fn held(code: &'static str) -> Verdict {
        Verdict { exit: 22, code, event: "release.held", change: Change::Nothing }
    }

    /// Could not be fetched.
    pub const fn fetch(exit: u8, code: &'static str) -> Verdict {
        Verdict { exit, code, event: "fetch.failed", change: Change::Nothing }
    }

    /// Nothing is begun with such settings.
    pub const fn usage(code: &'static str) -> Verdict {
        Verdict { exit: 64, code, event: "", change: Change::Nothing }
    }

    /// Updates are off, because what is remembered cannot be believed.
    pub const fn state(code: &'static str) -> Verdict {
        Verdict { exit: 50, code, event: "", change: Change::State }
    }

    /// Taken.
    pub const fn accepted() -> Verdict {
        Verdict { exit: 0, code: "", event: "release.confirmed", change: Change::Installed }
    }

    /// The same, after the manifest was admitted.
    pub const fn after_admission(self) -> Verdict {
        Verdict { change: Change::Floor, ..self }
    }

    /// The same, and what has come of the artifact stays for the next attempt.
    pub const fn leaving_a_part(self) -> Verdict {
        Verdict { change: Change::Part, ..self }
    }

    /// The same with another event.
    pub const fn event(self, event: &'static str) -> Verdict {
        Verdict { event, ..self }
    }

    /// The same with another change.
    pub const fn change(self, change: Change) -> Verdict {
        Verdict { change, ..self }
    }
}

impl Play {
    /// Files shown by whatever can show files.
    pub const fn serve(variant: &'static str, make: fn(&Maker) -> Files, verdict: Verdict) -> Play {
        Play::Serve { variant, make, flags: &[], over: Carry::ALL, verdict }
    }

    /// The same for a pass with `flags`.
    pub const fn serve_with(
        flags: &'static [&'static str],
        variant: &'static str,
        make: fn(&Maker) -> Files,
        verdict: Verdict,
    ) -> Play {
        Play::Serve { variant, make, flags, over: Carry::ALL, verdict }
    }

    /// Something else, where what carries the files makes no difference.
    pub const fn act(variant: &'static str, act: fn(&mut Bench, &Verdict), verdict: Verdict) -> Play {
        Play::Act { variant, over: Carry::FILE, verdict, act }
    }

    pub fn variant(&self) -> &'static str {
        match self {
            Play::Serve { variant, .. } | Play::Act { variant, .. } => variant,
            Play::Proved { .. } | Play::DoesNotApply { .. } => "",
        }
    }
}

impl Case {
    /// The folder of a play's files.
    pub fn folder(&self, variant: &str) -> String {
        let folder = format!("{:02}-{}", self.id, self.fixture);
        if variant.is_empty() { folder } else { format!("{folder}/{variant}") }
    }
}
