//! The first answer after a handoff: `fetchd restart` against Server::Starter, the same service under the same clients, one
//! after the other in the same run. Debian has it as `libserver-starter-perl`.
//!
//! `cargo bench --bench starter`; `BENCH_HANDOFFS=20`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fetchd::load::{Load, LoadPlan, Target};
use rustix::process::{Pid, Signal, kill_process};
use support::answer::{answered, first_of_another};
use support::figure::{Figure, millis, missing};
use support::process::{children, runs};
use support::site::{Site, Supervised};
use support::{PATIENCE, find, middle_and_longest, ms, print_machine, setting};

/// Of each kind.
const CLIENTS: usize = 8;

/// Something that replaces a service when it is told to.
trait Replaces {
    fn address(&self) -> SocketAddr;

    /// Says so, and returns at once.
    fn trigger(&mut self);

    /// Waits until only one process of the service is left.
    fn settle(&mut self);
}

pub(crate) fn main() {
    let handoffs = setting("BENCH_HANDOFFS", 20) as usize;
    print_machine();
    let site = Site::new();
    let Some(program) = find("start_server") else {
        return missing(
            "starter",
            "Server::Starter",
            "`start_server` is not here: apt-get install libserver-starter-perl",
        );
    };
    println!(
        "\n{handoffs} handoffs each, {CLIENTS} clients of each kind beside the one that asks for the new process\n"
    );
    println!(
        "{:<26} {:>12} {:>12} {:>12} {:>10} {:>8}",
        "from the trigger to ...", "first ms", "p50", "longest", "requests", "failed"
    );
    let mut fetchd = Fetchd::start(&site);
    let ours = measure("fetchd restart", &mut fetchd, handoffs);
    drop(fetchd);
    let mut starter = Starter::start(program.as_os_str().to_str().unwrap(), &site);
    let theirs = measure("Server::Starter", &mut starter, handoffs);
    let what = "from the trigger to the new process's first answer";
    Figure::new("starter", what, "ms", millis(&ours.first))
        .against("Server::Starter", millis(&theirs.first))
        .at_most(1.0)
        .record();
    for (who, lost) in [("fetchd restart", ours.lost), ("Server::Starter", theirs.lost)] {
        let what = format!("requests lost in {handoffs} handoffs, {who}");
        let figure = Figure::new("starter", &what, "", vec![lost as f64]);
        if who == "fetchd restart" { figure.at_most(0.0).record() } else { figure.record() }
    }
}

struct Measured {
    first: Vec<Duration>,
    lost: u64,
}

fn measure(name: &str, replaces: &mut dyn Replaces, handoffs: usize) -> Measured {
    let at = replaces.address();
    let plan = LoadPlan { fresh: CLIENTS, keep_alive: CLIENTS, ..LoadPlan::new(Target::Tcp(at)) };
    let load = Load::start(plan).unwrap();
    let (mut first, mut lost) = (Vec::new(), 0);
    for _ in 0..handoffs {
        let old = answered(at).expect("it answers in peace");
        replaces.trigger();
        let (time, failed) = first_of_another(at, Some(old));
        first.push(time);
        lost += failed;
        replaces.settle();
    }
    let report = load.stop();
    lost += report.totals.failed.total();
    let (middle, longest) = middle_and_longest(&mut first.clone());
    let least = first.iter().min().copied().unwrap_or_default();
    println!(
        "{name:<26} {:>12.2} {:>12.2} {:>12.2} {:>10} {lost:>8}",
        ms(least),
        ms(middle),
        ms(longest),
        report.totals.requests
    );
    Measured { first, lost }
}

/// `fetchd run`, told by a request of its control socket.
struct Fetchd {
    supervised: Supervised,
    address: SocketAddr,
    asked: Option<JoinHandle<()>>,
}

impl Fetchd {
    fn start(site: &Site) -> Fetchd {
        let mut supervised = site.run(&["--interval", "1h"]);
        supervised.pass();
        Fetchd { address: supervised.address(), supervised, asked: None }
    }
}

impl Replaces for Fetchd {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn trigger(&mut self) {
        self.asked = Some(self.supervised.begin_restart());
    }

    fn settle(&mut self) {
        // It answers when the watch is over.
        self.asked.take().unwrap().join().unwrap();
        self.supervised.settle();
    }
}

/// `start_server`, told by a signal.
struct Starter {
    child: Child,
    address: SocketAddr,
}

impl Starter {
    fn start(program: &str, site: &Site) -> Starter {
        // It cannot choose a port by itself and say which.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // What it calls its socket, in the words of systemd, which the service understands.
        let words = "fd=${SERVER_STARTER_PORT##*=}; [ \"$fd\" = 3 ] || eval \"exec 3<&$fd\"; \
                     export LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web; exec \"$0\" demo-service";
        let mut command = Command::new(program);
        command
            .args(["--port", &address.to_string(), "--interval", "1", "--", "/bin/sh", "-c", words])
            .arg(site.program());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let starter = Starter { child, address };
        let deadline = Instant::now() + PATIENCE;
        while answered(address).is_none() {
            assert!(Instant::now() < deadline, "never: the service of start_server answers");
            std::thread::sleep(Duration::from_millis(20));
        }
        starter
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }
}

impl Replaces for Starter {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn trigger(&mut self) {
        self.signal(Signal::HUP);
    }

    fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        // It looks a second after the start whether the new one still runs, and ends the old one then.
        while children(self.child.id()).into_iter().filter(|pid| runs(*pid)).count() > 1 {
            assert!(Instant::now() < deadline, "never: one process is left");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let _ = self.child.wait();
    }
}
