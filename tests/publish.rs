//! From a key to a directory a host can follow, and what must not be possible on the way.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use fetchd::clock::Timestamp;
use fetchd::digest::Sha256;
use fetchd::failure::Failure as _;
use fetchd::publish::{
    ArtifactFile, Mode, NewRelease, Protection, PublishError, PublishOptions, Publisher, SigningKey, VerifyOptions,
    inspect, keygen, publish_to_dir, verify,
};
use fetchd::state::Record;
use fetchd::trust::manifest::Rollout;
use fetchd::trust::{Choice, Format, KeySet, Policy, admit, choose};

fn publisher(dir: &Path) -> Publisher {
    Publisher::new(dir.join("www")).unwrap()
}

/// What a host that runs `running` would do, in a word.
fn host(publisher: &Publisher, running: &str) -> String {
    let manifest = publisher.read().unwrap();
    let mut record = Record::default();
    admit(&manifest, &mut record).unwrap();
    let policy = Policy { running: Some(running.parse().unwrap()), ..Policy::default() };
    match choose(&manifest, &record, &policy, &publisher.expect(), Timestamp::now()) {
        Choice::Take(chosen) => chosen.version().unwrap().to_string(),
        Choice::UpToDate { .. } => "up to date".into(),
        Choice::Held(refused) => refused.code().into(),
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn keys_are_written_once_and_for_their_owner() {
    let dir = tempfile::tempdir().unwrap();
    let made = keygen(&dir.path().join("release"), Protection::None).unwrap();
    assert_eq!(fs::metadata(&made.secret).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&made.secret).unwrap();
    let again = keygen(&dir.path().join("release"), Protection::None);
    assert!(matches!(again, Err(PublishError::Exists(_))));
    fs::remove_file(&made.public).unwrap();
    assert!(matches!(keygen(&dir.path().join("release"), Protection::None), Err(PublishError::Exists(_))));
    assert_eq!(fs::read(&made.secret).unwrap(), before);
    assert_eq!(names(dir.path()), ["release.key"]);
    let key = SigningKey::load(&made.secret, None).unwrap();
    assert_eq!(*key.public(), made.key);
    assert!(!format!("{key:?}").contains(&String::from_utf8(before).unwrap()[60..100]));
}

#[test]
fn a_damaged_secret_key_signs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let made = keygen(&dir.path().join("release"), Protection::None).unwrap();
    let text = fs::read_to_string(&made.secret).unwrap();
    let line = text.lines().nth(1).unwrap();
    for at in [90, 120, 150, 200] {
        let mut damaged = line.as_bytes().to_vec();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        let damaged = text.replace(line, std::str::from_utf8(&damaged).unwrap());
        fs::write(&made.secret, damaged).unwrap();
        let loaded = SigningKey::load(&made.secret, None);
        assert!(matches!(loaded, Err(PublishError::Key { .. })), "{at}: {loaded:?}");
    }
}

#[test]
fn releases_follow_each_other_and_hosts_follow_them() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path());
    let first = publisher.publish("1.0.0", b"one").unwrap();
    assert_eq!(first.seq, 1);
    assert_eq!(host(&publisher, "1.0.0"), "up to date");
    let second = publisher.publish("1.1.0", b"two").unwrap();
    assert_eq!((second.seq, second.pointer), (2, publisher.pointer()));
    assert_eq!(host(&publisher, "1.0.0"), "1.1.0");
    let chosen = publisher.newest().unwrap();
    assert_eq!(fs::read(publisher.pointer().with_file_name(&chosen.urls()[0])).unwrap(), b"two");
    assert_eq!((chosen.size(), chosen.binary_sha256()), (Some(3), Some(Sha256::of(b"two"))));
    publisher.yank("1.1.0").unwrap();
    assert_eq!(host(&publisher, "1.0.0"), "up to date");
    assert_eq!(host(&publisher, "1.1.0"), "1.0.0");
    publisher.change(|options| options.unyank = vec!["1.1.0".parse().unwrap()]).unwrap();
    assert_eq!(host(&publisher, "1.0.0"), "1.1.0");
    publisher.revoke("1.1.0", "leaks").unwrap();
    publisher.revoke("1.1.0", "leaks a lot").unwrap();
    assert_eq!(publisher.manifest().unwrap()["revoked"].as_array().unwrap().len(), 1);
    assert_eq!(host(&publisher, "1.0.0"), "up to date");
    publisher.change(|options| options.min_version = Some("1.1.0".parse().unwrap())).unwrap();
    assert_eq!(host(&publisher, "1.1.0"), "release.revoked");
    publisher.publish_with("1.2.0", b"three", |r| r.rollout = Some(Rollout { percent: 0, salt: "s".into() })).unwrap();
    assert_eq!(host(&publisher, "1.0.0"), "release.rollout");
    publisher.publish("1.2.0", b"three").unwrap();
    assert_eq!(host(&publisher, "1.0.0"), "1.2.0");
    let unknown = publisher.yank("7.0.0").unwrap_err();
    assert_eq!((unknown.code(), unknown.exit().number()), ("publish.usage", 64));
}

