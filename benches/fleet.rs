//! Rollouts in virtual time, at sizes that no test has time for: hosts hit by bad releases, false halts, requests, and
//! what simulating them costs.
//!
//! `cargo bench --bench fleet`; `BENCH_HOSTS=1000,100000,1000000` are the sizes, `BENCH_SEEDS=20` how many seeds each
//! case has (`BENCH_FIRST=0` is the first), `BENCH_CASES=first` which cases (`first`, `trouble`, `both`, `all`), `BENCH_ONLY=late`
//! leaves out those without the text in their name, and `BENCH_HTML=report.html` writes the page.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::time::Instant;

use fetchd::simulate::{Case, Row, grid, report};
use support::{print_machine, process, setting};

fn main() {
    let text = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let sizes: Vec<u32> =
        text("BENCH_HOSTS", "1000,100000").split(',').map(|size| size.parse().expect("a number")).collect();
    let (seeds, first) = (setting("BENCH_SEEDS", 20), setting("BENCH_FIRST", 0));
    let (kind, only) = (text("BENCH_CASES", "first"), text("BENCH_ONLY", ""));
    print_machine();
    if cfg!(debug_assertions) {
        println!("NOTE: this is a debug build; what it says of its own time means nothing");
    }
    let id = std::process::id();
    let mut rows = Vec::new();
    for hosts in sizes {
        for case in cases(&kind, hosts).into_iter().filter(|case| case.name.contains(&only)) {
            let (begun, cpu) = (Instant::now(), process::cpu_ns(id));
            let row = Row::run(&case, first, seeds);
            let cpu = (process::cpu_ns(id) - cpu) as f64 / 1e9;
            let peak = process::status(id, "VmHWM:") / 1024;
            println!(
                "{} hosts, {}: {cpu:.1} s of CPU, {:.1} s, at most {peak} MiB so far",
                case.hosts,
                case.name,
                begun.elapsed().as_secs_f64()
            );
            let sum = &row.summary;
            println!(
                "    evenly spread within {:.4}, densest hundredth {:.2} %, formula ${:.2}, slots over {}, spun {}, {:?}",
                sum.distance,
                sum.densest * 100.0,
                sum.formula,
                sum.overcommitted,
                sum.spun,
                sum.requests
            );
            for spread in row.outcomes.iter().take(1).flat_map(|outcome| &outcome.spread) {
                println!(
                    "    step {}: {} hosts, {:.4} from even ({:.4} by chance), densest hundredth {:.2} %",
                    spread.step,
                    spread.hosts,
                    spread.distance,
                    spread.chance,
                    spread.densest * 100.0
                );
            }
            rows.push(row);
        }
    }
    println!("\n{}", report::table(&rows));
    if let Ok(path) = std::env::var("BENCH_HTML") {
        std::fs::write(&path, report::html(&rows)).unwrap();
    }
}

fn cases(kind: &str, hosts: u32) -> Vec<Case> {
    match kind {
        "first" => grid::first(hosts),
        "trouble" => grid::trouble(hosts),
        "both" => grid::both(hosts),
        "all" => grid::all(hosts),
        other => panic!("no cases are called `{other}`"),
    }
}
