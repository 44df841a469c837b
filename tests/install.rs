//! A process is killed in the middle of changing the program path. The next one settles it.
//!
//! The process is this test binary, run again; what is installed are scripts that go the whole way from an offer through
//! the smoke run. The steps between the checkpoints are cut in `install::tests::power_cut`.

// A failed `unwrap` is a failed test, in its helping functions too.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fetchd::checkpoint::Checkpoint;
use fetchd::clock::Timestamp;
use fetchd::install::{Carry, Install, Installed, Layout, Settled};
use fetchd::state::{Record, Store};
use fetchd::trust::{self, Choice, Expect, Offer, Policy, Trust};
use fetchd::verify::{self, TargetCheck, Verified, Verifier};
use fetchd_fetchers::{AssetName, Release, Revision};

/// One service on one machine, as a process of fetchd sees it.
struct Machine {
    base: PathBuf,
    install: Install,
    store: Store,
    settled: Settled,
}

impl Machine {
    fn start(base: &Path, kind: &str) -> Machine {
        let (layout, program) = match kind {
            "replace" => (Layout::Replace, base.join("link")),
            "releases" => (Layout::Releases { keep: 2 }, base.join("srv/current/app")),
            "external" => (Layout::External { dir: base.join("external") }, base.join("theirs")),
            other => panic!("no layout `{other}`"),
        };
        let mut store = Store::open(&base.join("state")).unwrap();
        let mut install = Install::open(layout, &program, Carry::Strict).unwrap();
        let settled = install.settle(&mut store).unwrap();
        Machine { base: base.to_owned(), install, store, settled }
    }

    fn verified(&self, kind: &str, version: &str) -> Verified {
        if kind == "external" {
            let new = self.base.join("theirs.new");
            script(&new, version);
            fs::rename(new, self.base.join("theirs")).unwrap();
        }
        let staged = self.install.staging().join("download");
        script(&staged, version);
        let release =
            Release { revision: Revision(version.to_owned()), label: None, assets: Vec::new(), document: None };
        let asset = AssetName::new("app").unwrap();
        let offer = Offer { release: &release, document: None, signature: None, asset: Some(&asset) };
        let [product, channel, target] = ["app", "stable", "x86_64-unknown-linux-gnu"].map(str::to_owned);
        let expect = Expect { product, channel, target, epoch: None, max_size: 1 << 20 };
        let now = Timestamp::now();
        let manifest = trust::read(&offer, &Trust::Unsigned, &expect, now).unwrap();
        let chosen = match trust::choose(&manifest, &Record::default(), &Policy::default(), &expect, now) {
            Choice::Take(chosen) => *chosen,
            other => panic!("{other:?}"),
        };
        self.install.preflight(&chosen, 0).unwrap();
        let artifact = verify::take(&staged, chosen, self.install.custody()).unwrap();
        let verifier = Verifier { target: TargetCheck::Off, ..Verifier::default() };
        verifier.verify(artifact.into_candidate().unwrap()).unwrap()
    }

    fn activate(&mut self, kind: &str, version: &str) -> Installed {
        let verified = self.verified(kind, version);
        self.install.activate(verified, &mut self.store).unwrap()
    }

    fn release(&mut self, kind: &str, version: &str) {
        self.activate(kind, version);
        self.install.confirm(&mut self.store, Timestamp::now()).unwrap();
    }

    /// What the binary that would be started says.
    fn runs(&self) -> String {
        let startable = self.install.startable(self.store.record()).unwrap().unwrap();
        let said = Command::new(startable.program()).arg("--version").output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }
}

