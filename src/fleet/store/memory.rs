//! A bucket in memory: for tests and simulations of many hosts.
//!
//! It answers as a bucket of tier 1 does, and worse where it is told to ([`Fault`]). Clones are handles of the same
//! bucket. Evidence is kept as what it says and not as keys: two reports of each of a million hosts take some 200 MB.

mod evidence;
mod fault;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::ops::Sub;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::evidence::Shelves;
pub use self::fault::Fault;
use self::fault::Faults;
use super::{PAGE, Reply, Request, Store, Tag, Trouble, What};
use crate::clock::Timestamp;
use crate::fleet::names::Names;

/// A bucket in memory. Every request is carried out whole before the next one: it is linearizable.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    table: Arc<Mutex<Table>>,
}

/// How many requests a bucket has answered: what is paid for. Refusals (`4xx`) and `304` are paid for, too; what
/// failed before it was carried out is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// `GET`s.
    pub get: u64,
    /// `HEAD`s.
    pub head: u64,
    /// `PUT`s.
    pub put: u64,
    /// Pages of lists.
    pub list: u64,
    /// `DELETE`s.
    pub delete: u64,
    /// Of the `GET`s those that were answered with `304`.
    pub not_modified: u64,
    /// Of all those that were refused with `412`.
    pub refused: u64,
    /// Requests that were not answered, or with `5xx`; those that were carried out all the same stand above as well.
    pub failed: u64,
}

impl Sub for Counts {
    type Output = Counts;

    fn sub(self, earlier: Counts) -> Counts {
        Counts {
            get: self.get - earlier.get,
            head: self.head - earlier.head,
            put: self.put - earlier.put,
            list: self.list - earlier.list,
            delete: self.delete - earlier.delete,
            not_modified: self.not_modified - earlier.not_modified,
            refused: self.refused - earlier.refused,
            failed: self.failed - earlier.failed,
        }
    }
}

struct Table {
    names: Names,
    now: Timestamp,
    objects: BTreeMap<String, Object>,
    evidence: Shelves,
    counts: Counts,
    faults: Option<Faults>,
    down_until: Timestamp,
    ignores_conditions: bool,
}

struct Object {
    body: Vec<u8>,
    /// Follows from the bytes, as in S3: who writes the same bytes again makes the same tag.
    tag: u64,
    at: Timestamp,
}

impl MemoryStore {
    /// An empty bucket whose clock shows `now`. Of `names` it needs the prefix, to know evidence by its key.
    pub fn new(names: Names, now: Timestamp) -> MemoryStore {
        let table = Table {
            names,
            now,
            objects: BTreeMap::new(),
            evidence: Shelves::default(),
            counts: Counts::default(),
            faults: None,
            down_until: Timestamp(0),
            ignores_conditions: false,
        };
        MemoryStore { table: Arc::new(Mutex::new(table)) }
    }

    /// What the bucket's clock shows from now on.
    pub fn set_time(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// How much was asked of it so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Asks `rule` before each request which fault it meets. It may not ask the bucket itself.
    pub fn on_request(&self, rule: impl FnMut(&Request, Timestamp) -> Option<Fault> + Send + 'static) {
        self.lock().faults = Some(Faults(Box::new(rule)));
    }

    /// No faults from now on.
    pub fn heal(&self) {
        let mut table = self.lock();
        (table.faults, table.down_until, table.ignores_conditions) = (None, Timestamp(0), false);
    }

    /// Answers nothing before `until`, by its own clock.
    pub fn unavailable_until(&self, until: Timestamp) {
        self.lock().down_until = until;
    }

    /// Whether it writes and removes whatever the condition says, and tells of success: a store of tier 3.
    pub fn ignore_conditions(&self, ignores: bool) {
        self.lock().ignores_conditions = ignores;
    }

    /// The bytes at `key`, without a request that counts.
    pub fn peek(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().read(key).map(|(body, _)| body)
    }

    /// Writes `body` to `key`, without a request that counts or fails.
    pub fn set(&self, key: &str, body: Vec<u8>) {
        self.lock().write(key, body);
    }

    /// Removes what is at `key`, without a request that counts or fails: what nobody could do with his rights.
    pub fn lose(&self, key: &str) {
        self.lock().remove(key);
    }

    /// Removes every object.
    pub fn lose_all(&self) {
        let mut table = self.lock();
        table.objects.clear();
        table.evidence = Shelves::default();
    }

    /// All keys that begin with `prefix`, in order, without a request that counts.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.lock().keys(prefix, None, usize::MAX).into_iter().map(|(key, _)| key).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn ask(&mut self, request: Request) -> Reply {
        let mut table = self.lock();
        let now = table.now;
        let fault = if now < table.down_until {
            Some(Fault::Refused)
        } else {
            table.faults.as_mut().and_then(|faults| (faults.0)(&request, now))
        };
        let Some(fault) = fault else { return Reply { what: table.answer(request), date: Some(now) } };
        if fault.is_carried_out() {
            table.answer(request);
        }
        table.counts.failed += 1;
        let date = matches!(fault, Fault::Busy { .. }).then_some(now);
        Reply { what: What::Failed(fault.trouble()), date }
    }
}

