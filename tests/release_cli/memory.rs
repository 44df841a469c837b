//! What `fetchd publish` remembers, and what it does with a key set.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::desk::*;

const POINTER: &str = "www/stable.fetchd";

/// A desk with a channel that has come to number 3, and each of its pointers on the way.
fn third() -> (Desk, Vec<String>) {
    let desk = Desk::with_key();
    let mut pointers = Vec::new();
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        let artifact = format!("{TARGET}=web");
        desk.good(&[&PUBLISH[..], &["--memory", "memory.json", "--release", version, &artifact]].concat());
        pointers.push(desk.read(POINTER));
    }
    (desk, pointers)
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&PUBLISH[..], more].concat()
}

#[test]
fn an_older_pointer_that_was_put_back_is_not_built_on() {
    let (desk, pointers) = third();
    let memory = desk.read("memory.json");
    assert_eq!(fs::metadata(desk.path("memory.json")).unwrap().permissions().mode() & 0o777, 0o600);
    let kept: Value = serde_json::from_str(&memory).unwrap();
    assert_eq!((&kept["channels"][0]["seq"], &kept["channels"][0]["product"]), (&3.into(), &"web".into()));
    desk.program("new", b"four");
    let artifact = format!("{TARGET}=new");
    let release = with(&["--memory", "memory.json", "--release", "1.1.0", &artifact]);
    // Older, gone, and another one of the same number.
    fs::write(desk.path(POINTER), &pointers[1]).unwrap();
    let before = desk.snapshot("www");
    let text = desk.bad(&release, 21, "publish.rolled_back");
    assert!(text.contains("number 2, and number 3 was there already"), "{text}");
    assert_eq!(desk.snapshot("www"), before);
    desk.bad(&[&release[..], &["--dry-run"]].concat(), 21, "publish.rolled_back");
    desk.good(&with(&["--no-memory"]));
    assert_ne!(desk.read(POINTER), pointers[2]);
    let text = desk.bad(&release, 21, "publish.rolled_back");
    assert!(text.contains("number 3, and was another one of that number before"), "{text}");
    fs::remove_file(desk.path(POINTER)).unwrap();
    let text = desk.bad(&release, 21, "publish.rolled_back");
    assert!(text.contains("is gone, and number 3 was there"), "{text}");
    assert_eq!(desk.read("memory.json"), memory);
    // The newest one back in its place, and it goes on.
    fs::write(desk.path(POINTER), &pointers[2]).unwrap();
    desk.good(&release);
    // What another machine has published since is seen, and remembered although this one fails.
    desk.good(&with(&["--no-memory"]));
    let missing = desk.call(&[], &with(&["--memory", "memory.json", "--yank", "9.9.9"]));
    assert_eq!(missing.status.code(), Some(64), "{}", stderr(&missing));
    let kept: Value = serde_json::from_str(&desk.read("memory.json")).unwrap();
    assert_eq!(kept["channels"][0]["seq"], 5);
}

#[test]
fn whoever_knows_what_is_lost_goes_on_from_what_is_there() {
    let (desk, pointers) = third();
    fs::write(desk.path(POINTER), &pointers[0]).unwrap();
    desk.bad(&with(&["--memory", "memory.json"]), 21, "publish.rolled_back");
    let published = desk.json(&with(&["--memory", "memory.json", "--forget"]));
    assert_eq!(published["seq"], 2);
    desk.good(&with(&["--memory", "memory.json"]));
    fs::write(desk.path(POINTER), &pointers[0]).unwrap();
    desk.bad(&with(&["--memory", "memory.json"]), 21, "publish.rolled_back");
}