#[test]
fn a_published_version_never_changes_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path());
    publisher.publish("1.0.0", b"one").unwrap();
    let before = publisher.document().unwrap();
    let refused = publisher.publish("1.0.0", b"two").unwrap_err();
    assert_eq!(refused.code(), "publish.exists");
    assert_eq!(publisher.document().unwrap(), before);
    assert_eq!(publisher.publish("1.0.0", b"one").unwrap().seq, 2);
    // Not even after the file is gone: the manifest remembers.
    let path = publisher.publish("1.0.0", b"one").unwrap().artifacts.remove(0);
    fs::remove_file(&path).unwrap();
    assert_eq!(publisher.publish("1.0.0", b"two").unwrap_err().code(), "publish.republished");
    // And what was refused does not lie in the way of what belongs there.
    assert!(!path.exists());
    publisher.publish("1.0.0", b"one").unwrap();
    assert_eq!(fs::read(path).unwrap(), b"one");
}

#[test]
fn a_file_that_changes_while_it_is_published_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path());
    publisher.publish("1.0.0", b"one").unwrap();
    let before = publisher.document().unwrap();
    let archive = dir.path().join("app.tar.gz");
    fs::write(&archive, b"packed").unwrap();
    let artifact = ArtifactFile { target: "here".into(), path: archive.clone(), format: None, entry: None };
    let release = NewRelease::new("1.1.0".parse().unwrap(), vec![artifact]);
    let rewrite = Cell::new(Some(b"built again"));
    let unpack = |path: &Path, _: Format, _: Option<&str>| {
        if let Some(bytes) = rewrite.get() {
            fs::write(path, bytes).unwrap();
        }
        Ok((Sha256::of(b"binary"), 6))
    };
    let publish = || {
        publisher.change(|options| {
            options.release = Some(release.clone());
            options.unpack = &unpack;
        })
    };
    let failed = publish().unwrap_err();
    assert_eq!((failed.code(), failed.exit().number()), ("publish.changed", 23));
    assert_eq!(publisher.document().unwrap(), before);
    assert!(!names(&dir.path().join("www")).iter().any(|name| name.starts_with("app-1.1.0")));
    rewrite.set(None);
    publish().unwrap();
    // The bytes are there already, and what was unpacked are others.
    rewrite.set(Some(b"third build"));
    assert_eq!(publish().unwrap_err().code(), "publish.changed");
}

#[test]
fn a_second_target_joins_the_release() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path());
    publisher.publish("1.0.0", b"one").unwrap();
    publisher.clone().target("riscv64gc-unknown-linux-gnu").publish("1.0.0", b"other").unwrap();
    let manifest = publisher.read().unwrap();
    assert_eq!(manifest.releases().len(), 1);
    assert_eq!(manifest.releases()[0].artifacts.len(), 2);
}

