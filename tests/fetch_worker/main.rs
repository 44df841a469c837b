//! Jobs in a process of the real program: whatever becomes of it, the supervisor gets an answer
//! in time, nothing is left behind, and the next job works.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's own way to fail")]

mod bench;
mod death;
mod early;
mod origin;

use rustix::process::WaitIdOptions;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fetchd::fetch::{
    Attend, DownloadJob, ExtractJob, FetchFailure, ProcessWorker, Progress, Settings, Unattended, Worker,
};
use fetchd::trust::Format;

use crate::bench::{Bench, SIZE, code, is_gone, until};
use crate::origin::{HALF, Origin};

#[test]
fn one_process_does_several_jobs() {
    let bench = Bench::new();
    let mut worker = bench.worker(&[]);
    assert_eq!(worker.id(), None, "nothing is started before it is needed");
    let release = bench.polls(&mut worker);
    let process = worker.id().unwrap();
    let downloaded = bench.succeeds(&mut worker, &bench.download_of("/ok/app", release));
    assert_eq!((downloaded.size, downloaded.resumed_from), (SIZE as u64, 0));
    assert_eq!(worker.id(), Some(process));
    worker.dismiss();
    assert!(is_gone(process), "it is reaped, not only dead");
    bench.polls(&mut worker);
    assert_ne!(worker.id(), Some(process), "the next job starts another one");
    drop(worker);
    assert!(bench.processes().is_empty());
}

#[test]
fn failures_of_a_job_leave_the_process_alive() {
    let bench = Bench::new();
    let mut worker = bench.worker(&[]);
    bench.polls(&mut worker);
    let process = worker.id();
    for (path, expected) in [
        ("/endless/app", "download.size"),
        ("/short/app", "source.incomplete"),
        ("/broken/app", "download.digest"),
        ("/half/app", "download.stalled"),
    ] {
        let mut job = bench.download(path);
        job.limits.stall = Duration::from_millis(500);
        assert_eq!(code(&worker.download(&job, &mut Unattended).unwrap_err()), expected, "{path}");
        assert_eq!(worker.id(), process);
        let _ = fs::remove_file(bench.staging().join("key.json"));
    }
    bench.succeeds(&mut worker, &bench.download("/ok/app"));
}

#[test]
fn a_worker_inherits_nothing_it_does_not_need() {
    let bench = Bench::new();
    let mut worker = bench.worker(&[]);
    bench.polls(&mut worker);
    let process = worker.id().unwrap();
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap();
    for variable in environment.split(|byte| *byte == 0).filter(|text| !text.is_empty()) {
        let name = String::from_utf8_lossy(variable.split(|byte| *byte == b'=').next().unwrap()).into_owned();
        let allowed = ["FETCHD_ROLE", "FETCHD_WORKER_PLAN", "SSL_CERT_FILE", "SSL_CERT_DIR"].contains(&&*name)
            || name.to_lowercase().ends_with("_proxy")
            || name.starts_with("RUST_")
            || name.starts_with("FETCHD_TEST_");
        assert!(allowed, "`{name}` is passed on");
    }
    let group = rustix::process::getpgid(rustix::process::Pid::from_raw(process as i32)).unwrap();
    assert_eq!(group.as_raw_nonzero().get(), process as i32, "a group of its own");
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    assert_eq!(fs::read_link(format!("/proc/{process}/cwd")).unwrap(), bench.staging());
    assert_eq!(fs::read_link(format!("/proc/{process}/fd/1")).unwrap().to_str(), Some("/dev/null"));
}

#[test]
fn what_unpacks_knows_no_credential_and_never_spoke_with_the_network() {
    let bench = Bench::new();
    // A variable that surely is there stands for a credential.
    let checkpoint = bench.directory.path().join("checkpoint");
    let set = vec![
        ("FETCHD_TEST_CHECKPOINT".into(), "Extracted".into()),
        ("FETCHD_TEST_CHECKPOINT_FILE".into(), checkpoint.clone().into()),
    ];
    let mut worker = bench.worker_with(Settings { inherit: vec!["PATH".to_owned()], set, ..bench.settings() });
    let knows = |worker: &ProcessWorker| {
        let environment = fs::read(format!("/proc/{}/environ", worker.id().unwrap())).unwrap();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"PATH="))
    };
    let release = bench.polls(&mut worker);
    assert!(knows(&worker));
    let downloaded = bench.succeeds(&mut worker, &bench.download_of("/ok/app", release));
    let network = worker.id().unwrap();
    let out = bench.staging().join("out");
    let job = ExtractJob {
        format: Format::Raw,
        entry: None,
        program: None,
        binary_size: Some(SIZE as u64),
        max_size: 1 << 30,
        artifact: downloaded.path,
        out: out.clone(),
    };
    let mut witness = Witness { checkpoint: checkpoint.clone(), seen: None };
    assert_eq!(code(&worker.extract(&job, &mut witness).unwrap_err()), "worker.died");
    assert!(!out.exists());
    let unpacked = witness.seen.unwrap();
    bench.polls(&mut worker);
    assert!(knows(&worker));
    // Nor does what applies a delta.
    let spoke = worker.id().unwrap();
    fs::remove_file(&checkpoint).unwrap();
    let job = bench.patch(Duration::from_secs(60));
    let mut witness = Witness { checkpoint, seen: None };
    assert_eq!(code(&worker.patch(&job, &mut witness).unwrap_err()), "worker.died");
    assert!(!job.out.exists());
    let patched = witness.seen.unwrap();
    for (network, (archive, environment, confined)) in [(network, unpacked), (spoke, patched)] {
        assert!(archive != network && is_gone(network) && is_gone(archive), "another one, and it is gone, too");
        assert!(!environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"PATH=")));
        assert!(confined.contains("NoNewPrivs:\t1") && confined.contains("Seccomp:\t2"), "{confined}");
    }
    bench.polls(&mut worker);
    assert!(knows(&worker));
}

