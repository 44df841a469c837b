//! A release of a fleet on this host: read, fetched, switched to.
//!
//! Each lies in a directory of its own with a signed manifest. What the offline keys have to say of it is asked as of
//! any other release; the rollout's key names it and nothing more.

use semver::Version;

use super::kept::{Came, remember};
use super::{Fleet, Membership};
use crate::agent::follow::accept;
use crate::agent::line::{Ask, Line};
use crate::agent::outcome::{Outcome, PassFailure, named};
use crate::agent::wanted::{Found, Running, Wanted};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::{Exit, Failure as _};
use crate::fetch::{Attend, FetchFailure, Offered, Source, Worker};
use crate::fleet::evidence::Code;
use crate::fleet::host::{Denied, Learned, Running as Runs};
use crate::fleet::store::{Request, What};
use crate::restart::RestartDriver;
use crate::state::Record;
use crate::trust::{self, Choice, Chosen, Manifest, Policy, Refused, TrustedKeys};
use crate::verify::Verified;

/// A release's directory, read and believed.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) release: String,
    pub(super) version: Version,
    pub(super) manifest: Manifest,
    offered: Offered,
}

/// What a host knows when it judges a release.
pub(super) struct Situation<'a> {
    pub(super) record: &'a Record,
    pub(super) running: Option<&'a Running>,
    pub(super) came: &'a [Came],
    pub(super) denied: &'a [Denied],
}

impl Membership {
    /// The source that the directory of `release` is.
    fn directory(&self, release: &str) -> Source {
        let mut url = self.bucket.url.clone();
        url.set_path(&format!("/{}", self.me.names.manifest(release)));
        Source { url, options: self.bucket.options.clone() }
    }

    /// The key set of this version; `None` only if the bucket says that there is none.
    pub(super) fn root(
        &self,
        version: u64,
        worker: &mut dyn Worker,
        attend: &mut dyn Attend,
    ) -> Result<Option<Vec<u8>>, PassFailure> {
        let limit = u64::try_from(TrustedKeys::MAX_FILE).unwrap_or(u64::MAX);
        let request = Request::Get { key: self.me.names.root(version), unless: None, limit };
        match self.ask(request, worker, attend)?.what {
            What::Object { body, .. } => Ok(Some(body)),
            What::Absent => Ok(None),
            other => {
                let message = match other {
                    What::Failed(trouble) => trouble.message,
                    _ => "the answer is none to what was asked".to_owned(),
                };
                Err(FetchFailure::SiblingDenied { name: self.me.names.root(version), message }.into())
            }
        }
    }
}

impl Wanted {
    /// Reads the directory of `release`; the manifest is believed by the offline keys. From then on this is where
    /// artifacts are fetched from.
    pub(super) fn read_directory(
        &mut self,
        member: &Membership,
        release: &str,
        program: &std::path::Path,
        worker: &mut dyn Worker,
        attend: &mut dyn Attend,
    ) -> Result<Directory, PassFailure> {
        self.source = member.directory(release);
        let offered = match self.poll(worker, None, attend)? {
            Found::Offer(offered) => offered,
            Found::Same(_) | Found::Nothing(_) => {
                let message = format!("the directory of `{release}` shows no manifest");
                return Err(Refused::new("source.not_ready", Exit::Unreachable, message).into());
            }
        };
        let asking = crate::agent::follow::Asking { worker, attend };
        let (offered, manifest) = self.read_whole(offered, program, Timestamp::now(), asking)?;
        let [listed] = manifest.releases() else {
            let message = format!("the manifest of `{release}` lists {} releases, not one", manifest.releases().len());
            return Err(Refused::new("release.not_listed", Exit::Trust, message).into());
        };
        let Some(version) = listed.version.clone().filter(|version| is_called(release, version)) else {
            let message = format!("the manifest in the directory of `{release}` is that of another release");
            return Err(Refused::new("release.not_listed", Exit::Trust, message).into());
        };
        Ok(Directory { release: release.to_owned(), version, manifest, offered: *offered })
    }

    /// What the release in `directory` is to a host in this situation. Fails with what speaks against it for good, or now.
    pub(super) fn judge(&self, directory: &Directory, situation: &Situation<'_>) -> Result<Learned, Refused> {
        let Directory { version, manifest, .. } = directory;
        let listed = manifest.release(version);
        let running = situation.running.and_then(|running| running.version.as_ref());
        // Whether there is a way back is for the machine to say, too; here everything else that speaks against it counts.
        let policy = Policy { allow_downgrade: true, ..self.policy_for(directory, situation) };
        let (runs, from_ok) =
            match trust::choose(manifest, &situation.forgiving(directory), &policy, &self.expect, Timestamp::now()) {
                Choice::UpToDate { .. } => (true, true),
                Choice::Take(_) => (false, true),
                Choice::Held(why) if why.code() == "release.min_from" => (false, false),
                Choice::Held(why) => return Err(why),
            };
        if !runs {
            situation.admits(directory)?;
        }
        Ok(Learned {
            version: version.clone(),
            bounds: listed.and_then(|listed| listed.bounds.clone()),
            runs,
            from_ok,
            running: running.map(|version| Runs {
                version: version.clone(),
                release: situation.ran().map(|came| came.release.clone()),
                rollback_to: situation.ran().map(|came| came.rollback_to.clone()).unwrap_or_default(),
            }),
        })
    }

