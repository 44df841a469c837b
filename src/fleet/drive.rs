//! Hosts and stewards over a bucket in memory, in virtual time: what the tests of both machines drive.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use semver::Version;

use super::evidence::{Code, Place};
use super::head::{Head, OpenHead, split};
use super::host::{self, Documents, Host, Learned, Me, Memory, Running, Switched};
use super::lease::nonce;
use super::names::Names;
use super::rollup::Rollup;
use super::sample::T0;
use super::steward::{self, Steward};
use super::store::memory::MemoryStore;
use super::store::{Reply, Request, Store as _};
use super::{HostId, rule};
use crate::clock::Timestamp;
use crate::failure::Exit;
use crate::trust::Refused;
use crate::trust::manifest::Bounds;

/// Opens every head that is signed `good`.
#[derive(Debug)]
pub(crate) struct Desk;

impl OpenHead for Desk {
    fn open(&self, file: &[u8]) -> Result<Arc<Head>, Refused> {
        let (payload, signatures) = split(file)?;
        if signatures != ["good"] {
            return Err(Refused::new("signature.unknown_key", Exit::Trust, "nobody knows this key"));
        }
        HEADS.with_borrow_mut(|known| remember(known, file, || Head::read(&payload)))
    }
}

impl Documents for Desk {
    fn rollup(&self, file: &[u8]) -> Result<Arc<Rollup>, Refused> {
        ROLLUPS.with_borrow_mut(|known| remember(known, file, || Rollup::read(file)))
    }
}

type Read<T> = (Vec<u8>, Arc<T>);

thread_local! {
    static HEADS: RefCell<Option<Read<Head>>> = const { RefCell::new(None) };
    static ROLLUPS: RefCell<Option<Read<Rollup>>> = const { RefCell::new(None) };
}

/// What was read last: a hundred hosts read the same.
fn remember<T>(
    known: &mut Option<Read<T>>,
    file: &[u8],
    read: impl FnOnce() -> Result<T, Refused>,
) -> Result<Arc<T>, Refused> {
    if let Some((_, known)) = known.as_ref().filter(|(bytes, _)| bytes == file) {
        return Ok(known.clone());
    }
    let new = Arc::new(read()?);
    *known = Some((file.to_vec(), new.clone()));
    Ok(new)
}

pub(crate) fn names() -> Names {
    Names::new("fleet", "app", "stable").unwrap()
}

pub(crate) fn sign(head: &Head, by: &str) -> Vec<u8> {
    Head::to_file(&head.payload().unwrap(), &[by.to_owned()]).unwrap()
}

/// What the offline keys allow: the sample's plan, and nothing much faster.
pub(crate) fn bounds() -> Bounds {
    Bounds {
        min_steps: 3,
        max_first_pct: 1.0,
        min_total_s: 4 * 3600,
        min_bake_s: 1800,
        emergency_ok: false,
        rollback_to: vec![Version::new(1, 0, 0)],
    }
}

/// A machine: what its driver knows, and what is on its disk.
pub(crate) struct Machine {
    pub(crate) host: Host,
    pub(crate) me: Me,
    pub(crate) skew: i64,
    pub(crate) runs: (String, Version),
    /// Ends then, by the real time.
    pub(crate) switching: Option<(u64, String, u16)>,
    pub(crate) wakes: u64,
    disk: Memory,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) host: usize,
    pub(crate) at: u64,
    pub(crate) release: String,
    pub(crate) attempt: u16,
    pub(crate) place: Option<Place>,
}

type Ending = Box<dyn Fn(usize, &str) -> Switched>;

/// The world.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) head: Head,
    pub(crate) now: u64,
    pub(crate) machines: Vec<Machine>,
    pub(crate) stewards: Vec<(Steward, u64)>,
    pub(crate) releases: BTreeMap<String, (Version, Option<Bounds>)>,
    pub(crate) started: Vec<Started>,
    pub(crate) ending: Ending,
    /// How long a switch takes, its watch included.
    pub(crate) takes: u64,
    /// The most hosts that were switching at the same time, by group.
    pub(crate) peak: usize,
    queue: BinaryHeap<Reverse<(u64, usize)>>,
}

/// A steward's place in the queue.
const STEWARD: usize = 1 << 40;

