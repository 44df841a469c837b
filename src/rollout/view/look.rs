//! Looks at a bucket, and at the second look asks only for what can have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::body::{self, Body, Lease};
use super::steps::{self, Seen};
use super::{Basis, Cost, Failing, Halted, Leases, SCHEMA, Standing, View, Word, next};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::{Exit, Reported};
use crate::fleet::evidence::{Report, State};
use crate::fleet::head::{self, Head, OpenHead};
use crate::fleet::names::{Names, is_group};
use crate::fleet::plan::Phase;
use crate::fleet::rollup::{self, Bad, Rollup};
use crate::fleet::rule::{self, Halt};
use crate::fleet::store::{Request, Store, Tag, What};
use crate::fleet::{Clock, HostId};
use crate::rollout::RolloutError;

/// Figures older than that let nothing start, in seconds.
const STALE_S: u64 = 600;

/// Of so many failing hosts the evidence is read; of the others only what the roll-up says is known.
const READ: usize = 20;

/// So many tries back the evidence of a failing host is looked for.
const TRIES: u16 = 3;

/// The most leases that are read.
const MOST_LEASES: usize = 64;

/// So many pages of the inventory are counted, of 1000 hosts each.
const MOST_PAGES: usize = 20;

/// How long a count of the inventory is good enough, in seconds.
const COUNT_FOR_S: u64 = 600;

/// The largest latch that is read, in bytes.
const LATCH: u64 = 64 * 1024;

/// Looks at one rollout again and again.
#[derive(Debug)]
pub struct Looker {
    names: Names,
    /// The head as it was last, and its tag.
    head: Option<(Tag, Arc<Head>)>,
    rollup: Option<(String, Tag, Rollup)>,
    /// What failing hosts wrote, by host and time: it never changes.
    told: BTreeMap<String, (Body, Option<u16>)>,
    inventory: Option<(Timestamp, u64, bool)>,
}

/// One look: the store, what time it is, and what is worth a note.
#[derive(Debug)]
struct Look<'a> {
    store: &'a mut dyn Store,
    clock: Clock,
    notes: Vec<String>,
}

impl Looker {
    /// One that has seen nothing yet.
    pub fn new(names: Names) -> Looker {
        Looker { names, head: None, rollup: None, told: BTreeMap::new(), inventory: None }
    }

    /// Looks. `now` is the time of this machine; the view has the store's, where the store tells.
    ///
    /// Fails with `fleet.no_rollout` if there is no head, as [`Head::open`] does if it is not one, with `head.rollback` if
    /// an older one has been put back, and with the code of the store if it does not answer for the head, the roll-up or the
    /// latch. What else cannot be read is missing in the view, and a note says so.
    pub fn look(&mut self, store: &mut dyn Store, keys: &dyn OpenHead, now: Timestamp) -> Result<View, Reported> {
        let mut look = Look { store, clock: Clock::local(now), notes: Vec::new() };
        let head = self.head(&mut look, keys)?;
        let rollup = self.rollup(&mut look, &head)?;
        let at = look.clock.store();
        let latch = self.latch(&mut look, &head)?;
        let empty = {
            let steps: Vec<usize> = (0..head.rings.len()).map(|ring| head.steps_of(ring).len()).collect();
            Rollup::empty(&head.rollout, head.attempt, String::new(), head.t0, &steps)
        };
        let seen = Seen { head: &head, rollup: rollup.as_ref().unwrap_or(&empty), now: at };
        let inventory = self.count(&mut look);
        let mut rings = seen.rings();
        let (leases, stewards) = self.leases(&mut look, &head);
        let rule = rule::halts(&head, seen.rollup);
        let as_of = rollup.as_ref().map(|rollup| rollup.as_of);
        let age_s = as_of.map(|as_of| at.since(as_of).as_secs());
        let open = |word: Word| matches!(word, Word::Filling | Word::Baking | Word::Waiting);
        let steps_open = rings.iter().flat_map(|ring| &ring.steps).any(|step| open(step.state));
        let stale = at.since(as_of.unwrap_or(head.t0)).as_secs() > STALE_S;
        let state = match head.state {
            Phase::Aborted => Standing::Aborted,
            Phase::Done => Standing::Done,
            Phase::Halted => Standing::Halted,
            Phase::Running | Phase::Paused if latch.is_some() => Standing::Halted,
            Phase::Paused => Standing::Paused,
            Phase::Running if rule.is_some() => Standing::Halted,
            Phase::Running if look.clock.later() > head.valid_until => Standing::Expired,
            Phase::Running if stale && steps_open => Standing::Held,
            Phase::Running => Standing::Running,
        };
        if !matches!(state, Standing::Running | Standing::Done) {
            let steps = rings.iter_mut().flat_map(|ring| &mut ring.steps);
            for step in steps.filter(|step| matches!(step.state, Word::Opens | Word::Filling)) {
                step.state = Word::Stopped;
            }
        }
        let halt = (state == Standing::Halted).then(|| latch.unwrap_or_else(|| without_latch(rule)));
        let failing = self.failing(&mut look, &head, seen.rollup);
        let hosts = seen.hosts(inventory);
        let failed = seen.rollup.total().failed();
        let asked = hosts.inventory.unwrap_or_default().max(hosts.planned);
        note(&mut look, &head, seen.rollup);
        Ok(View {
            schema: SCHEMA,
            at,
            product: head.product.clone(),
            channel: head.channel.clone(),
            release: head.release.clone(),
            base: head.base.clone(),
            rollout: head.rollout.clone(),
            seq: head.seq,
            attempt: head.attempt,
            state,
            t0: head.t0,
            valid_until: head.valid_until,
            halt,
            next: next::next(seen, state, &rings),
            hosts,
            failing_more: failed.saturating_sub(failing.len() as u64),
            failing,
            leases,
            rollup: Basis { as_of, age_s, stale, stewards, clones: seen.rollup.clones },
            notes: look.notes,
            cost: Cost::of(asked, head.poll_s.idle, head.poll_s.open),
            rings,
        })
    }

