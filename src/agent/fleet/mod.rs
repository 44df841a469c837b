//! A host of a fleet: the machine of [`crate::fleet`] says when, the line does what it does with every release.
//!
//! The machine asks for one step after the other. A request goes to the worker, whose answers are claims: the
//! signature of a head is checked here, a release by the offline keys as everywhere. What the machine must not
//! forget is on disk before the step that depends on it is carried out.

mod carry;
mod kept;
mod look;
mod release;
mod shown;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use self::kept::{Came, Kept};
use self::release::Directory;
pub use self::shown::FleetShown;
use crate::agent::line::Line;
use crate::agent::outcome::PassFailure;
use crate::clock::Timestamp;
use crate::failure::{Failure as _, Reported};
use crate::fetch::{Attend, FetchFailure, Source, StoreJob, Worker};
use crate::fleet::caps::{self, Caps, Feature};
use crate::fleet::head::Rollouts;
use crate::fleet::host::{Host, LocalPin, Me};
use crate::fleet::steward::Steward;
use crate::fleet::store::{Reply, Request, Trouble, What};
use crate::state::{Record, StateError, Store};
use crate::verify::Verified;

/// Which fleet a host belongs to, and as whom.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Its bucket, as an `s3:` source.
    pub bucket: Source,
    /// Who may sign its rollouts.
    pub rollouts: Rollouts,
    /// Who this host is.
    pub me: Me,
    /// What is shown as the source, without secrets.
    pub shown_as: String,
    /// How long one request may take.
    pub deadline: Duration,
}

/// A host that follows its fleet.
pub struct Fleet {
    member: Membership,
    host: Host,
    steward: Option<Steward>,
    came: Vec<Came>,
    /// The memory has changed and is not on disk.
    unsaved: bool,
    /// An operator's hold is on.
    held: bool,
    /// The release that was read last.
    directory: Option<Directory>,
    /// The release that was fetched.
    fetched: Option<(String, Verified)>,
    /// What the store can do, once that was needed.
    caps: Option<Caps>,
    /// When there is something to do again.
    wakes: Timestamp,
    /// Why the release was not taken that was looked at last, where the machine knows the code alone.
    failure: Option<Reported>,
    /// The state and the alarm that the history knows of.
    noted: (u64, Option<String>),
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("host", &self.host).field("wakes", &self.wakes).finish_non_exhaustive()
    }
}

impl Fleet {
    /// The host as its state remembers it. Fails with `state.damaged` if that makes no sense: without it an old head could
    /// pass for a new one (`a_damaged_memory_of_the_fleet_stops_updates_and_not_the_service`).
    pub fn open(member: Membership, store: &Store) -> Result<Fleet, StateError> {
        let kept = match store.fleet()? {
            Some(bytes) => Kept::read(&bytes).map_err(|why| store.fleet_damaged(why))?,
            None => Kept::default(),
        };
        Ok(Fleet::with(member, kept, Timestamp::now()))
    }

    fn with(member: Membership, kept: Kept, now: Timestamp) -> Fleet {
        let me = &member.me;
        let steward = || Steward::new(me.names.clone(), me.id, &me.boot, now).within(me.poll_s);
        let steward = me.volunteers.then(steward);
        Fleet {
            host: Host::new(member.me.clone(), kept.memory, now),
            steward,
            came: kept.came,
            unsaved: false,
            held: false,
            directory: None,
            fetched: None,
            caps: None,
            wakes: now,
            failure: None,
            noted: (0, None),
            member,
        }
    }

    /// An operator's hold holds a host as a pin does: it starts nothing, and still reports what it owes.
    fn heed(&mut self, record: &Record, now: Timestamp) {
        let held = crate::agent::wanted::on_hold(record, now).is_some();
        if held == self.held {
            return;
        }
        let pin = if held { Some(LocalPin::Hold) } else { self.member.me.pin.clone() };
        let me = Me { pin, ..self.member.me.clone() };
        self.host = Host::new(me, self.host.memory().clone(), now);
        self.host.poll_now();
        self.held = held;
    }

