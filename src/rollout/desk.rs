//! Where an operator works: the store, the names, and the keys by which he believes what he reads.

use std::time::Duration;

use fetchd_fetchers::{Release as Offered, Revision};
use semver::Version;

use super::{RolloutError, releases};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::fleet::Caps;
use crate::fleet::cohort::{HostId, Shards};
use crate::fleet::evidence::Evidence;
use crate::fleet::head::{self, Head};
use crate::fleet::names::Names;
use crate::fleet::rollup::{self, Rollup};
use crate::fleet::store::{Reply, Request, Store, Tag, Trouble, What};
use crate::fleet::times::Clock;
use crate::trust::manifest::Bounds;
use crate::trust::{self, Expect, KeySet, Offer, Trust};

/// The largest manifest that is read, in bytes.
const MANIFEST: u64 = 1024 * 1024;

/// The largest small object: a latch, a host's inventory.
const SMALL: u64 = 64 * 1024;

/// The most pages of the evidence of one shard.
const PAGES: usize = 1000;

/// An operator's place of work.
#[derive(Debug)]
pub struct Desk<'a> {
    /// The bucket.
    pub store: &'a mut dyn Store,
    /// What is where in it.
    pub names: Names,
    /// Who may sign a rollout's state.
    pub online: KeySet,
    /// Who may sign a release; `None` = nobody is known, and no release can be read.
    pub offline: Option<KeySet>,
    /// This machine's clock beside the store's.
    pub clock: Clock,
}

/// A head as it was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it says.
    pub head: Head,
    /// Its file.
    pub file: Vec<u8>,
    /// What replacing it takes.
    pub tag: Tag,
}

/// A release as its manifest describes it.
#[derive(Debug, Clone)]
pub struct Described {
    /// Its version.
    pub version: Version,
    /// How fast a fleet may be brought to it.
    pub bounds: Bounds,
    /// The number of its manifest.
    pub seq: u64,
    /// It was withdrawn.
    pub yanked: bool,
    /// When it stops being good.
    pub expires: Option<Timestamp>,
}

