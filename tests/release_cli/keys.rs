//! `fetchd keys`, as a ceremony of several people types it.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fetchd::publish::SigningKey;
use fetchd::trust::TrustedKeys;
use serde_json::Value;

use super::desk::*;

/// A desk with the root keys `a`, `b`, `c`, the release keys `r`, `s`, and others that are no one's yet.
fn ceremony() -> Desk {
    let desk = Desk::new();
    for name in ["a", "b", "c", "d", "r", "s"] {
        pair(&desk, name);
    }
    desk
}

fn pair(desk: &Desk, name: &str) {
    let (secret, public) = (format!("{name}.key"), format!("{name}.pub"));
    desk.good(&["keygen", "--no-password", "--secret-key", &secret, "--public-key", &public]);
}

fn number(desk: &Desk, name: &str) -> String {
    SigningKey::load(&desk.path(&format!("{name}.key")), None).unwrap().public().keynum()
}

const INIT: [&str; 13] = [
    "keys",
    "init",
    "--product",
    "web",
    "--root",
    "a.pub",
    "b.pub",
    "c.pub",
    "--root-threshold",
    "2",
    "--release",
    "r.pub",
    "-o",
];

/// A ceremony whose first key set is complete, 2 of 3.
fn begun() -> Desk {
    let desk = ceremony();
    desk.good(&[&INIT[..], &["keys.json", "--secret-key", "a.key", "--secret-key", "b.key"]].concat());
    desk
}

fn trusted(desk: &Desk, name: &str) -> TrustedKeys {
    TrustedKeys::provisioned(desk.read(name).as_bytes(), "web").unwrap()
}

#[test]
fn a_key_set_is_made_here_and_signed_there_until_hosts_accept_it() {
    let desk = ceremony();
    let made = desk.json(&[&INIT[..], &["keys.json", "--secret-key", "a.key"]].concat());
    assert_eq!((&made["version"], &made["accepted"]), (&1.into(), &false.into()));
    assert_eq!(made["refused"]["code"], "signature.threshold");
    let missing = serde_json::json!([number(&desk, "b"), number(&desk, "c")]);
    assert_eq!((&made["signed"]["own"]["missing"], &made["signed"]["previous"]), (&missing, &Value::Null));
    // A draft is not gone on from, and not published.
    let text = desk.bad(&["keys", "rotate", "keys.json", "--bump-epoch", "-o", "x.json"], 20, "keys.draft");
    assert!(text.contains("1 of 3 have signed, 2 must"), "{text}");
    desk.bad(&["keys", "publish", "keys.json", "--to", "www"], 20, "keys.draft");
    assert!(!desk.path("www").exists() && !desk.path("x.json").exists());
    // Signing again doubles nothing.
    desk.good(&["keys", "sign", "keys.json", "--secret-key", "a.key"]);
    let again = desk.json(&["keys", "show", "keys.json"]);
    assert_eq!((&again["accepted"], again["signed"]["own"]["signed"].as_array().unwrap().len()), (&false.into(), 1));
    let file: Value = serde_json::from_str(&desk.read("keys.json")).unwrap();
    assert_eq!(file["minisig"].as_array().unwrap().len(), 1);
    let text = desk.good(&["keys", "sign", "keys.json", "--secret-key", "c.key"]);
    assert!(text.contains("\nhosts accept it\n") && text.contains("fetchd keys publish keys.json"), "{text}");
    assert_eq!(trusted(&desk, "keys.json").version(), 1);
    // Others do not sign.
    for (stranger, hint) in [("d.key", "--previous FILE"), ("r.key", "--previous FILE")] {
        let before = desk.read("keys.json");
        let text = desk.bad(&["keys", "sign", "keys.json", "--secret-key", stranger], 20, "keys.not_root");
        assert!(text.contains(hint) && desk.read("keys.json") == before, "{text}");
    }
}

