//! Where the fuzzer begins: one file of each shape that a reader knows, and the usual ways to be wrong.

mod archive;
mod messages;
mod trust;

use fetchd::config::reference;

pub(crate) use crate::corpus::{Seed, bad, good};

/// The seeds of a target.
pub(crate) fn of(target: &str) -> Vec<Seed> {
    match target {
        "archive" => archive::seeds(),
        "bundle" => trust::bundle(),
        "config" => config(),
        "control" => messages::control(),
        "drain" => messages::drain(),
        "http" => messages::http(),
        "keys" => trust::keys(),
        "manifest" => trust::manifest(),
        "minisign" => trust::minisign(),
        "notify" => messages::notify(),
        "worker" => messages::worker(),
        other => panic!("`{other}` has no seeds"),
    }
}

fn config() -> Vec<Seed> {
    // The template has every setting as a comment; with the comments taken off it is a file.
    let all: String = reference::template()
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
        .map(|line| format!("{line}\n"))
        .collect();
    let server = "program = [\"./web\", \"--port\", \"80\"]\nsource = \"https://dl.example.com/web/stable.fetchd\"\n\
                  key = [\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"]\nlisten = [\":80\", \"unix:web.sock\"]\n";
    let table = "program = \"/usr/bin/web\"\n[source]\nurl = \"s3://bucket/web/stable.fetchd\"\n[source.options]\n\
                 region = \"eu-central-1\"\nheader = [\"a: b\", \"c: d\"]\n[crash]\n[worker]\nmemory = \"512MiB\"\nstay = \"5m\"\n";
    vec![
        good("least", "program = [\"/usr/bin/web\"]\n"),
        good("server", server),
        bad("every-setting", all),
        bad("template", reference::template()),
        bad("table", table),
        good("times", "program = [\"a\"]\ninterval = \"1h 30m\"\njitter = \"15%\"\nkeep = 3\nlayout = \"releases\"\n"),
        good("sizes", "program = [\"a\"]\nmax_size = \"1 GiB\"\nreserve = 0\nmin_rate = 1024\nsmoke = \"off\"\n"),
        good("dotted", "program = [\"a\"]\nworker.memory = 1048576\nworker.stay = \"0\"\n"),
        bad("unknown-key", "program = [\"a\"]\nworker.memroy = 1\n"),
        bad("key-twice", "program = [\"a\"]\nprogram = [\"b\"]\n"),
        bad("wrong-kind", "program = [\"a\"]\ninterval = 5\n"),
        bad("nul", "program = [\"a\\u0000b\"]\n"),
        bad("not-text", b"program = [\"\xff\"]\n".to_vec()),
        bad("empty", ""),
        good("unicode", "product = \"web\"\nprogram = [\"/srv/wéb/\u{1f600}\"]\n"),
    ]
}
