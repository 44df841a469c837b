//! What one service follows, and what can be said of an offer without changing anything.

use std::path::Path;
use std::time::Duration;

use fetchd_fetchers::Revision;
use semver::Version;

use super::outcome::{Outcome, PassFailure};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::Exit;
use crate::fetch::{Attend, Limits, Offered, PollJob, PollReply, Source, Want, Worker};
use crate::install::owner_only;
use crate::state::Record;
use crate::trust::{self, Choice, Expect, Manifest, Offer, Policy, Refused, Trust};

/// What is wanted, from where, and what is believed.
#[derive(Debug)]
pub struct Wanted {
    /// Where releases come from.
    pub source: Source,
    /// What is believed of them.
    pub trust: Trust,
    /// What this machine is.
    pub expect: Expect,
    /// Bounds of the network and of the disk.
    pub limits: Limits,
    /// Take this version and no other.
    pub pin: Option<Version>,
    /// Take an older version than the one that runs.
    pub allow_downgrade: bool,
    /// How long a version must have been known before it is taken.
    pub cooldown: Duration,
    /// How old a manifest may be.
    pub max_age: Option<Duration>,
}

/// The binary that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its version, where known.
    pub version: Option<Version>,
    /// Its digest.
    pub sha256: Sha256,
}

impl Wanted {
    /// Says what a pass would do, as far as that is known without a download. Changes nothing.
    ///
    /// `program` is the program path; `record` what is remembered.
    pub fn look(
        &self,
        program: &Path,
        record: &Record,
        running: Option<&Running>,
        worker: &mut dyn Worker,
        attend: &mut dyn Attend,
    ) -> Result<Outcome, PassFailure> {
        let now = Timestamp::now();
        let Some(offered) = self.poll(worker, None, attend)? else { return Ok(Outcome::Unchanged) };
        let manifest = self.read(&offered, program, now)?;
        trust::admit(&manifest, &mut record.clone())?;
        Ok(match trust::choose(&manifest, record, &self.policy(running, false), &self.expect, now) {
            Choice::UpToDate { version, .. } => Outcome::UpToDate { version },
            Choice::Held(refused) => Outcome::Held(refused.into()),
            Choice::Take(chosen) => match on_hold(record, now) {
                Some(held) => Outcome::Held(held.into()),
                None => Outcome::Available { version: chosen.version().cloned() },
            },
        })
    }

    /// One conditional request; `None`: nothing new since `since`.
    pub(super) fn poll(
        &self,
        worker: &mut dyn Worker,
        since: Option<Revision>,
        attend: &mut dyn Attend,
    ) -> Result<Option<Offered>, PassFailure> {
        let want = match self.trust {
            Trust::Bundle { .. } => Want::Document { asset: None },
            Trust::Bound { .. } | Trust::Plain { .. } => Want::Sidecar { asset: None },
            Trust::Owner | Trust::Unsigned => Want::Nothing { asset: None },
        };
        let job = PollJob { source: self.source.clone(), since, want, limits: self.limits.clone() };
        match worker.poll(&job, attend)? {
            PollReply::Unchanged => Ok(None),
            PollReply::Offers(offered) => Ok(Some(offered)),
        }
    }

    /// Release → Manifest.
    pub(super) fn read(&self, offered: &Offered, program: &Path, now: Timestamp) -> Result<Manifest, PassFailure> {
        if matches!(self.trust, Trust::Owner) {
            owner_only(program)?;
        }
        let offer = Offer {
            release: &offered.release,
            document: offered.document.as_deref(),
            signature: offered.signature.as_deref(),
            asset: Some(&offered.asset),
        };
        Ok(trust::read(&offer, &self.trust, &self.expect, now)?)
    }

    pub(super) fn policy(&self, running: Option<&Running>, force: bool) -> Policy {
        Policy {
            running: running.and_then(|running| running.version.clone()),
            running_sha256: running.map(|running| running.sha256),
            pin: self.pin.clone(),
            allow_downgrade: self.allow_downgrade,
            cooldown: if force { Duration::ZERO } else { self.cooldown },
            max_age: self.max_age,
            force,
            host_id: None,
        }
    }

    /// A revision was seen under certain settings: others may decide otherwise about the same offer.
    pub(super) fn etag_key(&self) -> String {
        let settings =
            format!("{:?} {:?} {:?} {} {:?}", self.trust, self.expect, self.pin, self.allow_downgrade, self.max_age);
        format!("{}#{}", fetchd_fetchers::redact(&self.source.url), Sha256::of(settings.as_bytes()).short())
    }
}

/// An operator's hold, if one is on.
pub(super) fn on_hold(record: &Record, now: Timestamp) -> Option<Refused> {
    let hold = record.hold.as_ref().filter(|hold| hold.until.is_none_or(|until| now < until))?;
    let reason = hold.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let until = hold.until.map(|until| format!(" until {until}")).unwrap_or_default();
    let message = format!("updates are on hold since {}{until}{reason}", hold.since);
    Some(Refused::new("policy.hold", Exit::Stale, message).hint("`fetchd unhold` ends it"))
}
