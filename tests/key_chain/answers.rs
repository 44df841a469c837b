//! Attack 31: an answer that is not "there is none" does not end the chain.

use std::fs;
use std::time::Duration;

use fetchd::trust::TrustedKeys;
use fetchd_fetchers::conformance::scripted::Step;
use fetchd_stand_ins::s3::{Fault, Refusal, When};

use crate::scene::{Place, Scene};
use crate::{SHORT, text};

/// Nothing may be installed by the release that is there, though the trusted key signed it: who kept the next key set
/// away may be who stole that key.
#[track_caller]
fn fails(scene: &Scene, limit: Duration, exit: i32, code: &str, what: &str) {
    assert_eq!(scene.apply_within(limit), (exit, code.to_owned()), "{what}");
    assert_eq!((scene.runs(), scene.keys_version(), scene.record().seq), ("1.0.0".to_owned(), 0, 0), "{what}");
}

#[track_caller]
fn then_goes_on(scene: &Scene, what: &str) {
    assert_eq!(scene.apply(), (0, String::new()), "{what}");
    assert_eq!((scene.runs(), scene.keys_version()), ("1.1.0".to_owned(), 2), "{what}");
}

#[test]
fn no_answer_is_not_the_last_key_set() {
    let long = vec![b' '; TrustedKeys::MAX_FILE + 1];
    let rows: [(&str, Vec<Step>, i32, &str); 9] = [
        ("500", vec![Step::Status(500)], 30, "source.unreachable"),
        ("403", vec![Step::Status(403)], 30, "source.denied"),
        ("401", vec![Step::Status(401)], 30, "source.denied"),
        ("429", vec![Step::Status(429)], 31, "source.throttled"),
        ("silence", vec![Step::Stall(Duration::from_secs(30))], 30, "source.deadline"),
        ("half of it", vec![Step::Send(40), Step::Stall(Duration::from_secs(30))], 30, "source.deadline"),
        ("cut short", vec![Step::Send(40), Step::Close], 30, "source.incomplete"),
        ("64 KiB and a byte", vec![Step::Instead(long)], 23, "source.document_too_large"),
        ("a page that says it is not there", vec![Step::Instead(b"<p>404</p>".to_vec())], 20, "bundle.malformed"),
    ];
    for (name, steps, exit, code) in rows {
        let mut scene = Scene::new(Place::Http);
        scene.publish("1.1.0");
        scene.put_keys(2, &scene.signed(scene.document(2), &[&scene.root]));
        scene.web.script_every("/keys/2", steps);
        let limit = if code == "source.deadline" { SHORT } else { Duration::from_secs(30) };
        fails(&scene, limit, exit, code, name);
        scene.web.clear_scripts();
        then_goes_on(&scene, name);
    }
}

#[test]
fn no_answer_of_a_bucket_is_the_last_key_set() {
    let refuse = Fault::Refuse;
    let rows = [
        ("AccessDenied", refuse(Refusal::AccessDenied), 30, "source.denied"),
        ("InternalError", refuse(Refusal::InternalError), 30, "source.unreachable"),
        ("SlowDown", refuse(Refusal::SlowDown(None)), 31, "source.throttled"),
        ("cut short", Fault::Truncate(40), 30, "source.incomplete"),
        ("silence", Fault::Stall(0), 30, "source.deadline"),
    ];
    for (name, fault, exit, code) in rows {
        let mut scene = Scene::new(Place::S3);
        scene.publish("1.1.0");
        scene.put_keys(2, &scene.signed(scene.document(2), &[&scene.root]));
        scene.s3.inject(fault, When::any().key("keys/2"));
        let limit = if code == "source.deadline" { SHORT } else { Duration::from_secs(30) };
        fails(&scene, limit, exit, code, name);
        scene.s3.clear();
        then_goes_on(&scene, name);
    }
}

/// S3 answers 403 for an object that is missing to those who may not list the bucket.
#[test]
fn a_host_that_may_not_know_what_is_missing_is_told_what_it_needs() {
    for place in [Place::S3, Place::Http] {
        let mut scene = Scene::new(place);
        scene.publish("1.1.0");
        scene.s3.inject(Fault::Refuse(Refusal::AccessDenied), When::any().key("keys/2"));
        scene.web.script_every("/keys/2", vec![Step::Status(403)]);
        let output = scene.command("apply", &[]).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(30), "{said}");
        for words in ["whether there is a `keys/2` cannot be told", "s3:ListBucket", "404", "[source.denied]"] {
            assert!(said.contains(words), "`{words}` is not in: {said}");
        }
        assert_eq!(scene.runs(), "1.0.0");
    }
}

#[test]
fn what_is_there_and_cannot_be_read_is_not_the_last_key_set() {
    let mut scene = Scene::new(Place::File);
    scene.publish("1.1.0");
    let path = scene.path().join("pub/keys/2");
    fs::create_dir_all(&path).unwrap();
    fails(&scene, Duration::from_secs(30), 64, "source.misconfigured", "a directory");
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("2", &path).unwrap();
    fails(&scene, Duration::from_secs(30), 30, "source.other", "a link to itself");
    fs::remove_file(&path).unwrap();
    scene.put_keys(2, &scene.signed(scene.document(2), &[&scene.root]));
    then_goes_on(&scene, "a file at last");
}