    /// Makes what the host must not forget durable, if it has changed.
    fn keep(&mut self, store: &mut Store) -> Result<(), StateError> {
        self.unsaved |= self.host.changed();
        if self.unsaved {
            store.keep_fleet(&Kept::written(self.host.memory(), &self.came)?)?;
            self.unsaved = false;
        }
        Ok(())
    }

    /// Carries a request to the bucket; one that needs more than the store can do fails without having been sent.
    fn ask(
        &mut self,
        request: Request,
        worker: &mut dyn Worker,
        attend: &mut dyn Attend,
    ) -> Result<Reply, PassFailure> {
        let Some(feature) = self.needs(&request) else { return self.member.ask(request, worker, attend) };
        if self.caps.is_none() {
            let (key, limit) = (self.member.me.names.caps(), caps::MAX_FILE);
            let reply = self.member.ask(Request::Get { key, unless: None, limit }, worker, attend)?;
            self.caps = match reply.what {
                What::Object { body, .. } => Caps::read(&body).ok(),
                What::Absent => Some(Caps::unknown()),
                _ => return Ok(reply),
            };
        }
        let caps = self.caps.clone().unwrap_or_else(Caps::unknown);
        if let Err(refused) = caps.allows(feature) {
            // Somebody may ask the doctor meanwhile.
            self.caps = None;
            let (code, message) = (refused.code().to_owned(), refused.to_string());
            let trouble = Trouble { code, message, retry_after_s: None, passes: true };
            return Ok(Reply { what: What::Failed(trouble), date: None });
        }
        self.member.ask(request, worker, attend)
    }

    /// What the store must be able to do for a request that writes a slot; others are made so that they need nothing.
    fn needs(&self, request: &Request) -> Option<Feature> {
        let (Request::Create { key, .. } | Request::Replace { key, .. } | Request::Delete { key, .. }) = request else {
            return None;
        };
        let names = &self.member.me.names;
        let below =
            |slot: String| slot.rsplit_once('/').is_some_and(|(above, _)| key.starts_with(&format!("{above}/")));
        let lease = names.lease("g", 0);
        let leases = lease.strip_suffix("g/0").unwrap_or(&lease);
        match () {
            () if below(names.steward(0)) => Some(Feature::Stewards),
            () if key.starts_with(leases) => Some(Feature::Leases),
            () => None,
        }
    }

    /// How long until there is something to do.
    pub fn due(&self) -> Duration {
        self.wakes.since(Timestamp::now())
    }
}

impl Membership {
    /// Carries a request to the bucket. A worker that brings no answer is a store that does not answer: nothing is known of
    /// what the request did. Fails only if it was interrupted.
    fn ask(&self, request: Request, worker: &mut dyn Worker, attend: &mut dyn Attend) -> Result<Reply, PassFailure> {
        // A host removes nothing, and bytes that stand for no object must not make it overlook one: a slot of such bytes
        // is free all the same, and everything else is what is there.
        let job = StoreJob { source: self.bucket.clone(), request, tombstones: false, deadline: self.deadline };
        match worker.store(&job, attend) {
            Ok(reply) => Ok(reply),
            Err(FetchFailure::Stopped) => Err(FetchFailure::Stopped.into()),
            Err(failure) => {
                let retry_after_s = match failure.retry() {
                    fetchd_fetchers::Retry::After(wait) => Some(wait.as_secs()),
                    _ => None,
                };
                let (code, message) = (failure.code().to_owned(), failure.to_string());
                let trouble = Trouble { code, message, retry_after_s, passes: true };
                Ok(Reply { what: What::Failed(trouble), date: None })
            }
        }
    }

    /// What a state directory remembers of the fleet, for those who only look.
    fn recalled(dir: &Path) -> Kept {
        Store::kept_fleet(dir).and_then(|bytes| Kept::read(&bytes).ok()).unwrap_or_default()
    }
}

impl Line {
    /// The fleet of this line, opened if it is not yet; `None` = its source is no fleet's.
    pub fn open_fleet(&mut self) -> Result<Option<&mut Fleet>, StateError> {
        if self.fleet.is_none()
            && let Some(member) = &self.wanted.fleet
        {
            self.fleet = Some(Box::new(Fleet::open((**member).clone(), &self.store)?));
        }
        Ok(self.fleet.as_deref_mut())
    }
}
