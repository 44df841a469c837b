//! The bucket of a simulation, and what is asked of it: requests by kind, by second and prefix, and bytes.

use serde::Serialize;

use super::case::{Bucket, Case};
use super::dice::Dice;
use crate::clock::Timestamp;
use crate::fleet::names::Names;
use crate::fleet::store::memory::Fault;
use crate::fleet::store::{MemoryStore, Reply, Request, Store as _, Trouble, What};

/// What a prefix of the bucket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prefix {
    /// The signed state: what everybody polls.
    Head,
    /// Manifests and artifacts.
    Release,
    /// Roll-ups.
    Rollup,
    /// Latches.
    Latch,
    /// Evidence.
    Evidence,
    /// Leases.
    Lease,
    /// Everything else.
    Other,
}

impl Prefix {
    /// All of them, in their order.
    pub const ALL: [Prefix; 7] =
        [Prefix::Head, Prefix::Release, Prefix::Rollup, Prefix::Latch, Prefix::Evidence, Prefix::Lease, Prefix::Other];

    /// Its name.
    pub fn name(self) -> &'static str {
        ["head", "rel", "agg", "latch", "ev", "lease", "other"][self as usize]
    }
}

/// The kinds of requests that are paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// `GET`s and `HEAD`s.
    pub get: u64,
    /// `PUT`s.
    pub put: u64,
    /// Pages of lists.
    pub list: u64,
    /// `DELETE`s, which are free.
    pub delete: u64,
}

/// What a `304` weighs on the wire, and the frame of every other answer.
const FRAME: u64 = 450;

/// What an entry of a list weighs.
const ENTRY: u64 = 250;

/// How a switch of the memory bucket is driven, and what came of it.
#[derive(Debug)]
pub(super) struct Tally {
    store: MemoryStore,
    names: Names,
    start: Timestamp,
    /// Requests of each second since `start`, by prefix. Polls that are counted ahead are in it.
    seconds: Vec<[u32; Prefix::ALL.len()]>,
    bytes: Vec<u64>,
    artifacts: Vec<u64>,
    /// Without `GET`s of the head, which stand in `seconds`.
    pub(super) requests: Requests,
    /// When the latch was made.
    pub(super) halted: Option<Timestamp>,
    /// Creations of one key that were all told that they had won.
    pub(super) latches: u64,
    /// Draws how a lost race is answered.
    races: Option<Dice>,
}

impl Tally {
    pub(super) fn new(case: &Case, names: Names, start: Timestamp, seed: u64) -> Tally {
        let store = MemoryStore::new(names.clone(), start);
        let mut dice = Dice::of(seed, 11, 0);
        match case.bucket {
            Bucket::Perfect | Bucket::Rgw => {}
            Bucket::Busy => {
                store.on_request(move |_, _| dice.falls(0.01).then_some(Fault::Busy { retry_after_s: None }));
            }
            Bucket::Lossy => store.on_request(move |_, _| dice.falls(0.05).then_some(Fault::LostReply)),
            Bucket::Tier3 => store.ignore_conditions(true),
        }
        Tally {
            store,
            names,
            start,
            seconds: Vec::new(),
            bytes: Vec::new(),
            artifacts: Vec::new(),
            requests: Requests::default(),
            halted: None,
            latches: 0,
            races: (case.bucket == Bucket::Rgw).then(|| Dice::of(seed, 13, 0)),
        }
    }

    pub(super) fn store(&self) -> &MemoryStore {
        &self.store
    }

    pub(super) fn ask(&mut self, request: Request, now: Timestamp) -> Reply {
        self.store.set_time(now);
        let (prefix, latch) = self.prefix(&request);
        let sent = match &request {
            Request::Create { body, .. } | Request::Replace { body, .. } | Request::Put { body, .. } => body.len(),
            Request::Report { body, .. } => body.len(),
            _ => 0,
        };
        match &request {
            Request::Get { .. } if prefix == Prefix::Head => {}
            Request::Get { .. } | Request::Head { .. } => self.requests.get += 1,
            Request::Create { .. } | Request::Replace { .. } | Request::Put { .. } | Request::Report { .. } => {
                self.requests.put += 1;
            }
            Request::List { .. } | Request::Evidence { .. } => self.requests.list += 1,
            Request::Delete { .. } => self.requests.delete += 1,
        }
        // What else a report says is for people, and nobody reads it here: it weighs and is not kept.
        let request = match request {
            Request::Report { rollout, shard, host, report, .. } => {
                Request::Report { rollout, shard, host, report, body: Vec::new() }
            }
            request => request,
        };
        let raced = matches!(&request, Request::Create { .. } | Request::Replace { .. });
        let mut reply = self.store.ask(request);
        if raced && matches!(reply.what, What::Conflict) && self.confuses() {
            reply.what = What::Failed(Trouble {
                code: "source.server".to_owned(),
                message: "the source answered with 500".to_owned(),
                retry_after_s: None,
                passes: true,
            });
        }
        let received = match &reply.what {
            What::Object { body, .. } => body.len() as u64,
            What::Keys { keys, .. } => keys.len() as u64 * ENTRY,
            What::Evidence { found, .. } => found.len() as u64 * ENTRY,
            _ => 0,
        };
        self.note(prefix, now, FRAME + received + sent as u64);
        if latch && matches!(reply.what, What::Written(_)) {
            self.halted.get_or_insert(now);
            self.latches += 1;
        }
        reply
    }

