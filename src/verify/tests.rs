use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::failure::{Failure as _, Reported, chain};
use crate::trust::sample::Sample;
use crate::trust::{Format, Proof};

mod custody;
mod smoke;

/// Staging and custody of one test.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("staging")).unwrap();
        fs::create_dir(dir.path().join("custody")).unwrap();
        Place { dir }
    }

    fn staged(&self) -> PathBuf {
        self.dir.path().join("staging/artifact")
    }

    fn custody(&self) -> PathBuf {
        self.dir.path().join("custody")
    }

    /// A path outside of both.
    fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn take(&self, bytes: &[u8], sample: Sample) -> Result<Artifact, VerifyError> {
        fs::write(self.staged(), bytes).unwrap();
        take(&self.staged(), sample.chosen(), &self.custody())
    }

    fn candidate(&self, bytes: &[u8], sample: Sample) -> Candidate {
        self.take(bytes, sample).unwrap().into_candidate().unwrap()
    }

    fn verify(&self, verifier: &Verifier, bytes: &[u8], version: &str) -> Result<Verified, VerifyError> {
        verifier.verify(self.candidate(bytes, Sample::raw(bytes, version)))
    }

    /// Neither directory holds anything.
    fn assert_empty(&self) {
        for dir in ["staging", "custody"] {
            let left: Vec<_> = fs::read_dir(self.dir.path().join(dir)).unwrap().map(|e| e.unwrap().path()).collect();
            assert_eq!(left, Vec::<PathBuf>::new());
        }
    }
}

fn lenient() -> Verifier {
    Verifier { target: TargetCheck::Off, ..Verifier::default() }
}

fn script(body: &str) -> Vec<u8> {
    format!("#!/bin/sh\n{body}\n").into_bytes()
}

#[track_caller]
fn assert_refused(error: &VerifyError, code: &str, exit: Exit, quarantine: bool) {
    assert_eq!((error.code(), error.exit(), error.quarantine()), (code, exit, quarantine), "{}", chain(error));
}

