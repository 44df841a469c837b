//! How costs grow: with the artifact, the listeners, the releases of a manifest, the history and the quarantine.
//!
//! `cargo bench --bench growth`; `BENCH_QUICK=1` ends at 64 MiB and takes fewer rounds, `BENCH_ONLY=sizes,listeners` chooses.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "it prints a table, or ends")]
#![allow(dead_code, reason = "each benchmark uses a part of what they share")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use fetchd::clock::Timestamp;
use fetchd::digest::Sha256;
use fetchd::fetch::Source;
use fetchd::publish::Publisher;
use fetchd::state::{Event, Quarantined, Record, Store};
use fetchd::trust::{self, Offer, Policy, Trust};
use fetchd::verify;
use fetchd_fetchers::{Options, Release, Revision};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use support::answer::{answered, first_of_another};
use support::fetched::fetch;
use support::figure::{Curve, millis};
use support::peer::Peer;
use support::site::Site;
use support::{PATIENCE, print_machine, process, setting};

/// What is called growth in proportion: measured exponents are a little off.
const LINEAR: f64 = 1.1;
/// What is called none.
const FLAT: f64 = 0.1;
/// How often the first number the last may be at most, of what should not grow.
const TWICE: f64 = 2.0;

fn measure(rounds: usize, largest: u64) {
    let parts: [(&str, &dyn Fn()); 6] = [
        ("sizes", &|| sizes(rounds.min(3), largest)),
        ("listeners", &|| listeners(rounds)),
        ("releases", &|| releases(rounds)),
        ("history", &|| history(rounds)),
        ("quarantine", &|| quarantine(rounds)),
        ("choices", &|| choices(rounds)),
    ];
    let only = std::env::var("BENCH_ONLY").ok();
    for (name, part) in parts {
        if only.as_ref().is_none_or(|only| only.split(',').any(|wanted| wanted == name)) {
            part();
        }
    }
}

pub(crate) fn main() {
    print_machine();
    if setting("BENCH_QUICK", 0) == 1 { measure(3, 64) } else { measure(9, 1024) }
}

/// A curve that is being measured.
struct Drawn(Curve);

impl Drawn {
    fn new(what: &str, unit: &str, along: &str) -> Drawn {
        let text = str::to_owned;
        let (bench, what, unit, along) = (text("growth"), text(what), text(unit), text(along));
        Drawn(Curve { bench, what, unit, along, points: Vec::new(), exponent: LINEAR, times: None })
    }

    /// Something that should not grow at all.
    fn flat(what: &str, unit: &str, along: &str) -> Drawn {
        let Drawn(curve) = Drawn::new(what, unit, along);
        Drawn(Curve { exponent: FLAT, times: Some(TWICE), ..curve })
    }

    fn add(&mut self, at: u64, numbers: Vec<f64>) {
        let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        println!("{:<56} {:>9} {} {least:>10.3} {}", self.0.what, at, self.0.along, self.0.unit);
        self.0.points.push((at as f64, numbers));
    }

    fn done(self) {
        self.0.record();
    }
}

fn times(rounds: usize, mut what: impl FnMut()) -> Vec<Duration> {
    let once = |_| {
        let begun = Instant::now();
        what();
        begun.elapsed()
    };
    (0..rounds).map(once).collect()
}

/// CPU time in milliseconds of this thread. On a machine that is busy everything that takes longer than its turn is made to wait.
fn cpu(rounds: usize, mut what: impl FnMut()) -> Vec<f64> {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
    };
    let once = |_| {
        let begun = now();
        what();
        now() - begun
    };
    (0..rounds).map(once).collect()
}

