//! Reads: whole, in part, on conditions, of a list; and who may.

use std::io::{Read, Write};
use std::net::TcpStream;

use aws_sdk_s3::types::ChecksumMode;

use super::{Subject, pattern, refusal, status};

/// The MD5 of the bytes is the ETag; size and time are told; a missing key is 404.
pub(crate) async fn what_was_put_is_read(subject: &Subject) {
    let (client, bucket) = (subject.client(), subject.bucket);
    let etag = subject.put("reads/app", b"hello").await;
    assert_eq!(etag, "\"5d41402abc4b2a76b9719d911017c592\"");
    let head = client.head_object().bucket(bucket).key("reads/app").send().await.unwrap();
    assert_eq!((head.e_tag(), head.content_length()), (Some(etag.as_str()), Some(5)));
    assert!(head.last_modified().is_some());
    let get = client.get_object().bucket(bucket).key("reads/app").send().await.unwrap();
    assert_eq!(get.e_tag(), Some(etag.as_str()));
    assert_eq!(get.body.collect().await.unwrap().to_vec(), b"hello");
    let empty = subject.put("reads/empty", b"").await;
    let get = client.get_object().bucket(bucket).key("reads/empty").send().await.unwrap();
    assert_eq!((get.e_tag(), get.content_length()), (Some(empty.as_str()), Some(0)));
    let missing = client.get_object().bucket(bucket).key("reads/none").send().await;
    assert_eq!(refusal(missing), (404, "NoSuchKey".to_owned()));
    assert_eq!(status(client.head_object().bucket(bucket).key("reads/none").send().await), 404);
    let nowhere = client.get_object().bucket("no-such-bucket").key("app").send().await;
    assert_eq!(refusal(nowhere), (404, "NoSuchBucket".to_owned()));
}

/// What the reader has is 304, with its ETag; what is not what it wants is 412.
pub(crate) async fn reads_have_conditions(subject: &Subject) {
    let (client, bucket, key) = (subject.client(), subject.bucket, "conditions/app");
    let etag = subject.put(key, b"one").await;
    let unchanged = client.get_object().bucket(bucket).key(key).if_none_match(&etag).send().await.unwrap_err();
    let response = unchanged.raw_response().unwrap();
    assert_eq!(response.status().as_u16(), 304);
    assert_eq!(response.headers().get("etag"), Some(etag.as_str()));
    assert_eq!(status(client.head_object().bucket(bucket).key(key).if_none_match(&etag).send().await), 304);
    let get = client.get_object().bucket(bucket).key(key);
    assert!(get.clone().if_none_match("\"other\"").send().await.is_ok());
    assert!(get.clone().if_match(&etag).send().await.is_ok());
    assert_eq!(status(get.clone().if_match("\"other\"").send().await), 412);
    // After a change the same condition finds something new.
    subject.put(key, b"two").await;
    assert!(get.clone().if_none_match(&etag).send().await.is_ok());
    assert_eq!(status(get.if_match(&etag).send().await), 412);
}

/// From, to, from-to, the last so many; past the end is 416.
pub(crate) async fn reads_have_ranges(subject: &Subject) {
    let (client, bucket, key) = (subject.client(), subject.bucket, "ranges/app");
    let bytes = pattern(100_000);
    subject.put(key, &bytes).await;
    let read = |range: &str| client.get_object().bucket(bucket).key(key).range(range).send();
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=40000-", 40_000, 100_000),
        ("bytes=10-19", 10, 20),
        ("bytes=99990-200000", 99_990, 100_000),
        ("bytes=-10", 99_990, 100_000),
    ] {
        let get = read(range).await.unwrap();
        assert_eq!(get.content_range().unwrap(), format!("bytes {from}-{}/100000", to - 1), "{range}");
        assert_eq!(get.content_length(), Some((to - from) as i64), "{range}");
        assert!(get.body.collect().await.unwrap().to_vec() == bytes[from..to], "{range}");
    }
    assert_eq!(refusal(read("bytes=100000-").await), (416, "InvalidRange".to_owned()));
}

