//! What one service follows, and what can be said of an offer without changing anything.

use std::path::Path;
use std::time::Duration;

use fetchd_fetchers::Revision;
use semver::Version;

use super::follow::Asking;
use super::outcome::{Outcome, PassFailure};
use crate::clock::Timestamp;
use crate::digest::Sha256;
use crate::failure::{Exit, Failure as _, Reported};
use crate::fetch::{AssetPattern, Attend, Limits, Meant, NotReady, Offered, PollJob, PollReply, Source, Want, Worker};
use crate::install::{Installed, owner_only};
use crate::state::Record;
use crate::trust::{self, Admitted, Choice, Expect, Manifest, Offer, Policy, Refused, Trust, TrustedKeys};
use crate::verify::Verifier;

/// What is wanted, from where, and what is believed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where releases come from.
    pub source: Source,
    /// What is believed of them.
    pub trust: Trust,
    /// The key set that this comes from, where there is one: see [`Wanted::adopt`].
    pub keys: Option<TrustedKeys>,
    /// What this machine is.
    pub expect: Expect,
    /// Bounds of the network and of the disk.
    pub limits: Limits,
    /// What the asset for this machine is called; `None` = as release tools call it.
    pub asset: Option<AssetPattern>,
    /// Take this version and no other.
    pub pin: Option<Version>,
    /// Take an older version than the one that runs.
    pub allow_downgrade: bool,
    /// How long a version must have been known before it is taken.
    pub cooldown: Duration,
    /// How old a manifest may be.
    pub max_age: Option<Duration>,
    /// The anonymous memory in bytes that applying a delta may take; `None` = only full artifacts.
    pub deltas: Option<u64>,
    /// The fleet that the source is one's of. Its releases have directories of their own, which `source` names in turn.
    #[cfg(feature = "fleet")]
    pub fleet: Option<Box<super::fleet::Membership>>,
}

/// What a poll found.
pub(super) enum Found {
    /// Something to look at.
    Offer(Box<Offered>),
    /// What was seen last time, which has another revision now.
    Same(Revision),
    /// Nothing, and that ends the pass.
    Nothing(Box<Outcome>),
}

/// The binary that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its version, where known.
    pub version: Option<Version>,
    /// Its digest.
    pub sha256: Sha256,
}

impl Running {
    /// What `started` is: its version from the record, else by asking the binary, as a smoke run would, with `scratch` for
    /// its working directory.
    pub fn of(started: &Installed, verifier: &Verifier, scratch: &Path) -> Running {
        let sha256 = *started.sha256();
        let version = match started.version() {
            Some(version) => Some(version.clone()),
            None => verifier.version_of(started.program(), sha256, scratch),
        };
        Running { version, sha256 }
    }
}

impl Wanted {
    /// Says what a pass would do, as far as that is known without a download. Changes nothing on disk; key
    /// sets that the source shows are followed in memory.
    ///
    /// `program` is the program path, `state_dir` where the host of a fleet finds what it remembers; `record` is what is
    /// remembered else.
    pub fn look(
        &mut self,
        (program, state_dir): (&Path, &Path),
        record: &Record,
        running: Option<&Running>,
        worker: &mut dyn Worker,
        attend: &mut dyn Attend,
    ) -> Result<Outcome, PassFailure> {
        let now = Timestamp::now();
        #[cfg(feature = "fleet")]
        if let Some(member) = self.fleet.clone() {
            return self.look_at_fleet(&member, (program, state_dir), record, running, worker, attend);
        }
        let _ = state_dir;
        let offered = match self.poll(worker, None, attend)? {
            Found::Offer(offered) => offered,
            Found::Same(_) => return Ok(Outcome::Unchanged),
            Found::Nothing(outcome) => return Ok(*outcome),
        };
        let asking = Asking { worker: &mut *worker, attend: &mut *attend };
        if let Some(held) = self.follow(&offered.release, record, now, asking, |_, _| Ok(()))? {
            return Ok(Outcome::Held(held.into()));
        }
        let asking = Asking { worker, attend };
        let (_, manifest) = self.read_whole(offered, program, now, asking)?;
        if let Admitted::Stale(why) = trust::admit(&manifest, &mut record.clone())? {
            return Ok(Outcome::Stale(why.into()));
        }
        Ok(match trust::choose(&manifest, record, &self.policy(running, false), &self.expect, now) {
            Choice::UpToDate { version, .. } => Outcome::UpToDate { version },
            Choice::Held(refused) => Outcome::Held(refused.into()),
            Choice::Take(chosen) => match on_hold(record, now) {
                Some(held) => Outcome::Held(held.into()),
                None => Outcome::Available { version: chosen.version().cloned() },
            },
        })
    }

