mod confined;
mod layouts;
mod metadata;
mod power_cut;
mod power_loss;
mod refusals;
mod remembered;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use ::base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::{Signer as _, SigningKey};
use fetchd_fetchers::{AssetName, Revision};

use super::steps::Step;
use super::steps::plug::{cut_after, meanwhile};
use super::*;
use crate::clock::Timestamp;
use crate::failure::{Exit, Failure as _};
use crate::state::{JournalStep, Quarantined, Store};
use crate::trust::{self, Choice, Expect, KeySet, Offer, Policy, PublicKey, Trust};
use crate::verify::{self, Smoke, TargetCheck, Verifier};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Replace,
    Releases,
    External,
}

const KINDS: [Kind; 3] = [Kind::Replace, Kind::Releases, Kind::External];

/// A machine with one service: its files, its state, and the fetchd that looks after it.
struct Bench {
    base: PathBuf,
    kind: Kind,
    carry: Carry,
    keep: usize,
    install: Option<Install>,
    store: Option<Store>,
    state: PathBuf,
    dir: Option<tempfile::TempDir>,
}

impl Bench {
    /// With the binary `first` at the program path, if there is to be one.
    fn new(kind: Kind, first: Option<&str>) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let mut bench = Bench::at(dir.path(), kind, first);
        bench.dir = Some(dir);
        bench
    }

    /// On a file system without a disk where there is one: there is nothing to wait for.
    fn in_memory(kind: Kind, first: Option<&str>) -> Bench {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut bench = Bench::at(dir.path(), kind, first);
        bench.dir = Some(dir);
        bench
    }

    fn at(base: &Path, kind: Kind, first: Option<&str>) -> Bench {
        let base = base.canonicalize().unwrap();
        fs::create_dir(base.join("srv")).unwrap();
        let bench = Bench {
            kind,
            carry: Carry::Strict,
            keep: 2,
            install: None,
            store: None,
            state: base.join("state"),
            base,
            dir: None,
        };
        if let Some(first) = first {
            match kind {
                Kind::Replace => write(&bench.program(), first),
                Kind::Releases | Kind::External => bench.deploy(first),
            }
        }
        bench
    }

    /// Somebody else puts a binary in a directory of its own and points `current` at it.
    fn deploy(&self, bytes: &str) {
        let dir = self.base.join("srv").join(format!("by-hand-{bytes}"));
        fs::create_dir_all(&dir).unwrap();
        write(&dir.join("app"), bytes);
        let current = self.base.join("srv/current");
        let _ = fs::remove_file(&current);
        symlink(&dir, current).unwrap();
    }

    fn program(&self) -> PathBuf {
        self.base.join(match self.kind {
            Kind::Replace => "srv/app",
            Kind::Releases | Kind::External => "srv/current/app",
        })
    }

    fn layout(&self) -> Layout {
        match self.kind {
            Kind::Replace => Layout::Replace,
            Kind::Releases => Layout::Releases { keep: self.keep },
            Kind::External => Layout::External { dir: self.base.join("external") },
        }
    }

    /// fetchd starts.
    fn start(&mut self) -> Result<Settled, InstallError> {
        self.stop();
        self.store = Some(Store::open(&self.state).unwrap());
        self.install = Some(Install::open(self.layout(), &self.program(), self.carry)?);
        let (install, store) = self.both();
        install.settle(store)
    }

    fn stop(&mut self) {
        self.install = None;
        self.store = None;
    }

    fn both(&mut self) -> (&mut Install, &mut Store) {
        (self.install.as_mut().unwrap(), self.store.as_mut().unwrap())
    }

    fn record(&self) -> &Record {
        self.store.as_ref().unwrap().record()
    }

    /// Downloads and verifies a release; in the layout `external` they deploy it first.
    fn verified(&mut self, version: &str) -> Verified {
        if self.kind == Kind::External {
            self.deploy(version);
        }
        let install = self.install.as_ref().unwrap();
        let staged = install.staging().join("download");
        fs::write(&staged, version).unwrap();
        let chosen = chosen(version, version.as_bytes(), version.len() as u64);
        let artifact = verify::take(&staged, chosen, install.custody()).unwrap();
        let smoke = Smoke { enabled: false, ..Smoke::default() };
        let verifier = Verifier { smoke, target: TargetCheck::Off, ..Verifier::default() };
        verifier.verify(artifact.into_candidate().unwrap()).unwrap()
    }

    fn activate(&mut self, version: &str) -> Result<Installed, InstallError> {
        let verified = self.verified(version);
        let (install, store) = self.both();
        install.activate(verified, store)
    }

    fn confirm(&mut self) {
        let (install, store) = self.both();
        install.confirm(store, Timestamp(1_700_000_000)).unwrap();
    }

    fn roll_back(&mut self) -> Result<Option<Installed>, InstallError> {
        let (install, store) = self.both();
        install.roll_back(store)
    }

    /// Activates and confirms.
    fn release(&mut self, version: &str) {
        self.activate(version).unwrap();
        self.confirm();
    }

    /// The bytes that fetchd would start now.
    fn starts(&self) -> Option<String> {
        let startable = self.install.as_ref().unwrap().startable(self.record()).unwrap()?;
        Some(fs::read_to_string(startable.program()).unwrap())
    }

    fn confirmed(&self) -> Option<String> {
        self.record().confirmed.as_ref().and_then(|c| c.version.as_ref()).map(ToString::to_string)
    }

    fn quarantine(&mut self, bytes: &str) {
        let bad = Quarantined {
            sha256: Sha256::of(bytes.as_bytes()),
            version: None,
            code: "test".to_owned(),
            reason: String::new(),
            at: Timestamp(0),
            count: 1,
        };
        self.store.as_mut().unwrap().update(|record| record.quarantine.push(bad)).unwrap();
    }

    /// As [`assert_tidy`](Bench::assert_tidy), while something is unconfirmed.
    fn assert_custody_empty(&self) {
        assert_eq!(names(self.install.as_ref().unwrap().custody()), [""; 0]);
    }

    /// Nothing of ours lies about: not in custody, not in staging, not beside the program.
    fn assert_tidy(&self) {
        let install = self.install.as_ref().unwrap();
        assert_eq!(names(install.custody()), [""; 0]);
        assert_eq!(names(install.staging()), [""; 0]);
        let ours = names(install.custody().parent().unwrap());
        assert!(
            ours.iter().all(|name| ["custody", "staging", "previous", "kept"].contains(&name.as_str())),
            "left over: {ours:?}"
        );
        let beside = names(&self.base.join("srv"));
        let expected = |name: &String| {
            [".fetchd", "app", "current", "releases"].contains(&name.as_str()) || name.starts_with("by-hand-")
        };
        assert!(beside.iter().all(expected), "left over: {beside:?}");
    }
}