    /// Exactly this version, and an older one only on a way back that the offline keys have signed.
    fn policy_for(&self, directory: &Directory, situation: &Situation<'_>) -> Policy {
        let pin = self.pin.clone().unwrap_or_else(|| directory.version.clone());
        let policy = self.policy(situation.running, false);
        Policy { pin: Some(pin), allow_downgrade: situation.is_way_back(&directory.version), ..policy }
    }

    /// The artifact to take of the release. Fails with what speaks against it.
    fn choice(&self, directory: &Directory, situation: &Situation<'_>) -> Result<Chosen, Refused> {
        situation.admits(directory)?;
        let policy = self.policy_for(directory, situation);
        match trust::choose(
            &directory.manifest,
            &situation.forgiving(directory),
            &policy,
            &self.expect,
            Timestamp::now(),
        ) {
            Choice::Take(chosen) if chosen.version() == Some(&directory.version) => Ok(*chosen),
            Choice::Take(_) => Err(Refused::new("release.not_listed", Exit::Stale, "another release is pinned")),
            Choice::UpToDate { .. } => Err(Refused::new("release.runs", Exit::Done, "the release runs already")),
            Choice::Held(why) => Err(why),
        }
    }
}

impl Situation<'_> {
    /// The release that runs, where this host came to it through the fleet.
    fn ran(&self) -> Option<&Came> {
        let running = self.running?;
        self.came.iter().find(|came| came.sha256 == running.sha256)
    }

    fn is_way_back(&self, version: &Version) -> bool {
        self.ran().is_some_and(|came| came.rollback_to.contains(version))
    }

    /// What was accepted before is the floor, but for a signed way back; what was revoked since is no way back.
    fn admits(&self, directory: &Directory) -> Result<(), Refused> {
        let Directory { version, manifest, .. } = directory;
        let back = self.is_way_back(version);
        if let Some(seq) = manifest.seq()
            && (manifest.epoch(), seq) < self.record.floor()
            && !back
        {
            let (epoch, known) = self.record.floor();
            let message =
                format!("`{version}` is number {seq}, and number {known} of epoch {epoch} was accepted before");
            return Err(Refused::new("manifest.rollback", Exit::Rollback, message)
                .hint("a way back has to be signed: `rollback_to` in the bounds of what runs"));
        }
        if let Some(least) = &self.record.min_version
            && version.cmp_precedence(least).is_lt()
        {
            let message = format!("`{version}` is below `{least}`, the oldest version that the publisher allows since");
            return Err(Refused::new("release.below_minimum", Exit::Rollback, message)
                .hint("a newer manifest said so; publish one that allows it again"));
        }
        let digests = directory.digests();
        let hit = self.record.revoked.iter().find(|revoked| {
            let same = revoked.version.as_ref().is_some_and(|bad| bad.cmp_precedence(version).is_eq());
            same || revoked.sha256.is_some_and(|bad| digests.contains(&bad))
        });
        match hit {
            Some(revoked) => {
                let message = format!("`{version}` was revoked by the publisher: {}", revoked.reason);
                Err(Refused::new("release.revoked", Exit::Trust, message))
            }
            None => Ok(()),
        }
    }

    /// The record without what failed here in an earlier attempt of this release: the machine comes this far only if an
    /// operator has begun another. What somebody on this host has put into quarantine stays there.
    fn forgiving(&self, directory: &Directory) -> Record {
        let mut record = self.record.clone();
        if self.denied.iter().any(|denied| denied.release == directory.release) {
            let digests = directory.digests();
            record.quarantine.retain(|bad| !digests.contains(&bad.sha256) || bad.code == BY_HAND);
        }
        record
    }
}

/// What an operator's `fetchd rollback` leaves.
const BY_HAND: &str = "operator.rollback";

impl Directory {
    fn digests(&self) -> Vec<Sha256> {
        let listed = self.manifest.release(&self.version);
        listed.into_iter().flat_map(|listed| &listed.artifacts).flat_map(trust::manifest::Artifact::digests).collect()
    }
}

impl Line {
    fn situation<'a>(&'a self, fleet: &'a Fleet) -> Situation<'a> {
        Situation {
            record: self.store.record(),
            running: self.running.as_ref(),
            came: &fleet.came,
            denied: &fleet.host.memory().denied,
        }
    }

