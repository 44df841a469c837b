//! What an idle supervisor holds: after its first pass, and after many handoffs.
//!
//! `cargo bench --bench supervisor`; `BENCH_HANDOFFS=20`, `BENCH_MAPPINGS=1` shows where the memory is.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::time::Duration;

use support::figure::Figure;
use support::process::{Held, mappings, sleeps};
use support::site::{Site, Supervised};
use support::{print_machine, setting};

/// How long wake-ups are counted.
const WINDOW: Duration = Duration::from_secs(10);

pub(crate) fn main() {
    print_machine();
    let handoffs = setting("BENCH_HANDOFFS", 20);
    let site = Site::new();
    let mut fetchd = site.run(&["--interval", "1h"]);
    fetchd.pass();
    println!(
        "\n{:<26} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>12}",
        "idle supervisor", "RSS KiB", "private", "sole", "PSS", "threads", "fds", "wakes / 10 s"
    );
    let first = row("after the first pass", &fetchd);
    for _ in 0..handoffs {
        fetchd.restart();
    }
    fetchd.settle();
    let later = row(&format!("after {handoffs} handoffs"), &fetchd);
    println!("{:<26} {:>8} {:>8} {:>8} {:>8} {:>8}", "overseer (Go), at start", 5728, "-", "-", 2918, "8-9");
    println!("{:<26} {:>8} {:>8} {:>8} {:>8} {:>8}", "overseer, 20 restarts", "5900-6230", "-", "-", "~5000", "8-9");
    println!("\nprivate: anonymous and written pages. sole: pages of files that nobody else maps at the moment.");

    let goal = |name: &str, value: u64, most: u64| {
        let ours = vec![value as f64];
        Figure::new("supervisor", &format!("idle: {name}"), "KiB", ours).at_most(most as f64).record();
        let verdict = if value <= most { "met" } else { "MISSED" };
        println!("{name:<26} {value:>8} KiB, goal {most} KiB: {verdict}");
    };
    println!();
    goal("RSS, after the first pass", first.rss, 4096);
    goal("private, after the first pass", first.private, 1024);
    goal("RSS, after the handoffs", later.rss, 4096);
    goal("private, after the handoffs", later.private, 1024);
    println!("\n{:<40} {:>8} {:>8}", "mapped, by RSS", "RSS KiB", "private");
    for (name, rss, private) in mappings(fetchd.pid()).iter().take(setting("BENCH_MAPPINGS", 9) as usize) {
        println!("{name:<40} {rss:>8} {private:>8}");
    }
}

fn row(name: &str, fetchd: &Supervised) -> Held {
    // The thread that answered the last question ends, and is none of the idle state; then the supervisor rests, once.
    std::thread::sleep(Duration::from_secs(4));
    let before = sleeps(fetchd.pid());
    std::thread::sleep(WINDOW);
    let wakes = sleeps(fetchd.pid()) - before;
    let held = Held::of(fetchd.pid());
    let ours = vec![wakes as f64];
    Figure::new("supervisor", &format!("idle: wake-ups in 10 s, {name}"), "", ours).record();
    println!(
        "{name:<26} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {wakes:>12}",
        held.rss, held.private, held.sole, held.pss, held.threads, held.descriptors
    );
    held
}