#[test]
fn an_interrupted_publish_leaves_the_channel_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path());
    publisher.publish("1.0.0", b"one").unwrap();
    let before = publisher.document().unwrap();
    let archive = dir.path().join("app.tar.gz");
    fs::write(&archive, b"packed").unwrap();
    let raw = dir.path().join("app");
    fs::write(&raw, b"two").unwrap();
    let artifact = |target: &str, path: &Path| ArtifactFile {
        target: target.into(),
        path: path.to_owned(),
        format: None,
        entry: None,
    };
    let release = NewRelease::new("1.1.0".parse().unwrap(), vec![artifact("here", &raw), artifact("there", &archive)]);
    let asked = Cell::new(0);
    let unpack = |_: &Path, format: Format, _: Option<&str>| {
        asked.set(asked.get() + 1);
        assert_eq!(format, Format::TarGz);
        if asked.get() == 1 { Err("the power failed".to_owned()) } else { Ok((Sha256::of(b"binary"), 6)) }
    };
    // The archive cannot be read the first time: artifacts are there, the channel is the old one.
    let www = dir.path().join("www");
    let publish = || {
        publisher.change(|options| {
            options.release = Some(release.clone());
            options.unpack = &unpack;
        })
    };
    let failed = publish().unwrap_err();
    assert_eq!((failed.code(), failed.exit().number()), ("publish.unpack", 23));
    assert_eq!(publisher.document().unwrap(), before);
    assert!(names(&www).contains(&"app-1.1.0-here".to_owned()));
    // What a killed one leaves behind is removed, and the same command goes through.
    fs::write(www.join(".fetchd-publish-killed"), b"half").unwrap();
    publish().unwrap();
    assert_eq!(
        names(&www).iter().filter(|name| name.starts_with("app-1.1.0")).collect::<Vec<_>>(),
        ["app-1.1.0-here", "app-1.1.0-there.tar.gz"]
    );
    assert!(!names(&www).iter().any(|name| name.starts_with('.')));
    let manifest = publisher.read().unwrap();
    let release = manifest.release(&"1.1.0".parse().unwrap()).unwrap();
    assert_eq!(release.artifacts[1].binary_sha256, Some(Sha256::of(b"binary")));
}

#[test]
fn only_the_newest_releases_are_listed_and_the_floor_never_sinks() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path());
    for i in 0..5 {
        let (version, bytes) = (format!("1.{i}.0"), format!("{i}"));
        publisher.publish(&version, bytes.as_bytes()).unwrap();
    }
    publisher.change(|options| options.keep = 2).unwrap();
    let manifest = publisher.manifest().unwrap();
    let listed: Vec<&str> =
        manifest["releases"].as_array().unwrap().iter().map(|r| r["version"].as_str().unwrap()).collect();
    assert_eq!(listed, ["1.4.0", "1.3.0"]);
    publisher.change(|options| options.epoch = Some(3)).unwrap();
    let sunk = publisher.change(|options| options.epoch = Some(2)).unwrap_err();
    assert_eq!(sunk.code(), "publish.usage");
    assert_eq!(publisher.manifest().unwrap()["epoch"], 3);
}

#[test]
fn a_channel_of_somebody_else_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    let ours = publisher(dir.path());
    ours.publish("1.0.0", b"one").unwrap();
    let before = ours.document().unwrap();
    let theirs = publisher(dir.path());
    assert_eq!(theirs.publish("1.1.0", b"two").unwrap_err().code(), "signature.unknown_key");
    // A change of keys is said so.
    let old = ours.keys().unwrap();
    assert_eq!(ours.document().unwrap(), before);
    theirs.change(|options| options.trusted = Some(&old)).unwrap();
    assert_eq!(host(&theirs, "0.9.0"), "1.0.0");
    assert!(ours.read().is_err());
}

