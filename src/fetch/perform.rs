//! Does one job on a runtime, whoever asked for it.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fetchd_fetchers::Registry;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use super::extract::Unpacking;
use super::failure::{FetchFailure, WorkerFault};
use super::job::{ExtractJob, Extracted, Progress};
#[cfg(feature = "deltas")]
use super::patch;
#[cfg(feature = "fleet")]
use super::store;
use super::wire::{Answer, Request};
use super::{download, extract, poll};

/// How many progress reports may wait for a listener.
pub(super) const REPORTS: usize = 16;

/// What jobs are done with.
#[derive(Debug)]
pub(super) struct Bench {
    registry: Registry,
    #[cfg(feature = "fleet")]
    carriers: store::Carriers,
}

impl Bench {
    pub(super) fn new(registry: Registry) -> Bench {
        Bench {
            registry,
            #[cfg(feature = "fleet")]
            carriers: store::Carriers::default(),
        }
    }
}

/// Does `request`, with the files that came with it. A panic inside it becomes its failure.
pub(super) async fn perform(
    bench: &Bench,
    request: &Request,
    files: Vec<OwnedFd>,
    progress: mpsc::Sender<Progress>,
) -> Result<Answer, FetchFailure> {
    let job = async {
        #[cfg(debug_assertions)]
        super::misbehave::panic_if_asked(request);
        match request {
            Request::Poll(job) => poll::poll(&bench.registry, job).await.map(Answer::Poll),
            Request::Sibling(job) => poll::sibling(&bench.registry, job).await.map(Answer::Sibling),
            Request::Download(job) => download::download(&bench.registry, job, progress).await.map(Answer::Download),
            #[cfg(feature = "fleet")]
            Request::Store(job) => store::store(&bench.carriers, job).await.map(Answer::Store),
            Request::Extract(job) => unpack(job, files).await.map(Answer::Extract),
            #[cfg(feature = "deltas")]
            Request::Patch(job) => patched(job.clone(), files).await.map(Answer::Patch),
        }
    };
    // Nothing that the job touched is used again after a panic: its fetcher is its own.
    AssertUnwindSafe(job).catch_unwind().await.unwrap_or_else(|panic| {
        let message = panic_text(&*panic);
        Err(WorkerFault::Panicked { message }.into())
    })
}

async fn unpack(job: &ExtractJob, files: Vec<OwnedFd>) -> Result<Extracted, FetchFailure> {
    let (job, abandoned) = (job.clone(), Abandoned::default());
    let stop = abandoned.0.clone();
    match tokio::task::spawn_blocking(move || extract::extract_unless(&job, Unpacking::of(&job, files)?, &stop)).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(FetchFailure::Stopped),
    }
}

/// What it maps may be cut short by somebody else, and then this process ends: see `fetchd_delta::map`.
#[cfg(feature = "deltas")]
async fn patched(job: patch::PatchJob, files: Vec<OwnedFd>) -> Result<patch::Patched, FetchFailure> {
    match tokio::task::spawn_blocking(move || patch::patch(&job, &patch::Patching::of(&job, files)?)).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(FetchFailure::Stopped),
    }
}

/// Tells a thread that nobody waits for it any more.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
