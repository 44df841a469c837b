//! A fleet in virtual time: the machines of real hosts and stewards, and one bucket between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use semver::Version;

use super::being::{self, Being, Busy, Ending, Fate, Line, NEVER, Nature, ZONES};
use super::case::{Case, Polls};
use super::cost;
use super::documents::Remembered;
use super::script::{self, NEW};
use super::stewards::Stewards;
use super::tally::{Requests, Tally};
use super::watch::{Heard, Watch};
use crate::clock::Timestamp;
use crate::fleet::head::Head;
use crate::fleet::host::{Host, Learned, Me, Memory, Running, Step, Switched};
use crate::fleet::rule;
use crate::fleet::store::{Request, What};

/// The number of an event that is no host's.
const STEWARDS: u32 = u32::MAX;
const PUBLISH: u32 = u32::MAX - 1;
const STORM: u32 = u32::MAX - 2;

/// How many steps a machine may take at one moment before it is taken for one that spins.
const MOST_STEPS: u32 = 200;

/// How long after a halt everything is still looked at, in seconds.
const AFTERMATH: u64 = 3600;

pub(super) struct World<'a> {
    pub(super) case: &'a Case,
    nature: Nature<'a>,
    pub(super) head: Head,
    documents: Remembered,
    pub(super) tally: Tally,
    pub(super) watch: Watch,
    stewards: Stewards,
    queue: BinaryHeap<Reverse<(u64, u32)>>,
    beings: Vec<Option<Box<Being>>>,
    pub(super) lines: Vec<Line>,
    /// Hosts that are not on yet: when they come, the last first.
    arrivals: Vec<(u64, u32)>,
    /// Which head is in the bucket.
    current: u8,
    /// Hosts that have not come to an end.
    open: u32,
    /// Who switches with which slot.
    slots: HashMap<String, u32>,
    pub(super) overcommitted: u64,
    /// Machines that did not come to rest.
    pub(super) spun: u64,
    pub(super) now: u64,
    horizon: u64,
    restarted: u64,
}

