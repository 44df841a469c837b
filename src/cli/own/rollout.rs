//! What the commands with which an operator rolls a release out take.

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use super::super::release as values;
use super::fleet::store;
use super::{delta_from, expires, file, switch, text, version};

pub(super) fn add(command: Command, verb: &str) -> Command {
    let command = command.arg(store());
    match verb {
        "fleet init" => command
            .arg(switch("make-key", "Make a key pair: --rollout-key and --public-key say where"))
            .arg(switch("no-password", "Do not encrypt the secret key").requires("make-key"))
            .arg(rollout_key())
            .arg(file("public-key", "FILE", "Where the public key goes").default_value("rollout.pub"))
            .arg(fleet_key()),
        "fleet publish" => publish(command),
        "fleet start" => changing(planned(
            command
                .arg(text("release", "ID", "The release, as `fleet publish` has named it").required(true))
                .arg(text("plan", "PLAN", "`default`, `fast`, `emergency` or a file").default_value("default"))
                .arg(switch("supersede", "Begin although another rollout goes on")),
        )),
        "fleet rollback" => changing(planned(
            command
                .arg(text("to", "ID", "The older release, as `fleet publish` has named it").required(true))
                .arg(text("plan", "PLAN", "`default`, `fast`, `emergency` or a file").default_value("emergency")),
        )),
        "fleet resume" => changing(
            command
                .arg(text("ack", "HALT", "The halt that was looked at: the first digits of its digest"))
                .arg(several("exclude", "HOST", "A host that is not counted any more").requires("ack"))
                .arg(unseen()),
        ),
        "fleet pin" => changing(
            command
                .arg(word("host", "HOST", "The host, by name or id").required(true))
                .arg(word("pinned", "RELEASE", "The release it takes and keeps [default: what it has]"))
                .arg(unseen()),
        ),
        "fleet unpin" => changing(command.arg(word("host", "HOST", "The host, by name or id").required(true))),
        "fleet retry" => {
            changing(command.arg(switch("bad", "Those that were bad; there are no others that could try again")))
        }
        "fleet pause" | "fleet promote" | "fleet skip-step" | "fleet abort" | "fleet finish" | "fleet renew" => {
            changing(command)
        }
        "fleet status" => reading(
            command
                .arg(switch("watch-rollout", "Go on, and print every change").long("watch"))
                .arg(
                    file("html", "FILE", "Write the page as one file that needs nothing beside it, and print nothing")
                        .conflicts_with_all(["watch-rollout", "prometheus", "json"]),
                )
                .arg(
                    switch("prometheus", "Print metrics in Prometheus's text format")
                        .conflicts_with_all(["watch-rollout", "json"]),
                ),
        ),
        "fleet serve" => serve(command),
        "fleet hosts" => reading(
            command
                .arg(
                    text("state", "STATE", "Only these: `bad`, `overdue`, `started`, `ok`, `declined` or `stop`")
                        .value_parser(["bad", "overdue", "started", "ok", "declined", "stop"]),
                )
                .arg(text("limit", "N", "Print only so many").value_parser(value_parser!(usize)).default_value("100")),
        ),
        "fleet releases" | "fleet rollouts" => reading(
            command
                .arg(text("limit", "N", "Print only so many").value_parser(value_parser!(usize)).default_value("50")),
        ),
        "fleet explain" => reading(command.arg(word("host", "HOST", "The host, by name or id").required(true))),
        "fleet steward" => reading(command.arg(switch("once", "Once, and end").required(true))),
        "fleet gc" => reading(
            command
                .arg(
                    text("older", "DURATION", "Only what was last written so long ago")
                        .value_parser(values::expiry)
                        .default_value("30d"),
                )
                .arg(switch("dry-run", "Say what would be removed, and remove nothing"))
                .arg(switch("yes", "Do not ask")),
        ),
        _ => command,
    }
}

fn serve(command: Command) -> Command {
    let command = command
        .arg(
            text("page-listen", "ADDRESS", "Where the page is")
                .long("listen")
                .value_parser(value_parser!(std::net::SocketAddr))
                .default_value("127.0.0.1:8088"),
        )
        .arg(switch("listen-anyway", "Let others reach the page too, though it has no password"))
        .arg(
            several("page-host", "NAME", "Another name that browsers call it by, with its port: `fleet.example.com`")
                .long("host")
                .long_help(
                    "Another value of the header `Host` that is answered: the name behind a proxy, say. A request with any \
                     other name is refused, so that a page elsewhere whose name is made to point here reads nothing.",
                ),
        );
    command.arg(fleet_key()).arg(rollout_key().help("The online secret key: the page can pause, resume and abort"))
}

fn rollout_key() -> Arg {
    file("rollout-key", "FILE", "The online secret key, which signs rollouts").action(ArgAction::Append)
}

