//! Which of the releases that trust admitted this machine takes now.

mod objection;

use std::time::Duration;

use semver::Version;

use super::manifest::{Artifact, Release};
use super::{Chosen, Expect, Manifest, Refused};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::{Exit, Failure as _};
use crate::state::Record;

/// What the operator and this machine say about updates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The version that runs; `None` = nothing does, or it is not known.
    pub running: Option<Version>,
    /// The digest of the binary that runs.
    pub running_sha256: Option<Sha256>,
    /// Take this version and no other. A yanked one is taken, a revoked one never.
    pub pin: Option<Version>,
    /// Take an older version than the one that runs.
    pub allow_downgrade: bool,
    /// How long a version must have been known here, by this machine's own clock, before it is taken.
    pub cooldown: Duration,
    /// How old a manifest may be; `None` = as old as its own `expires` allows.
    pub max_age: Option<Duration>,
    /// Somebody asked for it: a rollout's percentage does not hold this host back, unless it is 0.
    pub force: bool,
    /// What sorts this host into a rollout's percentage. Without one only a full rollout is joined.
    pub host_id: Option<String>,
}

/// What to do.
#[derive(Debug, Clone)]
pub enum Choice {
    /// What runs is the newest there is.
    UpToDate {
        /// The version that runs, where known.
        version: Option<Version>,
        /// Newer releases that were withdrawn.
        passed_over: Vec<PassedOver>,
    },
    /// Take this.
    Take(Box<Chosen>),
    /// Take nothing, though there may be something, or what runs should not. The running service is
    /// left alone either way.
    Held(Refused),
}

/// A release that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Its version.
    pub version: Option<Version>,
    /// Why not.
    pub why: Refused,
}

/// Chooses the highest version that nothing speaks against. Changes nothing.
///
/// `now` is what the machine's clock says. [`Choice::Held`] carries the code of the strongest reason:
/// `manifest.expired`, `manifest.too_old`, else that of the highest release that was not withdrawn:
/// `release.revoked`, `release.yanked`, `release.below_minimum`, `release.downgrade`,
/// `release.no_target`, `release.too_large`, `release.quarantined`, `release.min_from`,
/// `release.cooldown`, `release.rollout`; or `release.none`, `release.not_listed` (the pinned one).
pub fn choose(manifest: &Manifest, record: &Record, policy: &Policy, expect: &Expect, now: Timestamp) -> Choice {
    if let Some(stale) = stale(manifest, record, policy, now) {
        return Choice::Held(stale);
    }
    let scene = Scene::new(manifest, record, policy, expect, now);
    let mut passed_over: Vec<PassedOver> = Vec::new();
    for release in scene.newest_first() {
        if scene.runs(release) && scene.withdrawn.is_none() {
            return scene.settled(passed_over);
        }
        match scene.objection(release) {
            Ok(artifact) => return Choice::Take(Box::new(scene.chosen(release, artifact))),
            Err(why) => passed_over.push(PassedOver { version: release.version.clone(), why }),
        }
    }
    scene.nothing(passed_over)
}

/// Everything the choice depends on.
#[derive(Debug)]
struct Scene<'a> {
    manifest: &'a Manifest,
    record: &'a Record,
    policy: &'a Policy,
    expect: &'a Expect,
    now: Timestamp,
    /// The version below which going is a downgrade.
    base: Option<&'a Version>,
    /// Why what runs should not, in the publisher's words.
    withdrawn: Option<Refused>,
    /// The publisher withdrew `base`, and so directs every host away from it, down if need be.
    directed: bool,
}

