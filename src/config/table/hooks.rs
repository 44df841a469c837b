//! Programs of the operator's that are asked, and told.

use super::{BASE, Group, HOUR, Kind, Preset, Scope, Setting, duration};

/// A command that is run when something happens.
const HOOK: Setting =
    Setting { kind: Kind::Argv, value_name: "COMMAND", group: Group::Hooks, scope: Scope::Install, ..BASE };

/// Hooks, which come last.
pub(super) const ROWS: &[Setting] = &[
    Setting {
        key: "hooks.pre_install",
        example: "/usr/local/bin/may-install --strict",
        doc: "Asked before a release is installed, when it has passed every check",
        long: "It is installed if the command ends with 0; otherwise it is held, nothing changes, and the command is asked \
               again at the next poll. Standard input is a JSON object.",
        ..HOOK
    },
    Setting {
        key: "hooks.post_handoff",
        example: "/usr/local/bin/tell-chat",
        doc: "Told that a release has taken over and passed its watch",
        ..HOOK
    },
    Setting {
        key: "hooks.on_rollback",
        example: "/usr/local/bin/page-somebody",
        doc: "Told that a release did not take over or did not stay, or that somebody went back to the one before",
        ..HOOK
    },
    Setting {
        key: "hooks.on_refused",
        example: "/usr/local/bin/page-somebody",
        doc: "Told that a release is not believed, or is bad, and was not installed",
        ..HOOK
    },
    Setting {
        key: "hooks.deadline",
        kind: duration(100, HOUR),
        default: Preset::Value("30s"),
        value_name: "DURATION",
        doc: "How long each hook may take; then it is killed with its process group",
        group: Group::Hooks,
        scope: Scope::Install,
        ..BASE
    },
];
