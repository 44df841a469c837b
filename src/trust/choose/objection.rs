//! What speaks against taking a release here and now.

use super::{Scene, same};
use crate::digest::Sha256;
use crate::failure::Exit;
use crate::trust::Refused;
use crate::trust::manifest::{Artifact, Release, Rollout};

impl<'a> Scene<'a> {
    /// The artifact to take, or the first thing that speaks against the release: first what holds
    /// for every host, then what holds for this one, then what only time or chance holds back.
    pub(super) fn objection(&self, release: &'a Release) -> Result<&'a Artifact, Refused> {
        let name = release.version.as_ref().map_or_else(|| "the release".to_owned(), |version| format!("`{version}`"));
        self.withdrawn(release, &name)?;
        self.too_low(release, &name)?;
        let artifact = self.artifact(release).ok_or_else(|| self.no_target(release, &name))?;
        self.too_large(artifact, &name)?;
        self.quarantined(release, artifact, &name)?;
        self.too_far(release, &name)?;
        self.cooling(release, &name)?;
        if let Some(rollout) = &release.rollout {
            self.not_yet(rollout, &name)?;
        }
        Ok(artifact)
    }

    fn withdrawn(&self, release: &Release, name: &str) -> Result<(), Refused> {
        let digests: Vec<Sha256> = self.artifact_digests(release);
        if let Some(reason) = self.manifest.revocation(release.version.as_ref(), &digests) {
            let message = format!("{name} was revoked by the publisher: {reason}");
            return Err(Refused::new("release.revoked", Exit::Trust, message));
        }
        if release.yanked && self.policy.pin.is_none() {
            let message = format!("{name} was withdrawn by the publisher");
            return Err(Refused::new("release.yanked", Exit::Stale, message));
        }
        Ok(())
    }

    fn artifact_digests(&self, release: &Release) -> Vec<Sha256> {
        let fits = |artifact: &&Artifact| artifact.target.as_ref().is_none_or(|target| *target == self.expect.target);
        release.artifacts.iter().filter(fits).flat_map(Artifact::digests).collect()
    }

    fn too_low(&self, release: &Release, name: &str) -> Result<(), Refused> {
        let Some(version) = &release.version else { return Ok(()) };
        if let Some(least) = self.manifest.min_version()
            && version.cmp_precedence(least).is_lt()
        {
            let message = format!("{name} is below `{least}`, the oldest version the publisher allows");
            return Err(Refused::new("release.below_minimum", Exit::Rollback, message));
        }
        if let Some(base) = self.base
            && version.cmp_precedence(base).is_lt()
            && !self.directed
            && !self.policy.allow_downgrade
        {
            let message = format!("{name} is older than `{base}`, which this machine has");
            return Err(Refused::new("release.downgrade", Exit::Rollback, message)
                .hint("pass `--allow-downgrade` if that is what you want"));
        }
        Ok(())
    }

    fn no_target(&self, release: &Release, name: &str) -> Refused {
        let there: Vec<String> =
            release.artifacts.iter().filter_map(|a| a.target.as_ref()).map(|target| format!("`{target}`")).collect();
        let message = format!("{name} has no artifact for `{}`", self.expect.target);
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        Refused::new("release.no_target", Exit::Content, message).hint(format!("targets it has: {there}"))
    }

    fn too_large(&self, artifact: &Artifact, name: &str) -> Result<(), Refused> {
        let size = artifact.size.max(artifact.binary_size).unwrap_or(0);
        if size <= self.expect.max_size {
            return Ok(());
        }
        let message = format!("{name} is {size} bytes long, the limit is {}", self.expect.max_size);
        Err(Refused::new("release.too_large", Exit::Content, message).hint("raise `max_size`"))
    }

    fn quarantined(&self, release: &Release, artifact: &Artifact, name: &str) -> Result<(), Refused> {
        let digests = artifact.digests();
        // Where no digest is signed but the version is, the version has to do. Where neither is, a
        // source could get a good version shut out by giving its name to a bad one.
        let by_version = digests.is_empty() && artifact.target.is_some();
        let found = self.record.quarantine.iter().find(|bad| {
            digests.contains(&bad.sha256)
                || (by_version && bad.version.as_ref().zip(release.version.as_ref()).is_some_and(|(a, b)| same(a, b)))
        });
        let Some(bad) = found else { return Ok(()) };
        let message = format!("{name} failed here at `{}` and is not tried again: {}", bad.at, bad.code);
        Err(Refused::new("release.quarantined", Exit::Stale, message)
            .hint("publish a fixed version with a higher number"))
    }

    /// With nothing running there is nothing to come from.
    fn too_far(&self, release: &Release, name: &str) -> Result<(), Refused> {
        match (&self.policy.running, &release.min_from) {
            (Some(running), Some(least)) if running.cmp_precedence(least).is_lt() => {
                let message = format!("{name} can only be reached from `{least}` or newer, and `{running}` runs");
                Err(Refused::new("release.min_from", Exit::Stale, message))
            }
            _ => Ok(()),
        }
    }

    /// By this machine's own clock and memory: what a manifest says about its age is not asked.
    fn cooling(&self, release: &Release, name: &str) -> Result<(), Refused> {
        let Some(version) = &release.version else { return Ok(()) };
        let first = self.record.first_seen.get(&version.to_string()).copied().unwrap_or(self.now);
        if self.now.since(first) >= self.policy.cooldown {
            return Ok(());
        }
        let until = first.plus(self.policy.cooldown);
        let message = format!("{name} was first seen here at `{first}` and waits until `{until}`");
        Err(Refused::new("release.cooldown", Exit::Stale, message))
    }

    fn not_yet(&self, rollout: &Rollout, name: &str) -> Result<(), Refused> {
        let joins = match rollout.percent {
            0 => false,
            100 => true,
            _ if self.policy.force => true,
            percent => self.policy.host_id.as_ref().is_some_and(|id| bucket(&rollout.salt, id) < percent),
        };
        if joins {
            return Ok(());
        }
        let message =
            format!("{name} goes to {} % of the hosts so far, and this one is not among them", rollout.percent);
        let refused = Refused::new("release.rollout", Exit::Stale, message);
        Err(if rollout.percent == 0 { refused } else { refused.hint("pass `--force` to take it now") })
    }
}

/// Which hundredth of the hosts this one belongs to, for this salt.
pub(super) fn bucket(salt: &str, host_id: &str) -> u8 {
    let digest = Sha256::of(&[salt.as_bytes(), host_id.as_bytes()].concat());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.0[..8]);
    // A remainder of 100 fits.
    (u64::from_be_bytes(first) % 100) as u8
}
