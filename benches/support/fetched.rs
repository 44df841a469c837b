//! One download by the worker of the program that is measured.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fetchd::digest::Sha256;
use fetchd::fetch::{DownloadJob, Limits, ProcessWorker, Settings, Source, Unattended, Worker as _};
use fetchd_fetchers::{Release, Revision};

use super::{PATIENCE, fetchd, process};

/// Time, peak RSS in KiB and CPU time in nanoseconds of a worker process that starts, downloads and hashes.
pub(crate) fn fetch(source: Source, directory: &Path, size: u64, sha256: Sha256) -> (Duration, u64, u64) {
    let staging = directory.join("staging");
    let job = DownloadJob {
        source,
        release: Release { revision: Revision(String::new()), label: None, assets: Vec::new(), document: None },
        urls: vec!["artifact".to_owned()],
        size: Some(size),
        sha256: Some(sha256),
        staging: staging.clone(),
        limits: Limits { total: 10 * PATIENCE, ..Limits::default() },
        key: "artifact".to_owned(),
    };
    let mut worker = ProcessWorker::new(fetchd(), &staging, Settings::default());
    let begun = Instant::now();
    let downloaded = worker.download(&job, &mut Unattended).unwrap();
    let time = begun.elapsed();
    assert_eq!((downloaded.size, downloaded.sha256, downloaded.resumed_from), (size, sha256, 0));
    let id = worker.id().expect("the worker waits for its next job");
    let (peak, cpu) = (process::status(id, "VmHWM:"), process::cpu_ns(id));
    worker.dismiss();
    for left in fs::read_dir(&staging).unwrap() {
        fs::remove_file(left.unwrap().path()).unwrap();
    }
    (time, peak, cpu)
}