    fn head(&mut self, look: &mut Look<'_>, keys: &dyn OpenHead) -> Result<Arc<Head>, Reported> {
        let key = self.names.head();
        let unless = self.head.as_ref().map(|(tag, _)| tag.clone());
        let (body, tag) = match (look.get(&key, unless, head::MAX_FILE as u64)?, &self.head) {
            (What::Object { body, tag }, _) => (body, tag),
            (What::Unchanged, Some((_, head))) => return Ok(Arc::clone(head)),
            _ => return Err(RolloutError::NoRollout { key }.into()),
        };
        let head = keys.open(&body).map_err(|refused| Reported::of(&refused))?;
        if let Some((_, before)) = &self.head
            && before.seq > head.seq
        {
            return Err(put_back(before.seq, head.seq));
        }
        if self.head.as_ref().is_none_or(|(_, before)| before.rollout != head.rollout) {
            self.told.clear();
        }
        self.head = Some((tag, Arc::clone(&head)));
        Ok(head)
    }

    fn rollup(&mut self, look: &mut Look<'_>, head: &Head) -> Result<Option<Rollup>, Reported> {
        let key = self.names.rollup(&head.rollout);
        let kept = self.rollup.take().filter(|(of, _, _)| *of == key);
        let unless = kept.as_ref().map(|(_, tag, _)| tag.clone());
        let (body, tag) = match look.get(&key, unless, rollup::MAX_FILE as u64)? {
            What::Object { body, tag } => (body, tag),
            What::Unchanged => {
                self.rollup = kept;
                return Ok(self.rollup.as_ref().map(|(_, _, rollup)| rollup.clone()));
            }
            _ => return Ok(None),
        };
        match Rollup::read(&body) {
            Ok(rollup) if rollup.rollout == head.rollout => {
                self.rollup = Some((key, tag, rollup.clone()));
                Ok(Some(rollup))
            }
            Ok(_) => {
                look.notes.push("The roll-up is one of another rollout, and is not counted.".to_owned());
                Ok(None)
            }
            Err(refused) => {
                look.notes.push(format!("The roll-up is not counted: {refused}."));
                Ok(None)
            }
        }
    }

