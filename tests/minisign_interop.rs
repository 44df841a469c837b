//! Keys and signatures go both ways between fetchd and the real `minisign` program.
//!
//! The program must be installed (`apt-get install minisign`): a test that cannot ask it fails.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use fetchd::clock::Timestamp;
use fetchd::publish::{
    BoundTo, Comment, Mode, Protection, PublishError, Publisher, SignOptions, SigningKey, VerifyOptions, bundle_files,
    keygen, sign_file, verify,
};
use fetchd::trust::{KeySet, PublicKey};

/// Runs minisign in `dir` with `input` on its standard input.
fn minisign(dir: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new("minisign")
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program `minisign` is needed on PATH: apt-get install minisign");
    // A run that asks for no password may be gone before it is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn must(output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "minisign failed: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn checked(file: &Path, key: &PublicKey) -> (Mode, Option<String>) {
    let keys = KeySet::new(vec![key.clone()], 1).unwrap();
    let options = VerifyOptions {
        file,
        signature: None,
        keys: &keys,
        mode: None,
        product: None,
        channel: None,
        target: None,
        epoch: None,
        now: Timestamp::now(),
    };
    let checked = verify(&options).unwrap();
    (checked.mode, checked.refused.map(|refused| refused.code))
}

#[test]
fn our_keys_and_signatures_are_minisigns() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app");
    fs::write(&file, b"an artifact").unwrap();
    let made = keygen(&dir.path().join("release"), Protection::None).unwrap();

    // Our key, our signature, their check: with a bound comment and with the usual one.
    let key = SigningKey::load(&made.secret, None).unwrap();
    let bound = BoundTo {
        product: "app".into(),
        version: "1.4.2".parse().unwrap(),
        channel: "stable".into(),
        target: "x86_64-unknown-linux-gnu".into(),
        issued: None,
        expires: None,
        seq: Some(3),
        entry: None,
        binsha256: None,
    };
    for comment in [Comment::Default, Comment::Free("anything".into()), Comment::Bound(Box::new(bound))] {
        sign_file(&SignOptions { key: &key, file: &file, comment, output: None, overwrite: true }).unwrap();
        let said = must(minisign(dir.path(), &["-Vm", "app", "-p", "release.pub"], ""));
        assert!(said.contains("comment signature verified"), "{said}");
    }
    let said = must(minisign(dir.path(), &["-Vm", "app", "-P", &made.key.to_string()], ""));
    assert!(said.contains("version:1.4.2"), "{said}");
    assert_eq!(checked(&file, &made.key), (Mode::Bound, None));

    // Our key, their signature, our check.
    fs::remove_file(dir.path().join("app.minisig")).unwrap();
    let comment = "fetchd:1\tproduct:app\tversion:2.0.0\tchannel:beta\ttarget:any\tfile:app\tsize:11";
    must(minisign(dir.path(), &["-Sm", "app", "-s", "release.key", "-t", comment], ""));
    assert_eq!(checked(&file, &made.key), (Mode::Bound, None));

    // And both say no to other bytes.
    fs::write(&file, b"an artifacT").unwrap();
    assert!(!minisign(dir.path(), &["-Vm", "app", "-p", "release.pub"], "").status.success());
    assert_eq!(checked(&file, &made.key), (Mode::Bound, Some("signature.wrong".into())));
}

#[test]
fn their_keys_without_a_password_are_ours() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app");
    fs::write(&file, b"an artifact").unwrap();
    must(minisign(dir.path(), &["-GW", "-p", "their.pub", "-s", "their.key"], ""));
    let public = PublicKey::parse(&fs::read_to_string(dir.path().join("their.pub")).unwrap()).unwrap();
    assert!(!SigningKey::needs_password(&dir.path().join("their.key")).unwrap());
    let key = SigningKey::load(&dir.path().join("their.key"), None).unwrap();
    assert_eq!(*key.public(), public);
    sign_file(&SignOptions { key: &key, file: &file, comment: Comment::Default, output: None, overwrite: false })
        .unwrap();
    must(minisign(dir.path(), &["-Vm", "app", "-p", "their.pub"], ""));
    fs::remove_file(dir.path().join("app.minisig")).unwrap();
    must(minisign(dir.path(), &["-Sm", "app", "-s", "their.key"], ""));
    assert_eq!(checked(&file, &public), (Mode::Plain, None));
}

#[test]
fn a_manifest_that_minisign_signed_becomes_a_bundle() {
    let dir = tempfile::tempdir().unwrap();
    must(minisign(dir.path(), &["-GW", "-p", "their.pub", "-s", "their.key"], ""));
    let publisher = Publisher::new(dir.path().join("www")).unwrap();
    publisher.publish("1.0.0", b"one").unwrap();
    fs::write(dir.path().join("manifest.json"), publisher.manifest().unwrap().to_string()).unwrap();
    must(minisign(dir.path(), &["-Sm", "manifest.json", "-s", "their.key"], ""));
    let signature = dir.path().join("manifest.json.minisig");
    let bundle = bundle_files(&dir.path().join("manifest.json"), &[signature]).unwrap();
    let pointer = dir.path().join("stable.fetchd");
    fs::write(&pointer, bundle).unwrap();
    let key = PublicKey::parse(&fs::read_to_string(dir.path().join("their.pub")).unwrap()).unwrap();
    assert_eq!(checked(&pointer, &key), (Mode::Bundle, None));
    assert_eq!(checked(&pointer, publisher.public_key()), (Mode::Bundle, Some("signature.unknown_key".into())));
}

/// Attack 7 with the real thing: `minisign -l` signs the bytes themselves.
#[test]
fn a_genuine_legacy_signature_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app");
    fs::write(&file, b"an artifact").unwrap();
    let made = keygen(&dir.path().join("release"), Protection::None).unwrap();
    must(minisign(dir.path(), &["-Slm", "app", "-s", "release.key"], ""));
    assert_eq!(checked(&file, &made.key), (Mode::Plain, Some("signature.legacy".into())));
}

/// One test for both directions: each use of a password takes 1 GiB of memory for a second.
#[test]
fn passwords_go_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app");
    fs::write(&file, b"an artifact").unwrap();

    must(minisign(dir.path(), &["-G", "-p", "their.pub", "-s", "their.key"], "open sesame\nopen sesame\n"));
    let theirs = dir.path().join("their.key");
    assert!(SigningKey::needs_password(&theirs).unwrap());
    assert!(matches!(SigningKey::load(&theirs, None), Err(PublishError::PasswordNeeded(_))));
    let wrong = SigningKey::load(&theirs, Some("open barley".into()));
    assert!(matches!(wrong, Err(PublishError::Key { .. })), "{wrong:?}");
    let key = SigningKey::load(&theirs, Some("open sesame".into())).unwrap();
    sign_file(&SignOptions { key: &key, file: &file, comment: Comment::Default, output: None, overwrite: false })
        .unwrap();
    must(minisign(dir.path(), &["-Vm", "app", "-p", "their.pub"], ""));

    let made = keygen(&dir.path().join("ours"), Protection::Password("swordfish".into())).unwrap();
    fs::remove_file(dir.path().join("app.minisig")).unwrap();
    must(minisign(dir.path(), &["-Sm", "app", "-s", "ours.key"], "swordfish\n"));
    assert_eq!(checked(&file, &made.key), (Mode::Plain, None));
}
