//! What the tests of all drivers share: a small server in Python that somebody else runs, and a fetchd that looks after it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fetchd::digest::Sha256;
use fetchd::load::{Load, LoadPlan, Target};
use fetchd::state::Quarantined;
use rustix::process::{Pid, Signal, kill_process};

use crate::processes::runs;
use crate::site::{Site, Supervised, get, text, wait_until};

/// The server: `SERVER DIRECTORY` writes `app.pid` and `port` there once it serves.
pub(crate) const SERVER: &str = include_str!("server.py");

/// A site whose service somebody else runs.
pub(crate) struct Foreign {
    pub(crate) site: Site,
}

impl Foreign {
    /// With version 1.0.0 of the server at the program path and published.
    pub(crate) fn new() -> Foreign {
        Foreign::with(&server("1.0.0", ""), "1.0.0")
    }

    /// With these bytes at the program path, published as `version`.
    pub(crate) fn with(program: &[u8], version: &str) -> Foreign {
        let site = Site::empty();
        put(&site.program(), program);
        let foreign = Foreign { site };
        foreign.publish(version, program);
        foreign
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.site.path().join(name)
    }

    pub(crate) fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes an executable file below `bin`.
    pub(crate) fn script(&self, name: &str, text: &str) -> String {
        let path = self.path("bin").join(name);
        put(&path, text.as_bytes());
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn publish(&self, version: &str, program: &[u8]) {
        self.site.publisher.publish(version, program).unwrap();
    }

    /// Publishes the Python server with a fault.
    pub(crate) fn publish_server(&self, version: &str, fault: &str) {
        self.publish(version, &server(version, fault));
    }

    /// `fetchd COMMAND` with these flags, for a program that is no ELF file.
    pub(crate) fn command(&self, command: &str, flags: &[&str]) -> Command {
        let mut fetchd = self.site.command(command, &["--target-check", "off"]);
        for (flag, value) in [("--watch", "300ms"), ("--restart-deadline", "30s")] {
            if !flags.contains(&flag) {
                fetchd.args([flag, value]);
            }
        }
        fetchd.args(flags);
        fetchd
    }

    /// `fetchd run` that polls every 200 ms unless told otherwise, once it has taken what is published.
    #[track_caller]
    pub(crate) fn run(&self, flags: &[&str]) -> Supervised<'_> {
        self.run_with(flags, &[])
    }

