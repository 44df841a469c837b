//! A program that is a script, a publisher with root keys, and a place that shows what it published.
#![allow(unreachable_pub, reason = "a module of one test program")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fetchd::checkpoint::Checkpoint;
use fetchd::publish::{Publisher, SigningKey, key_file};
use fetchd::state::{Record, Store};
use fetchd::trust::{KeyDocument, KeySet};
use fetchd_fetchers::conformance::scripted::ScriptedOrigin;
use fetchd_stand_ins::s3::S3Server;
use serde_json::Value;

use crate::site::{FETCHD, text, wait_until};

/// What carries the releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    File,
    Http,
    S3,
}

/// A key that is nowhere else.
pub fn key() -> SigningKey {
    SigningKey::generate().unwrap()
}

pub struct Scene {
    dir: tempfile::TempDir,
    place: Place,
    /// Signs releases.
    pub publisher: Publisher,
    /// Signs key sets.
    pub root: SigningKey,
    /// Of the key sets that are made.
    pub epoch: u64,
    pub web: ScriptedOrigin,
    pub s3: S3Server,
    /// Everybody who ever signed releases.
    signers: Vec<SigningKey>,
    bound: bool,
}

impl Scene {
    /// With 1.0.0 at the program path, key set 1 provisioned and nothing published.
    pub fn new(place: Place) -> Scene {
        Scene::of_epoch(place, 0)
    }

