//! Every way a worker can fail.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fetchd::fetch::{
    Attend, ExtractJob, FetchFailure, ProcessWorker, Progress, Settings, Unattended, Worker, WorkerFault,
};
use fetchd::trust::Format;
use rustix::process::Signal;

use crate::bench::{Bench, code, signal};

/// What a worker that fails on demand looks like from here.
fn failure_of(mode: &str) -> FetchFailure {
    let bench = Bench::new();
    let memory = Some(256 << 20);
    let set = vec![("FETCHD_TEST_WORKER".into(), mode.into())];
    let mut worker = bench.worker_with(Settings { memory, set, ..bench.settings() });
    let begun = Instant::now();
    let failure = worker.poll(&bench.poll("/ok/app"), &mut Unattended).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(15), "{mode} took {:?}", begun.elapsed());
    assert_eq!(worker.id(), None);
    assert!(bench.processes().is_empty(), "{mode} leaves nothing behind");
    failure
}

#[test]
fn a_panic_is_told() {
    let failure = failure_of("panic");
    assert_eq!(failure, WorkerFault::Panicked { message: "asked to panic".to_owned() }.into());
    // Outside of a job nobody is left to tell.
    assert_eq!(failure_of("crash"), WorkerFault::Died { how: "exit status 101".to_owned() }.into());
}

#[test]
fn an_abort_and_an_exit_are_told_in_words() {
    let failure = failure_of("abort");
    assert_eq!(code(&failure), "worker.died");
    assert_eq!(failure.to_string(), "the worker ended in the middle of a job with signal 6 (SIGABRT)");
    let failure = failure_of("exit");
    assert_eq!(failure.to_string(), "the worker ended in the middle of a job with exit status 3");
}

#[test]
fn a_hang_is_noticed_by_its_silence() {
    assert_eq!(failure_of("hang"), WorkerFault::Silent { after: Duration::from_secs(3) }.into());
}

#[test]
fn a_worker_out_of_memory_takes_nobody_with_it() {
    assert_eq!(code(&failure_of("oom")), "worker.died");
}

#[test]
fn garbage_and_floods_break_the_protocol() {
    for mode in ["garbage", "flood"] {
        assert_eq!(code(&failure_of(mode)), "worker.protocol", "{mode}");
    }
}

#[test]
fn programs_that_are_no_workers_fail_in_time() {
    let bench = Bench::new();
    let settings = Settings { silence: Duration::from_millis(500), ..bench.settings() };
    for (program, expected) in
        [("/nonexistent", "worker.spawn"), ("/bin/true", "worker.died"), ("/bin/cat", "worker.silent")]
    {
        let mut worker = ProcessWorker::new(program, bench.staging(), settings.clone());
        let failure = worker.poll(&bench.poll("/ok/app"), &mut Unattended).unwrap_err();
        assert_eq!(code(&failure), expected, "{program}");
        assert!(bench.processes().is_empty());
    }
}

/// Does something to the worker once it says that it has reached a checkpoint.
struct AtCheckpoint {
    file: PathBuf,
    signal: Option<Signal>,
}

impl Attend for AtCheckpoint {
    fn progress(&mut self, _: Progress) {}

    fn stop(&mut self) -> bool {
        let process = fs::read_to_string(&self.file).ok().and_then(|text| text.parse().ok());
        if let (Some(process), Some(kind)) = (process, self.signal) {
            signal(process, kind);
            self.signal = None;
        }
        false
    }
}

fn at(bench: &Bench, checkpoint: &str, settings: Settings) -> (ProcessWorker, AtCheckpoint) {
    let file = bench.directory.path().join("checkpoint");
    let set = vec![
        ("FETCHD_TEST_CHECKPOINT".into(), checkpoint.into()),
        ("FETCHD_TEST_CHECKPOINT_FILE".into(), file.clone().into()),
    ];
    (bench.worker_with(Settings { set, ..settings }), AtCheckpoint { file, signal: None })
}

#[test]
fn a_download_is_carried_on_with_after_a_kill() {
    let bench = Bench::new();
    let (mut worker, mut attend) = at(&bench, "DownloadPartial", bench.settings());
    attend.signal = Some(Signal::KILL);
    let job = bench.download("/ok/app");
    let failure = worker.download(&job, &mut attend).unwrap_err();
    assert_eq!(failure.to_string(), "the worker ended in the middle of a job with signal 9 (SIGKILL)");
    let part = fs::metadata(bench.staging().join("key.part")).unwrap().len();
    assert!(part > 0 && part < bench.bytes.len() as u64, "{part} bytes are there");
    assert!(bench.processes().is_empty());
    let downloaded = bench.succeeds(&mut bench.worker(&[]), &job);
    assert_eq!(downloaded.resumed_from, part);
}

#[test]
fn a_complete_download_survives_a_kill() {
    let bench = Bench::new();
    let (mut worker, mut attend) = at(&bench, "DownloadComplete", bench.settings());
    attend.signal = Some(Signal::KILL);
    let job = bench.download("/ok/app");
    assert_eq!(code(&worker.download(&job, &mut attend).unwrap_err()), "worker.died");
    let requests = bench.origin.requests().len();
    let downloaded = bench.succeeds(&mut bench.worker(&[]), &job);
    assert_eq!(downloaded.resumed_from, bench.bytes.len() as u64);
    assert_eq!(bench.origin.requests().len(), requests, "nothing is fetched twice");
}

#[test]
fn a_stopped_process_is_noticed_by_its_silence() {
    let bench = Bench::new();
    let settings = Settings { silence: Duration::from_millis(1500), ..bench.settings() };
    let (mut worker, mut attend) = at(&bench, "DownloadPartial", settings);
    attend.signal = Some(Signal::STOP);
    let failure = worker.download(&bench.download("/ok/app"), &mut attend).unwrap_err();
    assert_eq!(code(&failure), "worker.silent");
    assert!(bench.processes().is_empty());
}

#[test]
fn a_job_without_end_is_killed_at_its_deadline() {
    let bench = Bench::new();
    let limit = Duration::from_secs(4);
    let (mut worker, mut attend) = at(&bench, "Extracted", Settings { extract: limit, ..bench.settings() });
    let artifact = bench.staging().join("artifact");
    fs::write(&artifact, b"bytes").unwrap();
    let out = bench.staging().join("out");
    let job =
        ExtractJob { format: Format::Raw, entry: None, program: None, binary_size: None, max_size: 100, artifact, out };
    // It says that it is alive all the while, so that only the deadline can end it.
    assert_eq!(worker.extract(&job, &mut attend).unwrap_err(), WorkerFault::Deadline { limit }.into());
    assert!(bench.processes().is_empty());
}

/// Its own deadline is for the worker to keep; this is for one that does not.
#[test]
fn a_delta_without_end_is_given_up_a_little_after_its_deadline() {
    let bench = Bench::of_size(100_000);
    let (mut worker, mut attend) = at(&bench, "Extracted", bench.settings());
    let job = bench.patch(Duration::from_secs(1));
    let limit = Duration::from_secs(11);
    assert_eq!(worker.patch(&job, &mut attend).unwrap_err(), WorkerFault::Deadline { limit }.into());
    assert!(bench.processes().is_empty() && !job.out.exists());
}