    fn latch(&self, look: &mut Look<'_>, head: &Head) -> Result<Option<Halted>, Reported> {
        let acknowledged = head.ack.as_ref().map_or(0, |ack| ack.latches);
        let key = self.names.latch(&head.rollout, acknowledged);
        let What::Object { body, .. } = look.get(&key, None, LATCH)? else { return Ok(None) };
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let rule: Option<Halt> = ["why", "halt", "rule"]
            .iter()
            .filter_map(|name| value.get(name))
            .chain([&value])
            .find_map(|value| serde_json::from_value(value.clone()).ok());
        let text = |names: &[&str]| names.iter().find_map(|name| value.get(name)?.as_str().map(str::to_owned));
        let at = text(&["at", "as_of"]).and_then(|at| at.parse().ok());
        Ok(Some(Halted {
            sha256: Some(Sha256::of(&body).to_string()),
            at,
            by: text(&["by", "who", "host"]),
            rule,
            text: next::halted(rule),
            latch: Some(key),
        }))
    }

    /// How many hosts say in the inventory that they exist, and whether there may be more.
    fn count(&mut self, look: &mut Look<'_>) -> Option<(u64, bool)> {
        let now = look.clock.local;
        if self.inventory.is_none_or(|(at, _, _)| now.since(at).as_secs() >= COUNT_FOR_S) {
            // Each host once: it may have reported to another shard before.
            let (mut hosts, mut after) = (BTreeSet::new(), None);
            for _ in 0..MOST_PAGES {
                match look.list(self.names.inventories(), after.take()) {
                    Some((keys, next)) => {
                        hosts.extend(keys.iter().filter_map(|key| listed(key)));
                        after = next;
                    }
                    None => {
                        look.notes.push("The inventory could not be counted.".to_owned());
                        return None;
                    }
                }
                if after.is_none() {
                    break;
                }
            }
            self.inventory = Some((now, hosts.len() as u64, after.is_some()));
        }
        self.inventory.filter(|(_, hosts, _)| *hosts > 0).map(|(_, hosts, more)| (hosts, more))
    }

    /// The leases that are held, by group; and how many stewards there are.
    fn leases(&self, look: &mut Look<'_>, head: &Head) -> (Vec<Leases>, Option<u64>) {
        let prefix = self.names.leases();
        let Some((keys, _)) = look.list(prefix.clone(), None) else {
            look.notes.push("The leases could not be listed.".to_owned());
            return (Vec::new(), None);
        };
        let (mut stewards, mut groups) = (0, BTreeMap::<String, u64>::new());
        for key in keys.iter().take(MOST_LEASES) {
            let Some(group) = key.strip_prefix(&prefix).and_then(|rest| rest.split_once('/')).map(|(group, _)| group)
            else {
                continue;
            };
            let Ok(What::Object { body, .. }) = look.get(key, None, body::LIMIT) else { continue };
            if Lease::read(&body).is_none_or(|lease| lease.until <= look.clock.store()) {
                continue;
            }
            if group == STEWARDS {
                stewards += 1;
            } else if is_group(group) {
                *groups.entry(group.to_owned()).or_default() += 1;
            }
        }
        if keys.len() > MOST_LEASES {
            look.notes.push(format!("There are more than {MOST_LEASES} leases; the others were not read."));
        }
        let slots = head.lease.as_ref().map(|lease| lease.slots);
        (groups.into_iter().map(|(group, used)| Leases { group, used, slots }).collect(), Some(stewards))
    }

    fn failing(&mut self, look: &mut Look<'_>, head: &Head, rollup: &Rollup) -> Vec<Failing> {
        let mut bad: Vec<&Bad> = rollup.bad.iter().take(rollup::MOST_BAD).collect();
        bad.sort_by(|a, b| b.at.cmp(&a.at).then(a.host.cmp(&b.host)));
        let shown = |(number, bad): (usize, &Bad)| {
            let (body, attempt) =
                if number < READ { self.told(look, head, rollup, bad) } else { (Body::default(), None) };
            let place = bad.place.and_then(|at| Some((head.rings.get(usize::from(at.ring))?.name.clone(), at.step)));
            Failing {
                host: bad.host,
                name: body.name,
                place: place.map(|(ring, step)| (ring, usize::from(step) + 1)),
                code: bad.code.clone(),
                reason: body.reason,
                log: body.log,
                from: body.from,
                clock_ahead_s: body.ahead_s,
                attempt,
                at: bad.at,
            }
        };
        bad.into_iter().enumerate().map(shown).collect()
    }