#[test]
fn a_rotation_needs_the_old_root_and_the_new_one() {
    let desk = begun();
    let rotate = ["keys", "rotate", "keys.json", "--replace", "c.pub=d.pub", "--replace", "r.pub=s.pub", "-o"];
    desk.good(&[&rotate[..], &["keys-2.json", "--secret-key", "a.key"]].concat());
    let shown = |file: &str| desk.json(&["keys", "show", file, "--previous", "keys.json"]);
    let draft = shown("keys-2.json");
    assert_eq!((&draft["version"], &draft["accepted"]), (&2.into(), &false.into()));
    assert_eq!(draft["roles"]["release"]["keys"][0]["keynum"], number(&desk, "s").as_str());
    // Who of the old root has not signed, and who of the new.
    let missing = |of: &str| draft["signed"][of]["missing"].as_array().unwrap().clone();
    assert_eq!(missing("previous"), [number(&desk, "b"), number(&desk, "c")]);
    assert_eq!(missing("own"), [number(&desk, "b"), number(&desk, "d")]);
    // The new key alone completes its own root, and hosts go by the old one too.
    fs::copy(desk.path("keys-2.json"), desk.path("new.json")).unwrap();
    desk.good(&["keys", "sign", "new.json", "--previous", "keys.json", "--secret-key", "d.key"]);
    assert_eq!(shown("new.json")["accepted"], false);
    assert!(trusted(&desk, "keys.json").advance(desk.read("new.json").as_bytes()).is_err());
    desk.bad(&["keys", "publish", "new.json", "--to", "www", "--previous", "keys.json"], 20, "signature.threshold");
    // The one that leaves signs too, and only where the version before is known.
    desk.bad(&["keys", "sign", "new.json", "--secret-key", "c.key"], 20, "keys.not_root");
    desk.good(&["keys", "sign", "new.json", "--previous", "keys.json", "--secret-key", "c.key"]);
    assert_eq!(shown("new.json")["accepted"], true);
    let next = trusted(&desk, "keys.json").advance(desk.read("new.json").as_bytes()).unwrap();
    assert_eq!((next.version(), next.release().keys()[0].keynum()), (2, number(&desk, "s")));
    // Without the one before nobody can say.
    let alone = desk.json(&["keys", "show", "new.json"]);
    assert_eq!((&alone["accepted"], &alone["refused"]), (&Value::Null, &Value::Null));
    // Copies that were signed apart are put together, unless they differ.
    fs::copy(desk.path("keys-2.json"), desk.path("b.json")).unwrap();
    desk.good(&["keys", "sign", "b.json", "--secret-key", "b.key"]);
    let merged = desk.json(&["keys", "sign", "keys-2.json", "--previous", "keys.json", "--signature", "b.json"]);
    assert_eq!(
        (&merged["accepted"], &merged["signed"]["own"]["missing"]),
        (&true.into(), &serde_json::json!([number(&desk, "d")]))
    );
    desk.good(&["keys", "rotate", "keys.json", "--bump-epoch", "-o", "other.json", "--secret-key", "b.key"]);
    desk.bad(&["keys", "sign", "keys-2.json", "--signature", "other.json"], 20, "keys.other_draft");
    // It is signed as the version after the right one, or not at all.
    desk.bad(
        &["keys", "sign", "keys-2.json", "--previous", "keys-2.json", "--secret-key", "a.key"],
        20,
        "keys.version",
    );
}

