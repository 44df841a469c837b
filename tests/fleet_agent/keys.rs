//! What a stolen online key, a lying worker and a replayed head can do: delay.

use fetchd::publish::{SigningKey, key_file};
use fetchd::trust::{KeyDocument, KeySet};
use fetchd_stand_ins::s3::S3Server;

use crate::field::{Field, Kind, plan};
use crate::site::Supervised;

#[track_caller]
fn wait_for_code(fetchd: &mut Supervised<'_>, wanted: &str) {
    fetchd.wait(wanted, |status| {
        let last = status.updates.last.as_ref().and_then(|last| last.error.as_ref());
        last.is_some_and(|error| error.code == wanted)
    });
}

#[test]
fn a_stolen_online_key_installs_nothing_that_the_offline_keys_do_not_allow() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    // Bytes that nobody has signed.
    let thief = Field { offline: SigningKey::generate().unwrap(), ..Field::new(&s3) };
    thief.release("6.6.6", 66, Kind::Good, &[]);
    field.head(1, "6.6.6", |_| {});
    let mut fetchd = field.run(&site, "web-1", &[]);
    wait_for_code(&mut fetchd, "signature.unknown_key");
    // Signed, and faster than its bounds.
    field.release_with("1.1.0", 1, Kind::Good, |release| release["bounds"]["min_total_s"] = 3600.into());
    field.head(2, "1.1.0", |head| head.rollout = "r-2".to_owned());
    wait_for_code(&mut fetchd, "fleet.out_of_bounds");
    // Meant for no fleet.
    field.release_with("1.2.0", 2, Kind::Good, |release| drop(release.as_object_mut().unwrap().remove("bounds")));
    field.head(3, "1.2.0", |head| head.rollout = "r-3".to_owned());
    wait_for_code(&mut fetchd, "fleet.no_bounds");
    // Another release in the directory than the one it is called after.
    let swapped = field.get(field.names.manifest("1.1.0")).unwrap();
    field.put(field.names.manifest("9.9.9"), swapped);
    field.head(4, "9.9.9", |head| head.rollout = "r-4".to_owned());
    wait_for_code(&mut fetchd, "release.not_listed");
    for rollout in ["r-1", "r-2", "r-3", "r-4"] {
        assert!(field.evidence(rollout).is_empty());
    }
    fetchd.wait_for_version("1.0.0");
    assert!(site.record().previous.is_none());
}

#[test]
fn a_head_of_another_key_and_one_from_the_past_are_refused() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    field.release("1.1.0", 1, Kind::Good, &[]);
    field.release("1.2.0", 2, Kind::Good, &[]);
    field.head(5, "1.1.0", |_| {});
    let mut fetchd = field.run(&site, "web-1", &[]);
    fetchd.wait_for_version("1.1.0");
    field.publish(&plan(6, "1.2.0"), &SigningKey::generate().unwrap());
    wait_for_code(&mut fetchd, "signature.unknown_key");
    field.head(4, "1.2.0", |_| {});
    wait_for_code(&mut fetchd, "head.rollback");
    // Also after a restart: what was seen is on disk.
    drop(fetchd);
    let mut fetchd = field.run(&site, "web-1", &[]);
    wait_for_code(&mut fetchd, "head.rollback");
    fetchd.wait_for_version("1.1.0");
}

#[test]
fn a_worker_that_lies_can_delay_and_never_install() {
    let s3 = S3Server::start();
    let field = Field::new(&s3);
    let site = field.host();
    field.release("1.1.0", 1, Kind::Good, &[]);
    field.head(1, "1.1.0", |_| {});
    for lie in ["head", "document", "signature"] {
        let mut fetchd = field.run_with(&site, "web-1", &[], &[("FETCHD_TEST_WORKER", lie)]);
        fetchd.wait("it refuses", |status| {
            let last = status.updates.last.as_ref().and_then(|last| last.error.as_ref());
            last.is_some_and(|error| matches!(error.exit.number(), 20 | 21))
        });
        fetchd.wait_for_version("1.0.0");
        drop(fetchd);
    }
    assert!(field.evidence("r-1").is_empty());
    let mut fetchd = field.run(&site, "web-1", &[]);
    fetchd.wait_for_version("1.1.0");
}

/// The offline keys change: a host follows the key sets in its bucket, and believes from then on whom the newest names.
#[test]
fn a_host_follows_the_key_sets_in_its_bucket() {
    let s3 = S3Server::start();
    let root = SigningKey::generate().unwrap();
    let mut field = Field::new(&s3);
    let site = field.host();
    let set = |version, release: &SigningKey| {
        let role = |key: &SigningKey| KeySet::new(vec![key.public().clone()], 1).unwrap();
        let (root_role, release) = (role(&root), role(release));
        let document =
            KeyDocument { product: "app".to_owned(), version, epoch: 0, expires: None, root: root_role, release };
        key_file(&document, &[&root]).unwrap()
    };
    let provisioned = site.path().join("app.keys");
    std::fs::write(&provisioned, set(1, &field.offline)).unwrap();
    field.keys = Some(provisioned);
    field.release("1.1.0", 1, Kind::Good, &[]);
    field.head(1, "1.1.0", |_| {});
    let mut fetchd = field.run(&site, "web-1", &[]);
    fetchd.wait_for_version("1.1.0");

    let next = SigningKey::generate().unwrap();
    field.put(field.names.root(2), set(2, &next));
    let left = std::mem::replace(&mut field.offline, next);
    field.release("1.2.0", 2, Kind::Good, &[]);
    field.head(2, "1.2.0", |head| head.rollout = "r-2".to_owned());
    let status = fetchd.wait_for_version("1.2.0");
    assert_eq!(status.updates.keys.unwrap().version, 2);
    // Whoever has left signs nothing any more, also after a restart with the set that was provisioned.
    field.offline = left;
    field.release("1.3.0", 3, Kind::Good, &[]);
    field.head(3, "1.3.0", |head| head.rollout = "r-3".to_owned());
    wait_for_code(&mut fetchd, "signature.unknown_key");
    drop(fetchd);
    let mut fetchd = field.run(&site, "web-1", &[]);
    wait_for_code(&mut fetchd, "signature.unknown_key");
    fetchd.wait_for_version("1.2.0");
}
