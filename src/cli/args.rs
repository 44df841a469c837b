//! The command line: every command, what it takes, one example each.

mod delta;
#[cfg(feature = "fleet")]
mod fleet;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use super::{own, settings};
use crate::config::setting::Setting;
use crate::failure::Exit;

/// One command.
#[derive(Debug)]
pub(super) struct Verb {
    /// As it is typed: `config show`.
    pub(super) name: &'static str,
    /// One line.
    about: &'static str,
    /// More, for `--help`.
    long: &'static str,
    /// One line that works.
    example: &'static str,
    /// The heading it stands under; `None`: not shown.
    group: Option<&'static str>,
    /// Whether it prints, and so takes `--json`.
    json: bool,
    /// Settings it takes beside those whose scope names it.
    also: &'static [&'static str],
}

/// The headings of `fetchd --help`.
const GROUPS: [&str; 4] = ["Run", "Look", "Release", "Tools"];

const VERBS: &[Verb] = &[
    Verb {
        name: "run",
        about: "Supervise a program and keep it on its newest verified release",
        long: "Holds the sockets, starts the program, asks the source, verifies and installs what is new, and hands \
               off without dropping a request. Ends when it is told to: SIGTERM drains and exits with the program's \
               code, SIGUSR2 restarts the program gracefully.",
        example: "fetchd run --listen :8080 --source https://dl.example.com/web/stable.fetchd --key release.pub -- ./server",
        group: Some("Run"),
        json: false,
        also: &[],
    },
    Verb {
        name: "check",
        about: "Say whether there is something newer, and change nothing",
        long: "Exits with 10 if an update is available, with 0 if not.",
        example: "fetchd check --config web.toml",
        group: Some("Run"),
        json: true,
        also: &[],
    },
    Verb {
        name: "apply",
        about: "Make one pass now: fetch, verify, install, hand off",
        long: "Through the running supervisor if there is one, else in this process. `check` is its dry form.",
        example: "fetchd apply --config web.toml",
        group: Some("Run"),
        json: true,
        also: &[],
    },
    Verb {
        name: "rollback",
        about: "Go back to the release before this one",
        long: "The release that is left is quarantined: it is not taken again.",
        example: "fetchd rollback --product web",
        group: Some("Run"),
        json: true,
        also: &[],
    },
    Verb {
        name: "restart",
        about: "Restart the program gracefully, on the release it has",
        long: "",
        example: "fetchd restart --product web",
        group: Some("Run"),
        json: true,
        also: &[],
    },
    Verb {
        name: "hold",
        about: "Install nothing until `unhold`",
        long: "The program runs on; polls go on too, so that `status` shows what waits.",
        example: "fetchd hold --product web --reason 'sale until Monday'",
        group: Some("Run"),
        json: true,
        also: &[],
    },
    Verb {
        name: "unhold",
        about: "End a hold",
        long: "",
        example: "fetchd unhold --product web",
        group: Some("Run"),
        json: true,
        also: &[],
    },
    Verb {
        name: "status",
        about: "Show what runs, what waits and what failed",
        long: "",
        example: "fetchd status --product web --watch",
        group: Some("Look"),
        json: true,
        also: &[],
    },
    Verb {
        name: "history",
        about: "Show what happened, newest last",
        long: "",
        example: "fetchd history --product web --limit 20",
        group: Some("Look"),
        json: true,
        also: &[],
    },
    Verb {
        name: "state",
        about: "Look at what is remembered of a service, or put it right",
        long: "",
        example: "fetchd state show --product web",
        group: Some("Look"),
        json: false,
        also: &[],
    },
    Verb {
        name: "state show",
        about: "Print what is remembered: floor, confirmed release, quarantine, and what is damaged",
        long: "Works beside a running supervisor and changes nothing. Exits with 50 if something is damaged.",
        example: "fetchd state show --product web",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "state repair",
        about: "Set aside what is damaged and keep what can be proved",
        long: "Damaged files get another name and are never removed. The new record's floor is what the signature of \
               `last.bundle` proves, or the setting `floor`, whichever is higher; of the damaged record only a hold and \
               the quarantine are taken over, which can only keep something out. Call it with the configuration that \
               `run` has. A running supervisor goes on by itself afterwards. Exits with 75 if another process works on \
               the state.",
        example: "fetchd state repair --config web.toml --dry-run",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "keygen",
        about: "Make a key pair to sign releases with",
        long: "Files as the minisign program makes and reads them. The password is asked for, or read from \
               FETCHD_KEY_PASSWORD.",
        example: "fetchd keygen --secret-key release.key --public-key release.pub",
        group: Some("Release"),
        json: true,
        also: &[],
    },
    Verb {
        name: "sign",
        about: "Sign an artifact, bound to product, version and target",
        long: "Writes FILE.minisig beside each file. minisign can verify it.",
        example: "fetchd sign --secret-key release.key --product web --release 1.4.2 web-x86_64-unknown-linux-gnu",
        group: Some("Release"),
        json: true,
        also: &["product", "channel", "target", "target_check"],
    },
    Verb {
        name: "verify",
        about: "Check a bundle or an artifact as fetchd would",
        long: "Says what was checked and what was found. Nothing is executed.",
        example: "fetchd verify --key release.pub --product web stable.fetchd",
        group: Some("Release"),
        json: true,
        also: &["product"],
    },
    Verb {
        name: "publish",
        about: "Publish artifacts as a signed release",
        long: "Puts the artifacts into the directory or the bucket, adds the release to the channel's manifest, signs it \
               and replaces the bundle last, so that no reader sees half a release. In a repository on GitHub it makes a \
               release instead, which becomes public last.",
        example: "fetchd publish --to /srv/dl/web --secret-key release.key --product web --release 1.4.2 \
                  x86_64-unknown-linux-gnu=target/release/web",
        group: Some("Release"),
        json: true,
        also: &["product", "channel", "key", "target_check"],
    },
    Verb {
        name: "keys",
        about: "Make, sign and publish the key sets that say who may sign releases",
        long: "A key set is one file: the document, and the signatures it has so far. With too few of them it is a draft, \
               which can be taken to other machines and signed there. No step but `publish` needs a network.",
        example: "fetchd keys show keys.json",
        group: Some("Release"),
        json: false,
        also: &[],
    },
    Verb {
        name: "keys init",
        about: "Make the first key set of a product",
        long: "The root keys sign the key sets, the release keys sign releases. A KEY is a public key or its file.",
        example: "fetchd keys init --product web --root a.pub --root b.pub --root c.pub --root-threshold 2 --release release.pub \
                  -o keys.json",
        group: None,
        json: true,
        also: &["product"],
    },
    Verb {
        name: "keys add",
        about: "Make the next key set, with more keys in a role",
        long: "",
        example: "fetchd keys add --role release new.pub keys.json -o keys-2.json --secret-key root.key",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "keys remove",
        about: "Make the next key set, with fewer keys in a role",
        long: "",
        example: "fetchd keys remove --role release 21E2732F235D08AA keys.json -o keys-2.json --secret-key root.key",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "keys rotate",
        about: "Make the next key set: new keys for old ones, a new expiry, a new epoch",
        long: "A replaced key leaves every role that it has, and the new one takes its place.",
        example: "fetchd keys rotate keys.json --replace old.pub=new.pub -o keys-2.json --secret-key root.key",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "keys sign",
        about: "Add signatures of root keys to a draft",
        long: "With secret keys that are here, or with signatures that were made elsewhere. Shows what is signed. Replaces \
               the draft unless `--output` names another file.",
        example: "fetchd keys sign keys-2.json --previous keys.json --secret-key root.key",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "keys show",
        about: "Show a key set: who is in it, who has signed it, whether hosts would accept it",
        long: "",
        example: "fetchd keys show keys-2.json --previous keys.json",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "keys publish",
        about: "Put a key set where hosts look for it, once",
        long: "It becomes `keys/VERSION` beside the channels, after a check that hosts accept it after the one before.",
        example: "fetchd keys publish keys-2.json --to /srv/dl/web",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "inspect",
        about: "Print what a bundle, a manifest, a signature or a key says, believing none of it",
        long: "",
        example: "fetchd inspect stable.fetchd",
        group: Some("Release"),
        json: true,
        also: &[],
    },
    Verb {
        name: "config",
        about: "Write, check or explain the configuration",
        long: "",
        example: "fetchd config show --config web.toml",
        group: Some("Tools"),
        json: false,
        also: &[],
    },
    Verb {
        name: "config init",
        about: "Print a configuration file in which every setting is explained",
        long: "",
        example: "fetchd config init web.toml",
        group: None,
        json: false,
        also: &[],
    },
    Verb {
        name: "config check",
        about: "Say whether the configuration is valid",
        long: "Reads the file, the environment, the flags and the keys as `run` would, and says what would run. Asks \
               no source and touches no state.",
        example: "fetchd config check --config web.toml",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "config show",
        about: "Print every setting with its value and where it came from",
        long: "Passwords in URLs and options of fetchers are not printed.",
        example: "fetchd config show --config web.toml",
        group: None,
        json: true,
        also: &[],
    },
    Verb {
        name: "demo",
        about: "Watch good and bad releases arrive under load, in a temporary directory",
        long: "Needs no network, no key and no service, and leaves nothing behind. Exits with 0 only if no request \
               failed.",
        example: "fetchd demo",
        group: Some("Tools"),
        json: true,
        also: &[],
    },
    Verb {
        name: "self-update",
        about: "Replace fetchd itself by its newest release",
        long: "Checks and installs as for a service, and looks at the installed file once more. No source and no key are \
               built in. A supervisor that runs goes on with the file that it was started from. Exits with 10 after \
               `--check` if there is something newer.",
        example: "fetchd self-update --source https://dl.example.com/fetchd/stable.fetchd --key fetchd.pub",
        group: Some("Tools"),
        json: true,
        also: &["source", "source.options", "asset", "key", "keys", "threshold", "signature", "channel", "state_dir"],
    },
    Verb {
        name: "completions",
        about: "Print the completions of a shell",
        long: "",
        example: "fetchd completions bash > /etc/bash_completion.d/fetchd",
        group: Some("Tools"),
        json: false,
        also: &[],
    },
    Verb {
        name: "man",
        about: "Print a manual page, or write all of them to a directory",
        long: "",
        example: "fetchd man --dir /usr/local/share/man/man1",
        group: Some("Tools"),
        json: false,
        also: &[],
    },
    Verb {
        name: "demo-service",
        about: "The small HTTP server that the demo updates",
        long: "",
        example: "fetchd demo-service",
        group: None,
        json: false,
        also: &[],
    },
];