#[test]
fn a_good_candidate_is_verified_and_goes_when_it_is_dropped() {
    let place = Place::new();
    let bytes = script("echo app 1.2.3");
    let verified = place.verify(&lenient(), &bytes, "1.2.3").unwrap();
    assert_eq!(verified.sha256(), Sha256::of(&bytes));
    assert_eq!((verified.size(), verified.version()), (bytes.len() as u64, Some(&Version::new(1, 2, 3))));
    assert_eq!(fs::read(verified.path()).unwrap(), bytes);
    assert_eq!(verified.file().metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(verified.file().metadata().unwrap().ino(), fs::metadata(verified.path()).unwrap().ino());
    let installed = place.outside("installed");
    fs::rename(verified.path(), &installed).unwrap();
    drop(verified);
    place.assert_empty();
    assert_eq!(fs::read(installed).unwrap(), bytes);
}

#[test]
fn a_compiled_program_for_this_machine_passes_the_target_check() {
    let place = Place::new();
    let bytes = fs::read("/bin/sh").unwrap();
    let mut verifier = lenient();
    verifier.target = TargetCheck::Triple(format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
    verifier.smoke.args = vec!["-c".into(), "echo app 1.2.3".into()];
    place.verify(&verifier, &bytes, "1.2.3").unwrap();

    let other = if cfg!(target_arch = "aarch64") { "x86_64" } else { "aarch64" };
    verifier.target = TargetCheck::Triple(format!("{other}-unknown-linux-gnu"));
    let error = place.verify(&verifier, &bytes, "1.2.3").unwrap_err();
    assert_refused(&error, "candidate.target", Exit::Content, true);
    let message = format!("the candidate is an ELF for {}, this machine is {other}", std::env::consts::ARCH);
    assert_eq!(error.to_string(), message);
    place.assert_empty();
}

#[test]
fn nothing_is_executed_before_size_digest_target_and_checks_are_right() {
    #[derive(Debug)]
    struct No;
    impl Check for No {
        fn name(&self) -> &str {
            "no"
        }
        fn check(&self, candidate: &Checked<'_>) -> Result<Verdict, Box<dyn std::error::Error + Send + Sync>> {
            let mut text = String::new();
            candidate.file().read_to_string(&mut text)?;
            assert!(text.starts_with("#!/bin/sh"));
            Ok(Verdict::Refuse("it is Sunday".to_owned()))
        }
    }
    let place = Place::new();
    let canary = place.outside("canary");
    let bytes = script(&format!("echo ran > {}; echo 1.2.3", canary.display()));
    let good = Sample::raw(&bytes, "1.2.3");
    let refused = |verifier: &Verifier, sample: Sample, code: &str, quarantine: bool| {
        let error = verifier.verify(place.candidate(&bytes, sample)).unwrap_err();
        assert_refused(&error, code, Exit::Content, quarantine);
        assert!(!canary.exists(), "{code}");
        place.assert_empty();
    };
    let other = Some(Sha256::of(b"other"));
    refused(&lenient(), Sample { binary_sha256: other, ..good.clone() }, "candidate.digest", false);
    refused(&lenient(), Sample { binary_size: Some(1), ..good.clone() }, "candidate.size", false);
    let target = Some("x86_64-unknown-linux-gnu".to_owned());
    refused(&Verifier::default(), Sample { target, ..good.clone() }, "candidate.target", true);
    let checked = Verifier { checks: vec![Box::new(No)], ..lenient() };
    refused(&checked, good.clone(), "check.refused", true);
    lenient().verify(place.candidate(&bytes, good)).unwrap();
    assert!(canary.exists());
}

#[test]
fn an_empty_candidate_is_refused_by_name() {
    let place = Place::new();
    let error = place.verify(&lenient(), b"", "1.2.3").unwrap_err();
    assert_refused(&error, "candidate.empty", Exit::Content, false);
}

#[test]
fn a_check_that_cannot_be_made_blames_nobody() {
    #[derive(Debug)]
    struct Broken;
    impl Check for Broken {
        fn name(&self) -> &str {
            "attestation"
        }
        fn check(&self, _: &Checked<'_>) -> Result<Verdict, Box<dyn std::error::Error + Send + Sync>> {
            Err("the server is down".into())
        }
    }
    let place = Place::new();
    let verifier = Verifier { checks: vec![Box::new(Broken)], ..lenient() };
    let error = place.verify(&verifier, &script("echo 1.2.3"), "1.2.3").unwrap_err();
    assert_refused(&error, "check.failed", Exit::Install, false);
    assert_eq!(Reported::of(&error).message, "check `attestation` could not be made: the server is down");
}

#[test]
fn a_candidate_changed_in_custody_is_not_verified() {
    let place = Place::new();
    let bytes = script("echo 1.2.3");
    let change: [fn(&Path); 3] = [
        |path| fs::write(path, "#!/bin/sh\necho 1.2.4\n").unwrap(),
        |path| fs::write(path, "shorter").unwrap(),
        |path| {
            let other = path.with_extension("other");
            fs::copy(path, &other).unwrap();
            fs::rename(other, path).unwrap();
        },
    ];
    for change in change {
        let candidate = place.candidate(&bytes, Sample::raw(&bytes, "1.2.3"));
        change(candidate.path());
        let error = lenient().verify(candidate).unwrap_err();
        assert_refused(&error, "candidate.changed", Exit::Install, false);
        place.assert_empty();
    }
}

#[test]
fn a_candidate_that_changes_itself_in_its_smoke_run_is_not_verified() {
    let place = Place::new();
    for body in ["echo >> $0", "cp $0 new; mv new $0", "chmod u+s $0"] {
        let error = place.verify(&lenient(), &script(&format!("{body}\necho 1.2.3")), "1.2.3").unwrap_err();
        assert_refused(&error, "candidate.changed", Exit::Install, false);
        place.assert_empty();
    }
}
