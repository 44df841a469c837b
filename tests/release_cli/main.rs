//! What a release engineer types: the real program, real files, and the real `minisign` beside it.
//!
//! `minisign` and `script` must be installed (`apt-get install minisign bsdutils`): a test that cannot
//! ask them fails.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

mod desk;
mod keys;
mod memory;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use desk::*;

#[test]
fn from_a_key_to_a_release_and_back() {
    let desk = Desk::with_key();
    let text = desk.publish("1.4.1", "web");
    let key = desk.read("release.pub").lines().nth(1).unwrap().to_owned();
    assert!(text.contains(&format!("--source file:{}/www/stable.fetchd --key {key}", desk.dir.path().display())));
    desk.program("web", b"two");
    desk.publish("1.4.2", "web");
    let text = desk.good(&[&VERIFY[..], &["--product", "web", "www/stable.fetchd"]].concat());
    assert!(text.contains("good: signed by ") && text.contains("binds web on stable, number 2"), "{text}");
    let places = ["\n  1.4.2  ", "\n  1.4.1  "].map(|line| text.find(line).unwrap());
    assert!(places[0] < places[1], "{text}");
    let text = desk.good(&["inspect", "www/stable.fetchd"]);
    assert!(text.contains("nothing of it verified") && text.contains(&format!("web-1.4.2-{TARGET}")), "{text}");
    // The commands that are printed work as they stand.
    let text = desk.publish("1.4.2", "web");
    let next = text.lines().skip_while(|line| *line != "check it with:").nth(1).unwrap().trim();
    desk.good(&next.split(' ').skip(1).collect::<Vec<_>>());
}

#[test]
fn every_command_answers_in_json() {
    let desk = Desk::new();
    let made = desk.json(&["keygen", "--no-password"]);
    assert_eq!((&made["encrypted"], &made["secret_key"]), (&false.into(), &"release.key".into()));
    desk.program("web", b"one");
    let release = format!("{TARGET}=web");
    let published = desk.json(&[&PUBLISH[..], &["--release", "1.4.2", &release]].concat());
    assert_eq!((&published["seq"], &published["version"]), (&1.into(), &"1.4.2".into()));
    assert_eq!(published["artifacts"][0]["target"], TARGET);
    assert_eq!(published["keys"][0]["key"], made["key"]);
    let verified = desk.json(&[&VERIFY[..], &["www/stable.fetchd"]].concat());
    assert_eq!((&verified["holds"], &verified["signed_by"][0]), (&true.into(), &made["keynum"]));
    assert_eq!(verified["says"]["releases"][0]["version"], "1.4.2");
    let shown = desk.json(&["inspect", "www/stable.fetchd"]);
    assert_eq!((&shown["kind"], &shown["verified"]), (&"bundle".into(), &false.into()));
    let signed = desk.json(&["sign", "--secret-key", "release.key", "--product", "web", "--release", "1.0.0", "web"]);
    assert_eq!(signed["signed"][0]["bound"]["target"], TARGET);
    let checked =
        desk.json(&["config", "check", "--source", "file:www/stable.fetchd", "--key", "release.pub", "./web"]);
    assert_eq!((&checked["valid"], &checked["keys"][0]), (&true.into(), &made["keynum"]));
}