    /// A request that a driver makes by itself, for a release's manifest or artifact.
    pub(super) fn read_release(&mut self, now: Timestamp, bytes: u64) {
        self.requests.get += 1;
        self.note(Prefix::Release, now, FRAME + 4096);
        *at(&mut self.artifacts, now.since(self.start).as_secs() / 60) += bytes;
    }

    /// A poll that changes nothing and is not asked.
    pub(super) fn count_poll(&mut self, at: Timestamp) {
        self.note(Prefix::Head, at, FRAME);
    }

    /// Whether a race that was lost is told as a failure: 114 of 200 were, measured at Ceph's gateway 16.2.15.
    fn confuses(&mut self) -> bool {
        self.races.as_mut().is_some_and(|dice| dice.falls(0.57))
    }

    fn note(&mut self, prefix: Prefix, now: Timestamp, bytes: u64) {
        let second = now.since(self.start).as_secs();
        at(&mut self.seconds, second)[prefix as usize] += 1;
        *at(&mut self.bytes, second) += bytes;
    }

    fn prefix(&self, request: &Request) -> (Prefix, bool) {
        let (key, create) = match request {
            Request::Report { .. } | Request::Evidence { .. } => return (Prefix::Evidence, false),
            Request::Create { key, .. } => (key, true),
            Request::Get { key, .. } | Request::Head { key } | Request::Replace { key, .. } => (key, false),
            Request::Put { key, .. } | Request::Delete { key, .. } | Request::List { prefix: key, .. } => (key, false),
        };
        let is = |kind: &str| key.starts_with(kind);
        let prefix = match () {
            () if is("head/") => Prefix::Head,
            () if is("agg/") => Prefix::Rollup,
            () if is("latch/") => Prefix::Latch,
            () if is("ev/") => Prefix::Evidence,
            () if is("lease/") => Prefix::Lease,
            () if is("rel/") => Prefix::Release,
            () => Prefix::Other,
        };
        (prefix, create && prefix == Prefix::Latch)
    }

    /// Reads of the head from `from` to before `to`.
    pub(super) fn heads(&self, from: Timestamp, to: Timestamp) -> u64 {
        self.window(from, to).map(|second| u64::from(second[Prefix::Head as usize])).sum()
    }

    /// Requests from `from` to before `to`, polls of the head included.
    pub(super) fn total(&self, from: Timestamp, to: Timestamp) -> Requests {
        Requests { get: self.requests.get + self.heads(from, to), ..self.requests }
    }

    fn window(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &[u32; Prefix::ALL.len()]> {
        let skip = index(from.since(self.start).as_secs());
        let take = index(to.since(from).as_secs());
        self.seconds.iter().skip(skip).take(take)
    }

    /// The most requests of a second, by prefix.
    pub(super) fn peaks(&self, from: Timestamp, to: Timestamp) -> [u32; Prefix::ALL.len()] {
        let mut peaks = [0; Prefix::ALL.len()];
        for second in self.window(from, to) {
            for (peak, count) in peaks.iter_mut().zip(second) {
                *peak = (*peak).max(*count);
            }
        }
        peaks
    }

    /// The most bytes of a second, without artifacts, and the most of artifacts, in the mean of a minute.
    pub(super) fn heaviest(&self, from: Timestamp, to: Timestamp) -> (u64, u64) {
        let (skip, take) = (index(from.since(self.start).as_secs()), index(to.since(from).as_secs()));
        let bytes = self.bytes.iter().skip(skip).take(take).max().copied().unwrap_or(0);
        (bytes, self.artifacts.iter().max().copied().unwrap_or(0) / 60)
    }

    /// Requests per second, each the mean of a part of the time: `(seconds after from, mean, highest)`.
    #[allow(clippy::cast_precision_loss, reason = "requests of some minutes")]
    pub(super) fn rate(&self, from: Timestamp, to: Timestamp, parts: u64) -> Vec<(u64, f64, u32)> {
        let length = (to.since(from).as_secs() / parts).max(1);
        let sums: Vec<u32> = self.window(from, to).map(|second| second.iter().sum()).collect();
        let part = |(number, part): (usize, &[u32])| {
            let mean = part.iter().map(|sum| f64::from(*sum)).sum::<f64>() / part.len() as f64;
            (number as u64 * length, mean, part.iter().max().copied().unwrap_or(0))
        };
        sums.chunks(index(length)).enumerate().map(part).collect()
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn at<T: Default + Clone>(list: &mut Vec<T>, number: u64) -> &mut T {
    let number = index(number);
    if list.len() <= number {
        list.resize(number + 1, T::default());
    }
    &mut list[number]
}
