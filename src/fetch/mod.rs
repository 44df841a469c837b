//! Everything that touches the network or parses what came from it: poll, download, unpack.
//!
//! A supervisor runs it in a process of its own ([`ProcessWorker`]), which may crash, hang or be
//! killed without harm and has given up most of what a process may do; [`LocalWorker`] runs it in the
//! calling process. Neither is believed: what they bring is verified by [`crate::trust`] and the verify stage.

mod asset;
mod confine;
mod download;
mod extract;
mod failure;
#[cfg(all(debug_assertions, feature = "cli", feature = "http"))]
pub(crate) mod fuzz;
mod job;
mod local;
#[cfg(debug_assertions)]
mod misbehave;
#[cfg(feature = "deltas")]
mod patch;
mod perform;
mod poll;
mod process;
mod serve;
#[cfg(feature = "fleet")]
mod store;
mod wire;
mod worker;

#[cfg(test)]
mod tests;

pub use asset::{AssetPattern, BadPattern, Meant};
pub use confine::{Harden, Hardening, Lacking, Measure};
pub use extract::{extract, measure};
pub use failure::{ArchiveFault, DeltaFault, FetchFailure, WorkerFault};
pub use job::{
    DOCUMENT_LIMIT, DownloadJob, Downloaded, ExtractJob, Extracted, Limits, NotReady, Offered, PollJob, PollReply,
    Progress, SIGNATURE_LIMIT, SiblingJob, Source, Want,
};
pub use local::LocalWorker;
#[cfg(feature = "deltas")]
pub use patch::{PatchJob, Patched};
pub use process::{ProcessWorker, Settings, Stderr, User};
pub use serve::{serve, serve_with};
#[cfg(feature = "fleet")]
pub use store::StoreJob;
pub use worker::{Attend, Unattended, Worker};
