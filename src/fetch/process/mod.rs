//! Jobs in a process of their own, which is believed nothing and given no time to spare.

mod grants;
mod live;
mod screen;
mod seen;
mod staging;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::live::{Duty, Live};
use super::confine::{Harden, Hardening};
use super::extract::Unpacking;
use super::failure::{FetchFailure, WorkerFault};
use super::job::{DownloadJob, Downloaded, ExtractJob, Extracted, PollJob, PollReply, SiblingJob};
use super::local::crossed;
use super::wire::{Answer, Request};
use super::worker::{Attend, Worker};
#[cfg(feature = "fleet")]
pub(super) use screen::printable;

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
    /// How much hardening it must have.
    pub harden: Harden,
    /// Whom it runs as; `None` = as this process. Only root can change that.
    pub user: Option<User>,
    /// The most bytes of a file that it writes; `None` = no limit.
    pub file_size: Option<u64>,
    /// Files and directories that fetchers of your own read, besides what the source's URL, its options and the
    /// variables name.
    pub read: Vec<PathBuf>,
}

/// A user and its group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// Its only group.
    pub gid: u32,
}

impl Default for Settings {
    /// 15 s of silence, 10 min to extract, 2 s to end, 1 GiB, the hardening that the kernel offers, no other user.
    fn default() -> Settings {
        Settings {
            silence: Duration::from_secs(15),
            extract: Duration::from_secs(600),
            dismiss: Duration::from_secs(2),
            memory: Some(1 << 30),
            stderr: Stderr::Inherit,
            inherit: Vec::new(),
            set: Vec::new(),
            harden: Harden::Auto,
            user: None,
            file_size: None,
            read: Vec::new(),
        }
    }
}

/// Does jobs in a process that runs [`serve`](super::serve()), started when it is first needed.
///
/// Whatever that process does, each job ends within its deadline with an answer or a
/// [`WorkerFault`](super::WorkerFault), and a process that failed is killed with all of its group
/// and reaped before the call returns (`tests/fetch_worker`). Dropping this kills it too.
#[derive(Debug)]
pub struct ProcessWorker {
    program: PathBuf,
    staging: Option<PathBuf>,
    settings: Settings,
    live: Option<Live>,
    hardening: Option<Hardening>,
}

impl ProcessWorker {
    /// Workers are `program`, an absolute path resolved at start, with `staging` as their working
    /// directory and the only one they write to. Nothing is started yet.
    pub fn new(program: impl Into<PathBuf>, staging: impl Into<PathBuf>, settings: Settings) -> ProcessWorker {
        ProcessWorker { staging: Some(staging.into()), ..ProcessWorker::polling(program, settings) }
    }

    /// Workers that have no staging, write nowhere, and so only poll.
    pub fn polling(program: impl Into<PathBuf>, settings: Settings) -> ProcessWorker {
        ProcessWorker { program: program.into(), staging: None, settings, live: None, hardening: None }
    }

    /// The program that is started.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The worker's process, if one is alive.
    pub fn id(&self) -> Option<u32> {
        self.live.as_ref().map(Live::id)
    }

    /// Starts a worker and hears what holds of it. Nothing is asked of one that lacks what is required.
    fn start(&mut self, duty: Duty, granted: grants::Granted, attend: &mut dyn Attend) -> Result<Live, FetchFailure> {
        if let Some(staging) = &self.staging {
            staging::tidy(staging)?;
        }
        let directory = self.staging.as_deref().unwrap_or(Path::new("/"));
        let mut live = Live::start(duty, granted, &self.program, directory, &self.settings)?;
        let hardening = live.hardening(&self.settings, attend)?;
        let missing = hardening.missing();
        let known = self.hardening.replace(hardening).is_some_and(|before| before.missing() == missing);
        if missing.is_empty() || self.settings.harden == Harden::Off {
            return Ok(live);
        }
        if self.settings.harden == Harden::Require {
            return Err(WorkerFault::Hardening { missing }.into());
        }
        if !known {
            tracing::warn!(event = "worker.hardening", missing, "the worker runs with less hardening than it could");
        }
        Ok(live)
    }

