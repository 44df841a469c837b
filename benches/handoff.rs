//! Requests during handoffs, against requests in peace.
//!
//! `cargo bench --bench handoff`; `BENCH_HANDOFFS=20`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use fetchd::load::{Load, LoadPlan, Report, Target, Window};
use support::site::{Site, Supervised};
use support::{middle_and_longest, ms, print_machine, setting};

const CLIENTS: usize = 16;
/// A request that is on its way through the whole of each handoff.
const SLOW: Duration = Duration::from_secs(2);
const STEADY: Duration = Duration::from_secs(10);

fn main() {
    print_machine();
    let handoffs = setting("BENCH_HANDOFFS", 20) as usize;
    let site = Site::new();
    let mut fetchd = site.run(&["--interval", "1h"]);
    fetchd.pass();
    let address = fetchd.address();
    println!("\n{CLIENTS} clients, {handoffs} handoffs, a request of {} s in flight at each\n", SLOW.as_secs());
    println!(
        "{:<34} {:>9} {:>8} {:>7} {:>10} {:>8} {:>12} {:>20} {:>6}",
        "", "requests", "req/s", "ratio", "longest ms", "failed", "ready ms", "longest per handoff", "2 s ok"
    );
    println!(
        "{:<34} {:>9} {:>8} {:>7} {:>10} {:>8} {:>12} {:>20} {:>6}",
        "", "", "", "", "", "", "p50/max", "p50/max", ""
    );
    measure("fresh connections (T1)", CLIENTS, 0, address, handoffs, &mut fetchd);
    measure("keep-alive, naive (T3)", 0, CLIENTS, address, handoffs, &mut fetchd);
}

fn measure(name: &str, fresh: usize, keep_alive: usize, at: SocketAddr, handoffs: usize, fetchd: &mut Supervised) {
    let load = Load::start(LoadPlan { fresh, keep_alive, ..LoadPlan::new(Target::Tcp(at)) }).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    load.mark("steady");
    std::thread::sleep(STEADY);
    load.mark("handoff 1");
    let (mut ready, mut slow_ok) = (Vec::new(), 0);
    for number in 1..=handoffs {
        if number > 1 {
            load.mark(&format!("handoff {number}"));
        }
        let slow = load.slow_request(SLOW);
        ready.push(fetchd.restart().0);
        // The old process has answered this and everything else, and ends.
        slow_ok += usize::from(slow.wait().is_ok());
        fetchd.settle();
    }
    let report = load.stop();
    row(name, &report, handoffs, &mut ready, slow_ok);
}

fn row(name: &str, report: &Report, handoffs: usize, ready: &mut [Duration], slow_ok: usize) {
    let steady = report.window("steady").unwrap();
    let of = |number: usize| report.window(&format!("handoff {number}")).unwrap();
    let windows: Vec<&Window> = (1..=handoffs).map(of).collect();
    let rate = |requests: u64, time: Duration| requests as f64 / time.as_secs_f64();
    let steady_rate = rate(steady.totals.requests, steady.length);
    let requests: u64 = windows.iter().map(|window| window.totals.requests).sum();
    let time: Duration = windows.iter().map(|window| window.length).sum();
    let failed: u64 = windows.iter().map(|window| window.totals.failed.total()).sum();
    let mut longest: Vec<Duration> = windows.iter().map(|window| window.latency.longest()).collect();
    let (longest_middle, longest_most) = middle_and_longest(&mut longest);
    let (ready_middle, ready_most) = middle_and_longest(ready);
    println!(
        "{:<34} {:>9} {steady_rate:>8.0} {:>7} {:>10.1} {:>8}",
        format!("{name}, steady"),
        steady.totals.requests,
        "1.00",
        ms(steady.latency.longest()),
        steady.totals.failed.total()
    );
    println!(
        "{:<34} {requests:>9} {:>8.0} {:>7.2} {:>10.1} {failed:>8} {:>12} {:>20} {slow_ok:>3}/{handoffs}",
        format!("{name}, handoffs"),
        rate(requests, time),
        rate(requests, time) / steady_rate,
        ms(longest_most),
        format!("{:.0}/{:.0}", ms(ready_middle), ms(ready_most)),
        format!("{:.1}/{:.1}", ms(longest_middle), ms(longest_most)),
    );
}