#[test]
fn a_build_machine_says_how_far_the_channel_must_be() {
    let (desk, pointers) = third();
    let again = |least: &str| with(&["--no-memory", "--dry-run", "--at-least-seq", least]).join(" ");
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for good in ["3", "2", "0/3"] {
        let words = words(&again(good));
        desk.good(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for bad in ["4", "0/4", "1/0"] {
        let words = words(&again(bad));
        desk.bad(&words.iter().map(String::as_str).collect::<Vec<_>>(), 21, "publish.rolled_back");
    }
    desk.bad(&with(&["--at-least-seq", "x"]), 64, "usage.arguments");
    fs::write(desk.path(POINTER), &pointers[1]).unwrap();
    desk.bad(&with(&["--at-least-seq", "3"]), 21, "publish.rolled_back");
    fs::remove_file(desk.path(POINTER)).unwrap();
    let artifact = format!("{TARGET}=web");
    desk.bad(&with(&["--at-least-seq", "1", "--release", "1.0.0", &artifact]), 21, "publish.rolled_back");
}

#[test]
fn the_usual_memory_says_once_what_it_believed() {
    let (desk, _) = third();
    let home = desk.path("home");
    fs::create_dir(&home).unwrap();
    let call = |more: &[&str]| {
        let output = desk.call(&[("HOME", home.to_str().unwrap())], &with(more));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output)
    };
    let said = call(&["--dry-run"]);
    assert!(said.starts_with("note: nothing was known of") && !home.join(".local").exists(), "{said}");
    assert_eq!(call(&["--no-memory"]), "");
    assert!(!home.join(".local").exists());
    let said = call(&[]);
    assert!(said.contains("home/.local/state/fetchd/publish.json` from now on"), "{said}");
    assert_eq!(call(&[]), "");
    let kept = home.join(".local/state/fetchd/publish.json");
    assert_eq!(fs::metadata(kept.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    // A damaged one is not passed over, and one that cannot be kept stops nobody who did not ask for it.
    fs::write(&kept, "{").unwrap();
    let damaged = desk.call(&[("HOME", home.to_str().unwrap())], &PUBLISH);
    assert_eq!(damaged.status.code(), Some(50), "{}", stderr(&damaged));
    assert!(stderr(&damaged).contains("[publish.memory]"));
    let nowhere = desk.call(&[("XDG_STATE_HOME", "/dev/null")], &PUBLISH);
    assert_eq!(nowhere.status.code(), Some(0), "{}", stderr(&nowhere));
    assert!(stderr(&nowhere).starts_with("warning: the memory `/dev/null/fetchd/publish.json` cannot be written"));
    desk.bad(&with(&["--memory", "/dev/null/x"]), 40, "publish.memory");
}

#[test]
fn a_key_set_says_who_must_sign_and_in_which_epoch() {
    let desk = Desk::with_key();
    for name in ["root", "s"] {
        let (secret, public) = (format!("{name}.key"), format!("{name}.pub"));
        desk.good(&["keygen", "--no-password", "--secret-key", &secret, "--public-key", &public]);
    }
    let init = ["keys", "init", "--product", "web", "--root", "root.pub", "--release", "release.pub", "s.pub"];
    desk.good(&[&init[..], &["--release-threshold", "2", "--epoch", "4", "-o", "keys.json"]].concat());
    let artifact = format!("{TARGET}=web");
    let publish = |more: &[&'static str]| with(&[&["--keys", "keys.json"], more].concat());
    let release: Vec<String> = ["--release", "1.0.0", &artifact].map(str::to_owned).to_vec();
    let releasing = |more: &[&'static str]| -> Vec<String> {
        publish(more).into_iter().map(str::to_owned).chain(release.clone()).collect()
    };
    let bad = |more: &[&'static str], exit: i32, code: &str| {
        let words = releasing(more);
        desk.bad(&words.iter().map(String::as_str).collect::<Vec<_>>(), exit, code)
    };
    bad(&[], 20, "keys.draft");
    desk.good(&["keys", "sign", "keys.json", "--secret-key", "root.key"]);
    let text = bad(&[], 20, "signature.threshold");
    assert!(text.contains("2 of the 2 release keys of key set 1 must sign, and 1 would"), "{text}");
    bad(&["--secret-key", "root.key"], 20, "signature.threshold");
    assert!(!desk.path("www").exists());
    let words = releasing(&["--secret-key", "s.key"]);
    let published = desk.json(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((&published["epoch"], published["keys"].as_array().unwrap().len()), (&4.into(), 2));
    desk.good(&["verify", "--key", "release.pub", "--key", "s.pub", "--threshold", "2", POINTER]);
    // What one of the two signed alone is not built on.
    desk.good(&with(&[]));
    bad(&["--secret-key", "s.key"], 20, "signature.threshold");
    let said = desk.good(&publish(&["--secret-key", "s.key", "--key", "release.pub"]));
    assert!(said.contains("--keys keys.json --product"), "what hosts are given is the key set: {said}");
    // The next epoch is the key set's.
    let rotate = ["keys", "rotate", "keys.json", "--bump-epoch", "-o", "2.json", "--secret-key", "root.key"];
    desk.good(&rotate);
    let next = desk.json(&with(&["--keys", "2.json", "--secret-key", "s.key"]));
    assert_eq!(next["epoch"], 5);
    let text = desk.call(&[], &publish(&["--secret-key", "s.key"]));
    assert_eq!(text.status.code(), Some(64), "{}", stderr(&text));
}
