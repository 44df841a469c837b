//! What commands take beside settings.

mod fleet;
mod keys;
#[cfg(feature = "fleet")]
mod rollout;
#[cfg(feature = "fleet")]
mod simulate;

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use super::release as values;
use crate::digest::Sha256;
use crate::publish::AtLeast;

/// Adds to `command` the arguments that only `verb` has.
pub(super) fn add(command: Command, verb: &str) -> Command {
    match verb {
        "apply" => command.arg(switch("force", "Take the release now, in spite of a hold, a cooldown or its rollout")),
        "restart" => command.arg(
            switch("supervisor", "Replace fetchd itself by what lies at its path now; the program runs on").long_help(
                "Replace fetchd itself by what lies at its path now, with the configuration as it is now. The program runs on, \
                 with the same supervisor's process id. What lies there is asked first whether it can take over; if not, \
                 nothing changes.",
            ),
        ),
        "hold" => command.arg(text("reason", "TEXT", "Why; shown by `status`")).arg(text(
            "for",
            "DURATION",
            "End it by itself after this long",
        )),
        "status" => command.arg(switch("watch-status", "Go on, and print every change").long("watch")),
        "history" => {
            command.arg(text("limit", "N", "Print only the newest N entries").value_parser(value_parser!(usize)))
        }
        "state repair" => command.arg(switch("dry-run", "Say what would be done, and change nothing")).arg(
            text("accept-lower", "EPOCH/NUMBER", "LOWER the floor to exactly this, and accept old manifests above it again")
                .value_parser(values::exact_floor)
                .long_help(
                    "LOWER the floor to exactly this: manifests above it that were accepted before, or never, can be \
                     installed again, by whoever replays them too. For one case: the publisher's key was in other hands, \
                     which signed a number far too high, and the publisher tells you from where to go on. Change the \
                     configured key first. The history notes it as `state.floor_lowered`.",
                ),
        ),
        "keygen" => command
            .arg(file("secret-key", "FILE", "Where the secret key goes").default_value("release.key"))
            .arg(file("public-key", "FILE", "Where the public key goes").default_value("release.pub"))
            .arg(switch("no-password", "Do not encrypt the secret key"))
            .arg(switch("force", "Replace files that exist")),
        "sign" => command
            .arg(secret_key())
            .arg(release().required_unless_present("comment"))
            .arg(expires("How long it may be installed: `30d`, or `never`"))
            .arg(text("entry", "PATH", "The binary's path in the archive [default: its only file]"))
            .arg(
                text("seq", "N", "Its place in the order of releases, which stops replays")
                    .value_parser(value_parser!(u64)),
            )
            .arg(
                text("comment", "TEXT", "Sign TEXT instead, and bind nothing: hosts need signature = \"plain\"")
                    .conflicts_with_all(["release", "expires", "entry", "seq"]),
            )
            .arg(switch("force", "Replace signatures that exist"))
            .arg(files("files", "FILE", "The artifacts").required(true)),
        "verify" => command
            .arg(file("minisig", "FILE", "The signature [default: the artifact's name with .minisig]"))
            .arg(files("file", "FILE", "The bundle or the artifact").required(true).num_args(1)),
        "publish" => publish(command),
        fleet if fleet.starts_with("fleet ") => self::fleet::add(command, verb),
        keys if keys.starts_with("keys ") => self::keys::add(command, verb),
        "inspect" => command.arg(files("file", "FILE", "What to look at").required(true).num_args(1)),
        "delta create" => command
            .arg(
                text("format", "FORMAT", "`fxd-1`, the smallest for programs, or `dcz`, which zstd applies too")
                    .value_parser(["fxd-1", "dcz"])
                    .default_value("fxd-1"),
            )
            .arg(switch("force", "Replace a file that exists"))
            .arg(one("old", "OLD", "The file that hosts have"))
            .arg(one("new", "NEW", "The file that they are to have"))
            .arg(one("patch", "PATCH", "Where the delta goes")),
        "delta apply" => command
            .arg(
                text("sha256", "DIGEST", "The digest that the new file must have")
                    .value_parser(|text: &str| text.parse::<Sha256>()),
            )
            .arg(switch("force", "Replace a file that exists"))
            .arg(one("old", "OLD", "The file that the delta was made from"))
            .arg(one("patch", "PATCH", "The delta"))
            .arg(one("new", "NEW", "Where the new file goes")),
        "delta inspect" => command.arg(one("patch", "PATCH", "The delta")),
        "config init" => command
            .arg(files("file", "FILE", "Write it there instead of to stdout").num_args(1))
            .arg(switch("force", "Replace a file that exists")),
        "completions" => command.arg(
            Arg::new("shell").value_name("SHELL").required(true).value_parser(["bash", "zsh", "fish"]).help("Which"),
        ),
        "man" => command
            .arg(Arg::new("command").value_name("COMMAND").num_args(0..=2).help("The command to explain"))
            .arg(file("dir", "DIR", "Write one page for each command into it").value_hint(ValueHint::DirPath)),
        "self-update" => command.arg(switch("check", "Say whether there is something newer, and change nothing")),
        "demo" => command.arg(switch("keep", "Leave the temporary directory behind")),
        "demo-service" => {
            command.arg(Arg::new("args").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true).help("Its own"))
        }
        _ => command,
    }
}

fn switch(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(id).action(ArgAction::SetTrue).help(help)
}

fn text(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(id).value_name(value).help(help)
}

fn file(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    files(id, value, help).num_args(1).long(id)
}

