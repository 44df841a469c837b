//! What a reader has to know of the machine and of what was compared.

use std::fs;
use std::process::{Command, Stdio};

use fetchd::clock::Timestamp;

use super::support;

/// The peers, and how they say their version.
const PROGRAMS: [(&str, &[&str]); 8] = [
    ("rustc", &["--version"]),
    ("curl", &["--version"]),
    ("sha256sum", &["--version"]),
    ("zstd", &["--version"]),
    ("aws", &["--version"]),
    ("rclone", &["version"]),
    ("start_server", &["--version"]),
    ("valgrind", &["--version"]),
];

/// Names and values.
pub(crate) fn describe(quick: bool) -> Vec<(String, String)> {
    let mut head = Vec::new();
    let mut push = |name: &str, value: String| head.push((name.to_owned(), value));
    push("when", Timestamp::now().to_string());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    push("machine", format!("{cores} cores of {}", field("/proc/cpuinfo", "model name")));
    push("memory", field("/proc/meminfo", "MemTotal"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    push("kernel", format!("Linux {}", kernel.trim()));
    push("system", field("/etc/os-release", "PRETTY_NAME").trim_matches('"').to_owned());
    let fetchd = support::fetchd();
    let debug = fetchd.components().any(|part| part.as_os_str() == "debug");
    let said = first_line(Command::new(&fetchd).arg("--version")).unwrap_or_default();
    let bytes = fs::metadata(&fetchd).map_or(0, |metadata| metadata.len());
    let build = if debug { ", **a debug build: its numbers mean nothing**" } else { "" };
    push("fetchd", format!("{said}, {:.1} MB{build}", bytes as f64 / 1e6));
    for (program, arguments) in PROGRAMS {
        let program_in_tree = support::find(program);
        let said = program_in_tree.and_then(|path| first_line(Command::new(path).args(arguments)));
        push(program, said.unwrap_or_else(|| "not here".to_owned()));
    }
    push("kind of run", if quick { "quick: small sizes, few rounds" } else { "full" }.to_owned());
    push("load average before", load());
    head
}

/// The load averages of 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn field(path: &str, key: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_once([':', '=']).map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text =
        String::from_utf8_lossy(if output.stdout.is_empty() { &output.stderr } else { &output.stdout }).into_owned();
    text.lines().find(|line| !line.trim().is_empty()).map(|line| line.trim().chars().take(72).collect())
}
