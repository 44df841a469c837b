//! A fleet of real agents, each a supervisor with its worker and its service, on one machine.
//!
//! As a test it is a slice: a handful of hosts and a bucket in this process. `docs/development.md` says how to run it
//! with two hundred on SeaweedFS: `FETCHD_TEST_FLEET_HOSTS` says how many there are, and then every scenario is run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use fetchd::clock::Timestamp;
use fetchd::fleet::cohort::HostId;
use fetchd::fleet::evidence::Place;
use fetchd::fleet::head::{Head, Rollouts};
use fetchd::fleet::plan::{Lease, Phase, Step};
use fetchd::fleet::rollup::Rollup;
use fetchd::fleet::steward::{self, Steward};
use fetchd::fleet::store::{Request, Store as _, What};
use fetchd::trust::KeySet;
use fetchd_stand_ins::s3::{Fault, S3Server, When};
use fetchd_stand_ins::seaweed::Seaweed;
use rustix::process::{Pid, Signal, kill_process};

use crate::field::{Field, Kind, plan};
use crate::site::{Site, Supervised};

/// How long a rollout may take before the test gives up.
const LONGEST: Duration = Duration::from_secs(900);

struct Many<'a> {
    field: &'a Field,
    hosts: Vec<(String, Supervised<'a>)>,
    documents: Rollouts,
    seq: u64,
    /// The most hosts of a group that were seen between start and end at once.
    most_at_once: usize,
    /// The slots of each of the two groups.
    slots: u32,
}