    /// One conditional request.
    pub(super) fn poll(
        &self,
        worker: &mut dyn Worker,
        since: Option<Revision>,
        attend: &mut dyn Attend,
    ) -> Result<Found, PassFailure> {
        let want = match self.trust {
            Trust::Bundle { .. } => Want::Document,
            Trust::Bound { .. } | Trust::Plain { .. } => Want::Sidecar,
            Trust::Owner | Trust::Unsigned => Want::Nothing,
        };
        let meant = Meant {
            product: self.expect.product.clone(),
            channel: self.expect.channel.clone(),
            target: self.expect.target.clone(),
            pattern: self.asset.clone(),
        };
        let job = PollJob { source: self.source.clone(), since, want, meant, limits: self.limits.clone() };
        Ok(match worker.poll(&job, attend)? {
            PollReply::Unchanged => Found::Nothing(Box::new(Outcome::Unchanged)),
            PollReply::Renewed(revision) => Found::Same(revision),
            PollReply::Offers(offered) => Found::Offer(Box::new(offered)),
            PollReply::NotReady(lacks) => Found::Nothing(Box::new(Outcome::NotReady(not_ready(&lacks)))),
        })
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

    /// Release → Manifest, where the manifest and its signature may be two files. They cannot be replaced at once: if the
    /// one does not fit the other, both are asked for again, once.
    ///
    /// Returns the offer that was read.
    pub(super) fn read_whole(
        &self,
        offered: Box<Offered>,
        program: &Path,
        now: Timestamp,
        asking: Asking<'_>,
    ) -> Result<(Box<Offered>, Manifest), PassFailure> {
        let failure = match self.read(&offered, program, now) {
            Ok(manifest) => return Ok((offered, manifest)),
            Err(failure) => failure,
        };
        let two_files = offered.document.is_some() && offered.signature.is_some();
        if !two_files || !failure.code().starts_with("signature.") {
            return Err(failure);
        }
        match self.poll(asking.worker, None, asking.attend)? {
            Found::Offer(again) => {
                let manifest = self.read(&again, program, now)?;
                Ok((again, manifest))
            }
            Found::Same(_) | Found::Nothing(_) => Err(failure),
        }
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

    /// A revision was seen under certain settings: others may decide otherwise about the same offer, or ask for another.
    pub(super) fn etag_key(&self) -> String {
        // Digested, because a URL and an option may hold a secret.
        let source = (self.source.url.as_str(), &self.source.options);
        let settings = (&self.trust, &self.expect, &self.asset, &self.pin, self.allow_downgrade, self.max_age);
        // What one key set refused, the next may vouch for.
        let keys = self.keys.as_ref().map(TrustedKeys::version);
        let settings = format!("{source:?} {settings:?} {keys:?}");
        format!("{}#{}", fetchd_fetchers::redact(&self.source.url), Sha256::of(settings.as_bytes()).short())
    }
}

/// A release that is listed and cannot be taken yet, in words.
fn not_ready(lacks: &NotReady) -> Reported {
    let release = lacks.release.as_ref().map_or_else(|| "the release".to_owned(), |label| format!("release `{label}`"));
    let shown: Vec<String> = lacks.shown.iter().map(|name| format!("`{name}`")).collect();
    let shown = if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") };
    Reported {
        code: "source.not_ready".to_owned(),
        exit: Exit::Done,
        message: format!("{release} still lacks {}; it shows {shown}", lacks.missing),
        hint: Some(
            "it is looked at again; if its files are called otherwise, say how with `--asset PATTERN`".to_owned(),
        ),
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

#[cfg(test)]
mod tests {
    use fetchd_fetchers::Options;
    use url::Url;

    use super::*;

    fn key(url: &str, options: &[(&str, &str)]) -> String {
        wanted(url, options).etag_key()
    }

    fn wanted(url: &str, options: &[(&str, &str)]) -> Wanted {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]));
        let expect = Expect {
            product: "app".to_owned(),
            channel: "stable".to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            epoch: None,
            max_size: 1,
        };
        let source = Source { url: Url::parse(url).unwrap(), options: options.collect::<Options>() };
        Wanted {
            source,
            trust: Trust::Unsigned,
            keys: None,
            expect,
            limits: Limits::default(),
            asset: None,
            pin: None,
            allow_downgrade: false,
            cooldown: Duration::ZERO,
            max_age: None,
            deltas: None,
            #[cfg(feature = "fleet")]
            fleet: None,
        }
    }

    #[test]
    fn what_another_place_showed_is_no_revision_of_this_one() {
        let keys = [
            key("github://o/r?tag=v1.*", &[]),
            key("github://o/r?tag=v2.*", &[]),
            key("github://o/r", &[("tag", "v1.*")]),
            key("github://o/r", &[("tag", "v2.*")]),
            key("s3://b/app", &[("endpoint", "https://one.example.com")]),
            key("s3://b/app", &[("endpoint", "https://two.example.com")]),
        ];
        let different: std::collections::BTreeSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), keys.len(), "{keys:?}");
        assert_eq!(keys[2], key("github://o/r", &[("tag", "v1.*")]));
    }

    /// The release keys and the epoch are those of before: what was refused may be vouched for all the same.
    #[test]
    fn another_key_set_looks_at_a_revision_again() {
        let mut wanted = wanted("https://dl.example.com/stable.fetchd", &[]);
        let mut seen = std::collections::BTreeSet::from([wanted.etag_key()]);
        for version in [1, 2] {
            wanted.adopt(trust::sample::trusted_keys(version));
            seen.insert(wanted.etag_key());
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
    }

    #[test]
    fn no_secret_of_the_source_is_remembered_with_a_revision() {
        let key = key("https://ann:hunter2@dl.example.com/app?key=hunter3", &[("header", "X-Key: hunter4")]);
        assert!(!key.contains("hunter"), "{key}");
    }
}