    fn run(
        &mut self,
        request: &Request,
        files: Vec<OwnedFd>,
        limit: Duration,
        attend: &mut dyn Attend,
    ) -> Result<Answer, FetchFailure> {
        let duty = match request {
            Request::Extract(_) => Duty::Archive,
            #[cfg(feature = "deltas")]
            Request::Patch(_) => Duty::Archive,
            _ => Duty::Network,
        };
        let granted = grants::granted(request, duty, self.staging.as_deref(), &self.settings);
        // A worker that ended between two jobs is replaced, not complained about.
        let mut live = match self.live.take_if(|live| live.serves(duty, &granted) && live.is_alive()) {
            Some(live) => live,
            None => {
                self.dismiss();
                self.start(duty, granted, attend)?
            }
        };
        match live.run(request, files, limit, &self.settings, attend) {
            Ok(Ok(answer)) if answer.answers(request) => {
                self.live = Some(live);
                Ok(answer)
            }
            Ok(Ok(answer)) => {
                live.kill();
                Err(crossed(&answer))
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
        match self.run(&Request::Poll(job.clone()), Vec::new(), job.limits.poll + GRACE, attend)? {
            Answer::Poll(reply) => screen::poll_reply(reply),
            other => Err(crossed(&other)),
        }
    }

    fn sibling(&mut self, job: &SiblingJob, attend: &mut dyn Attend) -> Result<Option<Vec<u8>>, FetchFailure> {
        match self.run(&Request::Sibling(job.clone()), Vec::new(), job.deadline + GRACE, attend)? {
            Answer::Sibling(sibling) => screen::sibling(sibling.bytes, job.limit),
            other => Err(crossed(&other)),
        }
    }

    fn download(&mut self, job: &DownloadJob, attend: &mut dyn Attend) -> Result<Downloaded, FetchFailure> {
        match self.run(&Request::Download(job.clone()), Vec::new(), job.limits.total + GRACE, attend)? {
            // The path is ours to know, not the worker's to tell.
            Answer::Download(downloaded) => Ok(Downloaded { path: job.artifact(), ..downloaded }),
            other => Err(crossed(&other)),
        }
    }

    /// The worker is handed the artifact open for reading, and the new file open for writing: it needs no access to
    /// the directories they lie in. It is killed before this returns, so that nobody holds the file any more.
    fn extract(&mut self, job: &ExtractJob, attend: &mut dyn Attend) -> Result<Extracted, FetchFailure> {
        let files = Unpacking::open(job)?;
        let sent = vec![files.artifact.into(), files.out.into()];
        let answer = self.run(&Request::Extract(job.clone()), sent, self.settings.extract, attend);
        if let Some(mut live) = self.live.take() {
            live.kill();
        }
        match answer {
            Ok(Answer::Extract(extracted)) => Ok(extracted),
            other => {
                // It was made here, by a name nobody else knows.
                let _ = std::fs::remove_file(&job.out);
                Err(other.map_or_else(|failure| failure, |answer| crossed(&answer)))
            }
        }
    }

    /// As [`extract`](Worker::extract), with three files: the worker gets the old binary open for reading alone.
    #[cfg(feature = "deltas")]
    fn patch(&mut self, job: &super::PatchJob, attend: &mut dyn Attend) -> Result<super::Patched, FetchFailure> {
        let files = super::patch::Patching::open(job)?.into_files();
        let answer = self.run(&Request::Patch(job.clone()), files, job.deadline + GRACE, attend);
        if let Some(mut live) = self.live.take() {
            live.kill();
        }
        match answer {
            Ok(Answer::Patch(patched)) => Ok(patched),
            other => {
                // It was made here, by a name nobody else knows.
                let _ = std::fs::remove_file(&job.out);
                Err(other.map_or_else(|failure| failure, |answer| crossed(&answer)))
            }
        }
    }

    #[cfg(feature = "fleet")]
    fn store(
        &mut self,
        job: &super::StoreJob,
        attend: &mut dyn Attend,
    ) -> Result<crate::fleet::store::Reply, FetchFailure> {
        match self.run(&Request::Store(job.clone()), Vec::new(), job.deadline + GRACE, attend)? {
            Answer::Store(reply) => super::store::screened(reply, &job.request),
            other => Err(crossed(&other)),
        }
    }

    fn dismiss(&mut self) {
        if let Some(live) = self.live.take() {
            live.dismiss(self.settings.dismiss);
        }
    }

    fn hardening(&self) -> Option<&Hardening> {
        self.hardening.as_ref()
    }
}
