//! What an operator types, against an S3 server in this process.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use fetchd::fleet::cohort::Shards;
use fetchd::fleet::{HostId, Names};
use fetchd_stand_ins::s3::{ACCESS_KEY, S3Server, SECRET_KEY};
use serde_json::Value;
use tempfile::TempDir;

/// Bounds that a test can live with: as fast as you like, in two steps.
const BOUNDS: &str = "min_steps = 2\nmax_first_pct = 50\nmin_total_s = 0\nmin_bake_s = 0\n";

/// Everybody of a step at once; somebody has to open the second.
const PLAN: &str = "steps = [{pct = 50, ramp = \"0s\"}, {pct = 100, ramp = \"0s\", manual = true}]\n";

/// A directory with the offline and the online key, a plan, and bounds; and the bucket.
pub(crate) struct Shell {
    pub(crate) server: S3Server,
    pub(crate) dir: TempDir,
    pub(crate) names: Names,
}

/// What every command is told: whose fleet it is, and which keys count.
pub(crate) const WHO: [&str; 6] = ["--product", "web", "--key", "release.pub", "--rollout-key", "rollout.key"];

impl Shell {
    pub(crate) fn new() -> Shell {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("bounds.toml"), BOUNDS).unwrap();
        fs::write(dir.path().join("plan.toml"), PLAN).unwrap();
        let names = Names::new("fleet", "web", "stable").unwrap();
        let shell = Shell { server: S3Server::start(), dir, names };
        shell.good(&["keygen", "--no-password"]);
        let keys = ["--rollout-key", "rollout.key", "--public-key", "rollout.pub", "--no-password"];
        let text = shell.good(&[&["fleet", "init", "--product", "web", "--make-key"], &keys[..]].concat());
        assert!(text.starts_with("no rollout was started in this bucket yet\n"), "{text}");
        assert!(text.contains("fetchd fleet doctor --store ") && text.contains("--fleet-key RW"), "{text}");
        shell
    }

    /// One with the releases 1.0.0 and 1.1.0, which may go back; their directories.
    pub(crate) fn with_releases() -> (Shell, String, String) {
        let shell = Shell::new();
        let first = shell.publish("1.0.0", &[]);
        let second = shell.publish("1.1.0", &["--rollback-to", "1.0.0"]);
        (shell, first, second)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fetchd"));
        command.current_dir(self.dir.path()).env_clear().stdin(Stdio::null()).args(args);
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        command.env("FETCHD_FLEET_STORE", self.server.source("fleet").as_str());
        command
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn call(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// A call that succeeds; what it prints.
    pub(crate) fn good(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A call of `fetchd fleet` that succeeds with `--json`; its object.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.good(&[&["fleet"], args, &WHO, &["--json"]].concat());
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["schema"], 1, "{text}");
        object
    }

    /// A call of `fetchd fleet` that fails with this exit code and this stable code, in text and in JSON alike.
    pub(crate) fn bad(&self, args: &[&str], exit: i32, code: &str) -> String {
        let output = self.call(&[&["fleet"], args].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {text}");
        assert!(text.contains(&format!("[{code}]")), "{args:?}: {text}");
        let again = self.call(&[&["fleet"], args, &["--json"]].concat());
        let object: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!((object["error"]["code"].as_str(), again.status.code()), (Some(code), Some(exit)));
        text
    }

    /// Publishes a release; its directory.
    pub(crate) fn publish(&self, version: &str, more: &[&str]) -> String {
        let mut bytes = fs::read("/bin/true").unwrap();
        bytes.extend_from_slice(version.as_bytes());
        fs::write(self.dir.path().join("web"), bytes).unwrap();
        let artifact = format!("{}=web", fetchd::config::BUILD_TARGET);
        let fixed = ["fleet", "publish", "--product", "web", "--secret-key", "release.key", "--bounds", "bounds.toml"];
        let text = self.good(&[&fixed[..], &["--release", version, "--json"], more, &[&artifact]].concat());
        let object: Value = serde_json::from_str(&text).unwrap();
        object["release"].as_str().unwrap().to_owned()
    }

    /// Starts the rollout of a release with the plan of the test, at once.
    pub(crate) fn start(&self, release: &str) -> Value {
        self.json(&["start", "--release", release, "--plan", "plan.toml", "--at", "now", "--yes"])
    }

    /// A host says in the inventory that it exists.
    pub(crate) fn host(&self, name: &str) -> HostId {
        let host = HostId::named(name);
        let key = self.names.inventory(&host.shard(Shards::ONE), host);
        self.server.put(&key, format!("{{\"host\":\"{host}\",\"name\":\"{name}\",\"labels\":{{}}}}").into_bytes());
        host
    }

    /// A host reports.
    pub(crate) fn report(&self, rollout: &str, host: HostId, report: &str) {
        let key = self.names.evidence(rollout, &host.shard(Shards::ONE), host, &report.parse().unwrap());
        self.server.put(&key, &b"{}"[..]);
    }

    pub(crate) fn head(&self) -> Option<bytes::Bytes> {
        self.server.get(&self.names.head())
    }
}