/// Whoever has broken out of it writes on in vain: it is killed before anybody looks at what it made.
#[test]
fn what_applied_a_delta_is_gone_when_its_answer_is_here() {
    let bench = Bench::new();
    let mut worker = bench.worker(&[]);
    let job = bench.patch(Duration::from_secs(60));
    worker.patch(&job, &mut Unattended).unwrap();
    assert!(fs::read(&job.out).unwrap().ends_with(b"more"));
    assert!(worker.id().is_none() && bench.processes().is_empty());
}

/// Looks at the worker when it has unpacked, and kills it: its number, its environment, its status.
struct Witness {
    checkpoint: std::path::PathBuf,
    seen: Option<(u32, Vec<u8>, String)>,
}

impl Attend for Witness {
    fn progress(&mut self, _: Progress) {}

    fn stop(&mut self) -> bool {
        let worker = fs::read_to_string(&self.checkpoint).ok().and_then(|text| text.parse().ok());
        if let (Some(worker), None) = (worker, &self.seen) {
            let of = |name: &str| fs::read(format!("/proc/{worker}/{name}")).unwrap();
            self.seen = Some((worker, of("environ"), String::from_utf8(of("status")).unwrap()));
            bench::signal(worker, rustix::process::Signal::KILL);
        }
        false
    }
}

#[test]
fn memory_does_not_grow_with_the_artifact() {
    let peak = |size: usize| -> u64 {
        let bench = Bench::of_size(size);
        let mut worker = bench.worker(&[]);
        bench.succeeds(&mut worker, &bench.download("/ok/app"));
        let status = fs::read_to_string(format!("/proc/{}/status", worker.id().unwrap())).unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        peak.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // In KiB, the image included, which is as large as the build makes it.
    let (small, large) = (peak(1 << 20), peak(100 << 20));
    assert!(large < small + (6 << 10), "{small} KiB for 1 MiB, {large} KiB for 100 MiB");
}

/// Stops the job when its other end is written to.
struct Bell {
    ring: UnixStream,
    listen: UnixStream,
    seen: u64,
}

impl Attend for Bell {
    fn progress(&mut self, progress: Progress) {
        if let Progress::Download { bytes, .. } = progress {
            self.seen = bytes;
            self.ring.write_all(b"!").unwrap();
        }
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Some(self.listen.as_fd())
    }

    fn stop(&mut self) -> bool {
        self.listen.set_nonblocking(true).unwrap();
        self.listen.read(&mut [0]).is_ok()
    }
}

#[test]
fn a_job_stops_when_the_caller_is_woken() {
    let bench = Bench::new();
    let (ring, listen) = UnixStream::pair().unwrap();
    let mut bell = Bell { ring, listen, seen: 0 };
    let mut worker = bench.worker(&[]);
    let begun = Instant::now();
    assert_eq!(worker.download(&bench.download("/half/app"), &mut bell).unwrap_err(), FetchFailure::Stopped);
    assert!(begun.elapsed() < Duration::from_secs(30) && bell.seen > 0);
    assert!(bench.processes().is_empty());
}

/// Its descriptor is readable all the time, and it never stops.
struct Alarm {
    listen: UnixStream,
    asked: u64,
}

impl Attend for Alarm {
    fn progress(&mut self, _: Progress) {}

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Some(self.listen.as_fd())
    }

    fn stop(&mut self) -> bool {
        self.asked += 1;
        false
    }
}

