//! Writes, on conditions and without, and deletions.

use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;

use super::{Subject, refusal, status};

fn put(subject: &Subject, key: &str, text: &str) -> PutObjectFluentBuilder {
    subject.client().put_object().bucket(subject.bucket).key(key).body(text.as_bytes().to_vec().into())
}

async fn read(subject: &Subject, key: &str) -> Vec<u8> {
    let get = subject.client().get_object().bucket(subject.bucket).key(key).send().await.unwrap();
    get.body.collect().await.unwrap().to_vec()
}

/// `If-None-Match: *` creates, and never replaces.
pub(crate) async fn create_once(subject: &Subject) {
    put(subject, "once/app", "one").if_none_match("*").send().await.unwrap();
    let again = put(subject, "once/app", "two").if_none_match("*").send().await;
    assert_eq!(refusal(again), (412, "PreconditionFailed".to_owned()));
    assert_eq!(read(subject, "once/app").await, b"one");
}

/// `If-Match` replaces what it names and nothing else.
pub(crate) async fn compare_and_swap(subject: &Subject) {
    let one = subject.put("swap/app", b"one").await;
    let two = put(subject, "swap/app", "two").if_match(&one).send().await.unwrap().e_tag.unwrap();
    let stale = put(subject, "swap/app", "three").if_match(&one).send().await;
    assert_eq!(refusal(stale), (412, "PreconditionFailed".to_owned()));
    assert_eq!(read(subject, "swap/app").await, b"two");
    put(subject, "swap/app", "three").if_match(&two).send().await.unwrap();
    let missing = put(subject, "swap/none", "x").if_match(&one).send().await;
    let expected = if subject.differs.missing_is_412 { 412 } else { 404 };
    assert_eq!(status(missing), expected);
    assert_eq!(status(subject.client().head_object().bucket(subject.bucket).key("swap/none").send().await), 404);
}

/// A deletion may have a condition; without one it is the same the second time.
pub(crate) async fn deletions(subject: &Subject) {
    let client = subject.client();
    let delete = || client.delete_object().bucket(subject.bucket).key("deleted/app");
    let etag = subject.put("deleted/app", b"one").await;
    assert_eq!(status(delete().if_match("\"5d41402abc4b2a76b9719d911017c592\"").send().await), 412);
    assert_eq!(read(subject, "deleted/app").await, b"one");
    delete().if_match(&etag).send().await.unwrap();
    delete().send().await.unwrap();
    assert_eq!(status(client.head_object().bucket(subject.bucket).key("deleted/app").send().await), 404);
}

/// Bytes that are not those the client announced are not stored.
pub(crate) async fn damaged_uploads_are_refused(subject: &Subject) {
    // Of `hello`, which is not what is sent.
    let sha256 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    let md5 = "XUFAKrxLKna5cZ2REBfFkg==";
    let sum = put(subject, "damaged/app", "other").checksum_sha256(sha256).send().await;
    assert_eq!(refusal(sum), (400, "BadDigest".to_owned()));
    let md5 = put(subject, "damaged/app", "other").content_md5(md5).send().await;
    assert_eq!(refusal(md5), (400, "BadDigest".to_owned()));
    assert_eq!(status(subject.client().head_object().bucket(subject.bucket).key("damaged/app").send().await), 404);
}

/// A versioned bucket keeps what is replaced and what is deleted.
pub(crate) async fn versions_are_kept(subject: &Subject) {
    let (client, bucket, key) = (subject.client(), subject.versioned, "kept/app");
    let put = |text: &str| client.put_object().bucket(bucket).key(key).body(text.as_bytes().to_vec().into()).send();
    let one = put("one").await.unwrap().version_id.expect("the first version has an id");
    let two = put("two").await.unwrap().version_id.expect("the second version has an id");
    assert_ne!(one, two);
    let get = |version: Option<&String>| {
        let get = client.get_object().bucket(bucket).key(key).set_version_id(version.cloned()).send();
        async move {
            let get = get.await?;
            let version = get.version_id().map(str::to_owned);
            Ok::<_, aws_sdk_s3::Error>((version, get.body.collect().await.unwrap().to_vec()))
        }
    };
    assert_eq!(get(None).await.unwrap(), (Some(two.clone()), b"two".to_vec()));
    assert_eq!(get(Some(&one)).await.unwrap(), (Some(one.clone()), b"one".to_vec()));
    let deleted = client.delete_object().bucket(bucket).key(key).send().await.unwrap();
    assert_eq!(deleted.delete_marker(), Some(true));
    assert_eq!(status(client.head_object().bucket(bucket).key(key).send().await), 404);
    assert_eq!(get(Some(&two)).await.unwrap().1, b"two");
    let listed = client.list_object_versions().bucket(bucket).prefix("kept/").send().await.unwrap();
    assert_eq!((listed.versions().len(), listed.delete_markers().len()), (2, 1));
}
