//! From what was chosen to what is verified: by the full artifact, or by a delta where one fits.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::line::Line;
use super::outcome::PassFailure;
use crate::digest::Sha256;
use crate::fetch::{Attend, DownloadJob, Limits, Offered};
use crate::trust::Chosen;
use crate::verify::{self, Candidate, Verified};

/// How a release came here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// The digest of the binary.
    pub sha256: Sha256,
    /// `full`, or the format of the delta it was made with: `dcz`, `fxd-1`.
    pub by: String,
    /// How many bytes that was.
    pub bytes: u64,
    /// How many bytes the full artifact has.
    pub full: u64,
    /// Where it came whole: why not by a delta, a stable code. The last delta that was tried and did not do has its own,
    /// such as `delta.damaged`; the others are [`NoDelta`]'s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_delta: Option<String>,
}

/// Why no delta was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDelta {
    /// They are switched off.
    Off,
    /// The release has none.
    Unlisted,
    /// Nothing is installed, or it cannot be read.
    NoBase,
    /// It has none from what is installed.
    OtherBase,
    /// The one that fits has failed here before.
    FailedBefore,
    /// It is hardly smaller than the full artifact.
    NoGain,
    /// It needs more memory than the worker has, or a larger window than is allowed.
    TooMuchMemory,
}

impl NoDelta {
    /// All of them.
    pub const ALL: [NoDelta; 7] = [
        NoDelta::Off,
        NoDelta::Unlisted,
        NoDelta::NoBase,
        NoDelta::OtherBase,
        NoDelta::FailedBefore,
        NoDelta::NoGain,
        NoDelta::TooMuchMemory,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            NoDelta::Off => "delta.off",
            NoDelta::Unlisted => "delta.unlisted",
            NoDelta::NoBase => "delta.no_base",
            NoDelta::OtherBase => "delta.other_base",
            NoDelta::FailedBefore => "delta.failed_before",
            NoDelta::NoGain => "delta.no_gain",
            NoDelta::TooMuchMemory => "delta.too_much_memory",
        }
    }
}

/// What came of the deltas of a release.
pub(super) enum Made {
    #[cfg_attr(not(feature = "deltas"), expect(dead_code, reason = "nothing makes one"))]
    /// The binary, with the format and the size of the delta.
    Of(Box<Candidate>, &'static str, u64),
    /// Nothing, for this reason.
    Not(String),
}

impl From<NoDelta> for Made {
    fn from(why: NoDelta) -> Made {
        Made::Not(why.code().to_owned())
    }
}

impl Brought {
    /// The end of a sentence about a release; nothing where it came whole.
    pub(super) fn sentence(&self) -> String {
        match self.by.as_str() {
            "full" => String::new(),
            by => format!(", by a {by} delta of {} bytes instead of {} bytes", self.bytes, self.full),
        }
    }
}

impl Line {
    /// Chosen → Artifact → Candidate → Verified.
    pub(super) fn bring(
        &mut self,
        offered: &Offered,
        chosen: Chosen,
        attend: &mut dyn Attend,
    ) -> Result<Verified, PassFailure> {
        self.install.preflight(&chosen, self.wanted.limits.reserve)?;
        let (candidate, by, bytes, no_delta) = match self.by_delta(offered, &chosen, attend)? {
            Made::Of(candidate, by, bytes) => (*candidate, by, bytes, None),
            Made::Not(why) => {
                let (candidate, bytes) = self.in_full(offered, chosen.clone(), attend)?;
                (candidate, "full", bytes, Some(why))
            }
        };
        let verified = self.verifier.verify(candidate)?;
        let full = chosen.size().unwrap_or(bytes);
        tracing::info!(
            event = "release.fetched",
            version = verified.version().map(ToString::to_string),
            by,
            bytes,
            full,
            no_delta,
            "the release is here and verified"
        );
        self.ledger.enter(|counts| {
            counts.fetched.add(by, 1);
            match &no_delta {
                Some(why) => counts.whole.add(why, 1),
                None => counts.saved = counts.saved.saturating_add(full.saturating_sub(bytes)),
            }
        });
        let (sha256, by) = (verified.sha256(), by.to_owned());
        self.installing.brought = Some(Brought { sha256, by, bytes, full, no_delta });
        Ok(verified)
    }

    fn in_full(
        &mut self,
        offered: &Offered,
        chosen: Chosen,
        attend: &mut dyn Attend,
    ) -> Result<(Candidate, u64), PassFailure> {
        let job = self.download_job(offered, &chosen);
        let downloaded = self.worker.download(&job, attend)?;
        let taken = verify::take(&downloaded.path, chosen, self.install.custody());
        if taken.is_err() {
            // Whoever hands over something else is not asked again.
            self.worker.dismiss();
        }
        let artifact = taken?;
        let bytes = artifact.size();
        self.ledger.enter(|counts| counts.received.add("full", bytes));
        if let Some(job) = artifact.needs_extraction() {
            // The worker that spoke with the network is not the one that unpacks.
            self.worker.dismiss();
            self.worker.extract(&job, attend)?;
            self.worker.dismiss();
        }
        Ok((artifact.into_candidate()?, bytes))
    }

    fn download_job(&self, offered: &Offered, chosen: &Chosen) -> DownloadJob {
        let key = match chosen.sha256() {
            Some(sha256) => sha256,
            None => offered.key(),
        };
        DownloadJob {
            source: self.wanted.source.clone(),
            release: offered.release.clone(),
            urls: chosen.urls().to_vec(),
            size: chosen.size(),
            sha256: chosen.sha256(),
            staging: PathBuf::from(self.install.staging()),
            limits: Limits { max_size: chosen.max_size(), ..self.wanted.limits.clone() },
            key: key.to_string(),
        }
    }

    #[cfg(not(feature = "deltas"))]
    fn by_delta(&mut self, _: &Offered, _: &Chosen, _: &mut dyn Attend) -> Result<Made, PassFailure> {
        Ok(NoDelta::Off.into())
    }
}