    /// Reads what the offline keys say of `release`, and raises the floor to it.
    pub(super) fn learn(
        &mut self,
        fleet: &mut Fleet,
        release: &str,
        attend: &mut dyn Attend,
    ) -> Result<Learned, PassFailure> {
        self.follow_roots(fleet, attend)?;
        let program = self.install.typed().to_owned();
        let directory = self.wanted.read_directory(&fleet.member, release, &program, &mut *self.worker, attend)?;
        let learned = self.wanted.judge(&directory, &self.situation(fleet))?;
        let below =
            directory.manifest.seq().is_some_and(|seq| (directory.manifest.epoch(), seq) < self.store.record().floor());
        if !below && let Some(stale) = self.admit(&directory.manifest, &directory.offered)? {
            return Err(stale.into());
        }
        // What an older manifest said of the ways back from what runs is not taken for what the newest one says.
        if learned.runs
            && !below
            && let (Some(running), Some(bounds)) = (&self.running, &learned.bounds)
        {
            let (version, rollback_to) = (learned.version.clone(), bounds.rollback_to.clone());
            let came = Came { release: release.to_owned(), version, sha256: running.sha256, rollback_to };
            fleet.unsaved |= remember(&mut fleet.came, came);
            fleet.keep(&mut self.store)?;
        }
        fleet.directory = Some(directory);
        Ok(learned)
    }

    /// Downloads and verifies it.
    pub(super) fn fetch(
        &mut self,
        fleet: &mut Fleet,
        release: &str,
        attend: &mut dyn Attend,
    ) -> Result<Verified, PassFailure> {
        if fleet.directory.as_ref().is_none_or(|directory| directory.release != release) {
            self.learn(fleet, release, attend)?;
        }
        let Some(directory) = fleet.directory.clone() else { return Err(unread(release)) };
        let chosen = self.wanted.choice(&directory, &self.situation(fleet))?;
        if let Some((_, verified)) = fleet.fetched.take_if(|(fetched, _)| fetched == release)
            && chosen.binary_sha256() == Some(verified.sha256())
        {
            self.installing.about = Some((verified.version().cloned(), Some(verified.sha256())));
            return Ok(verified);
        }
        self.installing.about = Some((chosen.version().cloned(), chosen.binary_sha256()));
        let revision = &directory.offered.release.revision;
        let brought = self.waited(&chosen, revision).map_or_else(|| self.bring(&directory.offered, chosen, attend), Ok);
        brought.map_err(|failure| self.not_verified(failure, Some(directory.version.clone()), revision))
    }

    /// Verified → Confirmed, or back to where it was.
    pub(super) fn go_to(
        &mut self,
        fleet: &mut Fleet,
        release: &str,
        ask: Ask,
        driver: &mut dyn RestartDriver,
        attend: &mut dyn Attend,
    ) -> Result<Outcome, PassFailure> {
        let verified = self.fetch(fleet, release, attend)?;
        let Some(directory) = &fleet.directory else { return Err(unread(release)) };
        let listed = directory.manifest.release(&directory.version);
        let rollback_to = listed.and_then(|listed| listed.bounds.as_ref()).map(|bounds| bounds.rollback_to.clone());
        let sha256 = verified.sha256();
        let came = Came {
            release: release.to_owned(),
            version: directory.version.clone(),
            sha256,
            rollback_to: rollback_to.unwrap_or_default(),
        };
        let revision = directory.offered.release.revision.clone();
        // Before it serves: the ways back from it must be known however the supervisor ends.
        fleet.unsaved |= remember(&mut fleet.came, came);
        fleet.keep(&mut self.store)?;
        let taken = self.take(verified, ask, &revision, driver, attend)?;
        if matches!(taken, Outcome::Updated { .. })
            && self.store.record().quarantine.iter().any(|bad| bad.sha256 == sha256)
        {
            self.store.update(|record| record.quarantine.retain(|bad| bad.sha256 != sha256))?;
        }
        Ok(taken)
    }

    /// Why the release that was read last is in quarantine.
    pub(super) fn quarantined_for(&self, fleet: &Fleet) -> Code {
        let digests = fleet.directory.as_ref().map(Directory::digests).unwrap_or_default();
        let bad = self.store.record().quarantine.iter().find(|bad| digests.contains(&bad.sha256));
        Code::new(bad.map_or("release.quarantined", |bad| &bad.code))
    }

    /// The key sets of the product's root, where keys change.
    fn follow_roots(&mut self, fleet: &Fleet, attend: &mut dyn Attend) -> Result<(), PassFailure> {
        let now = Timestamp::now();
        let known = self.store.record().clone();
        let (store, worker) = (&mut self.store, &mut *self.worker);
        let bring = |keys: &TrustedKeys| fleet.member.root(keys.version() + 1, &mut *worker, &mut *attend);
        let held = self.wanted.follow_by(&known, now, bring, |keys, bytes| accept(store, now, keys, bytes))?;
        self.keep_version(known.keys_version)?;
        held.map_or(Ok(()), |held| Err(held.into()))
    }
}

/// A directory is called after the version in it, and perhaps after the digest of what is in it.
fn is_called(release: &str, version: &Version) -> bool {
    let rest = release.strip_prefix(&version.to_string());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '.']))
}

fn unread(release: &str) -> PassFailure {
    let version = Version::parse(release).ok();
    let message = format!("the directory of {} was not read", named(version.as_ref()));
    Refused::new("release.not_listed", Exit::Stale, message).into()
}