/// Every command.
pub(super) fn verbs() -> impl Iterator<Item = &'static Verb> {
    #[cfg(feature = "fleet")]
    let more = fleet::VERBS;
    #[cfg(not(feature = "fleet"))]
    let more: &[Verb] = &[];
    VERBS.iter().chain(delta::VERBS).chain(more)
}

/// The whole command line.
pub(super) fn command() -> Command {
    let mut root = Command::new("fetchd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Keeps a running server on its newest verified release and never drops a request doing it")
        .help_template(format!(
            "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{}Options:\n{{options}}{{after-help}}",
            overview()
        ))
        .after_help("`fetchd COMMAND --help` says more. Settings: `fetchd config init`.")
        .after_long_help(exit_codes())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .max_term_width(100)
        .arg(
            Arg::new(settings::FILE)
                .long("config")
                .value_name("FILE")
                .global(true)
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("The configuration file [default: none] [env: FETCHD_CONFIG]")
                .long_help(
                    "The configuration file. None is looked for: without this flag and without FETCHD_CONFIG there \
                     is none.",
                ),
        );
    for verb in verbs().filter(|verb| !verb.name.contains(' ')) {
        // Filled in only when it is called or explained: `run` stays in memory for ever, and need not
        // hold what the other commands take.
        root = root.subcommand(described(verb, verb.name).defer(|command| match find(command.get_name()) {
            Some(verb) => filled(command, verb),
            None => command,
        }));
    }
    root
}

