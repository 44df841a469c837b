//! Key sets that change: provisioned once, followed from every source, never followed where they should not be.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod answers;
mod scene;
mod service;
mod settings;
mod state;

#[path = "../support/site.rs"]
mod site;

use std::time::Duration;

use fetchd::checkpoint::Checkpoint;
use fetchd::clock::Timestamp;
use fetchd::publish::{SigningKey, key_file};
use fetchd::trust::KeyDocument;
use scene::{Place, Scene, key};
use site::text;

const PLACES: [Place; 3] = [Place::File, Place::Http, Place::S3];

/// Attack 32 is the end of it: who signed before the rotation signs nothing any more.
#[test]
fn a_rotation_is_followed_from_every_source_and_leaves_the_old_key_behind() {
    for place in PLACES {
        let mut scene = Scene::new(place);
        scene.publish("1.1.0");
        assert_eq!(scene.apply(), (0, String::new()), "{place:?}");
        assert_eq!((scene.runs(), scene.keys_version()), ("1.1.0".to_owned(), 1));

        let (old, root) = (scene.publisher.clone(), scene.root.clone());
        let new_root = key();
        scene.new_release_key();
        let second = key_file(&scene.document(2), &[&root]).unwrap();
        scene.put_keys(2, &second);
        scene.root = new_root.clone();
        let third = key_file(&scene.document(3), &[&root, &new_root]).unwrap();
        scene.put_keys(3, &third);
        scene.publish("1.2.0");
        assert_eq!(scene.apply(), (0, String::new()), "{place:?}");
        assert_eq!((scene.runs(), scene.keys_version()), ("1.2.0".to_owned(), 3));
        assert_eq!((scene.kept(2), scene.kept(3), scene.kept(4)), (Some(second), Some(third), None));
        let accepted: Vec<_> = scene.events("keys.accepted");
        assert_eq!(accepted, ["key set 2 is trusted now", "key set 3 is trusted now"]);

        let new = std::mem::replace(&mut scene.publisher, old);
        scene.publish("1.3.0");
        assert_eq!(scene.apply(), (20, "signature.unknown_key".to_owned()), "{place:?}");
        assert_eq!(scene.runs(), "1.2.0");
        scene.publisher = new;
        scene.publish("1.4.0");
        assert_eq!(scene.apply(), (0, String::new()), "{place:?}");
        assert_eq!(scene.runs(), "1.4.0");
    }
}

/// Attacks 25, 26, 28, 29.
#[test]
fn a_key_set_that_does_not_follow_is_refused_and_the_one_before_kept() {
    type Wrong = fn(&mut Scene, &SigningKey) -> Vec<u8>;
    let rows: [(&str, Wrong, i32, &str); 6] = [
        ("signed by the old root only", |s, new| s.signed(s.rooted(2, new), &[&s.root]), 20, "signature.unknown_key"),
        ("signed by the new root only", |s, new| s.signed(s.rooted(2, new), &[new]), 20, "signature.unknown_key"),
        ("the one after the next", |s, _| s.signed(s.document(3), &[&s.root]), 20, "keys.version"),
        ("the same once more", |s, _| s.signed(s.document(1), &[&s.root]), 20, "keys.version"),
        ("of a lower epoch", |s, _| s.signed(KeyDocument { epoch: 4, ..s.document(2) }, &[&s.root]), 21, "keys.epoch"),
        (
            "of another product",
            |s, _| s.signed(KeyDocument { product: "other".to_owned(), ..s.document(2) }, &[&s.root]),
            21,
            "keys.wrong_product",
        ),
    ];
    for place in PLACES {
        for (name, wrong, exit, code) in &rows {
            let mut scene = Scene::of_epoch(place, 5);
            scene.publish("1.1.0");
            let new = key();
            let file = wrong(&mut scene, &new);
            scene.put_keys(2, &file);
            assert_eq!(scene.apply(), (*exit, (*code).to_owned()), "{name} from {place:?}");
            assert_eq!((scene.runs(), scene.keys_version(), scene.kept(2)), ("1.0.0".to_owned(), 0, None), "{name}");
            assert_eq!(scene.record().seq, 0, "{name}: the floor must not move");
            let good = scene.signed(scene.rooted(2, &new), &[&scene.root, &new]);
            scene.put_keys(2, &good);
            assert_eq!(scene.apply(), (0, String::new()), "{name} from {place:?}");
            assert_eq!((scene.runs(), scene.keys_version()), ("1.1.0".to_owned(), 2), "{name}");
        }
    }
}

/// Attack 22, for key sets: a manifest in the place of one, and one in the place of a manifest.
#[test]
fn a_manifest_is_no_key_set_and_a_key_set_no_manifest() {
    let mut scene = Scene::new(Place::File);
    // The root signs releases as well, so that nothing but the type tells the two apart.
    scene.publisher = scene.publisher.clone().with_key(scene.root.clone());
    scene.provision(&scene.document(1));
    scene.publish("1.1.0");
    scene.put_keys(2, &scene.publisher.document().unwrap());
    assert_eq!(scene.apply(), (20, "keys.wrong_type".to_owned()));
    scene.remove_keys(2);
    let set = scene.signed(scene.document(2), &[&scene.root]);
    scene.put_pointer(&set);
    assert_eq!(scene.apply(), (20, "manifest.wrong_type".to_owned()));
    assert_eq!(scene.runs(), "1.0.0");
}