impl World {
    /// So many hosts that run 1.0.0 at the beginning of the sample rollout, and so many stewards.
    pub(crate) fn new(hosts: usize, stewards: usize) -> World {
        let mut head = super::sample::head();
        head.rings[0].hosts = hosts as u64;
        let store = MemoryStore::new(names(), T0);
        let releases = [("1.0.0", 0), ("1.1.0+abc", 1), ("1.2.0+def", 2)]
            .map(|(name, minor)| (name.to_owned(), (Version::new(1, minor, 0), Some(bounds()))))
            .into();
        let mut world = World {
            store,
            head,
            now: T0.0,
            machines: Vec::new(),
            stewards: Vec::new(),
            releases,
            started: Vec::new(),
            ending: Box::new(|_, _| Switched::Well),
            takes: 300,
            peak: 0,
            queue: BinaryHeap::new(),
        };
        for number in 0..hosts {
            let me = Me { inventory_s: 0, ..Me::new(HostId::named(&format!("h{number}")), names()) };
            world.add(me, 0);
        }
        for number in 0..stewards {
            let id = HostId::named(&format!("steward-{number}"));
            world.stewards.push((Steward::new(names(), id, "boot", T0), T0.0));
            world.queue.push(Reverse((T0.0, STEWARD + number)));
        }
        world.publish();
        world
    }

    pub(crate) fn add(&mut self, me: Me, skew: i64) {
        let local = Timestamp(self.now.saturating_add_signed(skew));
        let host = Host::new(me.clone(), Memory::default(), local);
        let runs = ("1.0.0".to_owned(), Version::new(1, 0, 0));
        self.queue.push(Reverse((self.now, self.machines.len())));
        let disk = Memory::default();
        self.machines.push(Machine { host, me, skew, runs, switching: None, wakes: self.now, disk });
    }

    /// Signs the head anew and puts it into the bucket.
    pub(crate) fn publish(&mut self) {
        self.head.nonce = nonce(&["head", &self.head.seq.to_string(), &self.now.to_string()]);
        self.store.set(&names().head(), sign(&self.head, "good"));
    }

