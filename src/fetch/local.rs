//! Jobs in this very process.

use std::io;
use std::time::Duration;

use fetchd_fetchers::Registry;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::failure::{FetchFailure, WorkerFault};
use super::job::{DownloadJob, Downloaded, ExtractJob, Extracted, PollJob, PollReply, SiblingJob};
use super::perform::{Bench, REPORTS, perform};
use super::wire::{Answer, Request};
use super::worker::{Attend, Worker};

/// How often [`Attend::stop`] is asked.
const GLANCE: Duration = Duration::from_millis(100);

/// Does jobs on a runtime of its own in the calling thread: for commands that end with the job.
///
/// It must not be called from inside another tokio runtime. A panic in a fetcher becomes a
/// [`WorkerFault::Panicked`]; an abort takes the process with it.
#[derive(Debug)]
pub struct LocalWorker {
    runtime: Runtime,
    bench: Bench,
}

impl LocalWorker {
    /// With these fetchers. Fails if the system has no descriptor left for a runtime.
    pub fn new(registry: Registry) -> io::Result<LocalWorker> {
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
        Ok(LocalWorker { runtime, bench: Bench::new(registry) })
    }

    fn run(&self, request: &Request, attend: &mut dyn Attend) -> Result<Answer, FetchFailure> {
        self.runtime.block_on(async {
            let (tell, mut told) = mpsc::channel(REPORTS);
            let mut job = std::pin::pin!(perform(&self.bench, request, Vec::new(), tell));
            let mut glance = tokio::time::interval(GLANCE);
            loop {
                tokio::select! {
                    result = &mut job => {
                        while let Ok(progress) = told.try_recv() {
                            attend.progress(progress);
                        }
                        return result;
                    }
                    Some(progress) = told.recv() => attend.progress(progress),
                    _ = glance.tick() => if attend.stop() {
                        return Err(FetchFailure::Stopped);
                    },
                }
            }
        })
    }
}

impl Worker for LocalWorker {
    fn poll(&mut self, job: &PollJob, attend: &mut dyn Attend) -> Result<PollReply, FetchFailure> {
        match self.run(&Request::Poll(job.clone()), attend)? {
            Answer::Poll(reply) => Ok(reply),
            other => Err(crossed(&other)),
        }
    }

    fn sibling(&mut self, job: &SiblingJob, attend: &mut dyn Attend) -> Result<Option<Vec<u8>>, FetchFailure> {
        match self.run(&Request::Sibling(job.clone()), attend)? {
            Answer::Sibling(sibling) => Ok(sibling.bytes),
            other => Err(crossed(&other)),
        }
    }

    fn download(&mut self, job: &DownloadJob, attend: &mut dyn Attend) -> Result<Downloaded, FetchFailure> {
        match self.run(&Request::Download(job.clone()), attend)? {
            Answer::Download(downloaded) => Ok(downloaded),
            other => Err(crossed(&other)),
        }
    }

    fn extract(&mut self, job: &ExtractJob, attend: &mut dyn Attend) -> Result<Extracted, FetchFailure> {
        match self.run(&Request::Extract(job.clone()), attend)? {
            Answer::Extract(extracted) => Ok(extracted),
            other => Err(crossed(&other)),
        }
    }

    #[cfg(feature = "deltas")]
    fn patch(&mut self, job: &super::PatchJob, attend: &mut dyn Attend) -> Result<super::Patched, FetchFailure> {
        match self.run(&Request::Patch(job.clone()), attend)? {
            Answer::Patch(patched) => Ok(patched),
            other => Err(crossed(&other)),
        }
    }

    #[cfg(feature = "fleet")]
    fn store(
        &mut self,
        job: &super::StoreJob,
        attend: &mut dyn Attend,
    ) -> Result<crate::fleet::store::Reply, FetchFailure> {
        match self.run(&Request::Store(job.clone()), attend)? {
            Answer::Store(reply) => Ok(reply),
            other => Err(crossed(&other)),
        }
    }

    fn dismiss(&mut self) {}
}

/// An answer to another question than the one asked.
pub(super) fn crossed(answer: &Answer) -> FetchFailure {
    let kind = match answer {
        Answer::Poll(_) => "a poll",
        Answer::Sibling(_) => "a question for a file",
        Answer::Download(_) => "a download",
        Answer::Extract(_) => "an extraction",
        #[cfg(feature = "deltas")]
        Answer::Patch(_) => "a delta",
        #[cfg(feature = "fleet")]
        Answer::Store(_) => "a question to a bucket",
    };
    WorkerFault::Protocol { what: format!("the answer to {kind}, which nobody asked for") }.into()
}