impl<'a> Many<'a> {
    fn start(field: &'a Field, sites: &'a [Site]) -> Many<'a> {
        field.is_of_tier_1();
        let begun = Instant::now();
        let start = |(number, site): (usize, &'a Site)| {
            let name = format!("host-{number}");
            let zone = format!("az={}", if number % 2 == 0 { "a" } else { "b" });
            // Few enough at a time that a busy machine has them up within their deadlines.
            if number % 8 == 7 {
                std::thread::sleep(Duration::from_millis(300));
            }
            let more = ["--fleet-labels", zone.as_str(), "--watch", "2s", "--interval", "3s", "--log-level", "warn"];
            let fetchd = field.run(site, &name, &more);
            (name, fetchd)
        };
        let mut hosts: Vec<_> = sites.iter().enumerate().map(start).collect();
        for (_, fetchd) in &mut hosts {
            fetchd.wait("it serves", |status| status.service.generations.iter().any(|one| one.phase == "serving"));
        }
        eprintln!("{} hosts serve after {:.1} s", hosts.len(), begun.elapsed().as_secs_f64());
        let keys = KeySet::new(vec![field.online.public().clone()], 1).unwrap();
        let documents = Rollouts { keys, names: field.names.clone() };
        let slots = u32::try_from(hosts.len() / 10).unwrap().max(3);
        Many { field, hosts, documents, seq: 0, most_at_once: 0, slots }
    }

    fn len(&self) -> u64 {
        self.hosts.len() as u64
    }

    /// Writes the next state of a rollout: 10, 50 and 100 %, each within seconds.
    fn head(&mut self, rollout: &str, release: &str, edit: impl FnOnce(&mut Head)) -> Head {
        self.seq += 1;
        let mut head = plan(self.seq, release);
        let step = |pct| Step { pct, not_before: None, ramp_s: 3, bake_s: 1, manual: false };
        head.rollout = rollout.to_owned();
        head.t0 = Timestamp::now();
        head.steps = vec![step(10.0), step(50.0), step(100.0)];
        head.rings[0].hosts = self.len();
        head.gate.deadline_s = 60;
        head.poll_s = fetchd::fleet::plan::PollHint { idle: 4, open: 2 };
        head.lease = Some(Lease { group: "{az}".to_owned(), slots: self.slots, hold_on_failure: false });
        edit(&mut head);
        self.field.publish(&head, &self.field.online);
        head
    }

    /// The same rollout in another state.
    fn next(&mut self, before: &Head, edit: impl FnOnce(&mut Head)) -> Head {
        self.seq += 1;
        let mut head = Head { seq: self.seq, nonce: format!("{:032x}", self.seq), ..before.clone() };
        edit(&mut head);
        self.field.publish(&head, &self.field.online);
        head
    }

    /// Counts, as stewards do, until `what` holds of the evidence; every look also sees that no group has too many hosts
    /// between start and end.
    fn until(&mut self, head: &Head, name: &str, mut what: impl FnMut(&Seen) -> bool) -> Seen {
        let begun = Instant::now();
        loop {
            self.count();
            let seen = self.look(head);
            if what(&seen) {
                eprintln!("{name}: {} after {:.1} s", seen.said(), begun.elapsed().as_secs_f64());
                return seen;
            }
            assert!(begun.elapsed() < LONGEST, "never: {name}; {}\n{}", seen.said(), self.lagging(head));
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn count(&self) {
        let mut steward = Steward::once(self.field.names.clone(), HostId::named("the-test"), "once", Timestamp::now());
        loop {
            match steward.next(Timestamp::now()) {
                steward::Step::Ask(request) => {
                    let reply = self.field.store.lock().unwrap().ask(request);
                    steward.replied(reply, Timestamp::now(), &self.documents);
                }
                steward::Step::Sleep { .. } | steward::Step::Done => return,
            }
        }
    }

    fn look(&mut self, head: &Head) -> Seen {
        let mut seen = Seen { halted: false, by_host: BTreeMap::new(), rollup: None };
        for (host, report) in self.field.try_evidence(&head.rollout).unwrap_or_default() {
            seen.by_host.entry(host).or_default().insert(report);
        }
        let latch = head.ack.as_ref().map_or(0, |ack| ack.latches);
        let key = self.field.names.latch(&head.rollout, latch);
        seen.halted = matches!(self.field.ask(Request::Head { key }), What::Unchanged);
        let rollup = Request::Get { key: self.field.names.rollup(&head.rollout), unless: None, limit: 1 << 19 };
        if let What::Object { body, .. } = self.field.ask(rollup) {
            seen.rollup = Rollup::read(&body).ok();
        }
        for group in 0..2 {
            let running = |(number, (name, _)): (usize, &(String, Supervised<'_>))| {
                let reports = seen.by_host.get(&HostId::named(name));
                number % 2 == group && reports.is_some_and(|reports| reports.len() == 1)
            };
            let many = self.hosts.iter().enumerate().filter(|one| running(*one)).count();
            self.most_at_once = self.most_at_once.max(many);
        }
        seen
    }

    /// What the hosts say that have no evidence yet.
    fn lagging(&mut self, head: &Head) -> String {
        let seen = self.look(head);
        let lag = self.hosts.iter().filter(|(name, _)| {
            seen.by_host.get(&HostId::named(name)).is_none_or(|reports| !reports.iter().any(|one| one.contains("-o")))
        });
        let say = |(name, fetchd): &(String, Supervised<'_>)| {
            let says = fetchd.try_status().and_then(|status| status.updates.fleet).map(|fleet| fleet.says);
            format!("{name}: {says:?}\n{}", fetchd.log())
        };
        lag.take(5).map(say).collect()
    }

    fn versions(&self) -> BTreeMap<String, usize> {
        let mut versions = BTreeMap::new();
        for (_, fetchd) in &self.hosts {
            let version = fetchd.try_status().and_then(|status| status.updates.version);
            *versions.entry(version.unwrap_or_else(|| "gone".to_owned())).or_default() += 1;
        }
        versions
    }

    /// Counts for so many seconds.
    fn counted(&mut self, head: &Head, seconds: u64) -> Seen {
        for _ in 0..seconds {
            self.count();
            std::thread::sleep(Duration::from_secs(1));
        }
        self.look(head)
    }

    /// Waits until every host that began has ended, and sees that within some polls nobody else begins.
    fn rest(&mut self, head: &Head, name: &str) -> Seen {
        let before = self.counted(head, 5);
        let after = self.counted(head, 8);
        eprintln!("{name}: {}", after.said());
        assert_eq!(before.by_host.len(), after.by_host.len(), "{name}: somebody began");
        after
    }

    /// Waits until every host that is there runs one of these.
    fn settle(&self, wanted: &[&str]) -> BTreeMap<String, usize> {
        let begun = Instant::now();
        loop {
            let versions = self.versions();
            if versions.keys().all(|version| wanted.contains(&version.as_str())) {
                return versions;
            }
            assert!(begun.elapsed() < LONGEST, "{versions:?}");
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

struct Seen {
    halted: bool,
    by_host: BTreeMap<HostId, BTreeSet<String>>,
    rollup: Option<Rollup>,
}

impl Seen {
    fn with(&self, letter: &str) -> u64 {
        let has = |reports: &&BTreeSet<String>| reports.iter().any(|one| one.contains(letter));
        self.by_host.values().filter(has).count() as u64
    }

    fn passed(&self, step: u8) -> bool {
        let step = self.rollup.as_ref().and_then(|rollup| rollup.step(Place { ring: 0, step }));
        step.is_some_and(|count| count.passed_at.is_some())
    }

    fn said(&self) -> String {
        let (started, ok, bad) = (self.by_host.len(), self.with("-o"), self.with("-b"));
        format!("{started} started, {ok} ok, {bad} bad{}", if self.halted { ", halted" } else { "" })
    }
}

/// A release goes to everybody; one that crashes stops at the first few, wherever it would have gone.
#[test]
fn a_fleet_takes_the_good_release_and_stops_the_bad_one() {
    let asked = std::env::var("FETCHD_TEST_FLEET_HOSTS").ok().map(|count| count.parse().unwrap());
    match asked {
        Some(count) => whole(count),
        None => slice(),
    }
}

/// A few hosts, and a bucket that loses one answer in a hundred.
fn slice() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let sites: Vec<Site> = (0..16).map(|_| field.host()).collect();
    field.release("1.1.0", 1, Kind::Good, &[]);
    field.release("1.2.0", 2, Kind::Crashes, &[]);
    let mut fleet = Many::start(&field, &sites);
    for nth in 1..200 {
        s3.inject(Fault::LostReply, When::any().nth(nth * 100));
    }
    good(&mut fleet, "r-good", "1.1.0");
    s3.clear();
    crashes(&mut fleet, "r-bad", "1.2.0", "1.1.0");
}

/// Every scenario, on a server that others wrote.
fn whole(count: usize) {
    let weed = Seaweed::start().unwrap();
    let field = Field::at(weed.source("fleet"), weed.options());
    let sites: Vec<Site> = (0..count).map(|_| field.host()).collect();
    let mut kinds = vec![Kind::Good, Kind::Crashes, Kind::CrashesIfWeak, Kind::Good, Kind::Good, Kind::KillsSupervisor];
    for (number, kind) in kinds.drain(..).enumerate() {
        let back: &[&str] = if number == 4 { &["1.4.0"] } else { &[] };
        field.release(&format!("1.{}.0", number + 1), number as u64 + 1, kind, back);
    }
    for site in sites.iter().step_by(10) {
        fs::write(site.path().join("srv/weak"), "").unwrap();
    }
    let mut fleet = Many::start(&field, &sites);
    good(&mut fleet, "r-1", "1.1.0");
    crashes(&mut fleet, "r-2", "1.2.0", "1.1.0");
    weak(&mut fleet, "r-3", "1.3.0");
    steered(&mut fleet, "r-4", "1.4.0");
    unavailable(&mut fleet, &weed, "r-5", "1.5.0");
    back(&mut fleet, "r-6", "1.4.0");
    silent(&mut fleet, "r-7", "1.6.0");
    eprintln!("at most {} of a group at once, of {} slots", fleet.most_at_once, fleet.slots);
}

fn good(fleet: &mut Many<'_>, rollout: &str, release: &str) {
    let head = fleet.head(rollout, release, |_| {});
    let all = fleet.len();
    let seen = fleet.until(&head, "a good release", |seen| seen.with("-o") == all || seen.halted);
    assert!(!seen.halted, "{:?}", seen.rollup);
    assert_eq!(fleet.settle(&[release])[release] as u64, all);
    assert!(fleet.most_at_once <= fleet.slots as usize, "{} of a group at once", fleet.most_at_once);
}

fn crashes(fleet: &mut Many<'_>, rollout: &str, release: &str, before: &str) {
    let head = fleet.head(rollout, release, |_| {});
    fleet.until(&head, "a release that crashes everywhere", |seen| seen.halted);
    // Those that were past their gate come to an end; nobody else begins.
    let all = fleet.until(&head, "the end of it", |seen| seen.with("-b") == seen.by_host.len() as u64);
    let hit = all.by_host.len() as u64;
    assert!(hit <= (fleet.len() / 2).max(6), "{hit} of {} hosts had it", fleet.len());
    assert_eq!(fleet.settle(&[before])[before] as u64, fleet.len());
    assert_eq!(fleet.look(&head).by_host.len() as u64, hit, "somebody began after the halt");
}

/// One host in ten cannot run it: that stops the rollout, or its first step never passes.
fn weak(fleet: &mut Many<'_>, rollout: &str, release: &str) {
    let head = fleet.head(rollout, release, |_| {});
    let (mut known, mut since) = (0, Instant::now());
    fleet.until(&head, "a release that fails on one host in ten", |seen| {
        if seen.by_host.len() != known {
            (known, since) = (seen.by_host.len(), Instant::now());
        }
        let ended = seen.with("-b") + seen.with("-o") == known as u64;
        ended && (seen.halted || (seen.with("-b") > 0 && since.elapsed() > Duration::from_secs(20)))
    });
    let seen = fleet.rest(&head, "the end of it");
    assert!(seen.by_host.len() < fleet.hosts.len() / 2, "{}", seen.said());
    fleet.next(&head, |head| head.state = Phase::Aborted);
}

/// Paused, resumed, promoted and aborted on its way.
fn steered(fleet: &mut Many<'_>, rollout: &str, release: &str) {
    let head = fleet.head(rollout, release, |head| head.steps[1].manual = true);
    fleet.until(&head, "the first hosts", |seen| seen.with("-o") >= 1);
    let paused = fleet.next(&head, |head| head.state = Phase::Paused);
    fleet.rest(&paused, "paused");
    let resumed = fleet.next(&paused, |head| head.state = Phase::Running);
    fleet.until(&resumed, "the first step", |seen| seen.passed(0));
    // The second opens only by hand. A host of the first may still be on its way.
    let waits = fleet.counted(&resumed, 8);
    let second = |report: &String| report.contains("k1");
    assert!(!waits.by_host.values().flatten().any(second), "somebody did not wait for the promotion");
    let promoted = fleet.next(&resumed, |head| head.promoted = Some(Place { ring: 0, step: 1 }));
    let half = fleet.len() / 4;
    fleet.until(&promoted, "promoted", |seen| seen.with("-o") >= half);
    let aborted = fleet.next(&promoted, |head| head.state = Phase::Aborted);
    let seen = fleet.rest(&aborted, "aborted");
    assert!(seen.by_host.len() < fleet.hosts.len(), "{}", seen.said());
}

/// The bucket is not there for a minute.
fn unavailable(fleet: &mut Many<'_>, weed: &Seaweed, rollout: &str, release: &str) {
    let head = fleet.head(rollout, release, |_| {});
    let some = fleet.len() / 5;
    fleet.until(&head, "some hosts", |seen| seen.with("-o") >= some);
    let process = Pid::from_raw(weed.process().cast_signed()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    std::thread::sleep(Duration::from_secs(60));
    kill_process(process, Signal::CONT).unwrap();
    let all = fleet.len();
    let seen = fleet.until(&head, "after a minute without a bucket", |seen| seen.with("-o") == all || seen.halted);
    assert!(!seen.halted, "{:?}", seen.rollup);
    fleet.settle(&[release]);
}

/// The way back that the release has signed, no faster than in an emergency: the first step goes, the others wait.
fn back(fleet: &mut Many<'_>, rollout: &str, release: &str) {
    let head = fleet.head(rollout, release, |head| {
        let step = |pct, ramp_s| Step { pct, not_before: None, ramp_s, bake_s: 300, manual: false };
        head.steps = vec![step(10.0, 3), step(50.0, 600), step(100.0, 3600)];
    });
    let first = |name: &String| HostId::named(name).position(&head.salt) < 0.1;
    let many = fleet.hosts.iter().filter(|(name, _)| first(name)).count() as u64;
    fleet.until(&head, "the way back, its first step", |seen| seen.with("-o") == many);
    fleet.next(&head, |head| head.state = Phase::Aborted);
}

/// It takes the whole host with it: nobody says that it is bad.
fn silent(fleet: &mut Many<'_>, rollout: &str, release: &str) {
    let head = fleet.head(rollout, release, |head| head.gate.deadline_s = 20);
    let seen = fleet.until(&head, "a release that silences its hosts", |seen| seen.halted);
    assert!(seen.by_host.len() < fleet.hosts.len() / 2, "{}", seen.said());
    fleet.rest(&head, "after the halt");
}