impl<'a> Scene<'a> {
    fn new(
        manifest: &'a Manifest,
        record: &'a Record,
        policy: &'a Policy,
        expect: &'a Expect,
        now: Timestamp,
    ) -> Scene<'a> {
        let running = policy.running.as_ref();
        let confirmed = record.confirmed.as_ref().and_then(|confirmed| confirmed.version.as_ref());
        let base = running.into_iter().chain(confirmed).max_by(|a, b| a.cmp_precedence(b));
        let mut scene = Scene { manifest, record, policy, expect, now, base, withdrawn: None, directed: false };
        scene.withdrawn = scene.withdrawal(running, policy.running_sha256);
        scene.directed = scene.withdrawal(base, None).is_some()
            || (scene.withdrawn.is_some() && (base.is_none() || base == running));
        scene
    }

    /// Why a version or a binary should not run any more.
    fn withdrawal(&self, version: Option<&Version>, sha256: Option<Sha256>) -> Option<Refused> {
        let digests: Vec<Sha256> = sha256.into_iter().collect();
        let name = version.map_or_else(|| "what runs".to_owned(), |version| format!("`{version}`"));
        if let Some(reason) = self.manifest.revocation(version, &digests) {
            let message = format!("{name} was revoked by the publisher: {reason}");
            return Some(Refused::new("release.revoked", Exit::Trust, message));
        }
        // A pin is a decision about exactly this version.
        let same = |listed: &Release| Some(true) == listed.version.as_ref().zip(version).map(|(a, b)| same(a, b));
        let yanked = self.policy.pin.is_none() && self.manifest.releases.iter().any(|r| r.yanked && same(r));
        yanked.then(|| Refused::new("release.yanked", Exit::Stale, format!("{name} was withdrawn by the publisher")))
    }

    /// The releases that come into question, the newest first.
    fn newest_first(&self) -> Vec<&'a Release> {
        let wanted = |release: &&Release| match (&self.policy.pin, &release.version) {
            (Some(pin), Some(version)) => pinned(pin, version),
            (Some(_), None) => false,
            (None, _) => true,
        };
        let mut releases: Vec<&Release> = self.manifest.releases.iter().filter(wanted).collect();
        releases.sort_by(|a, b| match (&b.version, &a.version) {
            (Some(b), Some(a)) => b.cmp_precedence(a),
            (b, a) => b.is_some().cmp(&a.is_some()),
        });
        releases
    }

    fn runs(&self, release: &Release) -> bool {
        let by_version = release.version.as_ref().zip(self.policy.running.as_ref()).is_some_and(|(a, b)| same(a, b));
        let by_digest = self.policy.running_sha256.is_some_and(|running| {
            self.artifact(release).is_some_and(|artifact| artifact.binary_sha256 == Some(running))
        });
        by_version || by_digest
    }

    /// The artifact for this machine. One without a target is for whoever asks.
    fn artifact(&self, release: &'a Release) -> Option<&'a Artifact> {
        let fits = |artifact: &&Artifact| artifact.target.as_ref().is_none_or(|target| *target == self.expect.target);
        release.artifacts.iter().find(fits)
    }

    /// What runs is listed and in order, and everything above it was passed over.
    fn settled(&self, passed_over: Vec<PassedOver>) -> Choice {
        match strongest(&passed_over) {
            Some(why) => Choice::Held(why.clone()),
            None => Choice::UpToDate { version: self.policy.running.clone(), passed_over },
        }
    }

    /// There is nothing to take, and what runs is not among what is listed, or withdrawn.
    fn nothing(&self, passed_over: Vec<PassedOver>) -> Choice {
        if let Some(withdrawn) = &self.withdrawn {
            let hint = strongest(&passed_over)
                .map_or_else(|| "no other release can take its place".to_owned(), |why| format!("and {why}"));
            return Choice::Held(withdrawn.clone().hint(hint));
        }
        match (strongest(&passed_over), passed_over.first(), &self.policy.pin) {
            (Some(why), _, _) => Choice::Held(why.clone()),
            (None, Some(first), Some(_)) => Choice::Held(first.why.clone()),
            (None, Some(first), None) if self.policy.running.is_none() => Choice::Held(first.why.clone()),
            (None, Some(_), None) => Choice::UpToDate { version: self.policy.running.clone(), passed_over },
            (None, None, Some(pin)) => {
                let message = format!("`{pin}` is pinned, and the manifest does not list it");
                Choice::Held(Refused::new("release.not_listed", Exit::Stale, message))
            }
            (None, None, None) => {
                Choice::Held(Refused::new("release.none", Exit::Stale, "the manifest lists no release"))
            }
        }
    }

    fn chosen(&self, release: &Release, artifact: &Artifact) -> Chosen {
        Chosen {
            version: release.version.clone(),
            target: artifact.target.clone(),
            urls: artifact.urls.clone(),
            size: artifact.size,
            sha256: artifact.sha256,
            format: artifact.format,
            entry: artifact.entry.clone(),
            binary_size: artifact.binary_size,
            binary_sha256: artifact.binary_sha256,
            deltas: artifact.deltas.clone(),
            program: self.expect.product.clone(),
            max_size: self.expect.max_size,
            proof: self.manifest.proof(),
        }
    }
}

/// The first reason that is not "the publisher withdrew it": the one that holds something back.
fn strongest(passed_over: &[PassedOver]) -> Option<&Refused> {
    let withdrawn = |why: &Refused| matches!(why.code(), "release.revoked" | "release.yanked");
    passed_over.iter().map(|passed| &passed.why).find(|why| !withdrawn(why))
}

/// Step 7. The latest time ever signed counts as passed, so that a clock set back revives nothing.
fn stale(manifest: &Manifest, record: &Record, policy: &Policy, now: Timestamp) -> Option<Refused> {
    let now = record.issued_max.map_or(now, |issued| issued.max(now));
    let hint = "what runs goes on running; the publisher has to publish again (`fetchd publish`)";
    if let Some(expires) = manifest.expires
        && expires <= now
    {
        let message = format!("what the source shows expired at `{expires}`");
        return Some(Refused::new("manifest.expired", Exit::Stale, message).hint(hint));
    }
    if let (Some(issued), Some(max_age)) = (manifest.issued, policy.max_age)
        && now.since(issued) > max_age
    {
        let message = format!("what the source shows was issued at `{issued}`, more than {} s ago", max_age.as_secs());
        return Some(Refused::new("manifest.too_old", Exit::Stale, message).hint(hint));
    }
    None
}

/// One version by precedence: build metadata orders nothing.
fn same(a: &Version, b: &Version) -> bool {
    a.cmp_precedence(b).is_eq()
}

/// A pin without build metadata takes any build of its version.
fn pinned(pin: &Version, version: &Version) -> bool {
    pin == version || (pin.build.is_empty() && same(pin, version))
}

#[cfg(test)]
mod tests;
