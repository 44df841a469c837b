use std::fs;

use super::*;
use crate::digest::Sha256;
use crate::failure::{Exit, Failure as _};
use crate::fetch::poll::{poll, sibling};
use crate::fetch::{FetchFailure, Limits, PollJob, PollReply, SiblingJob, Want};

fn job(directory: &Path, want: Want, options: &[&str]) -> PollJob {
    PollJob { source: source(directory, options), since: None, want, meant: meant(), limits: Limits::default() }
}

fn run(job: &PollJob) -> Result<PollReply, FetchFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(poll(&registry(), job))
}

fn document() -> Want {
    Want::Document
}

fn sidecar() -> Want {
    Want::Sidecar
}

#[test]
fn a_document_comes_with_the_poll_or_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("app"), b"on disk").unwrap();
    for (options, expected) in [(&[][..], "on disk"), (&["document=shown"][..], "shown")] {
        let PollReply::Offers(offered) = run(&job(directory.path(), document(), options)).unwrap() else { panic!() };
        assert_eq!(offered.document.as_deref(), Some(expected.as_bytes()));
        assert_eq!(offered.asset.as_str(), "app");
        assert_eq!(offered.release.document, None);
    }
}

#[test]
fn unchanged_is_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let since = Some(Revision("r1".to_owned()));
    let job = PollJob { since, ..job(directory.path(), document(), &[]) };
    assert_eq!(run(&job).unwrap(), PollReply::Unchanged);
}

#[test]
fn unchanged_since_nothing_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(directory.path(), document(), &["always_unchanged"]);
    assert_eq!(run(&job).unwrap_err().code(), "source.other");
}

#[test]
fn a_document_beyond_its_limit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("app"), vec![b'x'; 512 * 1024 + 1]).unwrap();
    for options in [&[][..], &["total=none"], &["total=none", "endless"], &["total=10", "endless"]] {
        let failure = run(&job(directory.path(), document(), options)).unwrap_err();
        assert_eq!((failure.code(), failure.exit()), ("source.document_too_large", Exit::Content));
    }
}

#[test]
fn a_signature_is_fetched_by_its_name_and_may_not_be_there_yet() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(directory.path(), sidecar(), &[]);
    let failure = run(&job).unwrap_err();
    assert_eq!((failure.code(), failure.exit()), ("source.not_ready", Exit::Unreachable));
    fs::write(directory.path().join("app.minisig"), b"signature").unwrap();
    let PollReply::Offers(offered) = run(&job).unwrap() else { panic!() };
    assert_eq!(offered.signature.as_deref(), Some(&b"signature"[..]));
    fs::write(directory.path().join("app.minisig"), vec![b'x'; 16 * 1024 + 1]).unwrap();
    let failure = run(&job).unwrap_err();
    assert_eq!((failure.code(), failure.exit()), ("signature.malformed", Exit::Trust));
}

#[test]
fn a_document_that_ends_early_is_incomplete() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("app"), b"0123456789").unwrap();
    let failure = run(&job(directory.path(), document(), &["end=5", "chunk=5"])).unwrap_err();
    assert_eq!(failure.code(), "source.incomplete");
}

#[test]
fn among_several_assets_the_bundle_is_named_after_the_channel() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("stable.fetchd"), b"two").unwrap();
    let options = ["assets=app,stable.fetchd", "document=none"];
    let PollReply::Offers(offered) = run(&job(directory.path(), document(), &options)).unwrap() else { panic!() };
    assert_eq!(offered.document.as_deref(), Some(&b"two"[..]));
    let beta = PollJob {
        meant: Meant { channel: "beta".to_owned(), ..meant() },
        ..job(directory.path(), document(), &options)
    };
    let PollReply::NotReady(lacks) = run(&beta).unwrap() else { panic!() };
    assert_eq!(lacks.missing, "the bundle `beta.fetchd`");
    assert_eq!(lacks.shown.len(), 2);
}

