//! The way by a delta: the smallest that fits, once; whatever goes wrong, the next one, and the full artifact last.
//!
//! Nothing of it is believed: what a delta makes is a candidate like any other, and only if it has the digest that the
//! manifest names for the binary. So a delta can waste work and do nothing else.

use std::path::PathBuf;
use std::time::Duration;

use super::bring::{Made, NoDelta};
use super::line::Line;
use super::outcome::PassFailure;
use crate::clock::Timestamp;
use crate::failure::{Failure as _, Reported};
use crate::fetch::{Attend, DownloadJob, Limits, Offered, PatchJob};
use crate::install::Current;
use crate::state::{BadDelta, Event};
use crate::trust::Chosen;
use crate::trust::manifest::Delta;
use crate::verify::{Candidate, Remade};

/// A delta of more than so many per cent of the full artifact is not worth its trouble.
const WORTHWHILE: u64 = 60;
/// The largest zstd window, as its binary logarithm (RFC 9842, section 3).
const WINDOW_LOG: u8 = 27;
/// What applying a delta takes at most on a machine that is not ill: this, and a second for so many bytes of both files.
const BASE: Duration = Duration::from_secs(10);
const BYTES_PER_SECOND: u64 = 8 << 20;
/// How much longer it may take before it is given up.
const PATIENCE: u32 = 3;
/// The least time that a delta's download is given.
const SHORTEST: Duration = Duration::from_secs(30);
/// How many deltas are remembered as bad.
const MOST_BAD: usize = 32;

impl Line {
    /// The binary of `chosen`, made of the one that is installed, or why not.
    ///
    /// Fails only where the whole pass is to end.
    pub(super) fn by_delta(
        &mut self,
        offered: &Offered,
        chosen: &Chosen,
        attend: &mut dyn Attend,
    ) -> Result<Made, PassFailure> {
        if self.wanted.deltas.is_none() {
            return Ok(NoDelta::Off.into());
        }
        if chosen.deltas().is_empty() {
            return Ok(NoDelta::Unlisted.into());
        }
        let old = match self.install.current() {
            Ok(Some(old)) => old,
            Ok(None) => return Ok(NoDelta::NoBase.into()),
            Err(error) => {
                tracing::warn!(
                    event = "delta.failed",
                    code = error.code(),
                    "the installed binary cannot be read: {error}"
                );
                return Ok(NoDelta::NoBase.into());
            }
        };
        let (fitting, none) = self.fitting(chosen, &old);
        let mut why = Made::from(none);
        for delta in fitting {
            match self.remake(offered, chosen, &old, &delta, attend) {
                Ok(candidate) => return Ok(Made::Of(Box::new(candidate), delta.format.name(), delta.size)),
                Err(failure) if failure.was_interrupted() => return Err(failure),
                Err(failure) => {
                    self.went_bad(chosen, &delta, &failure);
                    why = Made::Not(failure.code().to_owned());
                }
            }
        }
        Ok(why)
    }

    /// The deltas that may be tried, the smallest first, and why there is none, if there is none.
    fn fitting(&self, chosen: &Chosen, old: &Current) -> (Vec<Delta>, NoDelta) {
        let memory = self.wanted.deltas.unwrap_or(0);
        let full = chosen.size().unwrap_or(u64::MAX);
        let (mut fitting, mut none) = (Vec::new(), NoDelta::OtherBase);
        for delta in chosen.deltas().iter().filter(|delta| delta.from_sha256 == old.sha256) {
            let bad = self.store.record().bad_deltas.iter().any(|bad| bad.is(delta, chosen.binary_sha256()));
            let (code, why) = if bad {
                (NoDelta::FailedBefore, "it failed here before")
            } else if u128::from(delta.size) * 100 >= u128::from(full) * u128::from(WORTHWHILE) {
                (NoDelta::NoGain, "it is hardly smaller than the full artifact")
            } else if delta.mem_bytes.is_some_and(|needed| needed > memory) {
                (NoDelta::TooMuchMemory, "it needs more memory than the worker has")
            } else if delta.window_log.is_some_and(|log| log > WINDOW_LOG) {
                (NoDelta::TooMuchMemory, "it needs a larger window than is allowed")
            } else {
                fitting.push(delta.clone());
                continue;
            };
            none = code;
            let (format, size, code) = (delta.format.name(), delta.size, code.code());
            tracing::debug!(event = "delta.passed_over", code, format, size, "{why}");
        }
        if fitting.is_empty() {
            tracing::debug!(event = "delta.none", from = %old.sha256, "no delta fits the installed binary");
        }
        fitting.sort_by_key(|delta| delta.size);
        (fitting, none)
    }