#[test]
fn a_key_is_never_overwritten_without_force() {
    let desk = Desk::with_key();
    let before = (desk.read("release.key"), desk.read("release.pub"));
    desk.bad(&["keygen", "--no-password"], 64, "usage.exists");
    desk.bad(&["keygen", "--no-password", "--secret-key", "new.key"], 64, "usage.exists");
    assert!(!desk.path("new.key").exists());
    assert_eq!((desk.read("release.key"), desk.read("release.pub")), before);
    desk.good(&["keygen", "--no-password", "--force"]);
    assert_ne!(desk.read("release.key"), before.0);
    assert_eq!(fs::metadata(desk.path("release.key")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn keys_and_signatures_go_both_ways_with_minisign() {
    let desk = Desk::with_key();
    // Our signature, their check.
    desk.good(&["sign", "--secret-key", "release.key", "--product", "web", "--release", "1.4.2", "web"]);
    let said = desk.minisign(&["-Vm", "web", "-p", "release.pub"], "");
    assert!(String::from_utf8_lossy(&said.stdout).contains("version:1.4.2\t"));
    // Our key, their signature.
    fs::remove_file(desk.path("web.minisig")).unwrap();
    desk.minisign(&["-Sm", "web", "-s", "release.key"], "");
    let text = desk.good(&[&VERIFY[..], &["web"]].concat());
    assert!(text.contains("plain signature") && text.contains("binds neither product"), "{text}");
    // Their key, our signature, with a comment of our own.
    desk.minisign(&["-GW", "-p", "their.pub", "-s", "their.key"], "");
    let plain = ["sign", "--secret-key", "their.key", "--comment", "built on Monday", "web"];
    desk.bad(&plain, 64, "usage.exists");
    desk.good(&[&plain[..], &["--force"]].concat());
    let said = desk.minisign(&["-Vm", "web", "-p", "their.pub"], "");
    assert!(String::from_utf8_lossy(&said.stdout).contains("built on Monday"));
    // A bound comment that minisign signs is as good as ours.
    let size = fs::metadata(desk.path("web")).unwrap().len();
    let comment =
        format!("fetchd:1\tproduct:web\tversion:2.0.0\tchannel:stable\ttarget:{TARGET}\tfile:web\tsize:{size}");
    desk.minisign(&["-Sm", "web", "-s", "their.key", "-t", &comment], "");
    let text = desk.good(&["verify", "--key", "their.pub", "--product", "web", "--target", TARGET, "web"]);
    assert!(text.contains(&format!("binds web 2.0.0 on stable for {TARGET}")), "{text}");
}

/// One test for all that needs one: each use of a password takes 1 GiB of memory for a second.
#[test]
fn a_password_comes_from_the_environment_or_the_terminal_and_is_never_shown() {
    let desk = Desk::new();
    desk.program("web", b"one");
    let text = desk.bad(&["keygen"], 64, "usage.arguments");
    assert!(text.contains("FETCHD_KEY_PASSWORD") && !desk.path("release.key").exists(), "{text}");
    let made = desk.call(&[("FETCHD_KEY_PASSWORD", "swordfish")], &["keygen"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let sign = ["sign", "--secret-key", "release.key", "--comment", "x", "web"];
    desk.bad(&sign, 64, "usage.arguments");
    let wrong = desk.call(&[("FETCHD_KEY_PASSWORD", "sardine")], &sign);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(stderr(&wrong).contains("[key.unusable]") && !desk.path("web.minisig").exists(), "{}", stderr(&wrong));
    // On a terminal it is asked for, and what is typed is not echoed.
    let program = env!("CARGO_BIN_EXE_fetchd");
    let mut typing = Command::new("script")
        .args(["-qec", &format!("{program} {}", sign.join(" ")), "/dev/null"])
        .current_dir(desk.dir.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program `script` is needed on PATH: apt-get install bsdutils");
    let mut keyboard = typing.stdin.take().unwrap();
    let mut screen = typing.stdout.take().unwrap();
    let mut seen = Vec::new();
    // Typed once it is asked for: what is typed before is thrown away.
    while !String::from_utf8_lossy(&seen).contains("Password of release.key: ") {
        let mut byte = [0];
        assert_eq!(std::io::Read::read(&mut screen, &mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
    keyboard.write_all(b"swordfisch\x7f\x7f\x7fsh\r").unwrap();
    std::io::Read::read_to_end(&mut screen, &mut seen).unwrap();
    drop(keyboard);
    assert!(typing.wait().unwrap().success());
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(seen.contains("signed web with the key") && !seen.contains("fis"), "{seen}");
    desk.minisign(&["-Vm", "web", "-p", "release.pub"], "");
}

#[test]
fn verify_ends_with_the_exit_code_of_its_refusal() {
    let desk = Desk::with_key();
    desk.publish("1.4.2", "web");
    let bundle = "www/stable.fetchd";
    let verify = |more: &[&'static str]| [&VERIFY[..], more].concat();
    desk.good(&verify(&[bundle]));
    // 64: the command is wrong.
    desk.bad(&["verify", bundle], 64, "config.missing");
    desk.bad(&verify(&["nothing"]), 64, "usage.unreadable");
    desk.bad(&verify(&["--minisig", "nothing", "web"]), 64, "usage.unreadable");
    // 20: the signature is wrong, missing, or by somebody else.
    desk.bad(&verify(&["web"]), 20, "signature.missing");
    desk.good(&["keygen", "--no-password", "--secret-key", "other.key", "--public-key", "other.pub"]);
    desk.bad(&["verify", "--key", "other.pub", bundle], 20, "signature.unknown_key");
    let both = ["verify", "--key", "other.pub", "--key", "release.pub", "--threshold", "2", bundle];
    desk.bad(&both, 20, "signature.threshold");
    let good = desk.read(bundle);
    let payload = good.split('"').max_by_key(|part| part.len()).unwrap();
    let other = if payload.starts_with("eyJ") { "eyK" } else { "eyJ" };
    fs::write(desk.path("changed.fetchd"), good.replace(payload, &format!("{other}{}", &payload[3..]))).unwrap();
    desk.bad(&verify(&["changed.fetchd"]), 20, "signature.wrong");
    fs::write(desk.path("junk.fetchd"), "junk").unwrap();
    desk.bad(&verify(&["junk.fetchd"]), 20, "bundle.malformed");
    let two = ["verify", "--key", "other.pub", "--key", "release.pub", "--threshold", "2"];
    desk.good(&["sign", "--secret-key", "release.key", "--comment", "x", "web"]);
    desk.bad(&[&two[..], &["web"]].concat(), 64, "usage.arguments");
    fs::remove_file(desk.path("web.minisig")).unwrap();
    // 21: signed, for something else.
    desk.bad(&verify(&["--product", "app", bundle]), 21, "manifest.wrong_product");
    desk.bad(&verify(&["--channel", "beta", bundle]), 21, "manifest.wrong_channel");
    // 23: signed, and not these bytes, or not for this machine.
    desk.bad(&verify(&["--target", "s390x-unknown-linux-gnu", bundle]), 23, "release.no_target");
    desk.good(&["sign", "--secret-key", "release.key", "--product", "web", "--release", "1.4.2", "web"]);
    desk.bad(&verify(&["--target", "s390x-unknown-linux-gnu", "web"]), 23, "comment.wrong_target");
    desk.program("web", b"other and longer");
    desk.bad(&verify(&["web"]), 23, "artifact.size");
    desk.program("web", b"eno");
    desk.bad(&verify(&["web"]), 20, "signature.wrong");
    // 22: it was good once.
    desk.good(&[&PUBLISH[..], &["--expires", "1s"]].concat());
    let deadline = Instant::now() + Duration::from_secs(20);
    while desk.call(&[], &verify(&[bundle])).status.code() == Some(0) {
        assert!(Instant::now() < deadline, "it never expires");
    }
    desk.bad(&verify(&[bundle]), 22, "manifest.expired");
    desk.good(&PUBLISH);
    desk.good(&verify(&[bundle]));
}

#[test]
fn a_publish_that_fails_leaves_the_channel_byte_for_byte() {
    let desk = Desk::with_key();
    desk.publish("1.4.1", "web");
    // Somebody put something else where the new artifact goes.
    let squatter = desk.path(&format!("www/web-1.4.2-{TARGET}"));
    fs::write(&squatter, "not ours").unwrap();
    let before = desk.snapshot("www");
    let release = format!("{TARGET}=web");
    let publish = [&PUBLISH[..], &["--release", "1.4.2", &release]].concat();
    desk.bad(&publish, 64, "publish.exists");
    assert_eq!(desk.snapshot("www"), before);
    fs::remove_file(&squatter).unwrap();
    // One artifact is fine and the next is no archive: the first is there, the channel is not told.
    fs::write(desk.path("web.tar.gz"), "no archive").unwrap();
    let pointer = desk.read("www/stable.fetchd");
    let second = "aarch64-unknown-linux-gnu=web.tar.gz";
    let text = stderr(&desk.call(&[], &[&publish[..], &[second]].concat()));
    assert!(text.contains("[publish.unpack]"), "{text}");
    assert_eq!(desk.read("www/stable.fetchd"), pointer);
    // Nor may the same version have other bytes.
    desk.program("web", b"two");
    let again = [&PUBLISH[..], &["--release", "1.4.1", &release]].concat();
    desk.bad(&again, 64, "publish.exists");
    assert_eq!(desk.read("www/stable.fetchd"), pointer);
    // Nor may a stranger's key go on with the channel; with the old key named, it may.
    desk.good(&["keygen", "--no-password", "--secret-key", "new.key", "--public-key", "new.pub"]);
    let stranger = ["publish", "--to", "www", "--secret-key", "new.key", "--product", "web", "--yank", "1.4.1"];
    let text = desk.bad(&stranger, 20, "signature.unknown_key");
    assert!(text.contains("name it with `--key FILE`"), "{text}");
    assert_eq!(desk.read("www/stable.fetchd"), pointer);
    desk.good(&[&stranger[..], &["--key", "release.pub"]].concat());
    desk.good(&["verify", "--key", "new.pub", "www/stable.fetchd"]);
}

#[test]
fn a_directory_that_cannot_be_written_changes_nothing() {
    let desk = Desk::with_key();
    desk.publish("1.4.1", "web");
    let before = desk.snapshot("www");
    fs::write(desk.path("file"), "in the way").unwrap();
    let release = format!("{TARGET}=web");
    // A file where the directory should be: root may write into any directory, but not into this one.
    let args = ["publish", "--to", "file/www", "--secret-key", "release.key", "--product", "web", "--release", "1.4.2"];
    let output = desk.call(&[], &[&args[..], &[&release]].concat());
    assert_eq!(output.status.code(), Some(40), "{}", stderr(&output));
    assert_eq!((desk.snapshot("www"), desk.read("file").as_str()), (before, "in the way"));
}

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let desk = Desk::with_key();
    let release = format!("{TARGET}=web");
    let dry = [&PUBLISH[..], &["--release", "1.4.1", "--dry-run", &release]].concat();
    let text = desk.good(&dry);
    assert!(text.contains("would publish web 1.4.1") && text.ends_with("nothing was written\n"), "{text}");
    assert!(!desk.path("www").exists());
    desk.publish("1.4.1", "web");
    let before = desk.snapshot("www");
    desk.program("web", b"two");
    // What would fail fails.
    desk.bad(&dry, 64, "publish.exists");
    let next = [&PUBLISH[..], &["--release", "1.4.2", "--yank", "1.4.1", "--dry-run", &release]].concat();
    let said = desk.json(&next);
    assert_eq!((&said["dry_run"], &said["seq"]), (&true.into(), &2.into()));
    assert_eq!(desk.snapshot("www"), before);
}

#[test]
fn a_release_is_yanked_revoked_and_rolled_out() {
    let desk = Desk::with_key();
    desk.publish("1.4.1", "web");
    let release = format!("{TARGET}=web");
    let terms = ["--release", "1.4.2", "--critical", "--rollout", "5", "--min-from", "1.4.0", "--keep", "3"];
    desk.good(&[&PUBLISH[..], &terms, &[&release]].concat());
    let shown = desk.good(&["inspect", "www/stable.fetchd"]);
    assert!(shown.contains("1.4.2  (critical, from 1.4.0, to 5 % of the hosts)"), "{shown}");
    desk.good(&[&PUBLISH[..], &["--yank", "1.4.1", "--min-version", "1.4.1"]].concat());
    desk.good(&[&PUBLISH[..], &["--revoke", "1.4.2", "--reason", "leaks memory"]].concat());
    let text = desk.good(&[&VERIFY[..], &["www/stable.fetchd"]].concat());
    assert!(text.contains("revoked: leaks memory") && text.contains("  yanked"), "{text}");
    assert!(text.contains("never below 1.4.1"), "{text}");
    desk.good(&[&PUBLISH[..], &["--unyank", "1.4.1"]].concat());
    desk.bad(&[&PUBLISH[..], &["--revoke", "1.4.2"]].concat(), 64, "usage.arguments");
    desk.bad(&[&PUBLISH[..], &["--revoke", "everything", "--reason", "x"]].concat(), 64, "usage.arguments");
    assert_eq!(desk.call(&[], &[&PUBLISH[..], &["--yank", "9.9.9"]].concat()).status.code(), Some(64));
}

#[test]
fn an_archive_is_measured_and_its_entry_bound() {
    let desk = Desk::with_key();
    let mut tar = Command::new("tar");
    tar.args(["-czf", "web.tar.gz", "web", "release.pub"]).current_dir(desk.dir.path());
    assert!(tar.status().unwrap().success());
    let release = format!("{TARGET}=web.tar.gz");
    let publish = [&PUBLISH[..], &["--release", "1.4.2", &release]].concat();
    // Two files, and none of them is named.
    assert_eq!(desk.call(&[], &publish).status.code(), Some(23));
    let published = desk.json(&[&publish[..], &["--entry", "web"]].concat());
    let digest = fetchd::digest::Sha256::of(&fs::read(desk.path("web")).unwrap()).to_string();
    assert_eq!(published["artifacts"][0]["binary_sha256"], digest);
    let sign = ["sign", "--secret-key", "release.key", "--product", "web", "--release", "1.4.2", "--entry", "web"];
    let signed = desk.json(&[&sign[..], &["web.tar.gz"]].concat());
    assert_eq!(signed["signed"][0]["bound"]["binary_sha256"], digest);
    desk.good(&[&VERIFY[..], &["web.tar.gz"]].concat());
}

#[test]
fn what_hosts_would_refuse_is_not_published() {
    let desk = Desk::with_key();
    fs::write(desk.path("script"), "#!/bin/sh\necho 1.4.2\n").unwrap();
    let release = format!("{TARGET}=script");
    let publish = [&PUBLISH[..], &["--release", "1.4.2", &release]].concat();
    desk.bad(&publish, 23, "publish.wrong_target");
    desk.bad(
        &[&PUBLISH[..], &["--release", "1.4.2", "s390x-unknown-linux-gnu=web"]].concat(),
        23,
        "publish.wrong_target",
    );
    assert!(!desk.path("www").exists());
    desk.good(&[&publish[..], &["--target-check", "off"]].concat());
}

#[test]
fn arguments_that_make_no_sense_are_refused_with_what_does() {
    let desk = Desk::with_key();
    fn to(to: &str) -> [&str; 7] {
        ["publish", "--to", to, "--secret-key", "release.key", "--product", "web"]
    }
    let text = desk.bad(&to("ftp://bucket/web"), 64, "usage.arguments");
    assert!(text.contains("`ftp:`") && text.contains("`s3://BUCKET/PREFIX`"), "{text}");
    if cfg!(feature = "s3") {
        let text = desk.bad(&to("s3://bucket/web?reigon=eu-central-1"), 64, "publish.destination");
        assert!(text.contains("`reigon`") && text.contains("did you mean `region`?"), "{text}");
        let text = desk.bad(&to("s3://bucket/web/stable.fetchd?region=eu-central-1"), 64, "publish.destination");
        assert!(text.contains("leave out its name"), "{text}");
    } else {
        let text = desk.bad(&to("s3://bucket/web"), 64, "usage.arguments");
        assert!(text.contains("the feature `s3`"), "{text}");
    }
    desk.bad(&to("www"), 64, "usage.arguments");
    let release = format!("{TARGET}=web");
    desk.good(&[&to("file:www")[..], &["--release", "1.0.0", &release]].concat());
    desk.good(&to(&format!("file://{}/www", desk.dir.path().display())));
    let text = desk.bad(&[&PUBLISH[..], &["--release", "1.0.1", "web"]].concat(), 64, "usage.arguments");
    assert!(text.contains(&format!("{TARGET}=web")), "{text}");
    desk.bad(&[&PUBLISH[..], &["--release", "1.0.1", &release, &release]].concat(), 64, "usage.arguments");
    desk.bad(&[&PUBLISH[..], &["--release", "1.0.1"]].concat(), 64, "usage.arguments");
    desk.bad(&[&PUBLISH[..], &["--release", "one", &release]].concat(), 64, "usage.arguments");
    desk.bad(&[&PUBLISH[..], &["--expires", "soon"]].concat(), 64, "usage.arguments");
    desk.bad(&["sign", "--secret-key", "nothing", "--comment", "x", "web"], 64, "usage.unreadable");
}

#[test]
fn a_key_file_with_the_wrong_contents_is_named_with_its_line() {
    let desk = Desk::with_key();
    desk.good(&["sign", "--secret-key", "release.key", "--comment", "x", "web"]);
    fs::write(desk.path("weak.pub"), format!("RWQ{}\n", "A".repeat(53))).unwrap();
    fs::write(desk.path("note.pub"), "the key is on the other disk\n").unwrap();
    let source = ["config", "check", "--source", "file:www/stable.fetchd"];
    let check = |key: &'static str| [&source[..], &["--key", key, "./web"]].concat();
    let text = desk.good(&check("release.pub"));
    assert!(text.contains("believes  a bundle signed by ") && text.lines().count() == 5, "{text}");
    for (key, line, word) in [
        ("release.key", "line 2", "secret key"),
        ("web.minisig", "line 2", "signature"),
        ("note.pub", "line 1", "minisign.pub"),
        ("weak.pub", "line 1", "minisign.pub"),
    ] {
        let text = desk.bad(&check(key), 64, "config.value");
        assert!(text.contains(key) && text.contains(line) && text.contains(word), "{text}");
        desk.bad(&["verify", "--key", key, "web"], 64, "config.value");
    }
    assert_eq!(desk.call(&[], &check("nothing.pub")).status.code(), Some(64));
    // In the file, the line is the one where the key is named.
    fs::write(desk.path("web.toml"), "program = [\"./web\"]\nsource = \"file:x.fetchd\"\nkey = \"note.pub\"\n")
        .unwrap();
    let text = desk.bad(&["config", "check", "--config", "web.toml"], 64, "config.value");
    assert!(text.contains("`web.toml`, line 3") && text.contains("note.pub`, line 1"), "{text}");
    assert!(!desk.path("www").exists(), "the check made something");
}

#[test]
fn a_source_that_cannot_be_opened_is_named_with_what_was_meant() {
    let desk = Desk::with_key();
    let check = |more: &[&'static str]| [&["config", "check", "--key", "release.pub"], more, &["./web"]].concat();
    let text = desk.bad(&check(&["--source", "htps://dl.example.com/stable.fetchd"]), 64, "config.value");
    assert!(text.contains("did you mean `https`?"), "{text}");
    let odd = ["--source", "https://dl.example.com/stable.fetchd", "--source-options", "methd=get"];
    let text = desk.bad(&check(&odd), 64, "config.value");
    assert!(text.contains("did you mean `method`?"), "{text}");
}

#[test]
fn inspect_shows_no_control_characters_and_no_secret() {
    let desk = Desk::with_key();
    let (text, secret) = (desk.good(&["inspect", "release.key"]), desk.read("release.key"));
    assert!(text.contains("secret key") && !text.contains(&secret.lines().nth(1).unwrap()[..20]), "{text}");
    assert!(desk.good(&["inspect", "release.pub"]).contains("--key   RW"));
    let manifest = r#"{"type":"fetchd-manifest","product":"\u001b[2Jweb","releases":[]}"#;
    fs::write(desk.path("manifest.json"), manifest).unwrap();
    let text = desk.good(&["inspect", "manifest.json"]);
    assert!(text.contains("[2Jweb") && !text.contains('\u{1b}'), "{text:?}");
    assert_eq!(desk.call(&[], &["inspect", "web"]).status.code(), Some(64));
}
