//! A staging directory, a source, and a worker from the real program.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fetchd::digest::Sha256;
use fetchd::fetch::{
    DownloadJob, Downloaded, FetchFailure, Limits, Meant, PatchJob, PollJob, PollReply, ProcessWorker, Settings,
    Source, Stderr, Unattended, Want, Worker,
};
use fetchd::trust::manifest::DeltaFormat;
use fetchd_fetchers::{Options, Release, Revision};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use url::Url;

use crate::origin::Origin;

/// More than a socket buffer holds, so that a download takes several steps.
pub(crate) const SIZE: usize = 3_000_000;

pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) origin: Origin,
    pub(crate) bytes: Vec<u8>,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::of_size(SIZE)
    }

    pub(crate) fn of_size(size: usize) -> Bench {
        let pattern: Vec<u8> = (0..65_537).map(|n: usize| (n * 7 + n / 256) as u8).collect();
        let bytes: Vec<u8> = pattern.iter().copied().cycle().take(size).collect();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("staging")).unwrap();
        Bench { directory, origin: Origin::start(bytes.clone()), bytes }
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.directory.path().join("staging")
    }

    /// A worker of the real program, given these variables.
    pub(crate) fn worker(&self, set: &[(&str, &str)]) -> ProcessWorker {
        self.worker_with(Settings {
            set: set.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            ..self.settings()
        })
    }

    pub(crate) fn worker_with(&self, settings: Settings) -> ProcessWorker {
        ProcessWorker::new(env!("CARGO_BIN_EXE_fetchd"), self.staging(), settings)
    }

    /// Silence is noticed early; panics do not spoil the tests' output.
    pub(crate) fn settings(&self) -> Settings {
        Settings { silence: Duration::from_secs(3), stderr: Stderr::Null, ..Settings::default() }
    }

    pub(crate) fn source(&self, path: &str) -> Source {
        Source { url: Url::parse(&self.origin.url(path)).unwrap(), options: Options::new() }
    }

    pub(crate) fn poll(&self, path: &str) -> PollJob {
        let text = str::to_owned;
        let meant = Meant {
            product: text("app"),
            channel: text("stable"),
            target: text("x86_64-unknown-linux-gnu"),
            pattern: None,
        };
        let want = Want::Nothing;
        PollJob { source: self.source(path), since: None, want, meant, limits: Limits::default() }
    }

    pub(crate) fn download(&self, path: &str) -> DownloadJob {
        let revision = Revision("polled earlier".to_owned());
        let release = Release { revision, label: None, assets: Vec::new(), document: None };
        self.download_of(path, release)
    }

    pub(crate) fn download_of(&self, path: &str, release: Release) -> DownloadJob {
        let second = Duration::from_secs(1);
        DownloadJob {
            source: self.source(path),
            release,
            urls: vec!["app".to_owned()],
            size: Some(self.bytes.len() as u64),
            sha256: Some(Sha256::of(&self.bytes)),
            staging: self.staging(),
            limits: Limits { total: 30 * second, stall: 20 * second, reserve: 0, ..Limits::default() },
            key: "key".to_owned(),
        }
    }

    /// To make something longer of the artifact by a delta.
    pub(crate) fn patch(&self, deadline: Duration) -> PatchJob {
        let [old, delta, out] = ["old", "delta", "new"].map(|name| self.staging().join(name));
        let new = [&self.bytes[..], b"and more"].concat();
        let options = fetchd_delta::Options { level: Some(3), ..Default::default() };
        let made = fetchd_delta::create(&self.bytes, &new, fetchd_delta::Format::Dcz, &options).unwrap();
        fs::write(&old, &self.bytes).unwrap();
        fs::write(&delta, &made).unwrap();
        PatchJob {
            old,
            from_sha256: Sha256::of(&self.bytes),
            delta,
            format: DeltaFormat::Dcz,
            size: made.len() as u64,
            sha256: Sha256::of(&made),
            out,
            binary_size: new.len() as u64,
            memory: 64 << 20,
            window_log: 27,
            deadline,
        }
    }

    /// Downloads with `worker`, the right bytes being the result.
    pub(crate) fn succeeds(&self, worker: &mut ProcessWorker, job: &DownloadJob) -> Downloaded {
        let downloaded = worker.download(job, &mut Unattended).unwrap();
        assert!(fs::read(&downloaded.path).unwrap() == self.bytes, "the bytes are right");
        downloaded
    }

    /// Polls with `worker`, which must succeed.
    pub(crate) fn polls(&self, worker: &mut ProcessWorker) -> Release {
        match worker.poll(&self.poll("/ok/app"), &mut Unattended).unwrap() {
            PollReply::Offers(offered) => offered.release,
            other => panic!("{other:?}"),
        }
    }

    /// The numbers of all processes that work in staging, zombies excluded.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let here = |pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == self.staging());
        let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).filter(here).collect()
    }

    /// Waits until a file of this name has at least `size` bytes.
    pub(crate) fn wait_for(&self, path: &Path, size: u64) {
        until(|| fs::metadata(path).is_ok_and(|metadata| metadata.len() >= size));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for process in self.processes() {
            signal(process, Signal::KILL);
        }
    }
}

/// Waits for `condition`, ten seconds at most.
pub(crate) fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to pass within ten seconds");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn signal(process: u32, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(Pid::from_raw(process as i32).unwrap(), signal);
}

pub(crate) fn is_gone(process: u32) -> bool {
    !Path::new(&format!("/proc/{process}")).exists()
}

pub(crate) fn code(failure: &FetchFailure) -> &'static str {
    fetchd::failure::Failure::code(failure)
}
