//! What was accepted before is the floor of what may be accepted now.

use super::manifest::{Revoked, Vouched, What};
use super::{Manifest, Refused};
use crate::failure::Exit;
use crate::state::{Record, Revocation};

/// What the floor makes of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It is newer than anything seen before: the caller persists the record before the first byte is downloaded.
    Raised,
    /// It is what was accepted last.
    Known,
    /// It is older than what was accepted, for the first time in a row: nothing of it is used, and it may be a mirror
    /// that lags behind. The caller persists the record, so that the next one is not the first.
    Stale(Refused),
}

/// Holds a manifest against the record and raises the floor to it.
///
/// Fails with `manifest.rollback` (21) for a manifest below the floor that is not the first one in a row, and with
/// `manifest.equivocation` (21) for other bytes at the floor's own number. Then the record is as it was. Proved by
/// `a_lower_sequence_is_never_used`.
pub fn admit(manifest: &Manifest, record: &mut Record) -> Result<Admitted, Refused> {
    let mut next = record.clone();
    if let Some(position) = manifest.position {
        let floor = (record.epoch, record.seq);
        if position < floor {
            let message = format!("the source shows {}, and {} was accepted before", place(position), place(floor));
            if record.stale_since.is_none() {
                record.stale_since = Some(manifest.read_at);
                let stale = Refused::new("source.stale", Exit::Done, message);
                return Ok(Admitted::Stale(stale.hint("it is asked again; should it go on, that is a rollback")));
            }
            return Err(Refused::new("manifest.rollback", Exit::Rollback, message)
                .hint("a mirror or cache that lags behind looks the same; it is not used either way"));
        }
        if position == floor && record.manifest_sha256.is_some_and(|known| known != manifest.sha256) {
            let message = format!("two different manifests are signed as {}", place(position));
            return Err(Refused::new("manifest.equivocation", Exit::Rollback, message)
                .hint("ask the publisher which is theirs: their key may be in other hands"));
        }
        (next.epoch, next.seq) = position;
        next.manifest_sha256 = Some(manifest.sha256);
        next.stale_since = None;
    }
    next.issued_max = next.issued_max.max(manifest.issued);
    if matches!(manifest.proof, Vouched::Signed) {
        next.revoked = manifest.revoked.iter().map(noted).collect();
        next.min_version = manifest.min_version.clone();
    }
    see(manifest, &mut next);
    if next == *record {
        return Ok(Admitted::Known);
    }
    *record = next;
    Ok(Admitted::Raised)
}

fn noted(revoked: &Revoked) -> Revocation {
    let (version, sha256) = match &revoked.what {
        What::Version(version) => (Some(version.clone()), None),
        What::Sha256(sha256) => (None, Some(*sha256)),
    };
    Revocation { version, sha256, reason: revoked.reason.clone() }
}

/// Notes when each version was first seen by this machine's own clock.
fn see(manifest: &Manifest, record: &mut Record) {
    let listed: Vec<String> =
        manifest.releases.iter().filter_map(|release| release.version.as_ref()).map(ToString::to_string).collect();
    for version in &listed {
        let first = record.first_seen.entry(version.clone()).or_insert(manifest.read_at);
        // Seen in the future: the clock was ahead then. Without this a cooldown would last until it is again.
        *first = (*first).min(manifest.read_at);
    }
    if record.first_seen.len() > MAX_SEEN {
        record.first_seen.retain(|version, _| listed.contains(version));
    }
}

fn place((epoch, seq): (u64, u64)) -> String {
    if epoch == 0 { format!("number {seq}") } else { format!("epoch {epoch}, number {seq}") }
}

/// More versions than any manifest can list.
const MAX_SEEN: usize = 1024;

#[cfg(test)]
#[path = "floor_tests.rs"]
mod tests;