    fn remake(
        &mut self,
        offered: &Offered,
        chosen: &Chosen,
        old: &Current,
        delta: &Delta,
        attend: &mut dyn Attend,
    ) -> Result<Candidate, PassFailure> {
        let remade = Remade::new(chosen.clone(), self.install.custody())?;
        let binary_size = remade.size();
        let job = self.delta_job(offered, chosen, delta);
        let downloaded = self.worker.download(&job, attend)?;
        self.ledger.enter(|counts| counts.received.add(delta.format.name(), downloaded.size));
        // The worker that spoke with the network is not the one that reads what came.
        self.worker.dismiss();
        let work = old.size.saturating_add(binary_size) / BYTES_PER_SECOND;
        let patched = self.worker.patch(
            &PatchJob {
                old: self.install.program().to_owned(),
                from_sha256: delta.from_sha256,
                delta: downloaded.path.clone(),
                format: delta.format,
                size: delta.size,
                sha256: delta.sha256,
                out: remade.path().to_owned(),
                binary_size,
                memory: self.wanted.deltas.unwrap_or(0),
                window_log: delta.window_log.unwrap_or(WINDOW_LOG),
                deadline: BASE.saturating_add(Duration::from_secs(work)).saturating_mul(PATIENCE),
            },
            attend,
        );
        self.worker.dismiss();
        if let Err(error) = std::fs::remove_file(&downloaded.path) {
            tracing::debug!(path = %downloaded.path.display(), %error, "the delta could not be removed");
        }
        let patched = patched?;
        tracing::debug!(event = "delta.applied", format = delta.format.name(), took = ?patched.elapsed, "applied a delta");
        Ok(remade.into_candidate()?)
    }

    /// A delta may take its share of the time that the full artifact has: it is to be the faster way.
    fn delta_job(&self, offered: &Offered, chosen: &Chosen, delta: &Delta) -> DownloadJob {
        let whole = self.wanted.limits.total;
        let share = delta.size as f64 / chosen.size().unwrap_or(delta.size).max(1) as f64;
        let total = whole.mul_f64(share.clamp(0.0, 1.0)).max(SHORTEST).min(whole);
        DownloadJob {
            source: self.wanted.source.clone(),
            release: offered.release.clone(),
            urls: delta.urls.clone(),
            size: Some(delta.size),
            sha256: Some(delta.sha256),
            staging: PathBuf::from(self.install.staging()),
            limits: Limits { max_size: chosen.max_size(), total, ..self.wanted.limits.clone() },
            key: delta.sha256.to_string(),
        }
    }

    /// It is not tried again for this release. That the record cannot be written must not keep the full artifact away.
    fn went_bad(&mut self, chosen: &Chosen, delta: &Delta, failure: &PassFailure) {
        let reported = Reported::of(failure);
        self.ledger.enter(|counts| counts.bad_deltas.add(&reported.code, 1));
        let (format, at) = (delta.format.name(), Timestamp::now());
        tracing::warn!(
            event = "delta.failed",
            code = reported.code,
            format,
            size = delta.size,
            "a delta did not do, another way is taken: {}",
            reported.message
        );
        let event = Event::new(at, "delta.failed").version(chosen.version()).failure(&reported);
        self.note(&event.detail("format", format).detail("bytes", delta.size));
        let Some(to_sha256) = chosen.binary_sha256() else { return };
        let (from_sha256, format, code) = (delta.from_sha256, delta.format, reported.code);
        let kept = self.store.update(|record| {
            // Those of other releases are of no use any more.
            record.bad_deltas.retain(|bad| bad.to_sha256 == to_sha256);
            record.bad_deltas.push(BadDelta { from_sha256, to_sha256, format, code, at });
            let excess = record.bad_deltas.len().saturating_sub(MOST_BAD);
            record.bad_deltas.drain(..excess);
        });
        if let Err(error) = kept {
            tracing::warn!(event = "delta.forgotten", code = error.code(), "that a delta failed cannot be recorded");
        }
    }
}
