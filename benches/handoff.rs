//! Requests during handoffs, against requests in peace: by the supervisor, of the supervisor itself, and without one.
//!
//! `cargo bench --bench handoff`; `BENCH_HANDOFFS=20`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use fetchd::load::{Load, LoadPlan, Report, Target, Window};
use support::direct::Direct;
use support::figure::Figure;
use support::site::{Site, Supervised};
use support::{middle_and_longest, ms, print_machine, setting};

const CLIENTS: usize = 16;
/// A request that is on its way through the whole of each handoff.
fn slow() -> Duration {
    Duration::from_millis(setting("BENCH_SLOW_MS", 2000))
}

/// Something that is replaced under load.
trait Replaced {
    /// From the request until what comes is ready.
    fn replace(&mut self) -> Duration;

    /// Waits until nothing is left of what was replaced.
    fn settle(&mut self);
}

/// The service, by its supervisor.
struct Service<'a>(&'a mut Supervised);

impl Replaced for Service<'_> {
    fn replace(&mut self) -> Duration {
        self.0.restart().0
    }

    fn settle(&mut self) {
        self.0.settle();
    }
}

/// The supervisor, by itself; the service goes on.
struct Supervisor<'a>(&'a mut Supervised);

impl Replaced for Supervisor<'_> {
    fn replace(&mut self) -> Duration {
        self.0.replace()
    }

    fn settle(&mut self) {
        self.0.settle();
    }
}

/// A service without a supervisor, by its own successor.
impl Replaced for Direct {
    fn replace(&mut self) -> Duration {
        self.hand_over()
    }

    fn settle(&mut self) {
        Direct::settle(self);
    }
}

pub(crate) fn main() {
    print_machine();
    let handoffs = setting("BENCH_HANDOFFS", 20) as usize;
    let site = Site::new();
    let mut fetchd = site.run(&["--interval", "1h"]);
    fetchd.pass();
    let address = fetchd.address();
    println!("\n{CLIENTS} clients, {handoffs} handoffs, a request of {} s in flight at each\n", slow().as_secs_f64());
    println!(
        "{:<34} {:>9} {:>8} {:>7} {:>10} {:>8} {:>12} {:>20} {:>6}",
        "", "requests", "req/s", "ratio", "longest ms", "failed", "ready ms", "longest per handoff", "2 s ok"
    );
    println!(
        "{:<34} {:>9} {:>8} {:>7} {:>10} {:>8} {:>12} {:>20} {:>6}",
        "", "", "", "", "", "", "p50/max", "p50/max", ""
    );
    both("`fetchd restart`", address, handoffs, &mut Service(&mut fetchd));
    both("`fetchd restart --supervisor`", address, handoffs, &mut Supervisor(&mut fetchd));
    drop(fetchd);
    let mut direct = Direct::start(&site);
    both("direct, by `Upgrader`", direct.address(), handoffs, &mut direct);
    println!(
        "\nothers, 20 handoffs under the same clients on another day, a process of Go, Rust or Perl; ready: the first new answer"
    );
    for (name, requests, failed, ready, longest) in PEERS {
        println!(
            "{name:<34} {requests:>9} {:>8} {:>7} {:>10} {failed:>8} {ready:>12} {longest:>20}  20/20",
            "", "", ""
        );
    }
}

/// A name, requests, how many failed, and how long the first new answer and the longest one took in ms, middle and longest.
type Peer = (&'static str, u32, u32, &'static str, &'static str);

/// What other tools were measured to do.
const PEERS: [Peer; 14] = [
    ("T1: overseer, Server.Shutdown", 96_437, 1, "5.7/9.6", "8.8/17.1"),
    ("T1: tableflip", 69_707, 0, "8.6/73.6", "24.6/70.5"),
    ("T1: grace", 57_448, 0, "8.3/50.8", "39.2/77.5"),
    ("T1: endless", 57_506, 0, "8.3/24.0", "48.3/100.3"),
    ("T1: ecdysis", 54_654, 2, "10.4/69.0", "43.1/59.7"),
    ("T1: shellflip", 51_634, 0, "6.4/42.5", "40.8/74.1"),
    ("T1: Server::Starter", 68_995, 0, "12.8/162.3", "30.9/164.8"),
    ("T3: overseer, Server.Shutdown", 71_426, 264, "12.9/27.3", "15.8/447.6"),
    ("T3: tableflip", 75_432, 291, "14.3/28.7", "15.2/61.6"),
    ("T3: grace", 67_888, 307, "13.5/23.9", "7.0/27.0"),
    ("T3: endless", 68_282, 286, "12.6/16.2", "6.3/14.1"),
    ("T3: ecdysis", 63_585, 282, "513.6/518.1", "7.8/29.4"),
    ("T3: shellflip", 62_537, 291, "14.1/18.3", "9.5/27.3"),
    ("T3: Server::Starter", 72_149, 294, "1014.1/1085.1", "12.3/637.3"),
];

/// The two kinds of clients.
fn both(what: &str, at: SocketAddr, handoffs: usize, replaced: &mut dyn Replaced) {
    println!("{what}");
    measure(what, "fresh connections (T1)", CLIENTS, 0, at, handoffs, replaced);
    measure(what, "keep-alive, naive (T3)", 0, CLIENTS, at, handoffs, replaced);
}

fn measure(
    what: &str,
    name: &str,
    fresh: usize,
    keep_alive: usize,
    at: SocketAddr,
    handoffs: usize,
    replaced: &mut dyn Replaced,
) {
    let load = Load::start(LoadPlan { fresh, keep_alive, ..LoadPlan::new(Target::Tcp(at)) }).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    load.mark("steady");
    std::thread::sleep(Duration::from_secs(setting("BENCH_STEADY_S", 10)));
    load.mark("handoff 1");
    let (mut ready, mut slow_ok) = (Vec::new(), 0);
    for number in 1..=handoffs {
        if number > 1 {
            load.mark(&format!("handoff {number}"));
        }
        let slow = load.slow_request(slow());
        ready.push(replaced.replace());
        // The old process has answered this and everything else, and ends.
        slow_ok += usize::from(slow.wait().is_ok());
        replaced.settle();
    }
    let report = load.stop();
    row(what, name, &report, handoffs, &mut ready, slow_ok);
}

fn row(what: &str, name: &str, report: &Report, handoffs: usize, ready: &mut [Duration], slow_ok: usize) {
    let steady = report.window("steady").unwrap();
    let of = |number: usize| report.window(&format!("handoff {number}")).unwrap();
    let windows: Vec<&Window> = (1..=handoffs).map(of).collect();
    let rate = |requests: u64, time: Duration| requests as f64 / time.as_secs_f64();
    let steady_rate = rate(steady.totals.requests, steady.length);
    let requests: u64 = windows.iter().map(|window| window.totals.requests).sum();
    let time: Duration = windows.iter().map(|window| window.length).sum();
    let failed: u64 = windows.iter().map(|window| window.totals.failed.total()).sum();
    let mut longest: Vec<Duration> = windows.iter().map(|window| window.latency.longest()).collect();
    let each = windows.iter().map(|window| rate(window.totals.requests, window.length)).collect();
    let figure = |kind: &str, unit: &str, ours| Figure::new("handoff", &format!("{what}, {name}: {kind}"), unit, ours);
    figure("requests per second", "1/s", each).against("the same in peace", vec![steady_rate; windows.len()]).record();
    figure("requests that failed", "", vec![failed as f64]).at_most(0.0).record();
    figure("until it is ready", "ms", ready.iter().map(|time| ms(*time)).collect()).record();
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
