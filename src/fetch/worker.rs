//! Where jobs run, seen from the side that waits for them.

use std::fmt::Debug;
use std::os::fd::BorrowedFd;

use super::confine::Hardening;
use super::failure::FetchFailure;
use super::job::{DownloadJob, Downloaded, ExtractJob, Extracted, PollJob, PollReply, Progress, SiblingJob};

/// Does the jobs that touch the network or parse what came from it.
///
/// Every call ends within the limits of its job, whatever the source does. What comes back is a
/// claim: verify it.
pub trait Worker: Send + Debug {
    /// Asks the source what it offers.
    fn poll(&mut self, job: &PollJob, attend: &mut dyn Attend) -> Result<PollReply, FetchFailure>;
    /// Brings one small file that lies beside what was polled. `None` only if the source says that there is
    /// none; whatever else keeps it away is a failure.
    fn sibling(&mut self, job: &SiblingJob, attend: &mut dyn Attend) -> Result<Option<Vec<u8>>, FetchFailure>;
    /// Brings an artifact into staging, from where an earlier attempt ended if possible.
    fn download(&mut self, job: &DownloadJob, attend: &mut dyn Attend) -> Result<Downloaded, FetchFailure>;
    /// Unpacks the one binary of an artifact.
    fn extract(&mut self, job: &ExtractJob, attend: &mut dyn Attend) -> Result<Extracted, FetchFailure>;
    /// Makes a binary of the one that is installed and a delta.
    #[cfg(feature = "deltas")]
    fn patch(&mut self, job: &super::PatchJob, attend: &mut dyn Attend) -> Result<super::Patched, FetchFailure>;
    /// Carries one request to a fleet's bucket. What the bucket says, that it failed included, is an answer; a failure
    /// is that there is none, and then nothing is known of what the request did.
    #[cfg(feature = "fleet")]
    fn store(
        &mut self,
        job: &super::StoreJob,
        attend: &mut dyn Attend,
    ) -> Result<crate::fleet::store::Reply, FetchFailure>;
    /// Lets go of a process that is not needed soon. The next job starts another one.
    fn dismiss(&mut self);
    /// What holds of the process that jobs run in; `None` = nothing has been started, or it is this very process.
    fn hardening(&self) -> Option<&Hardening> {
        None
    }
}

/// What the caller does while it waits.
pub trait Attend {
    /// The job got this far.
    fn progress(&mut self, progress: Progress);
    /// A descriptor that becomes readable when [`Attend::stop`] should be asked. Without one it is
    /// asked five times a second.
    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Whether to give up: the job then ends with [`FetchFailure::Stopped`].
    fn stop(&mut self) -> bool;
}

/// Waits to the end and looks at nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unattended;

impl Attend for Unattended {
    fn progress(&mut self, _: Progress) {}

    fn stop(&mut self) -> bool {
        false
    }
}
