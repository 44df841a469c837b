use std::fs;
use std::path::Path;
use std::time::Duration;

use fetchd_fetchers::Retry;
use tempfile::TempDir;

use super::partial::Open;
use super::sink::{BATCH, Sink};
use super::*;
use crate::failure::{Exit, Failure as _};
use crate::fetch::Limits;
use crate::fetch::tests::{registry, release, requests, source};

struct Bench {
    directory: TempDir,
    bytes: Vec<u8>,
}

impl Bench {
    /// A source with an artifact of `size` bytes, and an empty staging directory.
    fn new(size: usize) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..size).map(|n| (n * 7 + n / 256) as u8).collect();
        fs::write(directory.path().join("app"), &bytes).unwrap();
        fs::create_dir(directory.path().join("staging")).unwrap();
        Bench { directory, bytes }
    }

    /// Signed size and digest, limits that no honest source meets here.
    fn job(&self, options: &[&str]) -> DownloadJob {
        let second = Duration::from_secs(1);
        DownloadJob {
            source: source(self.directory.path(), options),
            release: release(&["app"]),
            urls: vec!["app".to_owned()],
            size: Some(self.bytes.len() as u64),
            sha256: Some(Sha256::of(&self.bytes)),
            staging: self.staging(),
            limits: Limits {
                total: 20 * second,
                stall: 10 * second,
                min_rate: 0,
                max_size: 1 << 20,
                reserve: 0,
                ..Limits::default()
            },
            key: "key".to_owned(),
        }
    }

    fn unsigned(&self, options: &[&str]) -> DownloadJob {
        DownloadJob { size: None, sha256: None, ..self.job(options) }
    }

    fn staging(&self) -> std::path::PathBuf {
        self.directory.path().join("staging")
    }

    fn part(&self) -> std::path::PathBuf {
        self.staging().join("key.part")
    }

    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.staging()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn requests(&self) -> Vec<u64> {
        requests(self.directory.path())
    }

    fn run(&self, job: &DownloadJob) -> Result<Downloaded, FetchFailure> {
        let (progress, _listener) = mpsc::channel(16);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(download(&registry(), job, progress))
    }

    /// Runs it, with the right bytes as the result and nothing else left.
    fn succeeds(&self, job: &DownloadJob) -> Downloaded {
        let downloaded = self.run(job).unwrap();
        assert_eq!(fs::read(&downloaded.path).unwrap(), self.bytes);
        assert_eq!((downloaded.size, downloaded.sha256), (self.bytes.len() as u64, Sha256::of(&self.bytes)));
        assert_eq!(self.left(), ["key.artifact"]);
        downloaded
    }

    fn fails(&self, job: &DownloadJob) -> (&'static str, Exit) {
        let failure = self.run(job).unwrap_err();
        (failure.code(), failure.exit())
    }

    /// Leaves `size` bytes of the artifact behind, as an interrupted download does.
    fn interrupted_at(&self, size: u64) {
        let failure = self.fails(&self.job(&[&format!("break={size}"), "chunk=1000"]));
        assert_eq!(failure, ("source.incomplete", Exit::Unreachable));
        assert_eq!(fs::metadata(self.part()).unwrap().len(), size);
        assert_eq!(self.left(), ["key.json", "key.part"]);
    }
}