impl Table {
    fn answer(&mut self, request: Request) -> What {
        let what = match request {
            Request::Get { key, unless, limit } => {
                self.counts.get += 1;
                self.get(&key, unless.as_ref(), limit)
            }
            Request::Head { key } => {
                self.counts.head += 1;
                let there = self.objects.contains_key(&key) || self.read(&key).is_some();
                return if there { What::Unchanged } else { What::Absent };
            }
            Request::Create { key, body } => {
                self.counts.put += 1;
                let free = self.ignores_conditions || self.read(&key).is_none();
                if free { self.write(&key, body) } else { What::Conflict }
            }
            Request::Replace { key, body, tag } => {
                self.counts.put += 1;
                self.unless_changed(&key, &tag).unwrap_or_else(|| self.write(&key, body))
            }
            Request::Put { key, body } => {
                self.counts.put += 1;
                self.write(&key, body)
            }
            Request::Delete { key, tag } => {
                self.counts.delete += 1;
                self.unless_changed(&key, &tag).unwrap_or_else(|| {
                    self.remove(&key);
                    What::Gone
                })
            }
            Request::List { prefix, after, limit } => {
                self.counts.list += 1;
                let limit = usize::from(limit).clamp(1, PAGE);
                let mut keys = self.keys(&prefix, after.as_deref(), limit + 1);
                let more = keys.len() > limit;
                keys.truncate(limit);
                let next = keys.last().filter(|_| more).map(|(key, _)| key.clone());
                return What::Keys { keys, next };
            }
            Request::Report { rollout, shard, host, report, body } => {
                self.counts.put += 1;
                let shelf = self.evidence.shelf(&rollout, &shard);
                let new = shelf.add(host, report, &body, self.now, self.ignores_conditions);
                if new { What::Written(Some(tag_of(&body))) } else { What::Conflict }
            }
            Request::Evidence { rollout, shard, after } => {
                self.counts.list += 1;
                let (found, next) = self.evidence.page(&rollout, &shard, after.as_deref());
                return What::Evidence { found, next };
            }
        };
        match what {
            What::Unchanged => self.counts.not_modified += 1,
            What::Conflict => self.counts.refused += 1,
            _ => {}
        }
        what
    }

    fn get(&self, key: &str, unless: Option<&Tag>, limit: u64) -> What {
        // The most frequent of all requests: a host whose head has not changed. Nothing is copied for it.
        if let (Some(object), Some(tag)) = (self.objects.get(key), unless)
            && object.matches(tag)
        {
            return What::Unchanged;
        }
        match self.read(key) {
            Some((_, tag)) if unless == Some(&tag) => What::Unchanged,
            Some((body, _)) if body.len() as u64 > limit => What::Failed(Trouble::too_large(key, limit)),
            Some((body, tag)) => What::Object { body, tag },
            None => What::Absent,
        }
    }

    /// Why the object at `key` is not one with this tag, if it is not.
    fn unless_changed(&self, key: &str, tag: &Tag) -> Option<What> {
        if self.ignores_conditions {
            return None;
        }
        match self.read(key) {
            None => Some(What::Absent),
            Some((_, there)) => (there != *tag).then_some(What::Conflict),
        }
    }

    fn read(&self, key: &str) -> Option<(Vec<u8>, Tag)> {
        if let Some(object) = self.objects.get(key) {
            return Some((object.body.clone(), Tag(format!("{:016x}", object.tag))));
        }
        let (shelf, host, report) = self.evidence_at(key)?;
        let body = self.evidence.get(&shelf)?.body(host, &report)?;
        let tag = tag_of(&body);
        Some((body, tag))
    }

    fn write(&mut self, key: &str, body: Vec<u8>) -> What {
        let tag = tag_of(&body);
        if let Some((shelf, host, report)) = self.evidence_at(key) {
            self.evidence.at(shelf).add(host, report, &body, self.now, true);
        } else {
            let object = Object { tag: digest(&body), body, at: self.now };
            self.objects.insert(key.to_owned(), object);
        }
        What::Written(Some(tag))
    }

    fn remove(&mut self, key: &str) {
        self.objects.remove(key);
        if let Some((shelf, host, report)) = self.evidence_at(key) {
            self.evidence.at(shelf).remove(host, &report);
        }
    }

    /// The shelf, the host and the report that `key` stands for, if it is one of evidence.
    fn evidence_at(&self, key: &str) -> Option<(String, crate::fleet::HostId, crate::fleet::Report)> {
        let rest = key.strip_prefix(&self.names.evidences())?;
        let shelf = rest.match_indices('/').nth(1)?.0 + 1;
        let (host, report) = Names::read_evidence(&rest[shelf..])?;
        Some((rest[..shelf].to_owned(), host, report))
    }

    /// Up to `most` keys that begin with `prefix`, after `after`.
    fn keys(&self, prefix: &str, after: Option<&str>, most: usize) -> Vec<(String, Timestamp)> {
        let from = after.filter(|after| *after >= prefix).unwrap_or(prefix);
        let objects = self.objects.range(from.to_owned()..).map(|(key, object)| (key.clone(), object.at));
        let wanted =
            |(key, _): &(String, Timestamp)| key.starts_with(prefix) && after.is_none_or(|after| **key > *after);
        let objects = objects.take_while(|(key, _)| key.starts_with(prefix)).filter(wanted).take(most);
        let root = self.names.evidences();
        let mut found: Vec<(String, Timestamp)> = objects.collect();
        if root.starts_with(prefix) || prefix.starts_with(&root) {
            found.extend(self.evidence.keys(&root).filter(wanted).take(most));
            found.sort_unstable();
            found.truncate(most);
        }
        found
    }
}

impl Object {
    fn matches(&self, tag: &Tag) -> bool {
        u64::from_str_radix(&tag.0, 16).is_ok_and(|tag| tag == self.tag)
    }
}

fn tag_of(body: &[u8]) -> Tag {
    Tag(format!("{:016x}", digest(body)))
}

fn digest(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("now", &self.now)
            .field("objects", &self.objects.keys().collect::<Vec<_>>())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
