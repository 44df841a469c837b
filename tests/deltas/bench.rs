//! A machine whose program is version 1.0.0, and a publisher of more of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fetchd::digest::Sha256;
use fetchd::publish::{Publisher, SigningKey};
use fetchd::state::{Event, Record, Store};
use fetchd_delta::{Format, Options, create};
use serde_json::{Value, json};

pub const FETCHD: &str = env!("CARGO_BIN_EXE_fetchd");
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

pub struct Bench {
    dir: tempfile::TempDir,
    publisher: Publisher,
    /// Where the releases are followed; `None` = in the directory they are published to.
    pub source: Option<String>,
}

/// A program that says its version and has enough in it that most of it stays the same.
pub fn program(version: &str) -> Vec<u8> {
    let mut text = format!("#!/bin/sh\necho {version}\nexit 0\n");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for line in 0..1500 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Some lines are of one version alone.
        let own = if line % 500 == 250 { version } else { "" };
        text.push_str(&format!("# {state:016x}{own}\n"));
    }
    text.into_bytes()
}

#[track_caller]
pub fn ok(output: Output) -> Output {
    assert!(output.status.success(), "{output:#?}");
    output
}

impl Bench {
    /// With 1.0.0 installed and published.
    pub fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("srv")).unwrap();
        fs::create_dir(dir.path().join("build")).unwrap();
        let key = dir.path().join("release.key");
        let public = dir.path().join("release.pub");
        let mut keygen = Command::new(FETCHD);
        keygen.arg("keygen").arg("--secret-key").arg(&key).arg("--public-key").arg(&public).arg("--no-password");
        ok(keygen.output().unwrap());
        let publisher = Publisher::new(dir.path().join("pub")).unwrap().target(TARGET);
        let publisher = publisher.signing(SigningKey::load(&key, None).unwrap());
        let bench = Bench { dir, publisher, source: None };
        bench.put(&bench.program(), &program("1.0.0"));
        ok(bench.publish("1.0.0", &[]));
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn program(&self) -> PathBuf {
        self.path("srv/app")
    }

    pub fn put(&self, path: &Path, bytes: &[u8]) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `fetchd publish` of a version of the program.
    pub fn publish(&self, version: &str, more: &[&str]) -> Output {
        let file = self.path(&format!("build/app-{version}"));
        self.put(&file, &program(version));
        self.publish_file(version, &file, more)
    }

    pub fn publish_file(&self, version: &str, file: &Path, more: &[&str]) -> Output {
        let mut publish = Command::new(FETCHD);
        publish.arg("publish").arg("--to").arg(self.path("pub")).arg("--secret-key").arg(self.path("release.key"));
        publish.args(["--product", "app", "--no-memory", "--target-check", "off", "--json", "--release", version]);
        publish.args(more).arg(format!("{TARGET}={}", file.display())).stdin(Stdio::null());
        publish.output().unwrap()
    }

    /// Changes the newest artifact of the manifest, and signs it again.
    pub fn edit(&self, edit: impl FnOnce(&mut Value)) {
        self.publisher.forge(|manifest| edit(&mut manifest["releases"][0]["artifacts"][0])).unwrap();
    }

    /// The newest artifact of the manifest.
    pub fn artifact(&self) -> Value {
        self.publisher.manifest().unwrap()["releases"][0]["artifacts"][0].clone()
    }

    /// The deltas that are listed, as (format, file).
    pub fn deltas(&self) -> Vec<(String, PathBuf)> {
        let artifact = self.artifact();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let listed = artifact["deltas"].as_array().unwrap();
        listed.iter().map(|delta| (text(&delta["format"]), self.published(&text(&delta["urls"][0])))).collect()
    }

    pub fn published(&self, name: &str) -> PathBuf {
        self.path("pub").join(name)
    }

    /// Lists `delta` as what makes the newest artifact of the installed binary.
    pub fn list(&self, name: &str, format: &str, delta: &[u8], edit: impl FnOnce(&mut Value)) {
        fs::write(self.published(name), delta).unwrap();
        let mut entry = json!({
            "from_sha256": Sha256::of(&program("1.0.0")), "format": format, "urls": [name], "size": delta.len(),
            "sha256": Sha256::of(delta), "mem_bytes": null, "window_log": null,
        });
        edit(&mut entry);
        self.edit(|artifact| artifact["deltas"].as_array_mut().unwrap().push(entry));
    }

    /// The full artifact is not what was signed: whoever falls back to it is seen.
    pub fn corrupt_the_full_artifact(&self) {
        let name = self.artifact()["urls"][0].as_str().unwrap().to_owned();
        let mut bytes = fs::read(self.published(&name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(self.published(&name), bytes).unwrap();
    }

    /// One pass.
    pub fn apply(&self, flags: &[&str]) -> Output {
        self.apply_as(flags, |_| {})
    }

    pub fn apply_as(&self, flags: &[&str], prepare: impl FnOnce(&mut Command)) -> Output {
        let mut apply = Command::new(FETCHD);
        apply.args(["apply", "--json", "--product", "app", "--target", TARGET, "--target-check", "off"]);
        let there = format!("file:{}?settle=0s", self.published("stable.fetchd").display());
        apply.args(["--source", self.source.as_ref().unwrap_or(&there)]);
        apply.args(["--key", &self.publisher.public_key().to_string(), "--state-dir"]).arg(self.path("state"));
        apply.args(flags).current_dir(self.dir.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        prepare(&mut apply);
        apply.arg("--").arg(self.program()).output().unwrap()
    }

    pub fn record(&self) -> Record {
        Store::read_only(&self.path("state")).unwrap().record().clone()
    }

    pub fn history(&self) -> Vec<Event> {
        Store::read_only(&self.path("state")).and_then(|snapshot| snapshot.history(usize::MAX)).unwrap_or_default()
    }

    /// The codes of the deltas that failed, in order.
    pub fn failed(&self) -> Vec<String> {
        let failed = self.history().into_iter().filter(|event| event.event == "delta.failed");
        failed.map(|event| event.code.unwrap_or_default()).collect()
    }

    /// Version 1.1.0 is installed, it came in this way, and nothing is left behind.
    #[track_caller]
    pub fn came_by(&self, way: &str, applied: Output) {
        ok(applied);
        assert!(fs::read(self.program()).unwrap() == program("1.1.0"), "another program is installed");
        let history = self.history();
        let confirmed = history.iter().rfind(|event| event.event == "release.confirmed").unwrap();
        assert_eq!(confirmed.detail["fetched"], way, "{history:#?}");
        let bytes = |name: &str| confirmed.detail[name].as_u64().unwrap();
        if way == "full" {
            assert_eq!(bytes("fetched_bytes"), bytes("full_bytes"));
        } else {
            assert!(bytes("fetched_bytes") * 10 < bytes("full_bytes") * 6, "{confirmed:#?}");
            assert!(confirmed.message.as_ref().unwrap().contains(&format!("by a {way} delta of")), "{confirmed:#?}");
        }
        self.clean();
    }

    /// Nothing is left in staging and in custody.
    #[track_caller]
    pub fn clean(&self) {
        for place in ["staging", "custody"] {
            let dir = self.path("srv/.fetchd/app").join(place);
            let left: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// A delta between two versions of the program.
pub fn delta(from: &str, to: &str, format: Format) -> Vec<u8> {
    create(&program(from), &program(to), format, &Options::default()).unwrap()
}