    #[track_caller]
    pub(crate) fn run_with(&self, flags: &[&str], variables: &[(&str, &str)]) -> Supervised<'_> {
        let mut command = self.command("run", flags);
        if !flags.contains(&"--interval") {
            command.args(["--interval", "200ms"]);
        }
        command.args(["--jitter", "0", "--"]).arg(self.site.program());
        let mut fetchd = self.site.supervise({
            command.envs(variables.iter().copied());
            command
        });
        fetchd.wait("it answers", |_| true);
        // What was published before is what runs, or is taken now.
        self.goes_live(&fetchd);
        fetchd
    }

    /// The process in `app.pid`, which is written anew at each upgrade.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        let file = self.path("app.pid");
        wait_until("there is a PID file", || pid_in(&file).is_some());
        pid_in(&file).unwrap()
    }

    /// Where the Python server listens.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        let port = self.path("port");
        wait_until("the server listens", || fs::read_to_string(&port).is_ok_and(|text| text.ends_with('\n')));
        SocketAddr::from(([127, 0, 0, 1], fs::read_to_string(port).unwrap().trim().parse().unwrap()))
    }

    /// Waits until the server answers as `version`.
    #[track_caller]
    pub(crate) fn serves(&self, version: &str) {
        let wanted = format!(r#""version":"{version}""#);
        wait_until(&format!("{version} answers"), || {
            get(self.address(), "/").is_ok_and(|answer| answer.contains(&wanted))
        });
    }

    /// These bytes lie at the program path, and fetchd knows that they run.
    #[track_caller]
    pub(crate) fn is_back_at(&self, fetchd: &mut Supervised<'_>, program: &[u8]) {
        let sha256 = Sha256::of(program).to_string();
        fetchd.wait("the previous binary is back", |status| {
            let idle = status.updates.doing == "idle";
            idle && status.updates.sha256.as_deref() == Some(&sha256)
        });
        assert!(fs::read(self.site.program()).unwrap() == program);
    }

    /// Waits until `version` is in quarantine for one of these reasons.
    #[track_caller]
    pub(crate) fn wait_for_quarantine(&self, version: &str, codes: &[&str]) {
        wait_until(&format!("{version} is in quarantine"), || {
            let named = |bad: &Quarantined| bad.version.as_ref().is_some_and(|v| v.to_string() == version);
            self.site.record().quarantine.iter().any(|bad| named(bad) && codes.contains(&bad.code.as_str()))
        });
    }

    /// One pass now, which cannot reach the service, says this and blames no release.
    #[track_caller]
    pub(crate) fn is_unreachable(&self, fetchd: &Supervised<'_>, said: &str) {
        let output = fetchd.fetchd("apply", &[]);
        let shown = text(&output);
        assert!(shown.contains(said) && shown.contains("[handoff.unreachable]"), "{shown}\n{}", fetchd.log());
        assert_eq!(output.status.code(), Some(42));
        assert!(self.site.record().quarantine.is_empty());
    }

    /// One pass now takes a release, or finds that it runs.
    #[track_caller]
    pub(crate) fn goes_live(&self, fetchd: &Supervised<'_>) {
        let output = fetchd.fetchd("apply", &[]);
        assert!(output.status.success(), "{}\n{}", text(&output), fetchd.log());
    }

    /// `version` is in quarantine, and no other.
    #[track_caller]
    pub(crate) fn quarantined(&self, version: &str) {
        let quarantine = self.site.record().quarantine;
        let versions: Vec<String> =
            quarantine.iter().filter_map(|bad| bad.version.as_ref().map(ToString::to_string)).collect();
        assert_eq!(versions, [version]);
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // A supervisor may have started others meanwhile: until nobody is left.
        for _ in 0..100 {
            let left = processes_below(self.site.path());
            if left.is_empty() {
                break;
            }
            left.into_iter().for_each(|pid| {
                let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
            });
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The processes that run, or were started with, something below this directory. A test is none of them.
fn processes_below(directory: &Path) -> Vec<u32> {
    let directory = directory.to_str().unwrap();
    let belongs = |pid: u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(directory) || exe.starts_with(directory)
    };
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id() && runs(*pid) && belongs(*pid)).collect()
}

/// The Python server as a version, with a fault.
pub(crate) fn server(version: &str, fault: &str) -> Vec<u8> {
    format!("#!/usr/bin/python3\nVERSION = \"{version}\"\nFAULT = \"{fault}\"\n{SERVER}").into_bytes()
}

/// Writes a program in one step.
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn pid_in(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A port that was free a moment ago, for servers that cannot choose one themselves.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Clients that open a connection for each request.
pub(crate) fn load(address: SocketAddr) -> Load {
    let think = Duration::from_millis(5);
    Load::start(LoadPlan { fresh: 4, keep_alive: 0, think, ..LoadPlan::new(Target::Tcp(address)) }).unwrap()
}

/// Ends the load: everything was answered.
#[track_caller]
pub(crate) fn nothing_was_lost(load: Load, fetchd: &Supervised<'_>) {
    wait_until("the clients have asked for a while", || load.snapshot().totals.requests > 50);
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{report:?}\n{}", fetchd.log());
}

/// Starts a server that goes to the background, and waits for that.
#[track_caller]
pub(crate) fn start(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// A program of the environment that `tests/all` makes.
pub(crate) fn python_program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ci/python/bin").join(name);
    assert!(path.exists(), "`{}` is missing: `tests/all` installs it", path.display());
    path
}

/// A program of the system.
pub(crate) fn system_program(path: &str) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("`{path}`: {e}; `tests/all` installs it"))
}

/// `from` with `old` replaced by `new` wherever it stands; they are of the same length.
pub(crate) fn patched(from: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = from.to_vec();
    let mut found = 0;
    for at in 0..bytes.len() - old.len() {
        if bytes[at..].starts_with(old) {
            bytes[at..at + new.len()].copy_from_slice(new);
            found += 1;
        }
    }
    assert!(found > 0);
    bytes
}

/// Waits until fetchd watches what it has handed off to.
#[track_caller]
pub(crate) fn is_watched(fetchd: &Supervised<'_>) {
    wait_until("the new process is watched", || fetchd.log().contains("handoff.ready"));
}

/// Waits for the end of a process.
#[track_caller]
pub(crate) fn gone(pid: u32) {
    wait_until(&format!("process {pid} is gone"), || !runs(pid));
}

/// A long time for a watch that a test ends by what it does.
pub(crate) const LONG: &str = "60s";