#[test]
fn a_caller_that_is_woken_for_nothing_does_not_spin() {
    let bench = Bench::new();
    let (ring, listen) = UnixStream::pair().unwrap();
    drop(ring);
    let mut alarm = Alarm { listen, asked: 0 };
    let mut job = bench.download("/half/app");
    job.limits.stall = Duration::from_secs(1);
    assert_eq!(code(&bench.worker(&[]).download(&job, &mut alarm).unwrap_err()), "download.stalled");
    // Ten a second, and one for each message.
    assert!(alarm.asked < 100, "asked {} times", alarm.asked);
}

#[test]
fn a_worker_ends_with_its_supervisor() {
    let bench = Bench::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_fetchd"))
        .env_clear()
        .env("FETCHD_ROLE", "worker")
        .env("FETCHD_WORKER_PLAN", r#"{"harden":"off"}"#)
        .current_dir(bench.staging())
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let request = serde_json::json!({ "download": bench.download("/half/app") }).to_string();
    (&ours).write_all(&(request.len() as u32).to_be_bytes()).unwrap();
    (&ours).write_all(request.as_bytes()).unwrap();
    bench.wait_for(&bench.staging().join("key.part"), 1);
    assert!(child.try_wait().unwrap().is_none());
    drop(ours);
    let deadline = Instant::now() + Duration::from_secs(5);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it lives on without its supervisor");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A download that stalled half-way.
fn stalled(bench: &Bench, worker: &mut ProcessWorker) {
    let mut job = bench.download("/once/app");
    job.limits.stall = Duration::from_millis(500);
    assert_eq!(code(&worker.download(&job, &mut Unattended).unwrap_err()), "download.stalled");
    assert_eq!(fs::metadata(bench.staging().join("key.part")).unwrap().len(), HALF as u64);
}

#[test]
fn a_stalled_download_is_carried_on_with() {
    let bench = Bench::new();
    let mut worker = bench.worker(&[]);
    stalled(&bench, &mut worker);
    let downloaded = bench.succeeds(&mut worker, &bench.download("/once/app"));
    assert_eq!(downloaded.resumed_from, HALF as u64);
    assert_eq!(bench.origin.requests(), ["GET /once/app 0".to_owned(), format!("GET /once/app {HALF}")]);
}

#[test]
fn a_tampered_partial_file_costs_one_restart() {
    let bench = Bench::new();
    let mut worker = bench.worker(&[]);
    stalled(&bench, &mut worker);
    let part = bench.staging().join("key.part");
    let mut bytes = fs::read(&part).unwrap();
    bytes[1234] ^= 1;
    fs::write(&part, bytes).unwrap();
    assert_eq!(bench.succeeds(&mut worker, &bench.download("/once/app")).resumed_from, 0);
    let begun = bench.origin.requests().len();
    assert_eq!(begun, 3, "the first, the resumption, and one from the beginning");
}

#[test]
fn a_manifest_may_name_a_url_elsewhere() {
    let bench = Bench::new();
    let elsewhere = Origin::start(bench.bytes.clone());
    let job = DownloadJob { urls: vec![elsewhere.url("/mirror/app.bin")], ..bench.download("/ok/app") };
    bench.succeeds(&mut bench.worker(&[]), &job);
    assert_eq!(elsewhere.requests(), ["HEAD /mirror/app.bin 0", "GET /mirror/app.bin 0"]);
    assert!(bench.origin.requests().is_empty());
}

#[test]
fn a_full_disk_is_named_and_cleared() {
    let bench = Bench::new();
    let mount = Tmpfs::mount(&bench.staging());
    let mut worker = bench.worker(&[]);
    let mut job = bench.download("/unknown/app");
    (job.size, job.sha256) = (None, None);
    if mount.is_none() {
        // Without the right to mount, the check before the download is what can be shown here;
        // a write that fails is shown by the tests over `/dev/full`.
        job.limits.reserve = u64::MAX / 2;
    }
    let failure = worker.download(&job, &mut Unattended).unwrap_err();
    assert_eq!(code(&failure), "download.disk_full");
    assert_eq!(fs::read_dir(bench.staging()).unwrap().count(), 0, "the space is given back");
    worker.dismiss();
}

/// A file system of 1 MiB, gone again at the end of the test.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount(at: &std::path::Path) -> Option<Tmpfs> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(at).output().ok()?;
        mount.status.success().then(|| Tmpfs(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_worker_that_ends_between_two_jobs_is_replaced() {
    let bench = Bench::new();
    let mut worker = bench.worker(&[]);
    bench.polls(&mut worker);
    let process = worker.id().unwrap();
    bench::signal(process, rustix::process::Signal::KILL);
    // Not by its state in /proc: its first thread is a zombie there before the others have let go of its socket.
    let id = rustix::process::WaitId::Pid(rustix::process::Pid::from_raw(process.cast_signed()).unwrap());
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    until(|| rustix::process::waitid(id.clone(), ended).unwrap().is_some());
    bench.polls(&mut worker);
    assert_ne!(worker.id(), Some(process));
}