#[test]
fn minisign_signs_a_draft_and_verifies_one() {
    let desk = begun();
    desk.minisign(&["-GW", "-p", "their.pub", "-s", "their.key"], "");
    desk.good(&[
        "keys",
        "add",
        "--role",
        "root",
        "their.pub",
        "keys.json",
        "-o",
        "keys-2.json",
        "--secret-key",
        "a.key",
    ]);
    fs::write(desk.path("keys-2.bytes"), desk.good(&["keys", "show", "keys-2.json", "--payload"])).unwrap();
    desk.minisign(&["-Sm", "keys-2.bytes", "-s", "b.key"], "");
    let sign = ["keys", "sign", "keys-2.json", "--previous", "keys.json", "--signature"];
    let signed = desk.json(&[&sign[..], &["keys-2.bytes.minisig"]].concat());
    assert_eq!(signed["accepted"], true, "{signed}");
    desk.minisign(&["-Sm", "keys-2.bytes", "-s", "their.key", "-x", "their.minisig"], "");
    let signed = desk.json(&[&sign[..], &["their.minisig"]].concat());
    assert_eq!(signed["signed"]["own"]["missing"], serde_json::json!([number(&desk, "c")]));
    // What is in the file now verifies there too, each with its key.
    let file: Value = serde_json::from_str(&desk.read("keys-2.json")).unwrap();
    let texts: Vec<&str> = file["minisig"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(texts.len(), 3);
    for (text, key) in texts.iter().zip(["their", "b", "a"]) {
        fs::write(desk.path("one.minisig"), text).unwrap();
        desk.minisign(&["-Vm", "keys-2.bytes", "-x", "one.minisig", "-p", &format!("{key}.pub")], "");
    }
    // A signature of other bytes, and one of the old kind.
    fs::write(desk.path("other"), "other").unwrap();
    desk.minisign(&["-Sm", "other", "-s", "b.key"], "");
    desk.bad(&[&sign[..], &["other.minisig"]].concat(), 20, "signature.wrong");
    desk.minisign(&["-lSm", "keys-2.bytes", "-s", "b.key", "-x", "legacy.minisig"], "");
    desk.bad(&[&sign[..], &["legacy.minisig"]].concat(), 20, "signature.legacy");
}

#[test]
fn what_cannot_be_met_or_makes_no_sense_is_not_made() {
    let desk = begun();
    let edit = |more: &[&str], code: &str| {
        let text = desk.bad(&[more, &["-o", "x.json"]].concat(), 64, code);
        assert!(!desk.path("x.json").exists());
        text
    };
    let (a, r) = (number(&desk, "a"), number(&desk, "r"));
    edit(&["keys", "remove", "--role", "release", &r, "keys.json"], "keys.empty");
    edit(&["keys", "remove", "--role", "root", &a, "b.pub", "keys.json"], "keys.threshold");
    edit(&["keys", "remove", "--role", "root", "d.pub", "keys.json"], "keys.unknown");
    edit(&["keys", "add", "--role", "root", "a.pub", "keys.json"], "keys.duplicate");
    edit(&["keys", "add", "--role", "root", "--threshold", "5", "d.pub", "keys.json"], "keys.threshold");
    edit(&["keys", "rotate", "keys.json"], "keys.unchanged");
    edit(&["keys", "rotate", "keys.json", "--replace", "d.pub=s.pub"], "keys.unknown");
    edit(&["keys", "rotate", "keys.json", "--expires", "2020-01-01"], "keys.expires");
    edit(&["keys", "rotate", "nothing.json", "--bump-epoch"], "usage.unreadable");
    edit(&["keys", "add", "--role", "root", "keys.json", "keys.json"], "key.malformed");
    // Another key under a number that is taken.
    let bytes = |name: &str| STANDARD.decode(desk.read(name).lines().nth(1).unwrap()).unwrap();
    let mut twin = bytes("d.pub");
    twin[2..10].copy_from_slice(&bytes("r.pub")[2..10]);
    let twin = STANDARD.encode(twin);
    edit(&["keys", "add", "--role", "root", &twin, "keys.json"], "keys.duplicate_keynum");
    edit(&["keys", "rotate", "keys.json", "--replace", &format!("{r}={twin}")], "keys.duplicate_keynum");
    // A file that is there stays.
    let before = desk.read("keys.json");
    desk.bad(&["keys", "rotate", "keys.json", "--bump-epoch", "-o", "keys.json"], 64, "usage.exists");
    assert_eq!(desk.read("keys.json"), before);
    edit(&["keys", "add", "--role", "root", "keys.json"], "usage.arguments");
    // And the edits that do make sense.
    let made =
        desk.json(&["keys", "remove", "--role", "root", &a, "b.pub", "--threshold", "1", "keys.json", "-o", "1.json"]);
    assert_eq!(made["roles"]["root"]["keys"].as_array().unwrap().len(), 1);
    let made = desk.json(&[
        "keys",
        "rotate",
        "keys.json",
        "--expires",
        "2099-12-31",
        "-o",
        "2.json",
        "--add-release",
        "s.pub",
        "--release-threshold",
        "2",
    ]);
    assert_eq!((&made["expires"], &made["roles"]["release"]["threshold"]), (&"2099-12-31T00:00:00Z".into(), &2.into()));
    let output = desk.call(&[], &["keys", "rotate", "keys.json", "--bump-epoch", "-o", "3.json"]);
    assert!(stderr(&output).starts_with("warning: this key set begins epoch 1 of web"), "{}", stderr(&output));
}

#[test]
fn a_key_set_is_published_once_and_only_after_the_one_before() {
    let desk = begun();
    let next = |from: &str, to: &str| {
        let args = ["keys", "rotate", from, "--bump-epoch", "-o", to, "--secret-key", "a.key", "--secret-key", "b.key"];
        desk.good(&args);
    };
    next("keys.json", "2.json");
    next("2.json", "3.json");
    let publish = |file: &'static str| ["keys", "publish", file, "--to", "www"];
    desk.bad(&publish("2.json"), 64, "keys.previous");
    assert!(!desk.path("www").exists());
    let done = desk.json(&publish("keys.json"));
    assert_eq!((&done["there"], &done["published"]), (&false.into(), &"www/keys/1".into()));
    assert_eq!(desk.json(&publish("keys.json"))["there"], true);
    desk.bad(&publish("3.json"), 64, "keys.previous");
    desk.good(&publish("2.json"));
    desk.good(&publish("3.json"));
    for (file, name) in [("keys.json", "1"), ("2.json", "2"), ("3.json", "3")] {
        assert_eq!(desk.read(&format!("www/keys/{name}")), desk.read(file));
    }
    let there = desk.snapshot("www/keys");
    assert_eq!(there.len(), 3);
    // Another one of the same number does not take its place, however well it is signed.
    let args = ["keys", "rotate", "keys.json", "--expires", "2099-01-01", "-o", "fork.json", "--secret-key", "a.key"];
    desk.good(&[&args[..], &["--secret-key", "c.key"]].concat());
    let text = desk.bad(&publish("fork.json"), 64, "publish.exists");
    assert!(text.contains("make the next version after it"), "{text}");
    // Nor does one that follows another than the one that lies there.
    next("fork.json", "fork-3.json");
    let forked = ["keys", "publish", "fork-3.json", "--to", "www", "--previous", "fork.json"];
    desk.bad(&forked, 21, "keys.forked");
    desk.bad(&publish("fork-3.json"), 64, "publish.exists");
    assert_eq!(desk.snapshot("www/keys"), there);
    desk.bad(&["keys", "publish", "2.json", "--to", "github://acme/web"], 64, "usage.arguments");
    desk.bad(&["keys", "publish", "2.json", "--to", "ftp://x/y"], 64, "usage.arguments");
    fs::write(desk.path("file"), "").unwrap();
    let output = desk.call(&[], &["keys", "publish", "keys.json", "--to", "file"]);
    assert_eq!(output.status.code(), Some(40), "{}", stderr(&output));
}
