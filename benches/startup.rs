//! How long commands take, how long a handoff takes, and what a poll costs.
//!
//! `cargo bench --bench startup`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::figure::{Figure, millis};
use support::process::cpu_ns;
use support::site::{Site, Supervised};
use support::{fetchd, middle_and_longest, ms, print_machine, setting};

const STARTS: usize = 200;
const CHECKS: usize = 30;
const HANDOFFS: usize = 20;

pub(crate) fn main() {
    print_machine();
    println!("\n{:<48} {:>9} {:>9} {:>9}", "milliseconds", "least", "p50", "longest");
    let fetchd_program = fetchd();
    let (mut nothing, mut version) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        nothing.push(timed(&mut Command::new("/bin/true")));
        version.push(timed(Command::new(&fetchd_program).arg("--version")));
    }
    let figure = |what: &str, times: &[Duration]| Figure::new("startup", what, "ms", millis(times));
    figure("fetchd --version", &version).against("/bin/true", millis(&nothing)).record();
    figure("fetchd --version, alone", &version).at_most(5.0).record();
    let bare = row("/bin/true", &mut nothing);
    let own = row("fetchd --version", &mut version);

    let site = Site::new();
    let mut supervised = site.run(&["--interval", "1h"]);
    supervised.pass();
    let mut checks: Vec<Duration> = (0..CHECKS).map(|_| timed(&mut site.command("check", &[]))).collect();
    figure("fetchd check, nothing new", &checks).at_most(50.0).record();
    let check = row("fetchd check, nothing new, loopback http", &mut checks);

    let address = supervised.address();
    let (mut ready, mut around) = (Vec::new(), Vec::new());
    for _ in 0..HANDOFFS {
        let (boot, answered) = handoff(&supervised, address);
        ready.push(boot);
        around.push(answered.saturating_sub(boot));
        supervised.settle();
    }
    figure("restart: from start to READY", &ready).record();
    figure("restart: from trigger to first answer, less that", &around).at_most(5.0).record();
    row("restart: from start to READY", &mut ready);
    let around = row("restart: from trigger to first answer, less that", &mut around);

    // By a worker that is started for it, as with the default interval.
    let mut passes: Vec<Duration> = (0..CHECKS)
        .map(|_| {
            let begun = Instant::now();
            supervised.apply();
            begun.elapsed()
        })
        .collect();
    figure("apply, nothing new, its worker's start included", &passes).record();
    row("apply, nothing new, its worker's start included", &mut passes);
    drop(supervised);

    // Nobody asks it anything meanwhile.
    let supervised = site.run(&["--interval", "1s", "--worker-stay", "500ms"]);
    // Until the program has been hashed, once, so that no restart has to.
    std::thread::sleep(Duration::from_secs(4));
    let (polls, own_before, children_before) =
        (site.peer.requests(), cpu_ns(supervised.pid()), children_cpu(supervised.pid()));
    // With a poll every second.
    std::thread::sleep(Duration::from_secs(setting("BENCH_POLLING_S", 50)));
    let polls = site.peer.requests() - polls;
    let own_cpu = Duration::from_nanos(cpu_ns(supervised.pid()).saturating_sub(own_before)) / polls;
    let worker_cpu = (children_cpu(supervised.pid()) - children_before) / polls;

    figure("CPU of a poll: supervisor", &[own_cpu]).record();
    figure("CPU of a poll: supervisor and worker", &[own_cpu + worker_cpu]).at_most(5.0).record();
    println!("\nfetchd --version / /bin/true, p50: {:.2} x", own.as_secs_f64() / bare.as_secs_f64());
    goal("fetchd --version", own, 5);
    goal("fetchd check", check, 50);
    goal("from trigger to first answer, less the start", around, 5);
    goal("CPU of a poll, supervisor and worker", own_cpu + worker_cpu, 5);
    println!(
        "CPU of a poll, of {polls}: supervisor {:.1} ms, worker {:.1} ms (counted in ticks of 10 ms)",
        ms(own_cpu),
        ms(worker_cpu)
    );
}

fn goal(name: &str, p50: Duration, most: u64) {
    let verdict = if p50 <= Duration::from_millis(most) { "met" } else { "MISSED" };
    println!("{name}: {:.2} ms, goal {most} ms: {verdict}", ms(p50));
}

/// A restart: from the start of the new process to its READY, in whole milliseconds, and from the request to its first answer.
fn handoff(supervised: &Supervised, address: SocketAddr) -> (Duration, Duration) {
    let before = generation(address);
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let restart = scope.spawn(|| supervised.restart().0);
        while generation(address) == before {
            std::thread::sleep(Duration::from_micros(200));
        }
        let answered = begun.elapsed();
        (restart.join().unwrap(), answered)
    })
}

/// The number of the process that answers, as it says it.
fn generation(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, number) = answer.split_once("\"generation\":").unwrap();
    number.chars().take_while(char::is_ascii_digit).collect()
}

/// How long a command takes, from its start until it is reaped.
fn timed(command: &mut Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let begun = Instant::now();
    let status = command.status().unwrap();
    let time = begun.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    time
}

/// The CPU time of the children that a process has reaped.
fn children_cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn row(name: &str, times: &mut [Duration]) -> Duration {
    let (middle, longest) = middle_and_longest(times);
    println!("{name:<48} {:>9.2} {:>9.2} {:>9.2}", ms(times[0]), ms(middle), ms(longest));
    middle
}
