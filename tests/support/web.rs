//! A site whose releases lie on a web server that does what a test says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test programs")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use fetchd::demo::Trailer;
use fetchd::load::{Load, LoadPlan, Target};
use fetchd_fetchers::conformance::scripted::{Request, ScriptedOrigin, Step};

use crate::site::{FETCHD, PATIENCE, Site, Supervised, wait_until};

pub struct Web {
    pub site: Site,
    pub origin: ScriptedOrigin,
}

/// The pointer's path on the server.
pub const POINTER: &str = "/stable.fetchd";

impl Web {
    /// With 1.0.0 at the program path and on the server.
    pub fn new() -> Web {
        let web = Web { site: Site::new(), origin: ScriptedOrigin::start() };
        web.publish(&Trailer::version("1.0.0"), |_| Vec::new());
        web
    }

    /// Publishes; the requests for the artifact are answered by these scripts, one each. Returns the
    /// artifact's path on the server.
    pub fn publish(&self, trailer: &Trailer, scripts: impl Fn(&[u8]) -> Vec<Vec<Step>>) -> String {
        let bytes = self.site.binary(trailer);
        let published = self.site.publisher.publish(&trailer.version, &bytes).unwrap();
        let path = format!("/{}", published.artifacts[0].file_name().unwrap().to_str().unwrap());
        for script in scripts(&bytes) {
            self.origin.script(&path, script);
        }
        self.origin.put(&path, &bytes);
        self.origin.put(POINTER, fs::read(published.pointer).unwrap());
        path
    }

    /// Starts `fetchd run`, asking the server every 200 ms.
    pub fn run(&self, more: &[&str], variables: &[(&str, &str)]) -> Supervised<'_> {
        let mut command = std::process::Command::new(FETCHD);
        command
            .args(["run", "--product", "app", "--jitter", "0", "--interval", "200ms", "--watch", "300ms"])
            .args(["--listen", "web=127.0.0.1:0", "--source", self.origin.url(POINTER).as_str(), "--state-dir"])
            .arg(self.site.state_dir())
            .args(["--key", &self.site.publisher.public_key().to_string()])
            .args(more)
            .arg("--")
            .arg(self.site.program())
            .args(["--lame-duck-ms", "300"])
            .current_dir(self.site.path())
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .stdin(std::process::Stdio::null());
        self.site.supervise(command)
    }

    /// The requests for `path` so far.
    pub fn asked(&self, path: &str) -> Vec<Request> {
        self.origin.requests().into_iter().filter(|request| request.path_only() == path).collect()
    }

    pub fn staging(&self) -> PathBuf {
        self.site.path().join("srv/.fetchd/app/staging")
    }

    /// The bytes of the artifact that a download which is not complete has on disk.
    pub fn partial(&self) -> u64 {
        let entries = fs::read_dir(self.staging()).into_iter().flatten().flatten();
        let parts = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
        parts.filter_map(|part| part.metadata().ok()).map(|meta| meta.len()).sum()
    }

    /// Waits until a download has brought something to the disk and stands still.
    #[track_caller]
    pub fn wait_for_partial(&self) {
        wait_until("a part of the artifact is on disk", || self.partial() > 0);
    }

    /// What is left in staging and custody.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let private = self.site.path().join("srv/.fetchd/app");
        let inside = |name| fs::read_dir(private.join(name)).into_iter().flatten().flatten().map(|e| e.path());
        inside("staging").chain(inside("custody")).collect()
    }
}

/// Two clients that ask now and then: whatever happens to updates, none of their requests may fail.
pub fn light_load(fetchd: &mut Supervised<'_>) -> Load {
    let target = Target::Tcp(fetchd.address());
    Load::start(LoadPlan { fresh: 1, keep_alive: 1, think: Duration::from_millis(20), ..LoadPlan::new(target) })
        .unwrap()
}

/// Ends the load: it was answered, every time.
#[track_caller]
pub fn all_was_answered(load: Load) {
    wait_until("the clients have asked for a while", || load.snapshot().totals.requests > 10);
    let report = load.stop();
    assert_eq!(report.totals.failed.total(), 0, "{report:?}");
}

/// Waits until the history has `count` events of this name and code.
#[track_caller]
pub fn wait_for_count(fetchd: &Supervised<'_>, event: &str, code: &str, count: usize) {
    let found = || {
        let history = fetchd.site.history();
        history.iter().filter(|e| e.event == event && e.code.as_deref() == Some(code)).count()
    };
    let deadline = std::time::Instant::now() + PATIENCE;
    while found() < count {
        assert!(std::time::Instant::now() < deadline, "never: {count} times {event} [{code}]\n{}", fetchd.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}