#[test]
fn an_artifact_arrives_whole() {
    for size in [0, 1, 4095, 4096, 4097, 300_000, 1_000_000] {
        let bench = Bench::new(size);
        assert_eq!(bench.succeeds(&bench.job(&[])).resumed_from, 0, "{size}");
    }
    let bench = Bench::new(1_000_000);
    bench.succeeds(&bench.job(&["chunk=1000000"]));
    bench.succeeds(&bench.unsigned(&["total=none"]));
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(bench.job(&[]).artifact()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_interrupted_download_is_carried_on_with() {
    let bench = Bench::new(600_000);
    bench.interrupted_at(400_000);
    assert_eq!(bench.succeeds(&bench.job(&[])).resumed_from, 400_000);
    assert_eq!(bench.requests(), [0, 400_000]);
}

#[test]
fn a_complete_artifact_is_not_fetched_again() {
    let bench = Bench::new(10_000);
    bench.succeeds(&bench.job(&[]));
    assert_eq!(bench.succeeds(&bench.job(&[])).resumed_from, 10_000);
    assert_eq!(bench.requests(), [0]);
    fs::write(bench.job(&[]).artifact(), b"tampered").unwrap();
    bench.succeeds(&bench.job(&[]));
    assert_eq!(bench.requests(), [0, 0]);
}

#[test]
fn another_object_at_the_source_is_fetched_from_the_beginning() {
    let bench = Bench::new(600_000);
    bench.interrupted_at(400_000);
    assert_eq!(bench.succeeds(&bench.job(&["validator=v2"])).resumed_from, 0);
}

#[test]
fn a_source_that_cannot_resume_is_read_from_the_beginning() {
    for option in ["no_resume", "refuse_resume", "start=399999", "start=500000"] {
        let bench = Bench::new(600_000);
        bench.interrupted_at(400_000);
        assert_eq!(bench.succeeds(&bench.job(&[option])).resumed_from, 0, "{option}");
    }
}

#[test]
fn a_partial_file_without_its_note_is_not_trusted() {
    for damage in [None, Some(&b"{"[..]), Some(b"\xff"), Some(b"{}")] {
        let bench = Bench::new(600_000);
        bench.interrupted_at(400_000);
        let note = bench.staging().join("key.json");
        match damage {
            Some(text) => fs::write(note, text).unwrap(),
            None => fs::remove_file(note).unwrap(),
        }
        assert_eq!(bench.succeeds(&bench.job(&[])).resumed_from, 0);
    }
}

#[test]
fn a_tampered_partial_file_costs_one_restart() {
    let bench = Bench::new(600_000);
    bench.interrupted_at(400_000);
    let mut bytes = fs::read(bench.part()).unwrap();
    bytes[1000] ^= 1;
    fs::write(bench.part(), bytes).unwrap();
    assert_eq!(bench.succeeds(&bench.job(&[])).resumed_from, 0);
    assert_eq!(bench.requests(), [0, 400_000, 0]);
}

#[test]
fn a_partial_file_as_long_as_the_artifact_or_longer_is_dropped() {
    for size in [600_000, 700_000] {
        let bench = Bench::new(600_000);
        bench.interrupted_at(400_000);
        fs::write(bench.part(), vec![1; size]).unwrap();
        assert_eq!(bench.succeeds(&bench.job(&[])).resumed_from, 0);
    }
}

#[test]
fn wrong_bytes_are_fetched_once_and_refused() {
    let bench = Bench::new(600_000);
    let job = DownloadJob { sha256: Some(Sha256::of(b"other")), ..bench.job(&[]) };
    let failure = bench.run(&job).unwrap_err();
    assert_eq!((failure.code(), failure.exit(), failure.retry()), ("download.digest", Exit::Content, Retry::Never));
    assert_eq!(bench.requests(), [0]);
    assert!(bench.left().is_empty());
    // After a resumption: once more, from the beginning.
    bench.interrupted_at(400_000);
    assert_eq!(bench.fails(&job), ("download.digest", Exit::Content));
    assert_eq!(bench.requests(), [0, 0, 400_000, 0]);
    assert!(bench.left().is_empty());
}

#[test]
fn an_endless_body_stops_at_the_signed_size() {
    let bench = Bench::new(100_000);
    assert_eq!(bench.fails(&bench.job(&["endless", "total=none"])), ("download.size", Exit::Content));
    assert_eq!(bench.fails(&bench.job(&["endless"])), ("download.size", Exit::Content));
    assert_eq!(bench.fails(&bench.unsigned(&["endless", "total=none"])), ("download.too_large", Exit::Content));
    assert!(bench.left().is_empty());
}

#[test]
fn a_length_that_lies_is_refused_before_the_body() {
    let bench = Bench::new(100_000);
    for total in ["total=99999", "total=100001"] {
        assert_eq!(bench.fails(&bench.job(&[total])), ("download.size", Exit::Content));
    }
    assert_eq!(bench.fails(&bench.unsigned(&["total=2000000"])), ("download.too_large", Exit::Content));
    assert_eq!(bench.fails(&bench.unsigned(&["total=99999"])), ("download.size", Exit::Content));
    assert_eq!(bench.fails(&bench.unsigned(&["total=100001"])), ("source.incomplete", Exit::Unreachable));
    assert_eq!(bench.fails(&bench.job(&["end=50000", "total=none"])), ("download.size", Exit::Content));
    assert_eq!(bench.fails(&bench.job(&["end=50000"])), ("source.incomplete", Exit::Unreachable));
}

#[test]
fn a_body_that_stalls_or_crawls_is_given_up() {
    let bench = Bench::new(100_000);
    let ms = Duration::from_millis;
    let mut job = bench.job(&["stall=50000", "chunk=10000"]);
    job.limits.stall = ms(100);
    assert_eq!(bench.fails(&job), ("download.stalled", Exit::Unreachable));
    assert_eq!(fs::metadata(bench.part()).unwrap().len(), 50_000, "what came is kept");
    let mut job = bench.job(&["pause_ms=10", "chunk=10"]);
    (job.limits.min_rate, job.limits.window) = (1 << 20, ms(200));
    assert_eq!(bench.fails(&job), ("download.too_slow", Exit::Unreachable));
    let mut job = bench.job(&["pause_ms=10", "chunk=10"]);
    job.limits.total = ms(200);
    assert_eq!(bench.fails(&job), ("download.deadline", Exit::Unreachable));
    // A short body at a low rate is not crawling.
    let bench = Bench::new(100);
    let mut job = bench.job(&["pause_ms=10", "chunk=10"]);
    (job.limits.min_rate, job.limits.window) = (1 << 20, Duration::from_secs(10));
    bench.succeeds(&job);
}

#[test]
fn several_locations_are_tried_in_order() {
    let bench = Bench::new(100_000);
    fs::write(bench.directory.path().join("bad"), vec![0; 100_000]).unwrap();
    let urls = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let job = DownloadJob { urls: urls(&["missing", "bad", "../app", "app"]), ..bench.job(&[]) };
    bench.succeeds(&job);
    fs::remove_file(job.artifact()).unwrap();
    let job = DownloadJob { urls: urls(&["missing", "bad"]), ..job };
    assert_eq!(bench.fails(&job), ("source.not_ready", Exit::Unreachable), "the first failure is told");
    let job = DownloadJob { urls: urls(&["ftp://example.com/app"]), ..job };
    assert_eq!(bench.fails(&job), ("download.location", Exit::Content));
    let job = DownloadJob { urls: urls(&["file:///etc/passwd"]), ..job };
    assert_eq!(bench.fails(&job), ("download.location", Exit::Content), "files only where the source is one");
    let job = DownloadJob { urls: Vec::new(), ..job };
    assert_eq!(bench.fails(&job), ("download.location", Exit::Content));
}

#[test]
fn a_partial_file_decides_which_location_comes_first() {
    let bench = Bench::new(600_000);
    bench.interrupted_at(400_000);
    let job = DownloadJob { urls: vec!["mirror".to_owned(), "app".to_owned()], ..bench.job(&[]) };
    fs::write(bench.directory.path().join("mirror"), &bench.bytes).unwrap();
    assert_eq!(bench.succeeds(&job).resumed_from, 400_000);
}

#[test]
fn partial_files_of_other_artifacts_are_cleared() {
    let bench = Bench::new(100_000);
    for name in ["old.part", "old.json", "old.artifact", "keyed.part", "unrelated"] {
        fs::write(bench.staging().join(name), b"old").unwrap();
    }
    bench.run(&bench.job(&[])).unwrap();
    assert_eq!(bench.left(), ["key.artifact", "unrelated"]);
}

#[test]
fn a_link_in_place_of_a_partial_file_is_not_followed() {
    let bench = Bench::new(100_000);
    let target = bench.directory.path().join("target");
    fs::write(&target, b"precious").unwrap();
    std::os::unix::fs::symlink(&target, bench.part()).unwrap();
    assert_eq!(bench.fails(&bench.job(&[])), ("download.staging", Exit::Install));
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    bench.succeeds(&bench.job(&[]));
    assert_eq!(fs::read(&target).unwrap(), b"precious");
}

#[test]
fn a_key_is_a_plain_name() {
    let bench = Bench::new(10);
    for key in ["", "../x", "a/b", ".", "a.b", &"x".repeat(129)] {
        let job = DownloadJob { key: key.to_owned(), ..bench.job(&[]) };
        assert_eq!(bench.fails(&job), ("download.staging", Exit::Install), "{key}");
    }
}

#[test]
fn a_disk_without_room_is_refused_before_the_download() {
    let bench = Bench::new(100_000);
    let mut job = bench.job(&[]);
    job.limits.reserve = u64::MAX / 2;
    assert_eq!(bench.fails(&job), ("download.disk_full", Exit::Install));
    assert!(bench.requests().is_empty());
}

#[test]
fn a_disk_that_fills_up_is_named() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let open = Open { file: full, length: 0, hash: sha2::Digest::new() };
    let failure = runtime.block_on(async {
        let sink = Sink::start(open, "/dev/full".into(), None, std::sync::Arc::default());
        while sink.write(vec![0; BATCH]).await {}
        sink.finish().await.unwrap_err()
    });
    assert_eq!((failure.code(), failure.exit()), ("download.disk_full", Exit::Install));
}

#[test]
fn two_writers_never_share_a_partial_file() {
    let bench = Bench::new(10);
    let partial = Partial::new(Path::new(&bench.staging()), "key").unwrap();
    let first = partial.open().unwrap();
    let waiting = std::thread::spawn(move || partial.open().map(|open| open.length));
    assert!(!waiting.is_finished());
    fs::write(bench.part(), b"123").unwrap();
    drop(first);
    assert_eq!(waiting.join().unwrap().unwrap(), 3);
}

#[test]
fn what_the_source_says_of_itself_can_only_refuse() {
    let bench = Bench::new(100_000);
    let with_claim = |mut job: DownloadJob, claim: Sha256| {
        job.release.assets[0].digest = Some(format!("sha256:{claim}"));
        job
    };
    let other = Sha256::of(b"other");
    // It contradicts what was signed: not a byte is asked for.
    assert_eq!(bench.fails(&with_claim(bench.job(&[]), other)), ("download.digest", Exit::Content));
    assert!(bench.requests().is_empty());
    // Nothing is signed about the digest: what comes is held against the claim.
    assert_eq!(bench.fails(&with_claim(bench.unsigned(&[]), other)), ("download.claim", Exit::Content));
    assert!(bench.left().is_empty());
    // A claim that holds makes nothing else right.
    let job = DownloadJob { sha256: Some(other), ..bench.job(&[]) };
    assert_eq!(bench.fails(&with_claim(job, other)), ("download.digest", Exit::Content));
    let right = Sha256::of(&bench.bytes);
    bench.succeeds(&with_claim(bench.unsigned(&[]), right));
}