fn find(name: &str) -> Option<&'static Verb> {
    verbs().find(|verb| verb.name == name)
}

fn described(verb: &Verb, name: &'static str) -> Command {
    Command::new(name).about(verb.about).hide(verb.group.is_none() && !verb.name.contains(' '))
}

fn filled(command: Command, verb: &Verb) -> Command {
    let mut command = command.after_help(format!("Example:\n  {}", verb.example));
    if !verb.long.is_empty() {
        command = command.long_about(format!("{}.\n\n{}", verb.about, verb.long));
    }
    let prefix = format!("{} ", verb.name);
    for nested in verbs() {
        if let Some(name) = nested.name.strip_prefix(&prefix) {
            command = command
                .subcommand(filled(described(nested, name), nested))
                .subcommand_required(true)
                .arg_required_else_help(true)
                .disable_help_subcommand(true);
        }
    }
    command = own::add(command, verb.name);
    if verb.json {
        let json = Arg::new("json").long("json").action(ArgAction::SetTrue);
        command = command.arg(json.help("Print JSON objects instead of text"));
    }
    if matches!(verb.name, "run" | "check" | "apply" | "state repair" | "config check" | "config show") {
        command = command.override_usage(format!("fetchd {} [OPTIONS] [--] [PROGRAM [ARGS]...]", verb.name));
    }
    // Commands that only print text about fetchd itself have nothing to configure.
    if matches!(
        verb.name,
        "config"
            | "state"
            | "delta"
            | "delta create"
            | "delta inspect"
            | "config init"
            | "keys"
            | "fleet"
            | "completions"
            | "man"
            | "demo-service"
    ) {
        return command;
    }
    settings::add(command, |setting: &Setting| setting.scope.holds(verb.name) || verb.also.contains(&setting.key))
}

fn overview() -> String {
    let mut text = String::new();
    for group in GROUPS {
        let _ = writeln!(text, "{group}:");
        for verb in verbs().filter(|verb| verb.group == Some(group)) {
            let _ = writeln!(text, "  {:<12} {}", verb.name, verb.about);
        }
        text.push('\n');
    }
    text
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        let _ = writeln!(text, "  {:>2}  {}", exit.number(), exit.meaning());
    }
    text.push_str("\n`fetchd COMMAND --help` says more. Settings: `fetchd config init`.");
    text
}