fn fleet_key() -> Arg {
    several("fleet-key", "KEY", "A public key that may have signed what is there, or its file").long_help(
        "A public key that may have signed what is there, or its file. Without it that is the key of `--rollout-key`, or else what the setting `fleet.key` says (FETCHD_FLEET_KEY).",
    )
}

/// What looks at a rollout.
fn reading(command: Command) -> Command {
    command.arg(rollout_key()).arg(fleet_key())
}

/// What changes one.
fn changing(command: Command) -> Command {
    reading(command)
        .arg(
            text("valid", "DURATION", "How long the new state may be acted on")
                .value_parser(values::expiry)
                .default_value("30d"),
        )
        .arg(
            text("if-seq", "N", "Only if this is the number of the state that is there")
                .value_parser(value_parser!(u64)),
        )
        .arg(switch("dry-run", "Show what would change, and write nothing"))
        .arg(switch("yes", "Do not ask"))
}

/// What is named is held against what the bucket has seen, unless this is said.
fn unseen() -> Arg {
    switch("unseen", "Take hosts and labels that were never seen here: they are still to come")
}

/// What a plan is adapted by.
fn planned(command: Command) -> Command {
    command
        .arg(unseen())
        .arg(
            text("hosts", "N", "How many hosts there are [default: those of the inventory]")
                .value_parser(value_parser!(u64)),
        )
        .arg(several("ring", "RING", "A ring before all others: `canary,host=web-1` or `eu,az=eu-1,delay=24h`").long_help(
            "A ring before all others, in the order given: its name, then with commas between `LABEL=VALUE` of its hosts, \
             `host=NAME`, `count=N` (how many it has), `min=N` (its first step has so many at least) and `delay=DURATION` \
             (after the ring before). Hosts that are named come all at once. A bad host of a ring called `canary` halts the rollout at once.",
        ))
        .arg(several("base", "ID", "A release that hosts may come from [default: any that the manifest lets]"))
        .arg(text("lease", "GROUP:SLOTS", "How many hosts of a group may switch at a time: `{az}:2`").long_help(
            "How many hosts of a group may switch at a time: `{az}:2` gives each value of the label `az` two slots. With \
             `:hold` at its end a host that was rolled back keeps its slot, and broken hosts stop their group.",
        ))
        .arg(several("window", "WINDOW", "When hosts may switch, UTC: `mon,tue 22:00-04:00`"))
        .arg(
            text("at", "TIME", "When it begins: `now`, `2h`, a day [default: once every host has looked]")
                .long_help(
                    "When it begins: `now`, a length of time such as `2h`, or a time such as `2027-12-31T08:00:00Z`. \
                     [default: once every host has polled and knows of it, so that those of the first step come one \
                     after the other and not at their next poll; a way back: now]",
                )
                .value_parser(values::begin),
        )
        .arg(text("salt", "TEXT", "Sorts the hosts; the same one sorts them alike [default: the release]"))
        .arg(
            text("at-least-seq", "N", "The number that hosts have seen, where somebody has emptied the bucket")
                .value_parser(value_parser!(u64)),
        )
        .arg(text("rollout", "NAME", "What it is called [default: the day, and a number]"))
}

fn publish(command: Command) -> Command {
    command
        .arg(
            file("secret-key", "FILE", "The offline secret key, which signs releases")
                .required(true)
                .action(ArgAction::Append),
        )
        .arg(version("release", "The version of the release").required(true))
        .arg(text("id", "ID", "The name of its directory [default: the version, and 8 digits of the digest]"))
        .arg(
            text("bounds", "BOUNDS", "How fast it may be rolled out: `default`, `fast` or a file")
                .default_value("default"),
        )
        .arg(
            several("rollback-to", "VERSION", "A version that its hosts may be sent back to")
                .value_parser(values::version),
        )
        .arg(switch("emergency-ok", "Let it be rolled out within an hour"))
        .arg(expires("How long clients may install from this manifest: `30d`, or `never` [default: 90d]"))
        .arg(text("entry", "PATH", "The binary's path in the archives [default: their only file]"))
        .arg(switch("critical", "Mark the release as urgent"))
        .arg(version("min-from", "The oldest version that may go to it directly"))
        .arg(text("notes-url", "URL", "Where people read about the release"))
        .arg(delta_from())
        .arg(file("memory", "FILE", "Where to remember how far products are [default: as for `fetchd publish`]"))
        .arg(
            switch("no-memory", "Remember nothing, and believe the manifests that are there")
                .conflicts_with_all(["memory", "forget"]),
        )
        .arg(switch("forget", "Go on from what is there, whatever is remembered of it"))
        .arg(switch("dry-run", "Say what would be published, and write nothing"))
        .arg(
            Arg::new("artifacts")
                .value_name("TARGET=FILE")
                .help("An artifact for each target triple")
                .num_args(1..)
                .required(true)
                .value_parser(values::pair)
                .value_hint(ValueHint::FilePath),
        )
}

fn several(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    text(id, value, help).action(ArgAction::Append)
}

fn word(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(id).value_name(value).help(help)
}
