//! What was accepted once is remembered, and checked again by whoever remembers it.

use std::fs;

use fetchd::publish::key_file;
use fetchd::state::Store;
use fetchd::trust::KeyDocument;

use crate::scene::{Place, Scene, key};

/// Key sets 2 and 3 are there, and were accepted with 1.1.0.
fn rotated(place: Place) -> Scene {
    let mut scene = Scene::new(place);
    scene.publish("1.1.0");
    for version in [2, 3] {
        scene.put_keys(version, &scene.signed(scene.document(version), &[&scene.root]));
    }
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!(scene.keys_version(), 3);
    scene
}

#[test]
fn a_kept_key_set_that_was_changed_is_damage() {
    let mut scene = rotated(Place::File);
    scene.publish("1.2.0");
    let thief = key();
    // Whoever can write there cannot make themselves the root.
    let theirs = scene.rooted(3, &thief);
    let theirs = KeyDocument { release: theirs.root.clone(), ..theirs };
    let path = Store::keys_path(&scene.state_dir(), 3);
    fs::write(&path, key_file(&theirs, &[&thief]).unwrap()).unwrap();
    for command in ["apply", "check"] {
        let output = scene.command(command, &["--json"]).output().unwrap();
        let said = crate::text(&output);
        assert_eq!(output.status.code(), Some(50), "{command}: {said}");
        assert!(said.contains("state.damaged") && said.contains("does not follow key set 2"), "{said}");
    }
    assert_eq!(scene.runs(), "1.1.0");
    // A repair sets them aside; the source shows them again.
    let repaired = scene.command("state repair", &[]).output().unwrap();
    let said = crate::text(&repaired);
    assert_eq!(repaired.status.code(), Some(0), "{said}");
    assert!(said.contains("keys: ") && said.contains("keys to keys.damaged-"), "{said}");
    assert_eq!(scene.keys_version(), 3, "as many as before must be there again");
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!((scene.runs(), scene.keys_version()), ("1.2.0".to_owned(), 3));
    fs::write(&path, b"{}").unwrap();
    assert_eq!(scene.apply().0, 50);
    scene.publish("1.3.0");
    // A provisioned set that is newer needs none of them.
    scene.provision(&scene.document(3));
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!((scene.runs(), scene.keys_version()), ("1.3.0".to_owned(), 3));
}

#[test]
fn a_provisioned_set_that_is_newer_wins() {
    let mut scene = rotated(Place::Http);
    // The root is lost: a new one is brought to the hosts by hand, with a version of its own.
    scene.root = key();
    scene.new_release_key();
    scene.provision(&scene.document(7));
    scene.publish("1.2.0");
    scene.asked();
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!((scene.runs(), scene.keys_version()), ("1.2.0".to_owned(), 7));
    assert_eq!(scene.asked()[..2], ["/stable.fetchd", "/keys/8"]);
    scene.provision(&scene.document(6));
    assert_eq!(scene.apply(), (21, "keys.rollback".to_owned()), "an older one is not gone back to");
}

#[test]
fn key_sets_that_are_lost_are_fetched_again_and_none_may_be_missing_then() {
    let mut scene = rotated(Place::Http);
    scene.publish("1.2.0");
    fs::remove_dir_all(scene.state_dir().join("keys")).unwrap();
    let third = fs::read(scene.path().join("pub/keys/3")).unwrap();
    scene.remove_keys(3);
    assert_eq!(scene.apply(), (21, "keys.rollback".to_owned()));
    assert_eq!((scene.runs(), scene.keys_version()), ("1.1.0".to_owned(), 3));
    scene.put_keys(3, &third);
    fs::remove_dir_all(scene.state_dir().join("keys")).unwrap();
    scene.asked();
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!(scene.asked()[..4], ["/stable.fetchd", "/keys/2", "/keys/3", "/keys/4"]);
    assert_eq!((scene.runs(), scene.keys_version(), scene.kept(3)), ("1.2.0".to_owned(), 3, Some(third)));
}

/// A chain that was cut from the source behind this host is no loss: it is kept here.
#[test]
fn what_is_kept_is_not_asked_for_again() {
    let mut scene = rotated(Place::Http);
    scene.remove_keys(2);
    scene.remove_keys(3);
    scene.publish("1.2.0");
    scene.asked();
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!(scene.asked()[..2], ["/stable.fetchd", "/keys/4"]);
    assert_eq!(scene.runs(), "1.2.0");
}

#[test]
fn to_look_changes_nothing() {
    let mut scene = Scene::new(Place::Http);
    scene.publish("1.1.0");
    let old = scene.publisher.clone();
    scene.new_release_key();
    scene.put_keys(2, &scene.signed(scene.document(2), &[&scene.root]));
    assert_eq!(scene.check(), (20, "signature.unknown_key".to_owned()), "the old key signed what is there");
    scene.publish("1.2.0");
    assert_eq!(scene.check(), (10, String::new()));
    assert!(!scene.state_dir().exists());
    scene.publisher = old;
    scene.publish("1.3.0");
    assert_eq!(scene.check(), (20, "signature.unknown_key".to_owned()));
}