    /// What a failing host wrote beside its evidence, and in which try.
    fn told(&mut self, look: &mut Look<'_>, head: &Head, rollup: &Rollup, bad: &Bad) -> (Body, Option<u16>) {
        let known = format!("{} {} {}", bad.host, bad.code.as_str(), bad.at);
        if let Some(told) = self.told.get(&known) {
            return told.clone();
        }
        let shard = bad.host.shard(head.shards);
        let mut found = (Body::default(), None);
        for attempt in (1..=rollup.attempt).rev().take(usize::from(TRIES)) {
            let state = match (bad.code.as_str(), bad.place) {
                ("silent", Some(place)) => State::Started(place),
                _ => State::Bad(bad.code.clone()),
            };
            let key = self.names.evidence(&head.rollout, &shard, bad.host, &Report { attempt, state });
            match look.get(&key, None, body::LIMIT) {
                Ok(What::Object { body, .. }) => {
                    found = (Body::read(&body), Some(attempt));
                    break;
                }
                Ok(_) => {}
                // Not remembered: it may be there the next time.
                Err(_) => return found,
            }
        }
        if found.0.name.is_none()
            && let Ok(What::Object { body, .. }) = look.get(&self.names.inventory(&shard, bad.host), None, body::LIMIT)
        {
            found.0.name = Body::read(&body).name;
        }
        self.told.insert(known, found.clone());
        found
    }
}

impl Look<'_> {
    /// What is at `key`: an object, that it is unchanged, or nothing.
    fn get(&mut self, key: &str, unless: Option<Tag>, limit: u64) -> Result<What, Reported> {
        match self.ask(Request::Get { key: key.to_owned(), unless, limit }) {
            What::Failed(trouble) => Err(Reported {
                code: trouble.code,
                exit: Exit::Unreachable,
                message: format!("`{key}` could not be read: {}", trouble.message),
                hint: None,
            }),
            what => Ok(what),
        }
    }

    /// A page of keys, and where the next begins.
    fn list(&mut self, prefix: String, after: Option<String>) -> Option<(Vec<String>, Option<String>)> {
        match self.ask(Request::List { prefix, after, limit: 1000 }) {
            What::Keys { keys, next } => Some((keys.into_iter().map(|(key, _)| key).collect(), next)),
            What::Absent => Some((Vec::new(), None)),
            _ => None,
        }
    }

    fn ask(&mut self, request: Request) -> What {
        let reply = self.store.ask(request);
        self.clock = self.clock.told(reply.date);
        reply.what
    }
}

/// The host whose inventory has this key.
fn listed(key: &str) -> Option<HostId> {
    key.rsplit_once('/')?.1.strip_suffix(".json")?.parse().ok()
}

/// The group of the stewards' leases.
const STEWARDS: &str = "_steward";

fn without_latch(rule: Option<Halt>) -> Halted {
    Halted { latch: None, sha256: None, at: None, by: None, rule, text: next::halted(rule) }
}

fn note(look: &mut Look<'_>, head: &Head, rollup: &Rollup) {
    if let Some(ahead) = look.clock.ahead.filter(|_| look.clock.is_off()) {
        let (by, way) = (ahead.unsigned_abs(), if ahead > 0 { "behind" } else { "ahead of" });
        look.notes.push(format!("This machine's clock is {by} s {way} the store's."));
    }
    if rollup.clones > 0 {
        look.notes.push(format!("{} hosts were seen with two boots at once: clones of one image.", rollup.clones));
    }
    if rollup.stops > 0 {
        look.notes.push(format!("The operators of {} hosts have said stop.", rollup.stops));
    }
    if let Some(ack) = &head.ack {
        let (bad, latches) = (ack.bad, ack.latches);
        look.notes.push(format!("{latches} halts were acknowledged: {bad} bad hosts are not counted any more."));
    }
    if head.promoted.is_some_and(|place| usize::from(place.ring) < head.rings.len()) {
        let place = head.promoted.map(|place| steps::named(head, place)).unwrap_or_default();
        look.notes.push(format!("An operator has opened {place} by hand."));
    }
    for pin in &head.pins {
        let release = pin.release.as_deref().unwrap_or("what it has");
        look.notes.push(format!("{} is pinned to {release}.", pin.host));
    }
}

fn put_back(seen: u64, there: u64) -> Reported {
    Reported {
        code: "head.rollback".to_owned(),
        exit: Exit::Rollback,
        message: format!("the bucket shows the signed state {there}, and {seen} was there already"),
        hint: Some("somebody has put an old head back: hosts start nothing from it".to_owned()),
    }
}