    pub fn of_epoch(place: Place, epoch: u64) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        for name in ["pub", "srv"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let publisher = Publisher::new(dir.path().join("pub")).unwrap();
        let signers = vec![publisher.key().clone()];
        let (web, s3) = (ScriptedOrigin::start(), S3Server::start());
        let scene = Scene { dir, place, publisher, root: key(), epoch, web, s3, signers, bound: false };
        fs::write(scene.program(), script("1.0.0")).unwrap();
        fs::set_permissions(scene.program(), fs::Permissions::from_mode(0o755)).unwrap();
        scene.provision(&scene.document(1));
        scene
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn program(&self) -> PathBuf {
        self.path().join("srv/app")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The provisioned key set.
    pub fn provisioned(&self) -> PathBuf {
        self.path().join("app.keys")
    }

    /// A key set of the scene's root, release key and epoch.
    pub fn document(&self, version: u64) -> KeyDocument {
        KeyDocument { epoch: self.epoch, ..self.publisher.key_document(version, &[&self.root]).unwrap() }
    }

    /// The same with another root.
    pub fn rooted(&self, version: u64, root: &SigningKey) -> KeyDocument {
        KeyDocument { root: KeySet::new(vec![root.public().clone()], 1).unwrap(), ..self.document(version) }
    }

    pub fn signed(&self, document: KeyDocument, signers: &[&SigningKey]) -> Vec<u8> {
        key_file(&document, signers).unwrap()
    }

    /// Two keys, both of which must sign.
    pub fn two_of_two(&self) -> KeySet {
        KeySet::new(vec![self.publisher.public_key().clone(), key().public().clone()], 2).unwrap()
    }

    /// Puts a key set where the operator does.
    pub fn provision(&self, document: &KeyDocument) {
        fs::write(self.provisioned(), key_file(document, &[&self.root]).unwrap()).unwrap();
    }

    /// Puts a file where hosts look for the key set of this version.
    pub fn put_keys(&self, version: u64, file: &[u8]) {
        self.publisher.put_keys(version, file).unwrap();
        self.show(&format!("keys/{version}"));
    }

    pub fn remove_keys(&self, version: u64) {
        fs::remove_file(self.path().join(format!("pub/keys/{version}"))).unwrap();
        self.web.remove(&format!("/keys/{version}"));
        self.s3.remove(&format!("keys/{version}"));
    }

    /// From now on another key signs releases.
    pub fn new_release_key(&mut self) {
        let new = key();
        self.signers.push(new.clone());
        self.publisher = self.publisher.clone().with_key(new);
    }

    /// Publishes a script of this version, whoever signed what is there.
    pub fn publish(&mut self, version: &str) {
        self.publish_in(version, None);
    }

    /// The same as the first of an epoch.
    pub fn begin_epoch(&mut self, version: &str, epoch: u64) {
        self.publish_in(version, Some(epoch));
    }

    fn publish_in(&mut self, version: &str, epoch: Option<u64>) {
        let epoch = epoch.or_else(|| (self.epoch > 0).then_some(self.epoch));
        let mut trusted: Vec<_> = self.signers.iter().map(|key| key.public().clone()).collect();
        if !trusted.contains(self.publisher.public_key()) {
            trusted.push(self.publisher.public_key().clone());
        }
        let trusted = KeySet::new(trusted, 1).unwrap();
        let publisher = self.publisher.clone();
        let file = self.path().join(format!("app-{version}"));
        fs::write(&file, script(version)).unwrap();
        let artifact = fetchd::publish::ArtifactFile {
            target: fetchd::publish::host_target(),
            path: file,
            format: Some(fetchd::trust::Format::Raw),
            entry: None,
        };
        let release = fetchd::publish::NewRelease::new(version.parse().unwrap(), vec![artifact]);
        let published = publisher.change(|options| {
            options.release = Some(release);
            options.trusted = Some(&trusted);
            options.epoch = epoch;
        });
        published.unwrap();
        self.show_all();
    }

    /// Publishes a script of this version as one artifact with its signature.
    pub fn publish_bound(&mut self, version: &str) {
        self.bound = true;
        self.publisher.publish_bound("app", version, &script(version)).unwrap();
        self.show_all();
    }

    /// What somebody with the publisher's key makes of the manifest.
    pub fn forge(&self, edit: impl FnOnce(&mut Value)) {
        self.publisher.forge(edit).unwrap();
        self.show("stable.fetchd");
    }

    pub fn put_pointer(&self, bytes: &[u8]) {
        fs::write(self.publisher.pointer(), bytes).unwrap();
        self.show("stable.fetchd");
    }

    fn show(&self, name: &str) {
        let bytes = fs::read(self.path().join("pub").join(name)).unwrap();
        self.web.put(&format!("/{name}"), &bytes);
        self.s3.put(name, bytes);
    }

    fn show_all(&self) {
        for entry in fs::read_dir(self.path().join("pub")).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() && !entry.file_name().to_str().unwrap().starts_with('.') {
                self.show(entry.file_name().to_str().unwrap());
            }
        }
    }

    /// `fetchd COMMAND` for this service with its key set.
    pub fn command(&self, command: &str, more: &[&str]) -> Command {
        let mut fetchd = self.bare(command);
        fetchd.arg("--keys").arg(self.provisioned()).args(more).arg("--").arg(self.program());
        fetchd
    }

    /// The same without trust.
    pub fn bare(&self, command: &str) -> Command {
        let pointer = if self.bound { "app" } else { "stable.fetchd" };
        let (source, options) = match self.place {
            Place::File => (format!("file:{}?settle=0s", self.path().join("pub").join(pointer).display()), vec![]),
            Place::Http => (self.web.url(&format!("/{pointer}")).to_string(), vec!["proxy=none".to_owned()]),
            Place::S3 => {
                let options = self.s3.options();
                let pairs = options.iter().flat_map(|(name, values)| values.iter().map(move |v| format!("{name}={v}")));
                (self.s3.source(pointer).to_string(), pairs.chain(["proxy=none".to_owned()]).collect())
            }
        };
        let mut fetchd = Command::new(FETCHD);
        fetchd.args(command.split(' ')).args([
            "--product",
            "app",
            "--target-check",
            "off",
            "--source",
            &source,
            "--state-dir",
        ]);
        fetchd.arg(self.state_dir());
        for option in options {
            fetchd.args(["--source-options", &option]);
        }
        fetchd.current_dir(self.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        fetchd
    }

    /// `fetchd apply`: its exit code, and the code of what went wrong.
    #[track_caller]
    pub fn apply(&self) -> (i32, String) {
        done(self.command("apply", &["--json"]))
    }

    /// `fetchd apply` that waits for no answer longer than this.
    #[track_caller]
    pub fn apply_within(&self, limit: Duration) -> (i32, String) {
        done(self.command("apply", &["--json", "--poll-deadline", &format!("{}ms", limit.as_millis())]))
    }

    /// `fetchd check`.
    #[track_caller]
    pub fn check(&self) -> (i32, String) {
        done(self.command("check", &["--json"]))
    }

    /// `fetchd apply`, killed at a checkpoint.
    pub fn apply_killed_at(&self, at: Checkpoint) {
        let marker = self.path().join("checkpoint");
        let mut armed = self.command("apply", &[]);
        armed.env("FETCHD_TEST_CHECKPOINT", at.name()).env("FETCHD_TEST_CHECKPOINT_FILE", &marker);
        self.web.clear_requests();
        let mut apply = armed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut ended = None;
        wait_until("the checkpoint is reached", || {
            ended = apply.try_wait().unwrap();
            ended.is_some() || fs::read_to_string(&marker).is_ok_and(|pid| !pid.is_empty())
        });
        apply.kill().unwrap();
        apply.wait().unwrap();
        assert_eq!(ended, None, "it went past the checkpoint");
    }

    /// The paths that were asked for since the last time.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.web.requests().iter().map(|request| request.path_only().to_owned()).collect();
        self.web.clear_requests();
        asked
    }

    /// What the program says that it is.
    pub fn runs(&self) -> String {
        let output = Command::new(self.program()).arg("--version").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().trim_start_matches("app ").to_owned()
    }

    pub fn record(&self) -> Record {
        Store::read_only(&self.state_dir()).unwrap().record().clone()
    }

    pub fn keys_version(&self) -> u64 {
        self.record().keys_version
    }

    /// The kept key set of this version.
    pub fn kept(&self, version: u64) -> Option<Vec<u8>> {
        Store::kept_keys(&self.state_dir(), version).unwrap()
    }

    /// The messages of the events of this name.
    pub fn events(&self, event: &str) -> Vec<String> {
        let history = Store::read_only(&self.state_dir()).unwrap().history(usize::MAX).unwrap();
        history.into_iter().filter(|e| e.event == event).filter_map(|e| e.message).collect()
    }
}

#[track_caller]
fn done(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    (output.status.code().unwrap(), code_of(&output))
}

/// A program that says which version it is.
pub fn script(version: &str) -> Vec<u8> {
    format!("#!/bin/sh\necho app {version}\n").into_bytes()
}

/// The code of what went wrong; empty if nothing did.
#[track_caller]
fn code_of(output: &Output) -> String {
    let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(output)));
    object["error"]["code"].as_str().unwrap_or_default().to_owned()
}