/// A checksum that was stored is shown for the whole object and for no part of it.
pub(crate) async fn a_checksum_is_of_the_whole(subject: &Subject) {
    let (client, bucket, key) = (subject.client(), subject.bucket, "sums/app");
    // printf hello | sha256sum | xxd -r -p | base64
    let sha256 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    let put = client.put_object().bucket(bucket).key(key).checksum_sha256(sha256).body(b"hello".to_vec().into());
    put.send().await.unwrap();
    let read = client.get_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
    assert_eq!(read.clone().send().await.unwrap().checksum_sha256(), Some(sha256));
    assert_eq!(read.range("bytes=1-2").send().await.unwrap().checksum_sha256(), None);
    let head = client.head_object().bucket(bucket).key(key);
    assert_eq!(head.clone().send().await.unwrap().checksum_sha256(), None);
    let head = head.checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(head.checksum_sha256(), Some(sha256));
}

/// In pages, below a prefix, after a key, with folders; what was just put is on it.
pub(crate) async fn lists_have_pages(subject: &Subject) {
    let (client, bucket) = (subject.client(), subject.bucket);
    for key in ["lists/a", "lists/b/1", "lists/b/2", "lists/c", "lists/d"] {
        subject.put(key, b"x").await;
    }
    let list = || client.list_objects_v2().bucket(bucket).prefix("lists/");
    let keys = |contents: &[aws_sdk_s3::types::Object]| -> Vec<String> {
        contents.iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    };
    let (mut all, mut pages, mut token) = (Vec::new(), 0, None);
    loop {
        let page = list().max_keys(2).set_continuation_token(token).send().await.unwrap();
        all.extend(keys(page.contents()));
        pages += 1;
        token = page.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            assert_eq!(page.is_truncated(), Some(false));
            break;
        }
    }
    assert_eq!(all, ["lists/a", "lists/b/1", "lists/b/2", "lists/c", "lists/d"]);
    assert_eq!(pages, 3);
    let after = list().start_after("lists/b/2").send().await.unwrap();
    assert_eq!(keys(after.contents()), ["lists/c", "lists/d"]);
    let folders = list().delimiter("/").send().await.unwrap();
    assert_eq!(keys(folders.contents()), ["lists/a", "lists/c", "lists/d"]);
    let prefixes: Vec<_> = folders.common_prefixes().iter().filter_map(|folder| folder.prefix()).collect();
    assert_eq!(prefixes, ["lists/b/"]);
    assert!(folders.contents()[0].e_tag().is_some());
}

/// Each wrong credential has its code.
pub(crate) async fn signatures_are_checked(subject: &Subject) {
    subject.put("refused/app", b"x").await;
    let read = |keys| {
        let client = subject.client_with(keys);
        async move { refusal(client.get_object().bucket(subject.bucket).key("refused/app").send().await) }
    };
    let wrong = read(Some((subject.access_key, "not-the-secret"))).await;
    assert_eq!(wrong, (403, "SignatureDoesNotMatch".to_owned()));
    let unknown = read(Some(("AKIANOBODYKNOWSTHIS0", subject.secret_key))).await;
    assert_eq!(unknown, (403, "InvalidAccessKeyId".to_owned()));
    assert_eq!(read(None).await, (403, "AccessDenied".to_owned()));
    let list = subject.client_with(None).list_objects_v2().bucket(subject.bucket).send().await;
    assert_eq!(status(list), 403);
    let put = subject.client_with(None).put_object().bucket(subject.bucket).key("refused/new");
    assert_eq!(status(put.body(b"x".to_vec().into()).send().await), 403);
}

/// Every reply tells the server's time: agents take theirs from it.
pub(crate) fn every_reply_has_a_date(subject: &Subject) {
    for path in [format!("/{}/refused", subject.bucket), "/no-such-bucket/app".to_owned()] {
        let address = subject.endpoint.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let reply = String::from_utf8_lossy(&reply).to_lowercase();
        assert!(reply.contains("\r\ndate: "), "{path}: {reply}");
    }
}
