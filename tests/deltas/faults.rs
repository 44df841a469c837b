//! What the machine itself does while a delta is applied: a file that is cut short under the worker, a disk that is full.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fetchd_delta::Format;
use serde_json::Value;

use crate::bench::{Bench, delta, ok, program};

/// A pass in which `deed` is done while the worker has the installed binary mapped and has made nothing of it yet.
fn meanwhile(bench: &Bench, flags: &[&str], deed: impl FnOnce() + Send) -> Output {
    let pause = bench.path("pause");
    fs::write(&pause, "pause@mapped").unwrap();
    std::thread::scope(|scope| {
        let doing = scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while pause.exists() {
                assert!(Instant::now() < deadline, "no delta was applied");
                std::thread::sleep(Duration::from_millis(2));
            }
            deed();
            fs::write(&pause, "go on").unwrap();
        });
        let applied = bench.apply_as(flags, |apply| _ = apply.env("FETCHD_TEST_WORKER_FILE", &pause));
        doing.join().unwrap();
        fs::remove_file(&pause).unwrap();
        applied
    })
}

/// A bench whose newest release can be had by a delta.
fn bench() -> Bench {
    let bench = Bench::new();
    ok(bench.publish("1.1.0", &[]));
    bench.list("x.dcz", "dcz", &delta("1.0.0", "1.1.0", Format::Dcz), |_| {});
    bench
}

/// The kernel kills the worker at its next look at what is gone; whoever asked it goes on with the full artifact.
#[test]
fn an_old_binary_that_is_cut_short_while_it_is_mapped_kills_the_worker_alone() {
    let bench = bench();
    let old = bench.program();
    let applied = meanwhile(&bench, &[], || fs::OpenOptions::new().write(true).open(&old).unwrap().set_len(0).unwrap());
    bench.came_by("full", applied);
    assert_eq!(bench.failed(), ["worker.died"]);
    let failed = bench.history().into_iter().find(|event| event.event == "delta.failed").unwrap();
    assert!(failed.message.unwrap().contains("SIGBUS"), "it was not the kernel that killed it");
}

/// Other bytes in the place of those that were hashed: what is made of them is not what was signed.
#[test]
fn an_old_binary_that_is_written_to_while_it_is_mapped_costs_the_delta() {
    let bench = bench();
    let old = bench.program();
    let applied = meanwhile(&bench, &[], || fs::write(&old, vec![b'x'; program("1.0.0").len()]).unwrap());
    bench.came_by("full", applied);
    assert_eq!(bench.failed(), ["delta.old"]);
}

/// The first one has no room for what it makes, the second one none for the copy that is taken of it.
#[test]
fn a_disk_that_fills_up_while_a_delta_is_applied_changes_nothing() {
    on_a_disk_of_its_own("a_disk_that_fills_up_while_a_delta_is_applied_changes_nothing", || {
        let whole = program("1.1.0").len();
        for (left, code) in [(whole / 2, "download.disk_full"), (whole + whole / 2, "disk.full")] {
            let bench = bench();
            let disk = Disk::at(&bench.path("srv"));
            bench.put(&bench.program(), &program("1.0.0"));
            let before = fs::metadata(bench.program()).unwrap();
            let filler = bench.path("srv/filler");
            let applied = meanwhile(&bench, &["--reserve", "0"], || fill(&filler, left));
            let said: Value = serde_json::from_slice(&applied.stdout).unwrap_or_default();
            // The full artifact was tried, and needs as much.
            let expected = (Some(40), Some("download.disk_full"));
            let full = (applied.status.code(), said["error"]["code"].as_str());
            assert!(full == expected || full == (Some(40), Some("disk.full")), "{applied:#?}");
            assert_eq!(bench.failed(), [code], "{applied:#?}");
            let after = fs::metadata(bench.program()).unwrap();
            assert_eq!((after.ino(), after.mode()), (before.ino(), before.permissions().mode()));
            assert!(fs::read(bench.program()).unwrap() == program("1.0.0"), "the program was touched");
            // A complete artifact stays in staging when this machine has failed, and nothing else does.
            let private = bench.path("srv/.fetchd/app");
            let left = |place: &str| fs::read_dir(private.join(place)).unwrap().flatten().map(|entry| entry.path());
            assert_eq!(left("custody").count(), 0);
            let whole = bench.artifact()["sha256"].as_str().unwrap().to_owned();
            assert!(left("staging").all(|path| path.ends_with(format!("{whole}.artifact"))), "{applied:#?}");
            fs::remove_file(filler).unwrap();
            bench.came_by("full", bench.apply(&["--reserve", "0"]));
            drop(disk);
        }
    });
}

/// Takes all room but `left` bytes.
fn fill(filler: &Path, left: usize) {
    let mut bytes = vec![0; 8 << 20];
    while fs::write(filler, &bytes).is_err() {
        bytes.truncate(bytes.len() - 4096);
    }
    let rest = fs::metadata(filler).unwrap().len() - left as u64;
    fs::OpenOptions::new().write(true).open(filler).unwrap().set_len(rest).unwrap();
}

/// Runs `body` in a process that may mount what it likes: without root in a user namespace of its own.
fn on_a_disk_of_its_own(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INNER).is_some() {
        return body();
    }
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let own = std::env::current_exe().unwrap();
    let output = command.arg(own).arg("--exact").arg(format!("faults::{test}")).env(INNER, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

const INNER: &str = "FETCHD_TEST_DISK_OF_ITS_OWN";

/// A file system of four megabytes.
struct Disk(PathBuf);

impl Disk {
    fn at(dir: &Path) -> Disk {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m,mode=755", "none"]).arg(dir).output();
        ok(mount.unwrap());
        Disk(dir.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // With the namespace it goes anyway.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
