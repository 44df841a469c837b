use std::io::{Seek as _, Write as _};
use std::os::unix::fs::symlink;

use super::*;

#[test]
fn what_is_taken_is_a_copy_and_the_staged_file_is_gone() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..700_000_u32).map(|n| n as u8).collect();
    fs::write(place.staged(), &bytes).unwrap();
    // A worker that keeps its file open.
    let worker = OpenOptions::new().write(true).open(place.staged()).unwrap();
    let artifact = take(&place.staged(), Sample::raw(&bytes, "1.0.0").chosen(), &place.custody()).unwrap();
    worker.set_len(0).unwrap();
    assert!(!place.staged().exists());
    assert_eq!((artifact.size(), artifact.sha256()), (700_000, Sha256::of(&bytes)));
    assert_eq!(fs::read(artifact.path()).unwrap(), bytes);
    assert_eq!(fs::metadata(artifact.path()).unwrap().mode() & 0o7777, 0o600);
    drop(artifact);
    place.assert_empty();
}

#[test]
fn bytes_that_are_not_the_signed_ones_are_refused_and_blame_no_digest() {
    let place = Place::new();
    let good = Sample::raw(b"expected", "1.0.0");
    let unbounded = Sample { size: None, max_size: 4, ..good.clone() };
    for (bytes, sample, code) in [
        (&b"expecte"[..], good.clone(), "artifact.size"),
        (b"expected!", good.clone(), "artifact.size"),
        (b"Expected", good.clone(), "artifact.digest"),
        (b"", good.clone(), "artifact.size"),
        (b"expected", unbounded, "artifact.size"),
        (b"expected", Sample { sha256: None, ..good.clone() }, "artifact.digest"),
    ] {
        let error = place.take(bytes, sample).unwrap_err();
        assert_refused(&error, code, Exit::Content, false);
        place.assert_empty();
    }
    let owner = Sample { sha256: None, size: None, proof: Proof::Owner, ..good };
    place.take(b"anything", owner).unwrap();
}

#[test]
fn an_artifact_must_be_the_one_its_signature_is_over() {
    let place = Place::new();
    let bytes = vec![b'x'; 600_000];
    let sample = Sample::signed(&bytes, "1.0.0");
    assert_eq!(place.take(&bytes, sample.clone()).unwrap().sha256(), Sha256::of(&bytes));
    for position in [0, 300_000, 599_999] {
        let mut other = bytes.clone();
        other[position] ^= 1;
        let error = place.take(&other, sample.clone()).unwrap_err();
        assert_refused(&error, "signature.wrong", Exit::Trust, false);
        place.assert_empty();
    }
    assert_refused(&place.take(b"", sample).unwrap_err(), "signature.wrong", Exit::Trust, false);
}

#[test]
fn an_artifact_that_never_ends_stops_at_its_size() {
    let place = Place::new();
    // A sparse file far larger than what is signed: it must be refused at once.
    let file = File::create(place.staged()).unwrap();
    file.set_len(1 << 40).unwrap();
    let sample = Sample::raw(b"expected", "1.0.0");
    let started = Instant::now();
    let error = take(&place.staged(), sample.chosen(), &place.custody()).unwrap_err();
    assert_refused(&error, "artifact.size", Exit::Content, false);
    assert!(started.elapsed() < Duration::from_secs(60));
    place.assert_empty();
}

