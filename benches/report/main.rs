//! Every benchmark in one run, and one report of them: a page in Markdown with tables, and its plots as SVG beside it.
//!
//! `cargo bench --bench report -- --quick`; `-- --list` names the benchmarks, and names choose among them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it reports, or ends"
)]
#![allow(clippy::duplicate_mod, reason = "each benchmark is a program of its own as well")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod catalogue;
mod descendants;
mod machine;
mod page;
mod plots;
mod run;
mod stats;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use catalogue::{BENCHES, Bench};
use support::figure;

/// What is asked for.
struct Wanted {
    quick: bool,
    directory: PathBuf,
    benches: Vec<&'static Bench>,
}

fn main() -> ExitCode {
    // Cargo says what kind of program it starts.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut wanted = Wanted { quick: false, directory: default_directory(), benches: Vec::new() };
    while let Some(argument) = arguments.next() {
        let bench = |name: &str| BENCHES.iter().find(|bench| bench.name == name);
        match argument.as_str() {
            "--one" => {
                let name = arguments.next().unwrap_or_default();
                (bench(&name).expect("a benchmark of the list").main)();
                return ExitCode::SUCCESS;
            }
            "--quick" => wanted.quick = true,
            "--out" => wanted.directory = arguments.next().map(PathBuf::from).expect("--out has a directory"),
            // The page once more from the results of an earlier run.
            "--page" => {
                page::write(&wanted.directory);
                return ExitCode::SUCCESS;
            }
            "--list" | "--help" | "-h" => return list(),
            name => match bench(name) {
                Some(bench) => wanted.benches.push(bench),
                None => {
                    eprintln!("error: `{name}` is neither a benchmark nor an option\n");
                    list();
                    return ExitCode::from(64);
                }
            },
        }
    }
    if wanted.benches.is_empty() {
        wanted.benches = BENCHES.iter().collect();
    }
    let complete = run::all(&wanted);
    let path = page::write(&wanted.directory);
    println!("{}", path.display());
    if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn default_directory() -> PathBuf {
    // The program stands in `target/release/deps`.
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).map_or_else(|| "report".into(), |target| target.join("report"))
}

fn list() -> ExitCode {
    println!("cargo bench --bench report -- [--quick] [--out DIRECTORY] [BENCHMARK…]");
    println!("cargo bench --bench report -- [--out DIRECTORY] --page    the page of the last run once more\n");
    for bench in &BENCHES {
        println!("{:<12} {} (at most {} s)", bench.name, bench.about, bench.seconds);
    }
    ExitCode::SUCCESS
}
