//! What the commands of `fetchd keys` take.

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use super::super::release as values;
use super::{file, files, switch, text};

pub(super) fn add(command: Command, verb: &str) -> Command {
    match verb {
        "keys init" => signed(
            command
                .arg(several("root", "KEY", "A key that signs key sets").num_args(1..).required(true))
                .arg(threshold("root-threshold", "How many root keys must sign [default: 1]"))
                .arg(several("release", "KEY", "A key that signs releases").num_args(1..).required(true))
                .arg(threshold("release-threshold", "How many release keys must sign [default: 1]"))
                .arg(text("epoch", "N", "The epoch of the manifests [default: 0]").value_parser(value_parser!(u64)))
                .arg(expires("When the key set expires: `2027-12-31`, `365d` or `never` [default: never]")),
        ),
        "keys add" => signed(edited(command, "New keys or their files, and last the key set before"))
            .override_usage("fetchd keys add [OPTIONS] --role ROLE --output FILE KEY... FILE"),
        "keys remove" => signed(edited(command, "Keys, their files or their numbers, and last the key set before"))
            .override_usage("fetchd keys remove [OPTIONS] --role ROLE --output FILE KEY... FILE"),
        "keys rotate" => signed(
            command
                .arg(
                    several("replace", "OLD=NEW", "Put a new key in the place of an old one; OLD may be its number")
                        .value_parser(values::replacement),
                )
                .arg(several("add-root", "KEY", "A new root key"))
                .arg(several("remove-root", "KEY", "A root key that leaves"))
                .arg(threshold("root-threshold", "How many root keys must sign [default: as before]"))
                .arg(several("add-release", "KEY", "A new release key"))
                .arg(several("remove-release", "KEY", "A release key that leaves"))
                .arg(threshold("release-threshold", "How many release keys must sign [default: as before]"))
                .arg(expires("When the key set expires: `2027-12-31`, `365d` or `never` [default: as before]"))
                .arg(switch("bump-epoch", "Begin a new epoch: hosts forget the numbers of all manifests before it"))
                .arg(files("file", "FILE", "The key set before").required(true).num_args(1)),
        ),
        "keys sign" => command
            .arg(secret_keys().required_unless_present("signature"))
            .arg(
                several("signature", "FILE", "A signature that minisign made, or a copy of the draft that was signed")
                    .value_parser(value_parser!(std::path::PathBuf))
                    .value_hint(ValueHint::FilePath),
            )
            .arg(previous())
            .arg(output("Where it goes [default: in the place of the draft]"))
            .arg(switch("force", "Replace a file that exists"))
            .arg(files("file", "DRAFT", "The draft").required(true).num_args(1)),
        "keys show" => command
            .arg(previous())
            .arg(
                switch("payload", "Print the bytes to sign, for `minisign -Sm`, and nothing else")
                    .conflicts_with("json"),
            )
            .arg(files("file", "FILE", "The key set, or a draft of it").required(true).num_args(1)),
        "keys publish" => command
            .arg(
                text("to", "PLACE", "The directory or s3://BUCKET/PREFIX where the channels are")
                    .required(true)
                    .value_hint(ValueHint::DirPath),
            )
            .arg(previous())
            .arg(files("file", "FILE", "The key set").required(true).num_args(1)),
        _ => command,
    }
}

/// What makes a key set, and may sign it at once.
fn signed(command: Command) -> Command {
    command
        .arg(output("Where the key set goes").required(true))
        .arg(secret_keys())
        .arg(switch("force", "Replace a file that exists"))
}

fn edited(command: Command, keys: &'static str) -> Command {
    command
        .arg(
            text("role", "ROLE", "Of which role: `root` signs key sets, `release` signs releases")
                .value_parser(["root", "release"])
                .hide_possible_values(true)
                .required(true),
        )
        .arg(threshold("threshold", "How many keys of the role must sign [default: as before]"))
        .arg(expires("When the key set expires: `2027-12-31`, `365d` or `never` [default: as before]"))
        // One list: options may stand anywhere in it.
        .arg(Arg::new("words").value_name("KEY... FILE").help(keys).num_args(1..).required(true))
}

fn several(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    text(id, value, help).action(ArgAction::Append)
}

fn threshold(id: &'static str, help: &'static str) -> Arg {
    text(id, "N", help).value_parser(value_parser!(u64).range(1..=64))
}

fn expires(help: &'static str) -> Arg {
    text("expires", "DATE", help).value_parser(values::day)
}

fn secret_keys() -> Arg {
    file("secret-key", "FILE", "A secret root key to sign with").action(ArgAction::Append)
}

fn previous() -> Arg {
    file("previous", "FILE", "The key set before")
}

fn output(help: &'static str) -> Arg {
    file("output", "FILE", help).short('o')
}