/// Download, hash, write; and what the supervisor does with it.
fn sizes(rounds: usize, largest: u64) {
    let along = "MiB of the artifact";
    let mut fetched = Drawn::new("download, hash and write", "ms", along);
    let mut custody = Drawn::new("copy into custody and hash again", "ms", along);
    let mut peak = Drawn::flat("peak RSS of the worker", "MB", along);
    for mib in [1, 4, 16, 64, 256, 1024].into_iter().filter(|mib| *mib <= largest) {
        let directory = tempfile::tempdir().unwrap();
        for name in ["pub", "staging", "custody"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let publisher = Publisher::new(directory.path().join("pub")).unwrap();
        let binary: Vec<u8> = (0..mib << 20).map(|at: u64| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        let artifact = directory.path().join("pub/artifact");
        fs::write(&artifact, &binary).unwrap();
        fs::File::open(&artifact).unwrap().sync_all().unwrap();
        publisher.publish("1.0.0", &binary).unwrap();
        let sha256 = Sha256::of(&binary);
        drop(binary);
        let peer = Peer::start(&directory.path().join("pub"));
        let source = || Source { url: peer.url("artifact").parse().unwrap(), options: Options::new() };
        let (mut downloads, mut copies, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (time, rss, _) = fetch(source(), directory.path(), mib << 20, sha256);
            downloads.push(time);
            peaks.push(rss as f64 / 1024.0);
            let chosen = publisher.newest().unwrap();
            // What is taken is gone.
            let staged = directory.path().join("staged");
            fs::copy(&artifact, &staged).unwrap();
            let begun = Instant::now();
            let taken = verify::take(&staged, chosen, &directory.path().join("custody")).unwrap();
            copies.push(begun.elapsed());
            drop(taken);
        }
        fetched.add(mib, millis(&downloads));
        custody.add(mib, millis(&copies));
        peak.add(mib, peaks);
    }
    fetched.done();
    custody.done();
    peak.done();
}

/// Sockets that are handed from one process of the service to the next.
fn listeners(rounds: usize) {
    let along = "listeners";
    let mut first = Drawn::new("a handoff, until the new process answers", "ms", along);
    let mut started = Drawn::new("a start, until the service answers", "ms", along);
    for many in [1, 2, 4, 8, 16, 32, 64] {
        let site = Site::new();
        let more: Vec<String> = (1..many).map(|number| format!("more-{number}=127.0.0.1:0")).collect();
        let more: Vec<&str> = more.iter().flat_map(|listen| ["--listen", listen]).collect();
        started.add(many, millis(&starts(&site, rounds, &more)));
        let mut supervised = site.run(&[&["--interval", "1h"], &more[..]].concat());
        supervised.pass();
        let at = supervised.address();
        let handoffs: Vec<Duration> = (0..rounds)
            .map(|_| {
                let old = answered(at);
                let asked = supervised.begin_restart();
                let (time, _) = first_of_another(at, old);
                asked.join().unwrap();
                supervised.settle();
                time
            })
            .collect();
        first.add(many, millis(&handoffs));
    }
    first.done();
    started.done();
}

/// From the start of `fetchd run` to the first answer.
fn starts(site: &Site, rounds: usize, more: &[&str]) -> Vec<Duration> {
    let start = |_| {
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listen = format!("web={at}");
        let flags = ["--interval", "1h", "--jitter", "0", "--watch", "300ms", "--listen", &listen];
        let mut child = site.command("run", &[&flags, more].concat()).arg("demo-service").spawn().unwrap();
        let (time, _) = first_of_another(at, None);
        kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success(), "`fetchd run` ends well");
        time
    };
    (0..rounds).map(start).collect()
}

/// A start, a look and a pass, with whatever the site's state and source have grown to.
struct Life {
    start: Drawn,
    check: Drawn,
    pass: Drawn,
}

impl Life {
    fn new(along: &str) -> Life {
        Life {
            start: Drawn::flat("a start, until the service answers", "ms", along),
            check: Drawn::flat("fetchd check, nothing new", "ms", along),
            pass: Drawn::flat("CPU of a poll in the supervisor, nothing new", "ms", along),
        }
    }

    fn add(&mut self, many: u64, site: &Site, rounds: usize) {
        self.start.add(many, millis(&starts(site, rounds, &[])));
        let check =
            || assert!(site.command("check", &[]).status().unwrap().success(), "`fetchd check` finds nothing new");
        self.check.add(many, millis(&times(rounds, check)));
        // A pass that somebody asks for reads everything; those of the timer ask whether anything is new.
        let mut supervised = site.run(&["--interval", "1s", "--worker-stay", "500ms"]);
        supervised.pass();
        let seen = || (site.peer.requests(), process::cpu_ns(supervised.pid()));
        let polled = |since: u32| {
            let deadline = Instant::now() + PATIENCE;
            while site.peer.requests() == since {
                assert!(Instant::now() < deadline, "never: a poll");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        // Two seconds after a start the program is hashed, once, so that no restart has to; that is no poll's work.
        (0..4).for_each(|_| polled(seen().0));
        let (first, before) = seen();
        // Each takes a second.
        (0..rounds.div_ceil(3)).for_each(|_| polled(site.peer.requests()));
        let (last, after) = seen();
        let each = after.saturating_sub(before) as f64 / 1e6 / f64::from(last - first);
        self.pass.add(many, vec![each]);
    }

    fn done(self) {
        self.start.done();
        self.check.done();
        self.pass.done();
    }
}

/// A manifest that lists older releases beside the one that runs.
fn releases(rounds: usize) {
    let along = "releases in the manifest";
    let mut read = Drawn::new("CPU of reading the manifest, signature and all", "ms", along);
    let mut life = Life::new(along);
    for many in [1, 8, 64, 512] {
        let site = Site::new();
        let older = |manifest: &mut Value| {
            let first = manifest["releases"][0].clone();
            let numbered = |number: u64| {
                let mut release = first.clone();
                if number > 0 {
                    release["version"] = Value::from(format!("0.1.{number}"));
                }
                release
            };
            manifest["releases"] = (0..many).map(numbered).collect();
        };
        site.publisher().forge(older).unwrap();
        let publisher = site.publisher();
        let (document, keys, expect) = (publisher.document().unwrap(), publisher.keys().unwrap(), publisher.expect());
        let release = Release { revision: Revision(String::new()), label: None, assets: Vec::new(), document: None };
        let trust = Trust::Bundle { keys };
        let offer = Offer { release: &release, document: Some(&document), signature: None, asset: None };
        let reading = || drop(trust::read(&offer, &trust, &expect, Timestamp::now()).unwrap());
        read.add(many, cpu(20 * rounds, reading));
        life.add(many, &site, rounds);
    }
    read.done();
    life.done();
}

/// Events of years. Two files of 4 MiB are kept, whatever there was.
fn history(rounds: usize) {
    let along = "entries of the history";
    let mut append = Drawn::flat("an entry more, until it is on the disk", "ms", along);
    let mut shown = Drawn::new("fetchd history", "ms", along);
    let mut life = Life::new(along);
    for many in [0, 1000, 10_000, 100_000] {
        let site = Site::new();
        let store = Store::open(&site.state()).unwrap();
        let event = Event::new(Timestamp::now(), "update.installed").sha256(Some(Sha256::of(b"a release")));
        let mut line = serde_json::to_vec(&event).unwrap();
        line.push(b'\n');
        let kept = many.min(2 * HISTORY / line.len());
        let current = kept.min(HISTORY / line.len());
        for (name, count) in [("history.jsonl", current), ("history.1.jsonl", kept - current)] {
            if count > 0 {
                // The first event makes a file of the right kind.
                store.history().append(&event).unwrap();
                let file = site.state().join("history.jsonl");
                fs::write(&file, line.repeat(count)).unwrap();
                fs::rename(&file, site.state().join(name)).unwrap();
            }
        }
        let more = || store.history().append(&event).unwrap();
        append.add(many as u64, millis(&times(5 * rounds, more)));
        drop(store);
        let show = || assert!(site.about("history").status().unwrap().success(), "`fetchd history` shows it");
        shown.add(many as u64, millis(&times(rounds, show)));
        life.add(many as u64, &site, rounds);
    }
    append.done();
    shown.done();
    life.done();
}

/// What one of the two files of a history holds.
const HISTORY: usize = 4 << 20;

/// Releases that failed here. All of them are read at a start and compared at a change.
fn quarantine(rounds: usize) {
    let along = "releases in quarantine";
    let mut life = Life::new(along);
    let mut update = Drawn::new("a change of the record, until it is on the disk", "ms", along);
    for many in [0, 100, 1000, 10_000] {
        let site = Site::new();
        let mut store = Store::open(&site.state()).unwrap();
        store.update(|record| record.quarantine = (0..many).map(failed).collect()).unwrap();
        let mut epoch = 0;
        let change = || {
            epoch += 1;
            store
                .update(|record| record.stale_since = Some(Timestamp::now().plus(Duration::from_secs(epoch))))
                .unwrap();
        };
        update.add(many, millis(&times(rounds, change)));
        store.update(|record| record.stale_since = None).unwrap();
        drop(store);
        life.add(many, &site, rounds);
    }
    update.done();
    life.done();
}

fn failed(number: u64) -> Quarantined {
    Quarantined {
        sha256: Sha256::of(&number.to_le_bytes()),
        version: Some(format!("0.1.{number}").parse().unwrap()),
        code: "handoff.exited".to_owned(),
        reason: "it ended with code 3 before it was ready".to_owned(),
        at: Timestamp::now(),
        count: 1,
    }
}

/// The decision of a poll, where every release of the manifest is in quarantine.
fn choices(rounds: usize) {
    let along = "releases in quarantine, none of 512 can be taken";
    let mut chosen = Drawn::new("CPU of the decision of a poll", "ms", along);
    let directory = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(directory.path().join("pub")).unwrap();
    fs::create_dir(directory.path().join("pub")).unwrap();
    publisher.publish("1.0.0", b"a binary").unwrap();
    let many_releases = |manifest: &mut Value| {
        let first = manifest["releases"][0].clone();
        let numbered = |number: u64| {
            let mut release = first.clone();
            release["version"] = Value::from(format!("1.0.{number}"));
            release
        };
        manifest["releases"] = (0..512).map(numbered).collect();
    };
    publisher.forge(many_releases).unwrap();
    let manifest = publisher.read().unwrap();
    for many in [10, 100, 1000, 10_000] {
        let bad = Quarantined { sha256: Sha256::of(b"a binary"), ..failed(0) };
        let record = Record { quarantine: (1..many).map(failed).chain([bad]).collect(), ..Record::default() };
        let expect = publisher.expect();
        let choose = || match trust::choose(&manifest, &record, &Policy::default(), &expect, Timestamp::now()) {
            trust::Choice::Held(refused) => drop(refused),
            other => panic!("{other:?}"),
        };
        chosen.add(many, cpu(rounds, choose));
    }
    chosen.done();
}
