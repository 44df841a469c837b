//! A service under a supervisor.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fetchd::control::{self, Line, Request, Status};
use fetchd::demo::{Fault, Trailer};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Bench, FETCHD};
use crate::machine::PATIENCE;
use crate::maker::script;
use crate::table::Files;

/// What serves when [`Service::start`] returns, and the number of its manifest; a row goes on from there.
pub const SERVING: (u64, &str) = (11, "1.0.1");

/// A script that says its version, and as a service becomes the demo service with `fault`. It does not start while
/// there is a file `broken` beside the program.
pub fn program(bench: &Bench, version: &str, fault: Option<Fault>) -> Vec<u8> {
    let demo = demo(bench, fault);
    let lines = format!(
        "case $1 in --version) echo app {version}; exit ;; esac\ntest ! -e \"$dir/broken\" || exit {BROKEN}\n\
         exec '{}' \"$@\"",
        demo.display()
    );
    script(version, &lines)
}

/// How such a program exits that does not start.
pub const BROKEN: u8 = 7;

/// A release of such a program.
pub fn release(bench: &Bench, seq: u64, version: &str, fault: Option<Fault>) -> Files {
    bench.maker.with_binary(seq, version, &program(bench, version, fault))
}

/// The demo service, as cargo built it beside the tests; a copy of it if it is to have a fault.
fn demo(bench: &Bench, fault: Option<Fault>) -> PathBuf {
    let built = Path::new(FETCHD).parent().unwrap().join("examples/demo-service");
    assert!(built.is_file(), "`{}` is missing; run `cargo build --examples`", built.display());
    let Some(fault) = fault else { return built };
    let copy = bench.path().join(format!("demo-{}", fault.name()));
    if !copy.exists() {
        fetchd::demo::trailer::append(&built, &copy, &Trailer::default().with_fault(fault)).unwrap();
    }
    copy
}

/// A running `fetchd run`. Dropping it ends it and its service.
pub struct Service {
    child: Child,
    control: PathBuf,
    log: PathBuf,
}

impl Service {
    /// Installs what [`SERVING`] says, and starts a supervisor that makes a pass only when it is asked to.
    #[track_caller]
    pub fn start(bench: &mut Bench, flags: &[&str]) -> Service {
        Service::start_as(bench, Path::new(FETCHD), flags)
    }

    /// The same with another copy of fetchd.
    #[track_caller]
    pub fn start_as(bench: &mut Bench, fetchd: &Path, flags: &[&str]) -> Service {
        let (seq, version) = SERVING;
        bench.show(&release(bench, seq, version, None));
        let ended = bench.apply(&[]);
        assert_eq!((ended.exit, ended.code.as_str()), (0, ""), "{ended:#?}");
        let log = bench.path().join("log");
        let inner = bench.command("run", flags);
        let mut command = Command::new(fetchd);
        command.args(inner.get_args()).env_remove("RUST_LOG").current_dir(bench.path());
        command.args(["--jitter", "0", "--interval", "1h", "--listen", "web=127.0.0.1:0"]);
        if !flags.contains(&"--watch") {
            command.args(["--watch", "1s"]);
        }
        command.arg("--").arg(bench.program());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        let mut service = Service { child, control: control::path(&bench.state_dir()), log };
        service.wait_for_version(version);
        bench.mark();
        service
    }

    pub fn status(&self) -> Option<Status> {
        match control::ask(&self.control, &Request::Status, PATIENCE, |_| {}) {
            Ok(Line::Status(status)) => Some(*status),
            _ => None,
        }
    }

    /// The process that serves.
    #[track_caller]
    pub fn serving(&self) -> u32 {
        let status = self.status().unwrap();
        let serving: Vec<u32> =
            status.service.generations.iter().filter(|g| g.phase == "serving").map(|g| g.pid).collect();
        assert_eq!(serving.len(), 1, "{status:#?}");
        serving[0]
    }

    /// Waits until a process of this version serves and nothing else does.
    #[track_caller]
    pub fn wait_for_version(&mut self, version: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if status.as_ref().is_some_and(|status| {
                let only = status.service.generations.len() == 1 && !status.service.watching;
                only && status.updates.version.as_deref() == Some(version)
                    && status.service.generations[0].phase == "serving"
            }) {
                return;
            }
            if let Some(ended) = self.child.try_wait().unwrap() {
                panic!("fetchd {ended} while waiting for version {version}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "version {version} never serves: {status:#?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn wait_for_end(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return ended;
            }
            assert!(Instant::now() < deadline, "fetchd does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM, and the wait for its end.
    #[track_caller]
    pub fn stop(self) {
        kill_process(pid(self.child.id()), Signal::TERM).unwrap();
        assert_eq!(self.wait_for_end().code(), Some(0));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let services = self.status().map(|status| status.service.generations).unwrap_or_default();
            let _ = self.child.kill();
            let _ = self.child.wait();
            // Their supervisor is gone: they drain. A test does not wait for a drain.
            for service in services {
                let _ = kill_process(pid(service.pid), Signal::KILL);
            }
        }
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed()).unwrap()
}
