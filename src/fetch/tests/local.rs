use std::fs;
use std::time::Instant;

use super::*;
use crate::failure::Failure as _;
use crate::fetch::{
    Attend, DownloadJob, ExtractJob, FetchFailure, Limits, LocalWorker, PollJob, Progress, Unattended, Want, Worker,
    WorkerFault,
};
use crate::trust::Format;

#[derive(Default)]
struct Watch {
    seen: Vec<Progress>,
    stop_at: Option<Instant>,
}

impl Attend for Watch {
    fn progress(&mut self, progress: Progress) {
        self.seen.push(progress);
    }

    fn stop(&mut self) -> bool {
        self.stop_at.is_some_and(|at| Instant::now() >= at)
    }
}

fn download(directory: &Path, options: &[&str]) -> DownloadJob {
    DownloadJob {
        source: source(directory, options),
        release: release(&["app"]),
        urls: vec!["app".to_owned()],
        size: None,
        sha256: None,
        staging: directory.join("staging"),
        limits: Limits { reserve: 0, ..Limits::default() },
        key: "key".to_owned(),
    }
}

#[test]
fn jobs_are_done_and_progress_is_told_ten_times_a_second_at_most() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("staging")).unwrap();
    fs::write(directory.path().join("app"), vec![7; 100_000]).unwrap();
    let mut worker = LocalWorker::new(registry()).unwrap();
    let mut watch = Watch::default();
    let begun = Instant::now();
    let job = download(directory.path(), &["chunk=1000", "pause_ms=3"]);
    let downloaded = worker.download(&job, &mut watch).unwrap();
    let most = 3 + begun.elapsed().as_millis() / 100;
    assert!((2..=most).contains(&(watch.seen.len() as u128)), "{} reports, at most {most}", watch.seen.len());
    assert_eq!(watch.seen.last(), Some(&Progress::Download { bytes: 100_000, total: Some(100_000) }));
    let out = directory.path().join("out");
    let job = ExtractJob {
        format: Format::Raw,
        entry: None,
        program: None,
        binary_size: None,
        max_size: 1 << 20,
        artifact: downloaded.path,
        out: out.clone(),
    };
    assert_eq!(worker.extract(&job, &mut Unattended).unwrap().size, 100_000);
    assert_eq!(fs::read(out).unwrap(), vec![7; 100_000]);
}

#[test]
fn a_job_stops_when_asked_and_the_next_one_resumes() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("staging")).unwrap();
    fs::write(directory.path().join("app"), vec![7; 100_000]).unwrap();
    let mut worker = LocalWorker::new(registry()).unwrap();
    let begun = Instant::now();
    let mut watch = Watch { stop_at: Some(begun + Duration::from_millis(300)), ..Watch::default() };
    let job = download(directory.path(), &["chunk=10000", "stall=50000"]);
    assert_eq!(worker.download(&job, &mut watch).unwrap_err(), FetchFailure::Stopped);
    assert!(begun.elapsed() < Duration::from_secs(30));
    let resumed = worker.download(&download(directory.path(), &[]), &mut Unattended).unwrap();
    assert!(resumed.resumed_from > 0);
    assert_eq!(fs::read(resumed.path).unwrap(), vec![7; 100_000]);
}

#[test]
fn a_panic_in_a_fetcher_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let mut worker = LocalWorker::new(registry()).unwrap();
    let want = Want::Nothing;
    let source = source(directory.path(), &["panic"]);
    let job = PollJob { source, since: None, want, meant: meant(), limits: Limits::default() };
    let failure = worker.poll(&job, &mut Unattended).unwrap_err();
    assert_eq!(failure, WorkerFault::Panicked { message: "a bug in a fetcher".to_owned() }.into());
    assert_eq!(failure.code(), "worker.panicked");
}