#[test]
fn assets_that_fit_equally_well_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let failure = run(&job(directory.path(), Want::Nothing, &["assets=app-linux-x64,app_linux_amd64"])).unwrap_err();
    assert_eq!((failure.code(), failure.exit()), ("source.ambiguous", Exit::Usage));
    assert_eq!(failure.to_string(), "several assets could be meant: `app-linux-x64`, `app_linux_amd64`");
}

#[test]
fn r66_a_listed_release_without_our_asset_or_its_signature_is_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    for (assets, missing) in [
        ("assets=app-darwin-arm64,app-windows-amd64.zip", "an asset of `app` for `x86_64-unknown-linux-gnu`"),
        ("assets=app-linux-amd64,app-darwin-arm64.minisig", "`app-linux-amd64.minisig`"),
    ] {
        let PollReply::NotReady(lacks) = run(&job(directory.path(), sidecar(), &[assets])).unwrap() else { panic!() };
        assert_eq!(lacks.missing, missing);
    }
}

#[test]
fn a_checksum_file_adds_its_claim_or_contradicts_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let digest = Sha256::of(b"the artifact");
    fs::write(directory.path().join("SHA256SUMS"), format!("{digest}  app-linux-amd64\n")).unwrap();
    let assets = "assets=app-linux-amd64,SHA256SUMS";
    let PollReply::Offers(offered) = run(&job(directory.path(), Want::Nothing, &[assets])).unwrap() else { panic!() };
    assert_eq!(offered.release.assets[0].digest, Some(format!("sha256:{digest}")));
    let other = format!("digest=sha256:{}", Sha256::of(b"another"));
    let failure = run(&job(directory.path(), Want::Nothing, &[assets, &other])).unwrap_err();
    assert_eq!((failure.code(), failure.exit()), ("source.contradiction", Exit::Content));
}

#[test]
fn a_silent_source_ends_with_the_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let mut job = job(directory.path(), document(), &["silent"]);
    job.limits.poll = Duration::from_millis(50);
    let failure = run(&job).unwrap_err();
    assert_eq!((failure.code(), failure.exit()), ("source.deadline", Exit::Unreachable));
}

fn beside(directory: &Path, options: &[&str]) -> Result<Option<Vec<u8>>, FetchFailure> {
    let job = SiblingJob {
        source: source(directory, options),
        release: release(&["app"]),
        name: AssetName::new("keys/2").unwrap(),
        limit: 10,
        deadline: Duration::from_millis(200),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(sibling(&registry(), &job)).map(|sibling| sibling.bytes)
}

#[test]
fn a_file_beside_the_pointer_comes_whole_or_is_said_not_to_be_there() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(beside(directory.path(), &[]).unwrap(), None);
    fs::create_dir(directory.path().join("keys")).unwrap();
    assert_eq!(beside(directory.path(), &[]).unwrap(), None);
    fs::write(directory.path().join("keys/2"), b"0123456789").unwrap();
    for options in [&[][..], &["total=none", "chunk=3"]] {
        assert_eq!(beside(directory.path(), options).unwrap().as_deref(), Some(&b"0123456789"[..]));
    }
}

/// Attack 31: nothing but "there is none" means that there is none.
#[test]
fn whatever_keeps_a_file_beside_the_pointer_away_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("keys")).unwrap();
    fs::write(directory.path().join("keys/2"), b"0123456789").unwrap();
    for (options, expected) in [
        (&["open=denied"][..], "source.denied"),
        (&["open=unreachable"], "source.unreachable"),
        (&["open=never"], "source.deadline"),
        (&["stall=5", "chunk=5"], "source.deadline"),
        (&["end=5", "chunk=5"], "source.incomplete"),
        (&["break=5", "chunk=5"], "source.incomplete"),
        (&["total=11"], "source.document_too_large"),
        (&["total=none", "endless"], "source.document_too_large"),
    ] {
        let failure = beside(directory.path(), options).unwrap_err();
        assert_eq!(failure.code(), expected, "{options:?}");
    }
    let hint = beside(directory.path(), &["open=denied"]).unwrap_err().hint().unwrap();
    assert!(hint.contains("s3:ListBucket"), "{hint}");
}
