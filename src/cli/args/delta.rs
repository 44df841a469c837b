//! The commands that make, apply and examine deltas.

use super::Verb;

pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "delta",
        about: "Make, apply and examine deltas between two builds of a program",
        long: "What `publish --delta-from` makes and hosts apply by themselves, by hand.",
        example: "fetchd delta create web-1.4.1 web-1.4.2 web.fxd-1",
        group: Some("Release"),
        json: false,
        also: &[],
    },
    Verb {
        name: "delta create",
        about: "Make the delta that turns one file into another",
        long: "Works with one processor, at a lower priority (nice 10), and needs about ten times the size of the files in \
               memory. The delta is applied once before it is written.",
        example: "fetchd delta create web-1.4.1 web-1.4.2 web.fxd-1",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "delta apply",
        about: "Make the new file of the old one and a delta",
        long: "The new file appears whole or not at all, with the permissions of the old one. A delta is not signed: give the \
               digest that the new file must have.",
        example: "fetchd delta apply web-1.4.1 web.fxd-1 web-1.4.2 --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        group: None,
        json: true,
        also: &["max_size"],
    },
    Verb {
        name: "delta inspect",
        about: "Print what a delta says of itself, believing none of it",
        long: "",
        example: "fetchd delta inspect web.fxd-1",
        group: None,
        json: true,
        also: &[],
    },
];