/// Attack 30.
#[test]
fn a_chain_of_65_steps_is_broken_off_and_gone_on_with_in_the_next_pass() {
    let mut scene = Scene::new(Place::File);
    scene.publish("1.1.0");
    for version in 2..=65 {
        scene.put_keys(version, &scene.signed(scene.document(version), &[&scene.root]));
    }
    assert_eq!(scene.check(), (10, String::new()), "64 steps are fine");
    scene.put_keys(66, &scene.signed(scene.document(66), &[&scene.root]));
    assert_eq!(scene.check(), (22, "keys.too_many_steps".to_owned()));
    assert_eq!(scene.keys_version(), 0, "to look changes nothing");
    assert_eq!(scene.apply(), (22, "keys.too_many_steps".to_owned()));
    assert_eq!((scene.runs(), scene.keys_version()), ("1.0.0".to_owned(), 65));
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!((scene.runs(), scene.keys_version()), ("1.1.0".to_owned(), 66));
}

/// Attack 33.
#[test]
fn a_kill_between_two_steps_loses_none_and_repeats_none() {
    let mut scene = Scene::new(Place::Http);
    scene.publish("1.1.0");
    for version in 2..=4 {
        scene.put_keys(version, &scene.signed(scene.document(version), &[&scene.root]));
    }
    scene.apply_killed_at(Checkpoint::KeysKept);
    assert_eq!((scene.keys_version(), scene.kept(2).is_some(), scene.kept(3)), (0, true, None));
    assert_eq!(scene.runs(), "1.0.0");
    assert_eq!(scene.asked(), ["/stable.fetchd", "/keys/2"]);
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!(scene.asked()[..4], ["/stable.fetchd", "/keys/3", "/keys/4", "/keys/5"]);
    assert_eq!((scene.runs(), scene.keys_version()), ("1.1.0".to_owned(), 4));
}

/// Attack 34, for a pass that is asked for.
#[test]
fn an_expired_key_set_holds_unless_there_is_a_newer_one() {
    let mut scene = Scene::new(Place::File);
    scene.publish("1.1.0");
    let past = Timestamp::now().0 - 60;
    let expired = KeyDocument { expires: Some(Timestamp(past)), ..scene.document(2) };
    scene.put_keys(2, &scene.signed(expired, &[&scene.root]));
    assert_eq!(scene.apply(), (22, "keys.expired".to_owned()));
    assert_eq!((scene.runs(), scene.keys_version(), scene.record().seq), ("1.0.0".to_owned(), 2, 0));
    assert_eq!(scene.check(), (22, "keys.expired".to_owned()));
    scene.put_keys(3, &scene.signed(scene.document(3), &[&scene.root]));
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!((scene.runs(), scene.keys_version()), ("1.1.0".to_owned(), 3));
}

/// Attack 38: a thief of the release key runs the numbers up; the root keys begin a new epoch.
#[test]
fn only_the_root_keys_begin_an_epoch_and_it_undoes_what_a_thief_did() {
    for place in PLACES {
        let mut scene = Scene::new(place);
        scene.publish("1.1.0");
        assert_eq!(scene.apply(), (0, String::new()));
        scene.forge(|manifest| manifest["epoch"] = 1.into());
        assert_eq!(scene.apply(), (21, "manifest.epoch".to_owned()), "{place:?}");
        const LAST: u64 = (1 << 53) - 1;
        scene.forge(|manifest| {
            manifest["epoch"] = 0.into();
            manifest["seq"] = LAST.into();
        });
        assert_eq!(scene.apply(), (0, String::new()));
        assert_eq!((scene.record().epoch, scene.record().seq), (0, LAST));

        scene.new_release_key();
        scene.epoch = 1;
        scene.put_keys(2, &scene.signed(scene.document(2), &[&scene.root]));
        scene.forge(|manifest| manifest["seq"] = 2.into());
        assert_eq!(scene.apply(), (21, "manifest.rollback".to_owned()), "{place:?}: the epoch before");
        scene.begin_epoch("1.2.0", 1);
        assert_eq!(scene.apply(), (0, String::new()), "{place:?}");
        let record = scene.record();
        assert_eq!((record.epoch, scene.runs()), (1, "1.2.0".to_owned()));
        assert!(record.seq < LAST, "numbers begin anew: {}", record.seq);
    }
}

#[test]
fn single_artifacts_are_signed_by_the_key_set_as_well() {
    let mut scene = Scene::new(Place::Http);
    scene.publish_bound("1.1.0");
    assert_eq!(scene.apply(), (0, String::new()));
    let old = scene.publisher.clone();
    scene.new_release_key();
    scene.put_keys(2, &scene.signed(scene.document(2), &[&scene.root]));
    let new = std::mem::replace(&mut scene.publisher, old);
    scene.publish_bound("1.2.0");
    assert_eq!(scene.apply(), (20, "signature.unknown_key".to_owned()));
    scene.publisher = new;
    scene.publish_bound("1.2.0");
    assert_eq!(scene.apply(), (0, String::new()));
    assert_eq!((scene.runs(), scene.keys_version()), ("1.2.0".to_owned(), 2));
    let many = KeyDocument { release: scene.two_of_two(), ..scene.document(3) };
    scene.put_keys(3, &scene.signed(many, &[&scene.root]));
    scene.publish_bound("1.3.0");
    assert_eq!(scene.apply(), (20, "signature.threshold".to_owned()));
    assert_eq!(scene.runs(), "1.2.0");
}

/// How long an answer is waited for where none comes.
const SHORT: Duration = Duration::from_secs(1);