impl<'a> World<'a> {
    pub(super) fn new(case: &'a Case, seed: u64) -> World<'a> {
        let names = script::names();
        let head = script::head(case, seed);
        let published = script::T0.0 - case.notice_s();
        let start = published - case.poll_s - cost::IDLE;
        let nature = Nature { case, seed };
        let longer = if case.offline > 0.0 { 2 } else { 1 };
        let dead = case.stewards.dead_s.map_or(0, |_| 3600);
        let horizon = script::T0.0 + longer * case.length_s() + dead + 8 * 3600;
        let tally = Tally::new(case, names.clone(), Timestamp(start), seed);
        tally.store().set(&names.head(), script::file(&script::old(case, seed)));
        let mut world = World {
            case,
            nature,
            documents: Remembered::default(),
            watch: Watch::new(&head),
            stewards: Stewards::new(case, &names, seed),
            head,
            tally,
            queue: BinaryHeap::new(),
            beings: (0..case.hosts).map(|_| None).collect(),
            lines: vec![Line::default(); case.hosts as usize],
            arrivals: Vec::new(),
            current: 0,
            open: case.hosts,
            slots: HashMap::new(),
            overcommitted: 0,
            spun: 0,
            now: start,
            horizon,
            restarted: 0,
        };
        world.arrivals = (0..case.hosts).map(|number| (world.arrival(number, start), number)).collect();
        world.arrivals.sort_unstable_by(|one, two| two.cmp(one));
        world.queue.push(Reverse((published, PUBLISH)));
        world.queue.push(Reverse((start, STEWARDS)));
        if let Some(storm) = case.storm_s {
            world.queue.push(Reverse((script::T0.0 + storm, STORM)));
        }
        world
    }

    /// When a host is switched on: before everything, when it comes back, or (where polls do not matter) before its turn.
    fn arrival(&self, number: u32, start: u64) -> u64 {
        let on = self.nature.comes_back(number).map_or(start, |after| script::T0.0 + after);
        if self.case.polls != Polls::Skip {
            return on;
        }
        let labels = BTreeMap::new();
        let Some(turn) = rule::turn(&self.head, self.nature.id(number), None, &labels) else { return NEVER };
        let floor = rule::floor(&self.head, 0, usize::from(turn.place.step)).0;
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds"
        )]
        let within = (turn.within * self.head.steps_of(0)[usize::from(turn.place.step)].ramp_s as f64) as u64;
        // The first poll comes within an interval, the download within an hour before its turn.
        on.max((floor + within).saturating_sub(3600 + 2 * self.case.poll_s + 60).max(start))
    }

    /// Runs it to its end: everybody is done, it has stopped and nobody is busy, or time is over.
    pub(super) fn run(&mut self) {
        while self.open > 0 {
            let next = self.queue.peek().map_or(NEVER, |Reverse((at, _))| *at);
            let arrival = self.arrivals.last().map_or(NEVER, |(at, _)| *at);
            let at = next.min(arrival);
            if at > self.horizon || self.is_over(at) {
                break;
            }
            self.now = self.now.max(at);
            if arrival <= next {
                if let Some((_, number)) = self.arrivals.pop() {
                    self.switch_on(number, Memory::default(), 0);
                }
                continue;
            }
            let Some(Reverse((at, who))) = self.queue.pop() else { break };
            match who {
                STEWARDS => {
                    let next = self.stewards.run(at, &mut self.tally, &self.documents);
                    self.watch.look(at);
                    self.queue.push(Reverse((next, STEWARDS)));
                }
                PUBLISH => {
                    self.tally.store().set_time(Timestamp(at));
                    self.tally.store().set(&self.tally.names().head(), script::file(&self.head));
                    self.current = 1;
                    // What is counted begins here.
                    self.tally.requests = Requests::default();
                }
                STORM => self.restart_all(),
                number if self.is_due(number, at) => self.look(number),
                _ => {}
            }
        }
    }

    /// Whether it has stopped for long, and every host that started has come to its end or is not going to.
    fn is_over(&self, at: u64) -> bool {
        let Some(halted) = self.tally.halted else { return false };
        at > halted.0 + AFTERMATH
    }

    fn is_due(&self, number: u32, at: u64) -> bool {
        self.beings[number as usize].as_ref().is_some_and(|being| being.due == at)
    }

    fn switch_on(&mut self, number: u32, memory: Memory, boots: u16) {
        let ahead = self.nature.clock(number);
        let local = Timestamp(self.now.saturating_add_signed(ahead));
        let mut me = Me::new(self.nature.id(number), script::names());
        me.boot = if boots == 0 { String::new() } else { boots.to_string() };
        me.inventory_s = 0;
        me.poll_s = self.case.poll_s;
        me.max_switch_s = 3600;
        if self.case.slots.is_some() {
            me.labels.insert("az".to_owned(), format!("zone-{}", number % ZONES));
        }
        let runs = self.lines[number as usize].fate == Fate::Well;
        let being = Being {
            host: Host::new(me, memory, local),
            ahead,
            busy: Busy::No,
            wakes: self.now,
            fails_at: NEVER,
            due: self.now,
            knows: u8::MAX,
            runs,
            boots,
        };
        self.beings[number as usize] = Some(Box::new(being));
        self.look(number);
    }

    /// Every host restarts within a minute: what was being switched is interrupted.
    fn restart_all(&mut self) {
        for number in 0..self.case.hosts {
            let Some(being) = self.beings[number as usize].take() else { continue };
            let memory = being.host.memory().clone();
            let at = self.now;
            self.restarted += 1;
            self.free_slot(number);
            let fails_at = being.fails_at;
            self.now = at + super::dice::Dice::of(self.nature.seed, 9, u64::from(number)).below(60);
            self.switch_on(number, memory, being.boots + 1);
            if let Some(being) = &mut self.beings[number as usize] {
                being.fails_at = fails_at;
            }
            self.now = at;
        }
    }

    /// Lets a host do everything that it has to do now.
    fn look(&mut self, number: u32) {
        let Some(mut being) = self.beings[number as usize].take() else { return };
        if self.drive(number, &mut being) {
            being.due = being.next_due();
            if being.due <= self.horizon {
                self.queue.push(Reverse((being.due, number)));
                self.beings[number as usize] = Some(being);
            }
        }
    }

    /// `false`: it is never heard of again, or has nothing more to do.
    fn drive(&mut self, number: u32, being: &mut Being) -> bool {
        let now = self.now;
        if being.fails_at <= now {
            being.fails_at = NEVER;
            being.runs = false;
            being.host.failed_later(being::bad());
            self.ended(number, Fate::Bad);
        }
        match being.busy {
            Busy::Fetching(until) if until <= now => {
                being.busy = Busy::No;
                being.host.prefetched(Ok(()));
            }
            Busy::Switching(until, ending) if until <= now => {
                being.busy = Busy::No;
                self.free_slot(number);
                let (how, fate) = match ending {
                    Ending::Well => (Switched::Well, Fate::Well),
                    Ending::Bad => (Switched::RolledBack(being::bad()), Fate::Bad),
                    Ending::Silence => return false,
                };
                being.runs = ending == Ending::Well;
                self.ended(number, fate);
                being.host.switched(how);
            }
            Busy::No => {}
            Busy::Fetching(_) | Busy::Switching(..) => return true,
        }
        self.steps(number, being)
    }

    fn steps(&mut self, number: u32, being: &mut Being) -> bool {
        let local = being.local(self.now);
        for _ in 0..MOST_STEPS {
            match being.host.next(local, &self.documents) {
                Step::Ask(request) => {
                    let polls = matches!(&request, Request::Get { key, .. } if key.starts_with("head/"));
                    let heard = Heard::of(&request);
                    let reply = self.tally.ask(request, Timestamp(self.now));
                    if let Some(heard) = heard.filter(|_| matches!(reply.what, What::Written(_))) {
                        self.watch.hears(heard, Timestamp(self.now));
                    }
                    if polls && reply.date.is_some() {
                        being.knows = self.current;
                    }
                    being.host.replied(reply, local, &self.documents);
                }
                Step::Sleep { until } => {
                    being.wakes = being.global(until).max(self.now + 1);
                    return self.rest(being);
                }
                Step::Learn { release } => {
                    self.tally.read_release(Timestamp(self.now), 0);
                    being.host.learned(Ok(learned(self.case, &release, being.runs)));
                }
                Step::Prefetch { .. } => {
                    self.tally.read_release(Timestamp(self.now), self.case.artifact);
                    being.busy = Busy::Fetching(self.now + self.nature.download(number));
                    return true;
                }
                Step::Switch { .. } => {
                    self.begin(number, being);
                    return true;
                }
            }
        }
        self.spun += 1;
        being.wakes = self.now + 60;
        true
    }

    /// Polls that find nothing new are answered here, one after the other, up to the next moment at which something else
    /// can happen to this host; `false`: there is none.
    fn rest(&mut self, being: &mut Being) -> bool {
        if self.case.needs_every_poll() || being.knows != self.current {
            return true;
        }
        let disturbed = self.disturbed().min(being.fails_at);
        if self.case.polls == Polls::Skip && being.runs && disturbed == NEVER {
            return false;
        }
        while being.wakes < disturbed && being.wakes <= self.horizon {
            let local = being.local(being.wakes);
            if !being.host.polled_unchanged(local, Timestamp(being.wakes), &self.documents) {
                break;
            }
            self.tally.count_poll(Timestamp(being.wakes));
            match being.host.next(local, &self.documents) {
                Step::Sleep { until } => being.wakes = being.global(until).max(being.wakes + 1),
                // It goes on from there in its turn.
                _ => break,
            }
        }
        true
    }

    /// When something comes from outside that no host foresees.
    fn disturbed(&self) -> u64 {
        let storm = self.case.storm_s.map(|storm| script::T0.0 + storm).filter(|storm| *storm > self.now);
        let publish = (self.current == 0).then_some(script::T0.0 - self.case.notice_s());
        storm.unwrap_or(NEVER).min(publish.unwrap_or(NEVER))
    }

    fn begin(&mut self, number: u32, being: &mut Being) {
        let switch = self.nature.switch(number, being.boots);
        if let Some(slot) = being.host.shown().slot
            && let Some(other) = self.slots.insert(slot, number)
            && other != number
        {
            self.overcommitted += 1;
        }
        being.busy = Busy::Switching(self.now + switch.takes_s, switch.ending);
        if let Some(after) = switch.fails_after_s {
            being.fails_at = self.now + after;
        }
        let after = self.after();
        let line = &mut self.lines[number as usize];
        if line.fate == Fate::Old {
            line.started = after;
            line.place = being.host.shown().place;
        }
        line.fate = Fate::Switches;
        if switch.ending == Ending::Silence {
            self.ended(number, Fate::Silent);
        }
    }

    fn free_slot(&mut self, number: u32) {
        self.slots.retain(|_, holder| *holder != number);
    }

    fn ended(&mut self, number: u32, fate: Fate) {
        let after = self.after();
        let line = &mut self.lines[number as usize];
        if line.fate == Fate::Switches {
            self.open -= 1;
        }
        line.fate = fate;
        line.ended = after;
    }

    /// Seconds since the rollout began, at least 1.
    fn after(&self) -> u32 {
        u32::try_from(self.now.saturating_sub(script::T0.0)).unwrap_or(u32::MAX).max(1)
    }
}

/// What the manifest of a release says to a host.
fn learned(case: &Case, release: &str, runs_new: bool) -> Learned {
    let new = release == NEW;
    let version = |new: bool| if new { Version::new(1, 1, 0) } else { Version::new(1, 0, 0) };
    let running = Running { release: None, version: version(runs_new), rollback_to: Vec::new() };
    Learned {
        version: version(new),
        bounds: Some(case.bounds()),
        runs: new == runs_new,
        from_ok: true,
        running: Some(running),
    }
}