/// A release of `bytes`, signed, read, and chosen.
fn chosen(version: &str, bytes: &[u8], size: u64) -> Chosen {
    let key = SigningKey::from_bytes(&[7; 32]);
    let base64 = |parts: &[&[u8]]| BASE64_STANDARD.encode(parts.concat());
    let comment =
        format!("fetchd:1\tproduct:app\tversion:{version}\tchannel:stable\ttarget:{TARGET}\tfile:app\tsize:{size}");
    let over_bytes = key.sign(&trust::blake2b512(bytes)).to_bytes();
    let over_all = key.sign(&[&over_bytes, comment.as_bytes()].concat()).to_bytes();
    let signature = format!(
        "untrusted comment: test\n{}\ntrusted comment: {comment}\n{}\n",
        base64(&[b"ED", b"12345678", &over_bytes]),
        base64(&[&over_all])
    );
    let public = PublicKey::parse(&base64(&[b"Ed", b"12345678", key.verifying_key().as_bytes()])).unwrap();
    let trust = Trust::Bound { keys: KeySet::new(vec![public], 1).unwrap() };
    let (product, channel, target) = ("app".to_owned(), "stable".to_owned(), TARGET.to_owned());
    let expect = Expect { product, channel, target, epoch: None, max_size: u64::MAX };
    let release = fetchd_fetchers::Release {
        revision: Revision("r".to_owned()),
        label: None,
        assets: Vec::new(),
        document: None,
    };
    let asset = AssetName::new("app").unwrap();
    let offer = Offer { release: &release, document: None, signature: Some(signature.as_bytes()), asset: Some(&asset) };
    let manifest = trust::read(&offer, &trust, &expect, Timestamp::now()).unwrap();
    match trust::choose(&manifest, &Record::default(), &Policy::default(), &expect, Timestamp::now()) {
        Choice::Take(chosen) => *chosen,
        other => panic!("{other:?}"),
    }
}

/// A release of this many bytes.
fn sized(size: u64) -> Chosen {
    chosen("1.0.0", b"", size)
}

fn two_confirmed(bench: &mut Bench) {
    bench.release("1.0.0");
    bench.release("2.0.0");
}

fn third_unconfirmed(bench: &mut Bench) {
    two_confirmed(bench);
    bench.activate("3.0.0").unwrap();
}

fn write(path: &Path, bytes: &str) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[track_caller]
fn fails_with<T: Debug>(outcome: Result<T, InstallError>, code: &str, exit: Exit) -> InstallError {
    let error = outcome.unwrap_err();
    assert_eq!((error.code(), error.exit()), (code, exit), "{error:?}");
    assert!(error.hint().is_some(), "{error}");
    error
}

const TARGET: &str = "x86_64-unknown-linux-gnu";