fn script(path: &Path, version: &str) {
    fs::write(path, format!("#!/bin/sh\necho app {version}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A machine on which 1.0.0 was there before fetchd and 2.0.0 is confirmed.
fn prepared(kind: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    fs::create_dir_all(base.join("srv/by-hand")).unwrap();
    script(&base.join("srv/app"), "1.0.0");
    script(&base.join("srv/by-hand/app"), "1.0.0");
    script(&base.join("theirs"), "1.0.0");
    symlink("srv/app", base.join("link")).unwrap();
    symlink("by-hand", base.join("srv/current")).unwrap();
    let mut machine = Machine::start(base, kind);
    if kind == "external" {
        machine.release(kind, "1.0.0");
    }
    machine.release(kind, "2.0.0");
    assert_eq!(machine.runs(), "app 2.0.0");
    dir
}

/// Runs [`the_process_that_is_killed`] until it reaches `at`, and kills it there.
fn kill_at(at: Checkpoint, base: &Path, kind: &str, change: &str) {
    let reached = base.join("reached");
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed"])
        .env("FETCHD_TEST_INSTALL", base)
        .env("FETCHD_TEST_LAYOUT", kind)
        .env("FETCHD_TEST_CHANGE", change)
        .env("FETCHD_TEST_CHECKPOINT", at.name())
        .env("FETCHD_TEST_CHECKPOINT_FILE", &reached)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !reached.exists() && process.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    let waits = process.try_wait().unwrap().is_none() && reached.exists();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(waits, "{kind}: the process never came to {at:?}");
    fs::remove_file(reached).unwrap();
}

#[test]
fn the_process_that_is_killed() {
    // Run by name it has nothing to do; run by `kill_at` it does not come to its end.
    let Some(base) = std::env::var_os("FETCHD_TEST_INSTALL") else { return };
    let kind = std::env::var("FETCHD_TEST_LAYOUT").unwrap();
    let mut machine = Machine::start(Path::new(&base), &kind);
    machine.activate(&kind, "3.0.0");
    if std::env::var("FETCHD_TEST_CHANGE").unwrap() == "roll back" {
        machine.install.roll_back(&mut machine.store).unwrap().unwrap();
    }
}

#[test]
fn whatever_a_kill_leaves_the_next_start_settles() {
    for kind in ["replace", "releases", "external"] {
        for (at, change) in [
            (Checkpoint::Verified, "activate"),
            (Checkpoint::JournalBegun, "activate"),
            (Checkpoint::Renamed, "activate"),
            (Checkpoint::Activated, "activate"),
            (Checkpoint::RollbackBegun, "roll back"),
            (Checkpoint::RolledBack, "roll back"),
        ] {
            let dir = prepared(kind);
            kill_at(at, dir.path(), kind, change);
            let mut machine = Machine::start(dir.path(), kind);
            assert_eq!(machine.runs(), "app 2.0.0", "{kind}: killed at {at:?}");
            assert_eq!(machine.store.record().journal, None);
            match at {
                Checkpoint::Verified | Checkpoint::RolledBack => assert_eq!(machine.settled, Settled::Clean),
                _ => assert_ne!(machine.settled, Settled::Clean, "{kind}: killed at {at:?}"),
            }
            assert_eq!(fs::read_dir(machine.install.custody()).unwrap().count(), 0);
            assert_eq!(fs::read_dir(machine.install.staging()).unwrap().count(), 0);

            let back = machine.install.roll_back(&mut machine.store).unwrap().unwrap();
            let said = Command::new(back.program()).output().unwrap();
            assert_eq!(said.stdout, b"app 1.0.0\n", "{kind}: killed at {at:?}");
            machine.release(kind, "4.0.0");
            assert_eq!(machine.runs(), "app 4.0.0", "{kind}: killed at {at:?}");
        }
    }
}

#[test]
fn what_the_smoke_run_found_is_what_is_recorded() {
    let dir = prepared("replace");
    let mut machine = Machine::start(dir.path(), "replace");
    let installed = machine.activate("replace", "3.1.4-rc.1");
    assert_eq!(installed.version(), Some(&"3.1.4-rc.1".parse().unwrap()));
    machine.install.confirm(&mut machine.store, Timestamp(7)).unwrap();
    let record = machine.store.record();
    let (confirmed, previous) = (record.confirmed.as_ref().unwrap(), record.previous.as_ref().unwrap());
    assert_eq!((confirmed.version.as_ref(), confirmed.at), (installed.version(), Timestamp(7)));
    assert_eq!(confirmed.sha256, *installed.sha256());
    assert_eq!(previous.version, Some("2.0.0".parse().unwrap()));
}