/// A halt that is in force.
#[derive(Debug, Clone)]
pub struct Halted {
    /// The latch's key.
    pub key: String,
    /// The digest of its bytes, by which it is acknowledged.
    pub sha256: Sha256,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl<'a> Desk<'a> {
    /// One at which nothing has been asked yet. `now` is this machine's time.
    pub fn new(store: &'a mut dyn Store, names: Names, online: KeySet, now: Timestamp) -> Desk<'a> {
        Desk { store, names, online, offline: None, clock: Clock::local(now) }
    }

    /// The same with the keys of releases.
    #[must_use]
    pub fn with_releases(self, keys: KeySet) -> Desk<'a> {
        Desk { offline: Some(keys), ..self }
    }

    /// The store's time, as far as it has told.
    pub fn now(&self) -> Timestamp {
        self.clock.store()
    }

    pub(super) fn ask(&mut self, request: Request) -> What {
        let Reply { what, date } = self.store.ask(request);
        self.clock = self.clock.told(date);
        what
    }

    /// An object and its tag; `None` if it is not there.
    pub fn get(&mut self, key: &str, limit: u64) -> Result<Option<(Vec<u8>, Tag)>, RolloutError> {
        match self.ask(Request::Get { key: key.to_owned(), unless: None, limit }) {
            What::Object { body, tag } => Ok(Some((body, tag))),
            What::Absent => Ok(None),
            what => Err(failed("read", key, what)),
        }
    }

    /// The keys below a prefix, each with the time it was written; at most `most`.
    pub fn keys(&mut self, prefix: &str, most: usize) -> Result<Vec<(String, Timestamp)>, RolloutError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let list = Request::List { prefix: prefix.to_owned(), after: after.clone(), limit: 1000 };
            match self.ask(list) {
                What::Keys { keys, next } => {
                    all.extend(keys);
                    after = goes_on(after, next).ok_or_else(|| endless(prefix))?;
                }
                what => return Err(failed("listed", prefix, what)),
            }
            if after.is_none() || all.len() >= most {
                all.truncate(most);
                return Ok(all);
            }
        }
    }

    /// All the evidence of a rollout.
    pub fn evidence(&mut self, rollout: &str, shards: Shards) -> Result<Vec<Evidence>, RolloutError> {
        let mut all = Vec::new();
        for shard in shards.all() {
            let (mut after, mut pages) = (None, 0);
            loop {
                let page =
                    Request::Evidence { rollout: rollout.to_owned(), shard: shard.clone(), after: after.clone() };
                pages += 1;
                match self.ask(page) {
                    What::Evidence { found, next } => {
                        all.extend(found);
                        let next = goes_on(after, next).filter(|_| pages <= PAGES);
                        after = next.ok_or_else(|| endless(&self.names.evidence_of(rollout, &shard)))?;
                    }
                    what => return Err(failed("listed", &self.names.evidence_of(rollout, &shard), what)),
                }
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(all)
    }

    /// What one host has said in a rollout.
    pub fn evidence_of(&mut self, head: &Head, host: HostId) -> Result<Vec<Evidence>, RolloutError> {
        let prefix = self.names.evidence_of(&head.rollout, &host.shard(head.shards));
        let keys = self.keys(&format!("{prefix}{host}/"), 10_000)?;
        let one = |(key, at): &(String, Timestamp)| {
            let (host, report) = Names::read_evidence(&key[prefix.len()..])?;
            Some(Evidence { host, report, at: *at })
        };
        Ok(keys.iter().filter_map(one).collect())
    }

    /// The signed state that is in force; `None` if nothing was ever rolled out.
    ///
    /// Fails as [`Head::open`] does: what nobody has signed is not worked on.
    pub fn head(&mut self) -> Result<Option<Found>, RolloutError> {
        let key = self.names.head();
        let Some((file, tag)) = self.get(&key, head::MAX_FILE as u64)? else { return Ok(None) };
        let head = Head::open(&file, &self.online, &self.names)?;
        Ok(Some(Found { head, file, tag }))
    }

    /// The same where one is needed. Fails with `fleet.no_rollout`.
    pub fn needed_head(&mut self) -> Result<Found, RolloutError> {
        let key = self.names.head();
        self.head()?.ok_or(RolloutError::NoRollout { key })
    }

    /// What is counted of a rollout; `None` if no steward has counted anything that can be read.
    pub fn rollup(&mut self, head: &Head) -> Result<Option<Rollup>, RolloutError> {
        let key = self.names.rollup(&head.rollout);
        let Some((file, _)) = self.get(&key, rollup::MAX_FILE as u64)? else { return Ok(None) };
        Ok(Rollup::read(&file).ok().filter(|rollup| rollup.rollout == head.rollout))
    }

    /// The halt that nobody has acknowledged.
    pub fn halted(&mut self, head: &Head) -> Result<Option<Halted>, RolloutError> {
        let acknowledged = head.ack.as_ref().map_or(0, |ack| ack.latches);
        let key = self.names.latch(&head.rollout, acknowledged);
        let found = self.get(&key, SMALL)?;
        Ok(found.map(|(body, _)| Halted { key, sha256: Sha256::of(&body), body }))
    }

    /// What the doctor has found out about the store; `None` = nobody has asked.
    pub fn caps(&mut self) -> Result<Option<Caps>, RolloutError> {
        let found = self.get(&self.names.caps(), SMALL)?;
        Ok(found.map(|(file, _)| Caps::read(&file)).transpose()?)
    }

    /// A small object that nobody signs, as JSON: what a host has said of itself.
    pub fn inventory(&mut self, key: &str) -> Result<Option<serde_json::Value>, RolloutError> {
        let found = self.get(key, SMALL)?;
        Ok(found.and_then(|(body, _)| serde_json::from_slice(&body).ok()))
    }

    /// The manifest of a release, whoever has signed it.
    ///
    /// Fails with `fleet.no_release`, and names the one that was probably meant.
    pub fn lies_there(&mut self, release: &str) -> Result<Vec<u8>, RolloutError> {
        if !head::is_release(release) {
            return Err(RolloutError::asked(
                format!("`{release}` cannot be a release"),
                "`fetchd fleet releases` lists those that are there",
            ));
        }
        let key = self.names.manifest(release);
        match self.get(&key, MANIFEST)? {
            Some((file, _)) => Ok(file),
            None => {
                let near = releases::near(self, release)?;
                Err(RolloutError::NoRelease { release: release.to_owned(), key, near })
            }
        }
    }

    /// What the manifest of a release says of it.
    ///
    /// Fails with `fleet.no_release`, `fleet.usage` if no key of releases is known or the release has no bounds, and as
    /// [`trust::read`] does.
    pub fn release(&mut self, release: &str) -> Result<Described, RolloutError> {
        let Some(keys) = self.offline.clone() else {
            let hint = "give the public key of releases: `--key release.pub`";
            return Err(RolloutError::asked("it is not known who may sign releases", hint));
        };
        let file = self.lies_there(release)?;
        let expect = Expect {
            product: self.names.product().to_owned(),
            channel: self.names.channel().to_owned(),
            target: String::new(),
            epoch: None,
            max_size: u64::MAX,
        };
        let offered = Offered { revision: Revision(String::new()), label: None, assets: Vec::new(), document: None };
        let offer = Offer { release: &offered, document: Some(&file), signature: None, asset: None };
        let manifest = trust::read(&offer, &Trust::Bundle { keys }, &expect, self.now())?;
        let [only] = manifest.releases() else {
            let message = format!("the manifest of `{release}` lists {} releases, not one", manifest.releases().len());
            return Err(RolloutError::asked(message, "publish it with `fetchd fleet publish`"));
        };
        let (Some(version), Some(bounds)) = (only.version.clone(), only.bounds.clone()) else {
            let message = format!("`{release}` is not meant for a fleet: its manifest has no bounds");
            return Err(RolloutError::asked(message, "publish it with `fetchd fleet publish --bounds default`"));
        };
        let seq = manifest.seq().unwrap_or(0);
        Ok(Described { version, bounds, seq, yanked: only.yanked, expires: manifest.expires() })
    }
}

/// Where the next page begins; `None` where it leads back: such pages never end.
fn goes_on(after: Option<String>, next: Option<String>) -> Option<Option<String>> {
    let rises = next.as_ref().is_none_or(|next| after.is_none_or(|after| *next > after));
    rises.then_some(next)
}

fn endless(key: &str) -> RolloutError {
    let trouble = Trouble {
        code: "store.nonsense".to_owned(),
        message: "its pages do not come to an end".to_owned(),
        retry_after_s: None,
        passes: false,
    };
    RolloutError::Store { doing: "listed", key: key.to_owned(), trouble }
}

/// How long a signed state may be acted on unless told otherwise: 30 days.
pub const GOOD_FOR: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn failed(doing: &'static str, key: &str, what: What) -> RolloutError {
    let trouble = match what {
        What::Failed(trouble) => trouble,
        other => Trouble {
            code: "store.unexpected".to_owned(),
            message: format!("an unexpected answer ({other:?})").chars().take(200).collect(),
            retry_after_s: None,
            passes: false,
        },
    };
    RolloutError::Store { doing, key: key.to_owned(), trouble }
}
