//! `fetchd state repair`: what it keeps, what it says, and a supervisor that goes on by itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use super::{Post, serves};
use crate::site::FETCHD;

#[test]
fn a_supervisor_goes_on_by_itself_after_a_repair_and_installs_the_next_release() {
    let post = Post::known();
    let floor = post.site.record().floor();
    let path = post.state("state.json");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replacen("\"schema\": 1", "\"schema\": 2", 1)).unwrap();
    post.publish("1.1.0");

    let mut fetchd = post.run(&[]);
    serves(&mut fetchd);
    let pid = fetchd.pid();
    let said = String::from_utf8(post.done("status", &[], 0).stdout).unwrap();
    assert!(said.contains("OFF") && said.contains("(exit 50)") && said.contains("hint: "), "{said}");
    post.refused("hold", &[], 50, "state.damaged");
    // It holds no lock, and is the only one all the same.
    let mut second = post.run(&["--listen", "web=127.0.0.1:0"]);
    assert_eq!(second.wait_for_end().code(), Some(75), "{}", second.log());
    drop(second);
    serves(&mut fetchd);

    let repaired = post.json("state repair", &[], 0);
    assert_eq!(repaired["outcome"], "repaired", "{repaired}");
    assert_eq!(repaired["damage"][0]["code"], "state.damaged");
    assert_eq!(repaired["floor"]["seq"], floor.1, "what `last.bundle` proves: {repaired}");
    assert_eq!((repaired["trust_state"].as_str(), repaired["version"].as_str()), (Some("known"), Some("1.0.0")));
    let moved = repaired["moved"][0][1].as_str().unwrap();
    assert_eq!(fs::read_to_string(post.state(moved)).unwrap(), whole.replacen("\"schema\": 1", "\"schema\": 2", 1));

    fetchd.wait_for_version("1.1.0");
    assert_eq!(fetchd.pid(), pid);
    for (event, code) in [("state.repaired", ""), ("updates.on", ""), ("release.confirmed", "")] {
        assert!(post.site.happened(event, code), "{event}: {:#?}", post.site.history());
    }
    let shown = post.json("state show", &[], 0);
    assert_eq!((&shown["locked"], &shown["holder"]), (&json!(true), &json!(pid)), "{shown}");
    assert_eq!(shown["record"]["confirmed"]["version"], "1.1.0");
    // It has the lock again.
    post.refused("state repair", &[], 75, "state.locked");
    post.refused("state repair", &["--dry-run"], 75, "state.locked");
}

#[test]
fn whoever_asks_for_a_pass_after_the_repair_need_not_wait_for_the_next_poll() {
    let post = Post::known();
    fs::write(post.state("state.json"), "").unwrap();
    let mut fetchd = post.run(&["--interval", "1h"]);
    serves(&mut fetchd);
    post.publish("1.1.0");
    post.done("state repair", &[], 0);
    post.done("apply", &[], 0);
    let status = fetchd.wait_for_version("1.1.0");
    assert_eq!(status.updates.updates_off, None);
    assert!(status.service.generations.iter().any(|g| g.version.as_deref() == Some("1.1.0")), "it was handed off to");
}

#[test]
fn quarantine_and_hold_survive_and_the_claimed_floor_does_not() {
    let post = Post::known();
    let path = post.state("state.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let bad = |digit: &str| json!({"sha256": digit.repeat(64), "version": null, "code": "smoke.exit", "reason": "", "at": "2026-01-01T00:00:00Z", "count": 1});
    record["quarantine"] = json!([bad("a"), bad("b")]);
    record["hold"] = json!({"reason": "sale", "since": "2026-01-01T00:00:00Z", "until": null});
    record["seq"] = json!(4000);
    fs::write(&path, record.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o646)).unwrap();

    let before = post.everything();
    let dry = post.json("state repair", &["--dry-run"], 0);
    assert_eq!(post.everything(), before, "a dry run changed something");
    let repaired = post.json("state repair", &[], 0);
    for (key, of_dry) in [("floor", true), ("quarantine", true), ("hold", true), ("damage", true), ("lost", true)] {
        assert!(of_dry && dry[key] == repaired[key], "{key}: {dry} {repaired}");
    }
    assert_eq!((dry["outcome"].as_str(), repaired["outcome"].as_str()), (Some("would_repair"), Some("repaired")));
    assert_eq!((&repaired["quarantine"], &repaired["hold"]), (&json!(2), &json!(true)));
    assert_eq!(repaired["floor"]["seq"], post.published().1, "a number in the file proves nothing");
    assert!(repaired["lost"][0].as_str().unwrap().contains("number 4000"), "{repaired}");
    let record = post.site.record();
    assert_eq!((record.quarantine.len(), record.hold.unwrap().reason.as_deref()), (2, Some("sale")));
    // The hold holds.
    post.publish("1.1.0");
    post.done("apply", &[], 22);
    assert_eq!(post.json("state repair", &[], 0)["outcome"], "undamaged");
}

