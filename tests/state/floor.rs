//! The floor: provisioned, proved by the last bundle, lowered only by somebody who says so.

use std::fs;

use super::Post;

/// Publishes 1.0.0 and 1.1.0, brings the host to 1.1.0, and then shows it the older manifest again.
fn replayed() -> Post {
    let post = Post::new();
    let old = post.site.publisher.document().unwrap();
    post.publish("1.1.0");
    post.done("apply", &[], 0);
    fs::write(post.site.publisher.pointer(), old).unwrap();
    post
}

/// What is older than the floor is a warning first, and not taken; then it is refused.
#[track_caller]
fn stale_then_refused(post: &Post, flags: &[&str]) {
    for command in ["check", "apply"] {
        let said = super::text(&post.done(command, flags, 0));
        assert!(said.contains("stale: "), "{command}: {said}");
    }
    for command in ["check", "apply"] {
        post.refused(command, flags, 21, "manifest.rollback");
    }
}

#[test]
fn a_record_that_was_edited_down_is_raised_again_with_an_alarm() {
    let post = replayed();
    let path = post.state("state.json");
    let whole = fs::read_to_string(&path).unwrap();
    let (epoch, seq) = (post.site.record().epoch, post.site.record().seq);
    let mut record: serde_json::Value = serde_json::from_str(&whole).unwrap();
    for (key, value) in [("epoch", 0.into()), ("seq", 0.into()), ("manifest_sha256", serde_json::Value::Null)] {
        record[key] = value;
    }
    record["etags"] = serde_json::json!({});
    fs::write(&path, record.to_string()).unwrap();
    // A look that changes nothing is not fooled either.
    assert!(super::text(&post.done("check", &[], 0)).contains("stale: "));
    let mut fetchd = post.run(&[]);
    fetchd.wait_for_event("state.floor_edited", "");
    fetchd.wait_for_event("release.refused", "manifest.rollback");
    assert_eq!(fetchd.site.record().floor(), (epoch, seq));
    assert!(fetchd.log().contains("somebody set it back"), "{}", fetchd.log());
    assert!(fetchd.stop().code().is_some());
}

#[test]
fn a_record_that_was_deleted_begins_where_the_bundle_or_the_setting_says() {
    let post = replayed();
    let floor = post.site.record().floor();
    fs::remove_file(post.state("state.json")).unwrap();
    assert_eq!(post.json("state show", &[], 0)["trust_state"], "new");
    stale_then_refused(&post, &[]);
    assert_eq!(post.site.record().floor(), floor);
    assert!(post.site.happened("state.new", "") && post.site.happened("state.floor_edited", ""));

    // Everything is gone: what is configured holds.
    let setting = format!("{}/{}", floor.0, floor.1);
    fs::remove_dir_all(post.site.state_dir()).unwrap();
    stale_then_refused(&post, &["--floor", &setting]);
    let shown = post.json("state show", &[], 0);
    assert_eq!((shown["trust_state"].as_str(), &shown["floor"]["seq"]), (Some("new"), &floor.1.into()), "{shown}");
    assert!(post.site.happened("state.floor_provisioned", ""));
    // Once raised, the setting is no longer needed, and a lower one lowers nothing.
    post.refused("apply", &["--floor", "0"], 21, "manifest.rollback");
    let mut fetchd = post.run(&[]);
    let status = fetchd.wait("it has looked", |status| status.updates.last.is_some());
    assert_eq!(serde_json::to_value(status.updates.trust_state).unwrap(), "new");
    assert!(fetchd.stop().code().is_some());

    // Without state and setting the version that runs is still a floor.
    fs::remove_dir_all(post.site.state_dir()).unwrap();
    let output = post.fetchd("apply", &[]);
    assert_ne!(post.program().1, super::script("1.0.0"), "{}", super::text(&output));
    assert_eq!(post.json("state show", &[], 0)["trust_state"], "known");
}

#[test]
fn a_last_bundle_that_was_edited_is_ignored_with_an_alarm() {
    let post = Post::known();
    let floor = post.site.record().floor();
    let path = post.state("last.bundle");
    // A bundle with a higher number, signed by nobody who is trusted.
    let stranger = super::Site::empty();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        stranger.publisher.publish(version, &super::script(version)).unwrap();
    }
    fs::write(&path, stranger.publisher.document().unwrap()).unwrap();
    let mut fetchd = post.run(&[]);
    fetchd.wait_for_event("state.last_bundle", "signature.unknown_key");
    fetchd.wait("a pass", |status| status.updates.last.is_some());
    assert_eq!(fetchd.site.record().floor(), floor, "nothing of it was believed");
    post.publish("1.1.0");
    fetchd.wait_for_version("1.1.0");
    assert!(fetchd.stop().code().is_some());
    assert_eq!(fs::read(path).unwrap(), post.site.publisher.document().unwrap(), "the next one takes its place");
}

#[test]
fn the_floor_is_lowered_by_nobody_but_an_operator_who_says_to_where() {
    let post = Post::known();
    let (epoch, seq) = post.published();
    let honest = post.site.publisher.document().unwrap();
    // Their key was in other hands, which signed a number far too high.
    post.site.publisher.forge(|manifest| manifest["seq"] = 900_000.into()).unwrap();
    post.done("apply", &[], 0);
    fs::write(post.site.publisher.pointer(), &honest).unwrap();
    stale_then_refused(&post, &[]);
    // No repair does it by itself.
    assert_eq!(post.json("state repair", &[], 0)["outcome"], "undamaged");
    fs::write(post.state("state.json"), "").unwrap();
    post.done("state repair", &[], 0);
    assert_eq!(post.site.record().seq, 900_000);

    let lower = |text: &str, more: &[&str], words: &str| {
        let before = post.everything();
        let said = post.refused("state repair", &[&["--accept-lower", text], more].concat(), 64, "usage.arguments");
        assert!(said.contains(words), "{said}");
        let same =
            |all: Vec<(String, u64, Vec<u8>)>| -> Vec<_> { all.into_iter().filter(|one| one.0 != "lock").collect() };
        assert_eq!(same(post.everything()), same(before), "{text}");
    };
    lower("5", &[], "with its epoch");
    lower(&format!("{epoch}/900000"), &[], "is not below the floor");
    lower(&format!("{epoch}/{seq}"), &["--floor", &format!("{epoch}/{}", seq + 1)], "below the configured `floor`");
    let to = format!("{epoch}/{seq}");
    let dry = post.json("state repair", &["--accept-lower", &to, "--dry-run"], 0);
    assert_eq!((dry["outcome"].as_str(), post.site.record().seq), (Some("would_repair"), 900_000));

    let output = post.done("state repair", &["--accept-lower", &to], 0);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("LOWERED from") && said.contains("WARNING"), "{said}");
    assert_eq!(post.site.record().floor(), (epoch, seq));
    assert!(post.site.happened("state.floor_lowered", ""));
    assert_eq!(post.named("last.bundle").len(), 1, "the bundle that would raise it again is out of the way");
    post.done("apply", &[], 0);
    post.publish("1.1.0");
    post.done("apply", &[], 0);
    assert_eq!(post.program().1, super::script("1.1.0"));
    assert_eq!(post.site.record().floor(), post.published());
}