    /// Changes the head and publishes the next state.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Head)) {
        self.head.seq += 1;
        change(&mut self.head);
        self.publish();
    }

    pub(crate) fn hours(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let hours = (self.now - T0.0) as f64 / 3600.0;
        hours
    }

    /// Goes on until `hours` after the beginning.
    pub(crate) fn run(&mut self, hours: f64) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let until = T0.0 + (hours * 3600.0) as u64;
        while let Some(Reverse((at, who))) = self.queue.pop() {
            if at > until {
                self.queue.push(Reverse((at, who)));
                break;
            }
            self.now = self.now.max(at);
            self.store.set_time(Timestamp(self.now));
            let next = if who >= STEWARD { self.steward(who - STEWARD) } else { self.machine(who, at) };
            if let Some(next) = next {
                self.queue.push(Reverse((next.max(self.now + 1), who)));
            }
        }
        self.now = self.now.max(until);
        self.store.set_time(Timestamp(self.now));
    }

    /// The process of a steward is gone.
    pub(crate) fn stop_steward(&mut self, number: usize) {
        self.queue.retain(|Reverse((_, who))| *who != STEWARD + number);
    }

    fn steward(&mut self, number: usize) -> Option<u64> {
        let now = Timestamp(self.now);
        let (steward, _) = self.stewards.get_mut(number)?;
        loop {
            match steward.next(now) {
                steward::Step::Ask(request) => {
                    let reply = self.store.ask(request);
                    steward.replied(reply, now, &Desk);
                }
                steward::Step::Sleep { until } => return Some(until.0),
                steward::Step::Done => return None,
            }
        }
    }

    fn machine(&mut self, number: usize, at: u64) -> Option<u64> {
        let machine = &mut self.machines[number];
        if at < machine.wakes {
            return None;
        }
        if let Some((ends, release, _)) = machine.switching.clone() {
            if self.now < ends {
                machine.wakes = ends;
                return Some(ends);
            }
            let how = (self.ending)(number, &release);
            if how == Switched::Well {
                machine.runs = (release.clone(), self.releases[&release].0.clone());
            }
            machine.switching = None;
            machine.host.switched(how);
        }
        let local = Timestamp(self.now.saturating_add_signed(machine.skew));
        for _ in 0..10_000 {
            let step = machine.host.next(local, &Desk);
            if machine.host.changed() {
                machine.disk = machine.host.memory().clone();
            }
            match step {
                host::Step::Ask(request) => {
                    let reply = self.store.ask(request);
                    machine.host.replied(reply, local, &Desk);
                }
                host::Step::Sleep { until } => {
                    machine.wakes = until.0.saturating_add_signed(-machine.skew).max(self.now + 1);
                    return Some(machine.wakes);
                }
                host::Step::Learn { release } => {
                    let learned = learned(&self.releases, &machine.runs, &release);
                    machine.host.learned(learned);
                }
                host::Step::Prefetch { .. } => machine.host.prefetched(Ok(())),
                host::Step::Switch { release, attempt } => {
                    assert!(machine.disk.begun.is_some(), "what is about to happen is on the disk");
                    machine.switching = Some((self.now + self.takes, release.clone(), attempt));
                    machine.wakes = self.now + self.takes;
                    let place = machine.host.shown().place;
                    self.started.push(Started { host: number, at: self.now, release, attempt, place });
                    let switching = self.machines.iter().filter(|machine| machine.switching.is_some()).count();
                    self.peak = self.peak.max(switching);
                    return Some(self.now + self.takes);
                }
            }
        }
        panic!("host {number} does not come to rest");
    }

    /// The supervisor of a host is killed and comes back with what is on its disk.
    pub(crate) fn restart(&mut self, number: usize) {
        let machine = &mut self.machines[number];
        let kept = serde_json::to_vec(&machine.disk).unwrap();
        let memory: Memory = serde_json::from_slice(&kept).unwrap();
        let local = Timestamp(self.now.saturating_add_signed(machine.skew));
        machine.me.boot = nonce(&["boot", &number.to_string(), &self.now.to_string()]);
        machine.host = Host::new(machine.me.clone(), memory, local);
        machine.switching = None;
        machine.wakes = self.now;
        self.queue.push(Reverse((self.now, number)));
    }

    /// Somebody on the host asks it to poll now.
    pub(crate) fn poke(&mut self, number: usize) {
        self.machines[number].host.poll_now();
        self.machines[number].wakes = self.now;
        self.queue.push(Reverse((self.now, number)));
    }

    pub(crate) fn ask(&mut self, request: Request) -> Reply {
        self.store.ask(request)
    }

    /// How many hosts run a release.
    pub(crate) fn run_it(&self, release: &str) -> usize {
        self.machines.iter().filter(|machine| machine.runs.0 == release).count()
    }

    pub(crate) fn rollup(&self) -> Option<Rollup> {
        Rollup::read(&self.store.peek(&names().rollup(&self.head.rollout))?).ok()
    }

    pub(crate) fn latched(&self) -> bool {
        let acknowledged = self.head.ack.as_ref().map_or(0, |ack| ack.latches);
        self.store.peek(&names().latch(&self.head.rollout, acknowledged)).is_some()
    }

    /// Hosts in the order of their positions.
    pub(crate) fn by_position(&self) -> Vec<usize> {
        let mut hosts: Vec<usize> = (0..self.machines.len()).collect();
        hosts.sort_by(|one, two| {
            let position = |host: &usize| self.machines[*host].me.id.position(&self.head.salt);
            position(one).total_cmp(&position(two))
        });
        hosts
    }

    /// Everything that was started was due by the signed schedule.
    pub(crate) fn assert_schedule(&self) {
        for started in &self.started {
            let me = &self.machines[started.host].me;
            let turn = rule::turn(&self.head, me.id, me.name.as_deref(), &me.labels).unwrap();
            let floor = rule::floor(&self.head, usize::from(turn.place.ring), usize::from(turn.place.step));
            assert!(started.at >= floor.0, "{started:?} before {floor}");
        }
    }
}

pub(crate) fn learned(
    releases: &BTreeMap<String, (Version, Option<Bounds>)>,
    runs: &(String, Version),
    release: &str,
) -> Result<Learned, Code> {
    let (version, bounds) = releases.get(release).cloned().ok_or_else(|| Code::new("manifest.absent"))?;
    let rollback_to =
        releases.get(&runs.0).and_then(|(_, bounds)| bounds.clone()).unwrap_or(self::bounds()).rollback_to;
    let running = Some(Running { release: Some(runs.0.clone()), version: runs.1.clone(), rollback_to });
    Ok(Learned { runs: runs.0 == release, version, bounds, from_ok: true, running })
}