#[test]
fn a_repair_needs_the_keys_that_prove_the_floor() {
    let post = Post::known();
    fs::write(post.state("state.json"), "").unwrap();
    let before = post.everything();
    let mut bare = Command::new(FETCHD);
    bare.args(["state", "repair", "--product", "app", "--state-dir"]).arg(post.site.state_dir());
    let output = bare.arg("--").arg(post.site.program()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("[state.no_keys]"), "{}", super::text(&output));
    let same = |all: Vec<(String, u64, Vec<u8>)>| -> Vec<_> { all.into_iter().filter(|one| one.0 != "lock").collect() };
    assert_eq!(same(post.everything()), same(before));

    // With other keys nothing is proved, and that is said.
    let other = super::Site::empty().publisher.public_key().to_string();
    let mut fetchd = Command::new(FETCHD);
    fetchd.args(["state", "repair", "--json", "--product", "app", "--source", &post.site.source(), "--key", &other]);
    let output =
        fetchd.arg("--state-dir").arg(post.site.state_dir()).arg("--").arg(post.site.program()).output().unwrap();
    let repaired: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&repaired["floor"]["seq"], repaired["trust_state"].as_str()), (&json!(0), Some("new")), "{repaired}");
    let lost = repaired["lost"].to_string();
    assert!(lost.contains("nothing proves one") && lost.contains("signature.unknown_key"), "{lost}");
    assert_eq!(post.named("last.bundle.unproved-").len(), 1);
}

#[test]
fn a_directory_that_others_can_write_is_not_repaired() {
    let post = Post::known();
    fs::write(post.state("state.json"), "").unwrap();
    fs::set_permissions(post.site.state_dir(), fs::Permissions::from_mode(0o777)).unwrap();
    post.refused("state repair", &[], 50, "state.unsafe");
    let shown = post.json("state show", &[], 50);
    assert_eq!((shown["state"].as_str(), shown["error"]["code"].as_str()), (Some("damaged"), Some("state.unsafe")));
    let mut fetchd = post.run(&[]);
    serves(&mut fetchd);
    assert!(fetchd.stop().code().is_some());
}

#[test]
fn a_binary_that_the_journal_does_not_know_is_adopted_by_a_repair() {
    let post = Post::known();
    let path = post.state("state.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let to = json!({"version": "7.0.0", "sha256": "c".repeat(64), "at": "2026-01-01T00:00:00Z"});
    record["journal"] = json!({"step": "activating", "from": null, "to": to});
    fs::write(&path, record.to_string()).unwrap();
    let mut fetchd = post.run(&[]);
    serves(&mut fetchd);
    let why = fetchd.try_status().unwrap().updates.updates_off.unwrap();
    assert_eq!((why.code.as_str(), why.exit.number()), ("state.unknown_binary", 50));
    assert!(why.hint.unwrap().contains("fetchd state repair"));
    post.done("state repair", &[], 0);
    fetchd.wait("updates are on again", |status| status.updates.updates_off.is_none());
    assert_eq!(post.site.record().journal, None);
    post.publish("1.1.0");
    fetchd.wait_for_version("1.1.0");
}

#[test]
fn nothing_to_repair_is_nothing_changed() {
    let post = Post::known();
    let before = post.everything();
    let same = |all: Vec<(String, u64, Vec<u8>)>| -> Vec<_> { all.into_iter().filter(|one| one.0 != "lock").collect() };
    assert_eq!(post.json("state repair", &[], 0)["outcome"], "undamaged");
    assert_eq!(same(post.everything()), same(before));
    let fresh = Post::new();
    assert_eq!(fresh.json("state repair", &[], 0)["outcome"], "undamaged");
    assert!(!fresh.site.state_dir().exists());
    assert_eq!(fresh.json("state show", &[], 0)["state"], "new");
}

#[test]
fn a_supervisor_that_has_the_record_in_memory_writes_it_whole_again() {
    let post = Post::known();
    let mut fetchd = post.run(&[]);
    fetchd.wait("a pass", |status| status.updates.last.is_some());
    fs::write(post.state("state.json"), "{").unwrap();
    post.json("state show", &[], 50);
    post.refused("state repair", &[], 75, "state.locked");
    post.done("hold", &[], 0);
    let shown = post.json("state show", &[], 0);
    assert_eq!(shown["floor"]["seq"], post.published().1, "{shown}");
}
