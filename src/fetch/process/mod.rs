//! Jobs in a process of their own, which is believed nothing and given no time to spare.

mod live;
mod screen;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::live::{Duty, Live};
use super::failure::FetchFailure;
use super::job::{DownloadJob, Downloaded, ExtractJob, Extracted, PollJob, PollReply, SiblingJob};
use super::local::crossed;
use super::wire::{Answer, Request};
use super::worker::{Attend, Worker};

/// What a job may take beyond its own limits before its worker is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Where a worker's standard error goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stderr {
    /// Where the supervisor's own goes.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
}

/// How a worker is started and watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long it may give no sign of life in the middle of a job.
    pub silence: Duration,
    /// How long an extraction may take.
    pub extract: Duration,
    /// How long it may take to end once it is dismissed.
    pub dismiss: Duration,
    /// The most bytes of private memory it may have; `None` = no limit.
    pub memory: Option<u64>,
    /// Where its log goes.
    pub stderr: Stderr,
    /// Variables of this process that it inherits besides those for proxies, certificates and
    /// logging: a fetcher's credentials. A worker that unpacks gets neither these nor those of
    /// proxies (`what_unpacks_knows_no_credential_and_never_spoke_with_the_network`).
    pub inherit: Vec<String>,
    /// Variables it is given.
    pub set: Vec<(OsString, OsString)>,
}

impl Default for Settings {
    /// 15 s of silence, 10 min to extract, 2 s to end, 1 GiB.
    fn default() -> Settings {
        Settings {
            silence: Duration::from_secs(15),
            extract: Duration::from_secs(600),
            dismiss: Duration::from_secs(2),
            memory: Some(1 << 30),
            stderr: Stderr::Inherit,
            inherit: Vec::new(),
            set: Vec::new(),
        }
    }
}

/// Does jobs in a process that runs [`serve`](super::serve()), started when it is first needed.
///
/// Whatever that process does, each job ends within its deadline with an answer or a
/// [`WorkerFault`](super::WorkerFault), and a process that failed is killed with all of its group
/// and reaped before the call returns (`tests/fetch_worker.rs`). Dropping this kills it too.
#[derive(Debug)]
pub struct ProcessWorker {
    program: PathBuf,
    directory: PathBuf,
    settings: Settings,
    live: Option<Live>,
}

impl ProcessWorker {
    /// Workers are `program`, an absolute path resolved at start, with `directory` (staging) as
    /// their working directory. Nothing is started yet.
    pub fn new(program: impl Into<PathBuf>, directory: impl Into<PathBuf>, settings: Settings) -> ProcessWorker {
        ProcessWorker { program: program.into(), directory: directory.into(), settings, live: None }
    }

    /// The program that is started.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The worker's process, if one is alive.
    pub fn id(&self) -> Option<u32> {
        self.live.as_ref().map(Live::id)
    }

    fn run(&mut self, request: &Request, limit: Duration, attend: &mut dyn Attend) -> Result<Answer, FetchFailure> {
        let duty = if matches!(request, Request::Extract(_)) { Duty::Archive } else { Duty::Network };
        // A worker that ended between two jobs is replaced, not complained about.
        let mut live = match self.live.take_if(|live| live.duty() == duty && live.is_alive()) {
            Some(live) => live,
            None => {
                self.dismiss();
                Live::start(duty, &self.program, &self.directory, &self.settings)?
            }
        };
        match live.run(request, limit, &self.settings, attend) {
            Ok(Ok(answer)) => {
                self.live = Some(live);
                Ok(answer)
            }
            // The job failed, the worker is fine.
            Ok(Err(failure)) if !matches!(failure, FetchFailure::Worker(_)) => {
                self.live = Some(live);
                Err(screen::failure(failure))
            }
            Ok(Err(failure)) => {
                live.kill();
                Err(screen::failure(failure))
            }
            Err(failure) => {
                live.kill();
                Err(failure)
            }
        }
    }
}

impl Worker for ProcessWorker {
    fn poll(&mut self, job: &PollJob, attend: &mut dyn Attend) -> Result<PollReply, FetchFailure> {
        match self.run(&Request::Poll(job.clone()), job.limits.poll + GRACE, attend)? {
            Answer::Poll(reply) => screen::poll_reply(reply),
            other => Err(crossed(&other)),
        }
    }

    fn sibling(&mut self, job: &SiblingJob, attend: &mut dyn Attend) -> Result<Option<Vec<u8>>, FetchFailure> {
        match self.run(&Request::Sibling(job.clone()), job.deadline + GRACE, attend)? {
            Answer::Sibling(sibling) => screen::sibling(sibling.bytes, job.limit),
            other => Err(crossed(&other)),
        }
    }

    fn download(&mut self, job: &DownloadJob, attend: &mut dyn Attend) -> Result<Downloaded, FetchFailure> {
        match self.run(&Request::Download(job.clone()), job.limits.total + GRACE, attend)? {
            // The path is ours to know, not the worker's to tell.
            Answer::Download(downloaded) => Ok(Downloaded { path: job.artifact(), ..downloaded }),
            other => Err(crossed(&other)),
        }
    }

    fn extract(&mut self, job: &ExtractJob, attend: &mut dyn Attend) -> Result<Extracted, FetchFailure> {
        match self.run(&Request::Extract(job.clone()), self.settings.extract, attend)? {
            Answer::Extract(extracted) => Ok(extracted),
            other => Err(crossed(&other)),
        }
    }

    fn dismiss(&mut self) {
        if let Some(live) = self.live.take() {
            live.dismiss(self.settings.dismiss);
        }
    }
}
