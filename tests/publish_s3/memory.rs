//! An older pointer that is put back into a bucket, and key sets beside a pointer there.

use fetchd::failure::{Exit, Failure as _};
use fetchd::publish::{
    AtLeast, KeyChange, KeyDraft, Memory, PublishError, PublishOptions, SigningKey, first_keys, next_keys, publish,
    publish_keys,
};
use fetchd::trust::{KeySet, TrustedKeys};

use super::{BucketPlace, Desk, Fault, Operation, POINTER, Refusal, Timestamp, When};

impl Desk {
    fn at_least(&self, seq: u64) -> Result<u64, PublishError> {
        let place = self.place();
        let mut options = PublishOptions::at(&place, "web", "stable", std::slice::from_ref(&self.key));
        options.at_least = Some(AtLeast { epoch: None, seq });
        publish(&options).map(|published| published.seq)
    }

    fn remembering(&self, memory: &Memory) -> Result<u64, PublishError> {
        let place = self.place();
        let mut options = PublishOptions::at(&place, "web", "stable", std::slice::from_ref(&self.key));
        options.memory = Some(memory);
        publish(&options).map(|published| published.seq)
    }
}

#[test]
fn an_older_pointer_that_was_put_back_into_a_bucket_is_not_built_on() {
    let desk = Desk::with_channel();
    let memory = Memory::at(&desk.dir.path().join("memory.json"));
    assert_eq!(desk.remembering(&memory).unwrap(), 2);
    let second = desk.server.get(POINTER).unwrap();
    assert_eq!(desk.remembering(&memory).unwrap(), 3);
    let third = desk.server.get(POINTER).unwrap();
    desk.server.put(POINTER, second.clone());
    let refused = desk.remembering(&memory).unwrap_err();
    assert_eq!((refused.code(), refused.exit()), ("publish.rolled_back", Exit::Rollback));
    assert_eq!(desk.server.get(POINTER).unwrap(), second);
    desk.server.remove(POINTER);
    assert_eq!(desk.remembering(&memory).unwrap_err().code(), "publish.rolled_back");
    assert_eq!(desk.server.get(POINTER), None);
    desk.server.put(POINTER, third);
    // What was refused by the store was not published, and is not remembered as if it were.
    desk.server.inject(Fault::Refuse(Refusal::AccessDenied), When::any().operation(Operation::Put));
    assert!(desk.remembering(&memory).is_err());
    desk.server.clear();
    assert_eq!(desk.remembering(&memory).unwrap(), 4);
    // The same channel in another bucket is another one.
    let server = fetchd_stand_ins::s3::S3Server::start();
    let place = BucketPlace::open(&server.source("web"), &server.options()).unwrap();
    let mut options = PublishOptions::at(&place, "web", "stable", std::slice::from_ref(&desk.key));
    options.memory = Some(&memory);
    assert_eq!(publish(&options).unwrap().seq, 1);
    // Without a memory the number can be said.
    assert_eq!(desk.at_least(5).unwrap_err().code(), "publish.rolled_back");
    assert_eq!(desk.at_least(4).unwrap(), 5);
}

#[test]
fn a_key_set_is_created_in_a_bucket_once() {
    let desk = Desk::new();
    let place = desk.place();
    let now = Timestamp::now();
    let set = |key: &SigningKey| KeySet::new(vec![key.public().clone()], 1).unwrap();
    let mut first = KeyDraft::new(&first_keys("web", set(&desk.key), set(&desk.key), None, 0, now).unwrap()).unwrap();
    first.sign(&desk.key, None).unwrap();
    let first = first.to_file();
    let trusted = TrustedKeys::provisioned(&first, "web").unwrap();
    let next = |edit: &dyn Fn(&mut KeyChange)| {
        let mut change = KeyChange::default();
        edit(&mut change);
        let mut draft = KeyDraft::new(&next_keys(&trusted, &change, now).unwrap()).unwrap();
        draft.sign(&desk.key, Some(&trusted)).unwrap();
        draft.to_file()
    };
    let (second, other) =
        (next(&|change| change.bump_epoch = true), next(&|change| change.expires = Some(Some(Timestamp(now.0 + 99)))));
    assert_eq!(publish_keys(&place, &second, None, now).unwrap_err().code(), "keys.previous");
    assert!(!publish_keys(&place, &first, None, now).unwrap().there);
    assert!(publish_keys(&place, &first, None, now).unwrap().there);
    let done = publish_keys(&place, &second, None, now).unwrap();
    assert_eq!((done.keys.version(), done.location.as_str()), (2, "s3://releases/web/keys/2"));
    assert_eq!(publish_keys(&place, &other, None, now).unwrap_err().code(), "publish.exists");
    assert_eq!(desk.server.get("web/keys/2").unwrap(), second);
    assert_eq!(desk.server.keys(), ["web/keys/1", "web/keys/2"]);
    // One that has expired in the meantime is of no use to anybody.
    let late = publish_keys(&place, &other, None, Timestamp(now.0 + 100)).unwrap_err();
    assert_eq!((late.code(), late.exit()), ("keys.expired", Exit::Stale));
    desk.server.inject(Fault::Refuse(Refusal::AccessDenied), When::any());
    assert_eq!(publish_keys(&place, &first, None, now).unwrap_err().exit(), Exit::Unreachable);
}
