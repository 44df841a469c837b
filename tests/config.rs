//! The configuration and the command line around it, as an operator meets them: the real program,
//! real files, a real environment.

#![allow(clippy::unwrap_used)] // in the helpers; clippy.toml allows it only in test functions

#[path = "support/source.rs"]
#[allow(dead_code, reason = "the tests of the sources need more of it")]
mod source;
#[path = "support/typed.rs"]
mod typed;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fetchd::config::{self, reference};
use typed::{commands_in, flags_in, understood};

/// A directory with a configuration file, and the program called in it with an environment of its own.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { dir: tempfile::tempdir().unwrap() }
    }

    fn with(text: &str) -> Desk {
        let desk = Desk::new();
        fs::write(desk.path("web.toml"), text).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn call(&self, environment: &[(&str, &str)], args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fetchd"));
        command.current_dir(self.dir.path()).env_clear().env("HOME", "/home/somebody").args(args);
        command.envs(environment.iter().copied()).output().unwrap()
    }

    /// The value and the origin of `key` in `config show`.
    fn shown(&self, environment: &[(&str, &str)], args: &[&str], key: &str) -> (String, String) {
        let args = [&["config", "show", "--json"], args].concat();
        let output = self.call(environment, &args);
        let object: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        assert_eq!(object["schema"], 1);
        let row = object["settings"].as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
        let text = |field: &serde_json::Value| field.as_str().unwrap_or_default().to_owned();
        (text(&row["value"]), text(&row["origin"]))
    }

    /// `config check` must fail with exit 64, this code, and each of these words on stderr.
    fn refused(&self, environment: &[(&str, &str)], args: &[&str], code: &str, words: &[&str]) {
        let args = [&["config", "check"], args].concat();
        let output = self.call(environment, &args);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains(&format!("[{code}]")), "{code}: {text}");
        for word in words {
            assert!(text.contains(word), "`{word}` is not in: {text}");
        }
        assert!(output.stdout.is_empty());
    }

    /// `config check` must succeed.
    fn accepted(&self, environment: &[(&str, &str)], args: &[&str]) {
        let output = self.call(environment, &[&["config", "check"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

#[test]
fn flag_wins_over_environment_over_file_over_default() {
    let desk = Desk::with("program = [\"./server\"]\nwatch = \"3s\"\n");
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    let set = [("FETCHD_WATCH", "2s")];
    assert_eq!(desk.shown(&[], &[], "watch"), pair("\"10s\"", "default"));
    assert_eq!(desk.shown(&[], &["--config", "web.toml"], "watch"), pair("\"3s\"", "file"));
    assert_eq!(desk.shown(&[("FETCHD_CONFIG", "web.toml")], &[], "watch"), pair("\"3s\"", "file"));
    assert_eq!(desk.shown(&set, &["--config", "web.toml"], "watch"), pair("\"2s\"", "environment"));
    assert_eq!(desk.shown(&set, &["--config", "web.toml", "--watch", "1s"], "watch"), pair("\"1s\"", "flag"));
    // Empty counts as not set.
    assert_eq!(desk.shown(&[("FETCHD_WATCH", "")], &[], "watch"), pair("\"10s\"", "default"));
    // A list is replaced, not added to.
    let keys = ["--key", "a.pub", "--key", "b.pub"];
    assert_eq!(desk.shown(&[("FETCHD_KEY", "c.pub,d.pub")], &[], "key"), pair(r#"["c.pub", "d.pub"]"#, "environment"));
    assert_eq!(desk.shown(&[("FETCHD_KEY", "c.pub")], &keys, "key"), pair(r#"["a.pub", "b.pub"]"#, "flag"));
}

#[test]
fn no_file_is_looked_for() {
    let desk = Desk::new();
    fs::write(desk.path("fetchd.toml"), "watch = \"3s\"").unwrap();
    assert_eq!(desk.shown(&[], &[], "watch").1, "default");
}

#[test]
fn show_says_the_line_and_hides_what_may_be_secret() {
    let desk = Desk::with(
        "program = [\"./server\"]\n\n[source]\nurl = \"https://me:hunter2@dl.example.com/web.fetchd?token=hunter2\"\n\
         [source.options]\nheader = [\"X-Token: hunter2\"]\n",
    );
    let output = desk.call(&[], &["config", "show", "--config", "web.toml"]);
    let text = stdout(&output);
    assert!(text.lines().any(|line| line.starts_with("source = ") && line.ends_with("# web.toml:4")), "{text}");
    assert!(text.contains("https://dl.example.com/web.fetchd?token=***"), "{text}");
    assert!(text.contains("watch = \"10s\"") && text.contains("# default"));
    assert!(!text.contains("hunter2"), "{text}");
    for args in [["--source", "hunter2://["], ["--source-options", "hunter2"]] {
        let output = desk.call(&[], &[&["config", "check", "--key", KEY], &args[..], &["--", "./x"]].concat());
        assert_eq!(output.status.code(), Some(64));
        assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
    }
}

#[test]
fn a_typing_error_is_refused_with_a_suggestion() {
    let desk = Desk::with("program = [\"./server\"]\n\n  redy_deadline = \"5s\"\n");
    let file = &["--config", "web.toml"];
    desk.refused(&[], file, "config.unknown_key", &["line 3, column 3", "did you mean `ready_deadline`"]);
    let desk = Desk::with("program = [\"./server\"]\n[worker]\nmemroy = 0\n");
    desk.refused(&[], file, "config.unknown_key", &["`worker.memroy`", "line 3", "did you mean `worker.memory`"]);
    let desk = Desk::with("[wroker]\nmemory = 0\n");
    desk.refused(&[], file, "config.unknown_key", &["`wroker`", "line 1", "did you mean `worker`"]);
    let desk = Desk::with("[source]\nurll = \"https://a/b\"\n");
    desk.refused(&[], file, "config.unknown_key", &["did you mean `source.url`"]);
    let desk = Desk::with("memory = 0\n");
    desk.refused(&[], file, "config.unknown_key", &["did you mean `worker.memory`"]);
    let desk = Desk::with("completely_different = 0\n");
    desk.refused(&[], file, "config.unknown_key", &["config init"]);
    desk.refused(&[("FETCHD_REDY", "alive:1s")], &[], "config.unknown_variable", &["`FETCHD_REDY`", "`FETCHD_READY`"]);
    desk.refused(&[], &["--redy-deadline", "5s", "--", "./x"], "usage.arguments", &["`--ready-deadline`"]);
    // Before the program, that is: what comes after belongs to it.
    desk.accepted(&[], &["./x", "--redy-deadline", "5s"]);
}

#[test]
fn variables_of_the_protocol_are_no_settings() {
    let desk = Desk::new();
    let variables: Vec<(&str, &str)> = config::PROTOCOL_VARIABLES.iter().map(|&name| (name, "1")).collect();
    desk.accepted(&[&variables[..], &[("FETCHD_TEST_ANYTHING", "1")]].concat(), &["--", "./x"]);
}

#[test]
fn a_value_of_the_wrong_form_is_refused_where_it_stands() {
    let file = &["--config", "web.toml", "--", "./x"];
    for (text, words) in [
        ("interval = 5", &["line 1, column 12", "wants a duration", "`\"5m\"`", "found integer"][..]),
        ("interval = \"5\"", &["`5` is not a duration", "`1h 30m`"]),
        ("interval = \"1ms\"", &["out of range", "10ms to 30d"]),
        ("max_size = \"5 elephants\"", &["not a size", "`200MiB`"]),
        ("keep = \"3\"", &["without quotes", "found string"]),
        ("keep = 1", &["2 to 100"]),
        ("capture_stderr = \"true\"", &["wants `true` or `false`", "without quotes"]),
        ("smoke = false", &["`on` or `off`", "found boolean"]),
        ("layout = \"relases\"", &["`replace`, `releases`, `external`"]),
        ("listen = [8080]", &["wants a list"]),
        ("product = [\"a\"]", &["wants a text", "found array"]),
        ("worker = 5", &["this is a table", "`[worker]`"]),
        ("product = \"../x\"", &["cannot be a product's name"]),
        ("channel = \"a b\"", &["cannot be a channel's name"]),
        ("pin = \"latest\"", &["not a version"]),
        ("ready = \"alive:31s\"", &["never be reached", "30s"]),
        ("ready = \"exec:\"", &["command after `exec:` is missing"]),
        ("ready = \"yes\"", &["`notify`, `alive:DURATION`, `exec:COMMAND`"]),
        ("ready = \"tcp:8080\"", &["share the listening socket", "READY=1"]),
        ("health = \"https://example.com/\"", &["plain `http:` on this machine"]),
        ("[crash]\nbackoff_max = \"1ms\"", &["`crash.backoff`, 100ms"]),
    ] {
        Desk::with(text).refused(&[], file, "config.value", words);
    }
    let desk = Desk::new();
    desk.refused(&[("FETCHD_KEEP", "many")], &["--", "./x"], "config.value", &["`FETCHD_KEEP`: `many`"]);
    desk.refused(&[], &["--keep", "many", "--", "./x"], "config.value", &["`--keep`: `many`"]);
    desk.refused(&[], &["--layout", "relases", "--", "./x"], "usage.arguments", &["`releases`"]);
}

#[test]
fn a_file_that_is_missing_or_broken() {
    let desk = Desk::with("program = \n");
    desk.refused(&[], &["--config", "nowhere.toml"], "config.file", &["nowhere.toml", "No such file"]);
    desk.refused(&[], &["--config", "."], "config.file", &["cannot be read"]);
    desk.refused(&[], &["--config", "web.toml"], "config.syntax", &["`web.toml`, line 1"]);
    let desk = Desk::with("source = \"https://a/b\"\n[source.options]\nmethod = \"get\"\n");
    desk.refused(&[], &["--config", "web.toml"], "config.syntax", &["write the source as a table"]);
}

#[test]
fn what_is_believed_must_be_said_and_must_not_contradict_itself() {
    let desk = Desk::new();
    let web = ["--source", "https://dl.example.com/web.fetchd"];
    let file = ["--source", "file:/srv/web"];
    fn check<'a>(args: &[&[&'a str]]) -> Vec<&'a str> {
        [&args.concat()[..], &["--", "./x"]].concat()
    }
    let refused = |args: &[&[&str]], code: &str, words: &[&str]| desk.refused(&[], &check(args), code, words);
    refused(&[&web], "config.missing", &["no key", "`--key FILE`", "`--insecure-unsigned`"]);
    let unsigned = ["--insecure-unsigned"];
    refused(&[&web, &unsigned, &["--key", KEY]], "config.conflict", &["although a key is configured"]);
    let owner = ["--trust", "owner"];
    refused(&[&web, &owner, &["--layout", "external"]], "config.conflict", &["`file:` source"]);
    refused(&[&file, &owner], "config.conflict", &["layout = \"external\""]);
    refused(&[&file, &owner, &unsigned], "config.conflict", &["exclude each other"]);
    refused(&[&file, &owner, &["--layout", "external", "--key", KEY]], "config.conflict", &["drop the key"]);
    refused(&[&web, &["--key", KEY, "--threshold", "2"]], "config.value", &["only 1"]);
    refused(&[&web, &["--key", KEY, "--key", KEY]], "config.value", &["given twice"]);
    let plain = ["--key", KEY, "--key", "b.pub", "--threshold", "2", "--signature", "plain"];
    refused(&[&web, &plain], "config.conflict", &["one signature"]);
    refused(&[&["--source", "./web"]], "config.value", &["write `file:` before its path"]);
    refused(&[&["--source-options", "a=b"]], "config.value", &["no source"]);
    desk.accepted(&[], &check(&[&web, &["--key", KEY]]));
    desk.accepted(&[], &check(&[&web, &unsigned]));
    desk.accepted(&[], &check(&[&file, &owner, &["--layout", "external"]]));
    desk.accepted(&[], &check(&[]));
}

#[test]
fn unsigned_is_a_flag_and_nothing_else() {
    let desk = Desk::with("insecure_unsigned = true\n");
    let words = &["can only be set by the flag `--insecure-unsigned`"];
    desk.refused(&[], &["--config", "web.toml"], "config.flag_only", words);
    desk.refused(&[("FETCHD_INSECURE_UNSIGNED", "true")], &[], "config.flag_only", words);
}

#[test]
fn sockets_are_unique_in_name_and_address() {
    let desk = Desk::new();
    let with = |sockets: &[&'static str]| {
        let flags = sockets.iter().flat_map(|socket| ["--listen", socket]);
        flags.chain(["--", "./x"]).collect::<Vec<_>>()
    };
    desk.accepted(&[], &with(&["web=:8080", "127.0.0.1:8080", "unix:/run/web.sock", ":0", ":0"]));
    desk.accepted(&[("FETCHD_LISTEN", "web=:8080,admin=[::1]:81")], &["--", "./x"]);
    desk.refused(&[], &with(&[":80", ":80"]), "config.value", &["`--listen`: `:80` is given twice"]);
    desk.refused(&[], &with(&["a=:80", "a=:81"]), "config.value", &["two sockets are named `a`"]);
    desk.refused(&[], &with(&["localhost:80"]), "config.value", &["host names are not looked up"]);
}

#[test]
fn a_program_is_required_and_names_the_product() {
    let desk = Desk::new();
    desk.refused(&[], &[], "config.missing", &["no program", "program = [\"./server\"]"]);
    assert_eq!(desk.shown(&[], &["--", "./bin/web", "--flag"], "product").0, "\"web\"");
    assert_eq!(desk.shown(&[], &["--", "./bin/web", "--flag"], "program").0, r#"["./bin/web", "--flag"]"#);
    let state = |environment: &[(&str, &str)]| desk.shown(environment, &["--product", "web"], "state_dir").0;
    if rustix::process::geteuid().is_root() {
        assert_eq!(state(&[]), "\"/var/lib/fetchd/web\"");
    } else {
        assert_eq!(state(&[]), "\"/home/somebody/.local/state/fetchd/web\"");
        assert_eq!(state(&[("XDG_STATE_HOME", "/state")]), "\"/state/fetchd/web\"");
    }
}

#[test]
fn the_printed_file_is_valid_and_holds_the_defaults() {
    let desk = Desk::new();
    let output = desk.call(&[], &["config", "init", "web.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(desk.path("web.toml")).unwrap(), reference::template());
    assert_eq!(stdout(&desk.call(&[], &["config", "init"])), reference::template());
    assert_eq!(desk.call(&[], &["config", "init", "web.toml"]).status.code(), Some(64));
    assert_eq!(desk.call(&[], &["config", "init", "--force", "web.toml"]).status.code(), Some(0));
    assert_eq!(desk.call(&[], &["config", "init", "no/such/dir"]).status.code(), Some(40));
    desk.accepted(&[], &["--config", "web.toml", "--", "./x"]);

    let defaults = stdout(&desk.call(&[], &["config", "show", "--", "./x"]));
    // Uncommented, each setting that has a default keeps its value and changes its origin.
    let section = |line: &str| line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(str::to_owned);
    let mut table = String::new();
    let mut uncommented = 0;
    let text: String = reference::template()
        .lines()
        .map(|line| {
            table = section(line).unwrap_or(std::mem::take(&mut table));
            let key = line.strip_prefix('#').and_then(|line| line.split_once(" = ")).map(|(key, _)| match &*table {
                "" => key.to_owned(),
                table => format!("{table}.{key}"),
            });
            match key.and_then(|key| config::find(&key)) {
                Some(setting) if !matches!(setting.default, config::setting::Preset::Derived(_)) => {
                    uncommented += 1;
                    format!("{}\n", &line[1..])
                }
                _ => format!("{line}\n"),
            }
        })
        .collect();
    assert!(uncommented > 30, "{uncommented}");
    fs::write(desk.path("all.toml"), text).unwrap();
    let shown = stdout(&desk.call(&[], &["config", "show", "--config", "all.toml", "--", "./x"]));
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once(" # ").unwrap().0.trim_end().to_owned()).collect()
    };
    assert_eq!(values(&shown), values(&defaults));
    assert_eq!(shown.matches("# all.toml:").count(), uncommented);
}

#[test]
fn json_errors_stand_on_stdout_too() {
    let desk = Desk::new();
    let outputs = [
        desk.call(&[], &["config", "check", "--json", "--keep", "0"]),
        desk.call(&[], &["config", "check", "--json", "--kep", "0"]),
    ];
    for (output, code) in outputs.iter().zip(["config.value", "usage.arguments"]) {
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(object["schema"], 1);
        assert_eq!(object["error"]["code"], code);
        assert_eq!(object["error"]["exit"], 64);
        assert_eq!(output.status.code(), Some(64));
        assert!(stderr(output).starts_with("error: "));
    }
    let output = desk.call(&[], &["config", "check", "--json", "--", "./web"]);
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["program"], desk.path("web").to_str().unwrap());
}

#[test]
fn a_reader_that_goes_away_ends_the_output_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_fetchd"));
    let output = command.args(["config", "init"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once("rewrites it -->\n").unwrap();
    let (_, tail) = rest.split_once("<!-- end of the generated part").unwrap();
    let reference = reference::markdown();
    let wanted = format!("{head}rewrites it -->\n\n{reference}<!-- end of the generated part{tail}");
    snapshot(&path, &wanted);
}

#[test]
fn help_says_what_it_said() {
    let desk = Desk::new();
    let name = |command: &[&str]| match command.join("-") {
        name if name.is_empty() => "fetchd".to_owned(),
        name => name,
    };
    let mut commands: Vec<Vec<&str>> = COMMANDS.iter().map(|&command| vec![command]).collect();
    commands.extend([vec![], vec!["config", "init"], vec!["config", "check"], vec!["config", "show"]]);
    commands.extend([vec!["state", "show"], vec!["state", "repair"]]);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cli");
    for command in &commands {
        let output = desk.call(&[], &[&command[..], &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert_eq!(stderr(&output), "");
        assert!(command.is_empty() || stdout(&output).contains("Example:\n  fetchd "), "{command:?}");
        snapshot(&directory.join(format!("{}.txt", name(command))), &stdout(&output));
    }
    let short = desk.call(&[], &["run", "-h"]);
    snapshot(&directory.join("run-short.txt"), &stdout(&short));
}

#[test]
fn version_and_usage_exit_codes() {
    let desk = Desk::new();
    let version = format!("fetchd {}\n", env!("CARGO_PKG_VERSION"));
    for args in [&["--version"][..], &["-V"], &["--config", "x", "--version"]] {
        let output = desk.call(&[], args);
        assert_eq!((output.status.code(), stdout(&output)), (Some(0), version.clone()));
    }
    for args in [&[][..], &["config"], &["nonsense"], &["--nonsense"], &["completions", "tcsh"], &["man", "nonsense"]] {
        let output = desk.call(&[], args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(stderr(&output).contains("\nhint: "), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = stdout(&desk.call(&[], &["completions", shell]));
        for word in COMMANDS.iter().chain(&["ready-deadline", "best-effort"]) {
            assert!(text.contains(word), "{shell} lacks {word}");
        }
    }
    assert_eq!(desk.call(&[], &["man", "--dir", "pages"]).status.code(), Some(0));
    let root = fs::read_to_string(desk.path("pages/fetchd.1")).unwrap();
    for command in COMMANDS {
        assert!(root.contains(&command.replace('-', "\\-")), "{command}");
        let page = fs::read_to_string(desk.path(&format!("pages/fetchd-{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{command}");
    }
    let page = stdout(&desk.call(&[], &["man", "config", "show"]));
    assert_eq!(page, fs::read_to_string(desk.path("pages/fetchd-config-show.1")).unwrap());
}

/// Every command that the guides tell a reader to type is there, with its flags.
#[test]
fn what_pages_tell_to_type_is_understood() {
    let desk = Desk::new();
    assert_eq!(desk.call(&[], &["man", "--dir", "pages"]).status.code(), Some(0));
    let known: BTreeMap<String, BTreeSet<String>> = fs::read_dir(desk.path("pages"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, flags_in(&fs::read_to_string(&path).unwrap()))
        })
        .collect();
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("CONTRIBUTING.md")];
    // What was decided once may name what was not built.
    pages.extend(source::files("docs", "md").into_iter().filter(|page| !page.starts_with("docs/design")));
    let (mut wrong, mut read) = (Vec::new(), 0);
    for page in pages {
        for command in commands_in(&source::text(&page)) {
            read += 1;
            if let Err(why) = understood(&command, &known) {
                wrong.push(format!("{}: `fetchd {}`: {why}", page.display(), command.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} commands are not understood:\n  {}\n", wrong.len(), wrong.join("\n  "));
    assert!(read > 200, "only {read} commands were found");
    let said = |command: &str| understood(&commands_in(&format!("`fetchd {command}`"))[0], &known);
    assert_eq!(said("nonsense --json"), Err("there is no `fetchd-nonsense`".to_owned()));
    assert_eq!(said("config nonsense"), Err("there is no `fetchd-config-nonsense`".to_owned()));
    assert_eq!(said("config show --nonsense"), Err("`fetchd-config-show` knows no `--nonsense`".to_owned()));
    assert_eq!(said("run --listen=:80 -- ./web --nonsense"), Ok(()));
}

/// Compares, or rewrites the file if `UPDATE_SNAPSHOTS` is set.
fn snapshot(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        return;
    }
    let stored = fs::read_to_string(path).unwrap_or_default();
    assert!(stored == text, "{} is not current; UPDATE_SNAPSHOTS=1 rewrites it\n{text}", path.display());
}

const COMMANDS: [&str; 19] = [
    "run",
    "check",
    "apply",
    "rollback",
    "restart",
    "hold",
    "unhold",
    "status",
    "history",
    "state",
    "keygen",
    "sign",
    "verify",
    "publish",
    "inspect",
    "config",
    "demo",
    "completions",
    "man",
];