fn files(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    let arg = Arg::new(id).value_name(value).help(help).num_args(1..);
    arg.value_parser(value_parser!(PathBuf)).value_hint(ValueHint::FilePath)
}

fn one(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    files(id, value, help).num_args(1).required(true)
}

fn publish(command: Command) -> Command {
    let several = |id, value, help| text(id, value, help).action(ArgAction::Append);
    command
        .arg(
            text("to", "PLACE", "The directory to publish to, s3://BUCKET/PREFIX or github://OWNER/REPOSITORY")
                .required(true)
                .value_hint(ValueHint::DirPath)
                .long_help(
                    "Where the channel is: a directory, as a path or a `file:` URL, or a prefix of a bucket, as \
                     `s3://BUCKET/PREFIX?region=REGION`. The options of a bucket are those of an S3 source, in the URL's \
                     query; credentials come from the environment or a profile, as for other tools of AWS. \
                     `github://OWNER/REPOSITORY` holds no channel: its release gets each artifact, a signature that \
                     binds it to the version, and `SHA256SUMS`, and is made public once all of them are there. Its \
                     token is in `GITHUB_TOKEN`, or in a file that `?token_file=FILE` names.",
                ),
        )
        .arg(secret_key().action(ArgAction::Append).long_help(
            "The secret key to sign with; several sign together. Who has signed what is there is known by these keys, \
             and by `--key` where the keys change.",
        ))
        .arg(release().requires("artifacts").long_help(
            "The version of the release. Without it nothing new is published: the manifest is signed again, with a \
             new expiry and whatever else is asked for.",
        ))
        .arg(text("tag", "TAG", "The tag of a release on GitHub [default: v and the version]").requires("release"))
        .arg(expires("How long clients may install from this manifest: `30d`, or `never` [default: 90d]"))
        .arg(text("entry", "PATH", "The binary's path in the archives [default: their only file]").requires("release"))
        .arg(switch("critical", "Mark the release as urgent").requires("release"))
        .arg(version("min-from", "The oldest version that may go to it directly").requires("release"))
        .arg(
            text("rollout", "PERCENT", "The share of the hosts that may take it [default: 100]")
                .value_parser(value_parser!(u8).range(0..=100))
                .requires("release"),
        )
        .arg(text("notes-url", "URL", "Where people read about the release").requires("release"))
        .arg(delta_from())
        .arg(several("yank", "VERSION", "Withdraw a version: nobody takes it any more").value_parser(values::version))
        .arg(several("unyank", "VERSION", "Take a withdrawn version back in").value_parser(values::version))
        .arg(
            several("revoke", "WHAT", "A version or a sha256 that must never run again")
                .value_parser(values::revocable)
                .requires("reason"),
        )
        .arg(text("reason", "TEXT", "Why it is revoked").requires("revoke"))
        .arg(version("min-version", "The version below which nothing is ever installed"))
        .arg(
            text("keep-releases", "N", "How many releases to list, the newest ones [default: 10]")
                .long("keep")
                .value_parser(value_parser!(u64).range(1..=512)),
        )
        .arg(text("epoch", "N", "Begin a new epoch, after a key was lost").value_parser(value_parser!(u64)))
        .arg(
            file("key-set", "FILE", "The key set that hosts go by: checks that enough of its keys sign")
                .long("keys")
                .long_help(
                    "The key set that hosts go by. Enough of its release keys must sign, or nothing is written, and its \
                     epoch becomes the manifest's. Who has signed what is there is known by it too.",
                ),
        )
        .arg(file("memory", "FILE", "Where to remember how far channels are").long_help(
            "Where to remember how far channels are. An older pointer that somebody has put back is refused then, and \
             so is an empty place. One file serves all channels.\n\n\
             [default: $XDG_STATE_HOME/fetchd/publish.json, or ~/.local/state/fetchd/publish.json]",
        ))
        .arg(switch("no-memory", "Remember nothing, and believe the pointer that is there").conflicts_with_all(["memory", "forget"]))
        .arg(switch("forget", "Go on from what is there, whatever is remembered of it"))
        .arg(
            text("at-least-seq", "N", "The number that what is there must have; EPOCH/N where epochs were begun")
                .value_parser(|text: &str| text.parse::<AtLeast>()),
        )
        .arg(switch("dry-run", "Say what would be published, and write nothing"))
        .arg(
            Arg::new("artifacts")
                .value_name("TARGET=FILE")
                .help("An artifact for each target triple")
                .num_args(1..)
                .requires("release")
                .value_parser(values::pair)
                .value_hint(ValueHint::FilePath),
        )
}

fn delta_from() -> Arg {
    text("delta-from", "N", "Make deltas from the last N releases before it [default: 0]")
        .value_parser(value_parser!(u64).range(0..=20))
        .requires("release")
        .long_help(
            "Make deltas from the last N releases before it, as far as the place still has them, one from each directly to \
             the new release. Those that are more than 60 % of the artifact are left out. It takes up to a minute of one \
             processor for each 100 MB of program and earlier release, at a lower priority (nice 10), and about ten times \
             its size in memory [default: 0]",
        )
}

fn version(id: &'static str, help: &'static str) -> Arg {
    text(id, "VERSION", help).value_parser(values::version)
}

fn expires(help: &'static str) -> Arg {
    text("expires", "DURATION", help).value_parser(values::expiry)
}

fn secret_key() -> Arg {
    file("secret-key", "FILE", "The secret key to sign with").required(true)
}

// `--version` is the flag that prints fetchd's own.
fn release() -> Arg {
    version("release", "The version of the release")
}