#[test]
fn two_keys_sign_together() {
    let dir = tempfile::tempdir().unwrap();
    let keys = [SigningKey::generate().unwrap(), SigningKey::generate().unwrap()];
    let app = dir.path().join("app");
    fs::write(&app, b"one").unwrap();
    let artifact = ArtifactFile { target: "here".into(), path: app, format: None, entry: None };
    let mut options = PublishOptions::new(dir.path(), "app", "stable", &keys);
    options.release = Some(NewRelease::new("1.0.0".parse().unwrap(), vec![artifact]));
    let published = publish_to_dir(&options).unwrap();
    let public: Vec<_> = keys.iter().map(|key| key.public().clone()).collect();
    let both = KeySet::new(public.clone(), 2).unwrap();
    let check = |keys: &KeySet| {
        let file = &published.pointer;
        let (product, target) = (Some("app"), Some("here"));
        let now = Timestamp::now();
        let options =
            VerifyOptions { file, signature: None, keys, mode: None, product, channel: None, target, epoch: None, now };
        verify(&options).unwrap()
    };
    assert!(check(&both).holds(), "{:?}", check(&both));
    let stranger = KeySet::new(vec![public[0].clone(), SigningKey::generate().unwrap().public().clone()], 2).unwrap();
    let refused = check(&stranger);
    assert_eq!(refused.refused.as_ref().unwrap().code, "signature.threshold");
    assert_eq!(refused.steps.iter().map(|step| step.held).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn verify_says_which_check_failed() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path());
    publisher.publish("1.0.0", b"one").unwrap();
    let keys = publisher.keys().unwrap();
    let options = |file, now, channel, mode| VerifyOptions {
        file,
        signature: None,
        keys: &keys,
        mode,
        product: None,
        channel,
        target: None,
        epoch: None,
        now,
    };
    let now = Timestamp::now();
    let pointer = publisher.pointer();
    let last = |checked: &fetchd::publish::Checked| {
        let step = checked.steps.last().unwrap();
        (step.check, step.held)
    };
    let good = verify(&options(&pointer, now, None, None)).unwrap();
    assert_eq!((good.mode, good.holds(), last(&good)), (Mode::Bundle, true, ("expiry", true)));
    let late = now.plus(Duration::from_secs(91 * 24 * 3600));
    assert_eq!(last(&verify(&options(&pointer, late, None, None)).unwrap()), ("expiry", false));
    assert_eq!(last(&verify(&options(&pointer, now, Some("beta"), None)).unwrap()), ("manifest", false));
    let app = publisher.publish_bound("app", "1.0.0", b"bytes").unwrap();
    let good = verify(&options(&app, now, None, None)).unwrap();
    assert_eq!((good.mode, good.holds()), (Mode::Bound, true));
    fs::write(&app, b"bytez").unwrap();
    assert_eq!(last(&verify(&options(&app, now, None, None)).unwrap()), ("bytes", false));
    fs::write(&app, b"bytes and more").unwrap();
    assert_eq!(last(&verify(&options(&app, now, None, None)).unwrap()), ("size", false));
    let plain = publisher.publish_plain("plain", b"bytes").unwrap();
    assert!(verify(&options(&plain, now, None, None)).unwrap().holds());
    let unbound = verify(&options(&plain, now, None, Some(Mode::Bound))).unwrap();
    assert_eq!(unbound.refused.unwrap().code, "comment.unbound");
}

#[test]
fn inspect_shows_every_kind_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path());
    publisher.publish("1.0.0", b"one").unwrap();
    let app = publisher.publish_bound("app", "1.0.0", b"bytes").unwrap();
    let made = keygen(&dir.path().join("key"), Protection::None).unwrap();
    let shown = inspect(&publisher.pointer()).unwrap();
    assert_eq!((shown["kind"].as_str(), shown["verified"].as_bool()), (Some("bundle"), Some(false)));
    assert_eq!(shown["manifest"]["releases"][0]["version"], "1.0.0");
    assert_eq!(shown["signatures"][0]["keynum"], publisher.public_key().keynum());
    let shown = inspect(&app.with_file_name("app.minisig")).unwrap();
    assert_eq!((shown["kind"].as_str(), shown["fields"]["version"].as_str()), (Some("signature"), Some("1.0.0")));
    assert_eq!(inspect(&made.public).unwrap()["kind"], "public key");
    let secret = inspect(&made.secret).unwrap().to_string();
    assert_eq!(secret, r#"{"encrypted":false,"kind":"secret key"}"#);
    let payload = dir.path().join("manifest.json");
    fs::write(&payload, publisher.manifest().unwrap().to_string()).unwrap();
    assert_eq!(inspect(&payload).unwrap()["kind"], "manifest");
    assert_eq!(inspect(&app).unwrap_err().code(), "publish.usage");
}