#[test]
fn only_a_regular_file_with_one_name_is_taken() {
    let place = Place::new();
    let secret = place.outside("secret");
    fs::write(&secret, "expected").unwrap();
    let staged = place.staged();
    let lay: [&dyn Fn(); 4] = [
        &|| symlink(&secret, &staged).unwrap(),
        &|| fs::hard_link(&secret, &staged).unwrap(),
        &|| {
            rustix::fs::mknodat(rustix::fs::CWD, &staged, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        },
        &|| drop(std::os::unix::net::UnixListener::bind(&staged).unwrap()),
    ];
    for lay in lay {
        lay();
        let error = take(&staged, Sample::raw(b"expected", "1.0.0").chosen(), &place.custody()).unwrap_err();
        assert_refused(&error, "staged.kind", Exit::Content, false);
        place.assert_empty();
        assert_eq!(fs::read(&secret).unwrap(), b"expected");
    }
    let error = take(&staged, Sample::raw(b"", "1.0.0").chosen(), &place.custody()).unwrap_err();
    assert_refused(&error, "disk.failed", Exit::Install, false);
}

#[test]
fn a_failure_of_this_machine_leaves_the_staged_file() {
    let place = Place::new();
    fs::write(place.staged(), "expected").unwrap();
    let sample = Sample::raw(b"expected", "1.0.0");
    take(&place.staged(), sample.clone().chosen(), &place.outside("missing")).unwrap_err();
    assert!(place.staged().exists());
    take(&place.staged(), sample.chosen(), &place.custody()).unwrap();
}

#[test]
fn a_packed_artifact_becomes_a_candidate_once_it_is_unpacked() {
    let place = Place::new();
    let binary = script("echo app 1.2.3");
    let mut sample = Sample::raw(b"packed", "1.2.3");
    sample.format = Format::TarGz;
    sample.entry = Some("bin/app".to_owned());
    sample.binary_size = Some(binary.len() as u64);
    sample.binary_sha256 = Some(Sha256::of(&binary));
    let artifact = place.take(b"packed", sample.clone()).unwrap();
    let spec = artifact.needs_extraction().unwrap();
    assert_eq!((spec.format, spec.entry.as_deref()), (Format::TarGz, Some("bin/app")));
    assert_eq!((&*spec.artifact, &*spec.out), (artifact.path(), artifact.unpack_path()));
    fs::write(&spec.out, &binary).unwrap();
    let verified = lenient().verify(artifact.into_candidate().unwrap()).unwrap();
    assert!(!spec.artifact.exists());
    assert_eq!(verified.sha256(), Sha256::of(&binary));
    drop(verified);
    place.assert_empty();

    let artifact = place.take(b"packed", sample.clone()).unwrap();
    symlink("/bin/sh", artifact.unpack_path()).unwrap();
    let error = artifact.into_candidate().unwrap_err();
    assert_refused(&error, "candidate.kind", Exit::Content, false);
    let missing = place.take(b"packed", sample).unwrap().into_candidate().unwrap_err();
    assert_refused(&missing, "disk.failed", Exit::Install, false);
    place.assert_empty();
}

#[test]
fn an_extractor_that_writes_on_changes_nothing() {
    let place = Place::new();
    let binary = script("echo app 1.2.3");
    let mut sample = Sample::raw(b"packed", "1.2.3");
    sample.format = Format::TarGz;
    sample.binary_size = Some(binary.len() as u64);
    sample.binary_sha256 = Some(Sha256::of(&binary));
    let artifact = place.take(b"packed", sample).unwrap();
    fs::write(artifact.unpack_path(), &binary).unwrap();
    let mut writer = fs::OpenOptions::new().write(true).open(artifact.unpack_path()).unwrap();
    let candidate = artifact.into_candidate().unwrap();
    writer.write_all(b"#!/bin/sh\nevil").unwrap();
    let verified = lenient().verify(candidate).unwrap();
    writer.rewind().unwrap();
    writer.write_all(b"#!/bin/sh\nworse").unwrap();
    assert_eq!(fs::read(verified.path()).unwrap(), binary);
    drop(verified);
    place.assert_empty();
}

#[test]
fn a_directory_in_staging_is_refused_and_gone() {
    let place = Place::new();
    fs::create_dir_all(place.staged().join("full/of")).unwrap();
    let error = take(&place.staged(), Sample::raw(b"", "1.2.3").chosen(), &place.custody()).unwrap_err();
    assert_refused(&error, "staged.kind", Exit::Content, false);
    place.assert_empty();
}

#[test]
fn leftovers_of_a_crash_are_swept() {
    let place = Place::new();
    fs::create_dir_all(place.custody().join("smoke-1/x")).unwrap();
    fs::write(place.custody().join("artifact-1"), "").unwrap();
    fs::write(place.custody().join("unpacked-1"), "").unwrap();
    fs::write(place.custody().join("previous"), "").unwrap();
    assert_eq!(sweep(&place.custody()).unwrap(), 3);
    assert!(place.custody().join("previous").exists());
}

#[test]
fn what_a_delta_made_is_a_candidate_only_with_the_signed_digest() {
    let place = Place::new();
    let good = script("echo 1.2.0");
    let made = |bytes: &[u8]| {
        let remade = Remade::new(Sample::raw(&good, "1.2.0").chosen(), &place.custody()).unwrap();
        fs::write(remade.path(), bytes).unwrap();
        remade.into_candidate().map(|candidate| fs::read(candidate.path()).unwrap())
    };
    assert_eq!(made(&good).unwrap(), good);
    let mut other = good.clone();
    other[12] ^= 1;
    for wrong in [&other[..], &good[1..], &[&good[..], b"\n"].concat(), b""] {
        assert_refused(&made(wrong).unwrap_err(), "delta.result", Exit::Content, false);
    }
    place.assert_empty();
    // A link to something right.
    let remade = Remade::new(Sample::raw(&good, "1.2.0").chosen(), &place.custody()).unwrap();
    fs::write(place.outside("good"), &good).unwrap();
    std::os::unix::fs::symlink(place.outside("good"), remade.path()).unwrap();
    assert_refused(&remade.into_candidate().unwrap_err(), "candidate.kind", Exit::Content, false);
    // Nothing would tell whether it is right.
    let unsigned = Sample { binary_sha256: None, ..Sample::raw(&good, "1.2.0") };
    assert_refused(
        &Remade::new(unsigned.chosen(), &place.custody()).unwrap_err(),
        "delta.unsigned",
        Exit::Content,
        false,
    );
    place.assert_empty();
}
