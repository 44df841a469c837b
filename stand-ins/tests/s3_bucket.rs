//! Conditional writes over a server that loses replies, refuses, and does as other servers do.

#![allow(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fetchd_fetchers::Kind;
use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Step};
use fetchd_fetchers::s3::settings::Settings;
use fetchd_fetchers::s3::{Bucket, Compared, Content, Created, Labels, Replaced, UPLOAD_LIMIT};
use fetchd_stand_ins::s3::{Fault, Operation, Refusal, S3Server, VERSIONED, When};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

const LIMIT: u64 = 1 << 20;

/// What leaves open whether a request was carried out, with whether it was.
fn unclear() -> Vec<(Fault, bool)> {
    vec![
        (Fault::LostRequest, false),
        (Fault::LostReply, true),
        (Fault::Refuse(Refusal::InternalError), false),
        (Fault::RefuseAfter(Refusal::InternalError), true),
        (Fault::Refuse(Refusal::ServiceUnavailable), false),
        (Fault::Refuse(Refusal::SlowDown(None)), false),
        (Fault::Refuse(Refusal::Conflict), false),
        (Fault::RefuseAfter(Refusal::PreconditionFailed), true),
    ]
}

async fn bucket(server: &S3Server) -> Bucket {
    opened(server, &server.source(""), &[]).await
}

async fn opened(server: &S3Server, url: &url::Url, more: &[(&str, &str)]) -> Bucket {
    let mut options = server.options();
    for (name, value) in more {
        options.insert((*name).to_owned(), vec![(*value).to_owned()]);
    }
    Bucket::open(Settings::read(url, &options).unwrap()).await.unwrap()
}

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn content<'a>(file: &'a NamedTempFile, bytes: &[u8]) -> Content<'a> {
    Content::File { path: file.path(), size: bytes.len() as u64, sha256: Sha256::digest(bytes).into(), sent: &|_| {} }
}

fn puts(server: &S3Server) -> usize {
    server.requests().iter().filter(|request| request.operation == Operation::Put).count()
}

#[tokio::test]
async fn what_is_written_is_read_with_its_state_and_the_time_of_the_store() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    assert!(bucket.get("a/b", LIMIT).await.unwrap().is_none());
    assert!(bucket.head("a/b").await.unwrap().is_none());
    let labels = Labels { content_type: Some("text/plain"), cache_control: Some("no-cache") };
    let created = bucket.create("a/b", Content::Bytes(b"one"), labels).await.unwrap();
    assert!(matches!(created, Created::New(_)), "{created:?}");
    let put = server.requests().into_iter().find(|request| request.operation == Operation::Put).unwrap();
    for (name, value) in [("content-type", "text/plain"), ("cache-control", "no-cache"), ("if-none-match", "*")] {
        assert_eq!(put.header(name), Some(value));
    }
    server.inject(Fault::Date(300), When::any());
    let object = bucket.get("a/b", LIMIT).await.unwrap().unwrap();
    let stat = bucket.head("a/b").await.unwrap().unwrap();
    assert_eq!((&object.bytes[..], stat.size, stat.etag.as_ref()), (&b"one"[..], 3, Some(&object.etag)));
    assert_eq!(stat.sha256, Some(Sha256::digest(b"one").into()));
    let ahead = object.date.unwrap().duration_since(SystemTime::now()).unwrap().as_secs();
    assert!((250..350).contains(&ahead), "{ahead}");
    let error = bucket.get("a/b", 2).await.unwrap_err();
    assert!(error.to_string().contains("more than 2 bytes"), "{error}");
}

#[tokio::test]
async fn an_object_is_created_once_and_never_changed() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    let large = vec![7_u8; 3_000_000];
    let (told, one) = (AtomicU64::new(0), file(&large));
    let sent = |bytes| told.store(bytes, Ordering::Relaxed);
    let sha256 = Sha256::digest(&large).into();
    let content_one = Content::File { path: one.path(), size: large.len() as u64, sha256, sent: &sent };
    assert!(matches!(bucket.create("app", content_one, Labels::default()).await.unwrap(), Created::New(_)));
    assert_eq!((server.get("app").unwrap().as_ref(), told.into_inner()), (&large[..], 3_000_000));
    let again = bucket.create("app", content(&one, &large), Labels::default()).await.unwrap();
    assert!(matches!(again, Created::Same), "{again:?}");
    let other = file(b"two");
    let refused = bucket.create("app", content(&other, b"two"), Labels::default()).await.unwrap();
    assert!(matches!(refused, Created::Other), "{refused:?}");
    // The same size is not the same bytes.
    let mut twisted = large.clone();
    twisted[1_500_000] = 8;
    let twisted_file = file(&twisted);
    let refused = bucket.create("app", content(&twisted_file, &twisted), Labels::default()).await.unwrap();
    assert!(matches!(refused, Created::Other), "{refused:?}");
    assert_eq!(puts(&server), 1);
}

#[tokio::test]
async fn an_object_that_appears_after_the_look_stays() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    server.inject(Fault::ReplaceAfter("theirs".into()), When::any().operation(Operation::Head).once());
    let refused = bucket.create("app", Content::Bytes(b"ours"), Labels::default()).await.unwrap();
    assert!(matches!(refused, Created::Other), "{refused:?}");
    assert_eq!((server.get("app").unwrap(), puts(&server)), ("theirs".into(), 1));
}

#[tokio::test]
async fn without_checksums_the_bytes_themselves_are_compared() {
    let server = S3Server::start();
    let bucket = opened(&server, &server.source(""), &[("checksums", "when_required")]).await;
    bucket.create("app", Content::Bytes(b"one"), Labels::default()).await.unwrap();
    let put = server.requests().into_iter().find(|request| request.operation == Operation::Put).unwrap();
    assert_eq!(put.header("x-amz-checksum-sha256"), None);
    let compare = |bytes: &'static [u8]| bucket.compare("app", 3, Sha256::digest(bytes).into());
    assert_eq!(compare(b"one").await.unwrap(), Compared::Same);
    assert_eq!(compare(b"two").await.unwrap(), Compared::Other);
    assert_eq!(bucket.compare("none", 3, [0; 32]).await.unwrap(), Compared::Absent);
    // An object of several parts has a checksum of parts, or none.
    server.put_multipart("parts", vec![3_u8; 6_000_000]);
    let sha256 = Sha256::digest(vec![3_u8; 6_000_000]).into();
    assert_eq!(bucket.compare("parts", 6_000_000, sha256).await.unwrap(), Compared::Same);
    let with = self::bucket(&server).await;
    assert_eq!(with.compare("parts", 6_000_000, sha256).await.unwrap(), Compared::Same);
}

/// A publisher compares what is there already: it must not read for as long as the store likes to send.
#[tokio::test]
async fn a_body_without_end_is_other_bytes_as_soon_as_it_is_too_long() {
    let origin = ScriptedOrigin::start();
    origin.put("/releases/app", "bytes and more");
    // The answer to a `HEAD`.
    origin.script("/releases/app", vec![Step::header("Content-Length", "5")]);
    let endless =
        vec![Step::WithoutHeader("Content-Length".to_owned()), Step::Send(6), Step::Stall(Duration::from_secs(3600))];
    origin.script("/releases/app", endless);
    let given = [
        ("endpoint", origin.url("").to_string()),
        ("unsigned", "true".into()),
        ("proxy", "none".into()),
        ("timeout", "5s".into()),
    ];
    let options = given.map(|(name, value)| (name.to_owned(), vec![value])).into();
    let url = url::Url::parse("s3://releases/app").unwrap();
    let bucket = Bucket::open(Settings::read(&url, &options).unwrap()).await.unwrap();
    let compared = bucket.compare("app", 5, Sha256::digest(b"bytes").into()).await.unwrap();
    assert!(matches!(compared, Compared::Other), "{compared:?}");
    assert_eq!(origin.requests().iter().map(|r| r.method.clone()).collect::<Vec<_>>(), ["HEAD", "GET"]);
}

#[tokio::test]
async fn a_file_that_changed_is_not_written_in_part_or_whole() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    let measured = vec![1_u8; 1_000_000];
    for now in [vec![1; 999_999], [vec![1; 999_999], vec![2]].concat(), Vec::new()] {
        let file = file(&now);
        let created = bucket.create("app", content(&file, &measured), Labels::default()).await.unwrap();
        assert!(matches!(created, Created::SourceChanged), "{} bytes: {created:?}", now.len());
        assert_eq!(server.get("app"), None);
    }
    let gone = file(b"x");
    let path = gone.path().to_owned();
    let content = Content::File { path: &path, size: 1, sha256: Sha256::digest(b"x").into(), sent: &|_| {} };
    drop(gone);
    assert!(matches!(bucket.create("app", content, Labels::default()).await.unwrap(), Created::SourceChanged));
}

#[tokio::test]
async fn more_than_one_request_can_write_is_refused() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    let path = std::path::Path::new("/dev/null");
    let content = Content::File { path, size: UPLOAD_LIMIT + 1, sha256: [0; 32], sent: &|_| {} };
    let error = bucket.create("app", content, Labels::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Misconfigured);
    assert!(error.to_string().contains("5,368,709,121 bytes"), "{error}");
    assert_eq!(puts(&server), 0);
}

#[tokio::test]
async fn an_object_whose_answer_was_lost_is_created_once_all_the_same() {
    for (fault, done) in unclear() {
        let server = S3Server::start();
        let bucket = bucket(&server).await;
        server.inject(fault.clone(), When::any().operation(Operation::Put).once());
        let one = file(b"one");
        let created = bucket.create("app", content(&one, b"one"), Labels::default()).await.unwrap();
        match created {
            Created::Same => assert!(done, "{fault:?}"),
            Created::New(_) => assert!(!done, "{fault:?}"),
            other => panic!("{fault:?}: {other:?}"),
        }
        assert_eq!(puts(&server), if done { 1 } else { 2 }, "{fault:?}");
        assert_eq!(server.get("app").unwrap(), "one");
    }
}

#[tokio::test]
async fn an_object_is_replaced_in_the_state_in_which_it_was_read() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    server.put("head", "1");
    let found = bucket.get("head", LIMIT).await.unwrap().unwrap().etag;
    let replaced = bucket.replace("head", b"2", Labels::default(), &found).await.unwrap();
    let Replaced::Done(written) = replaced else { panic!("{replaced:?}") };
    assert_eq!(written.etag, bucket.get("head", LIMIT).await.unwrap().map(|object| object.etag));
    let stale = bucket.replace("head", b"3", Labels::default(), &found).await.unwrap();
    assert!(matches!(stale, Replaced::Lost { .. }), "{stale:?}");
    assert_eq!(server.get("head").unwrap(), "2");
    server.remove("head");
    let gone = bucket.replace("head", b"3", Labels::default(), &found).await.unwrap();
    assert!(matches!(gone, Replaced::Lost { .. }), "{gone:?}");
    assert_eq!(server.get("head"), None);
}

#[tokio::test]
async fn a_swap_whose_answer_was_lost_is_known_by_its_bytes() {
    for (fault, done) in unclear() {
        let server = S3Server::start();
        let bucket = bucket(&server).await;
        server.put("head", "1");
        let found = bucket.get("head", LIMIT).await.unwrap().unwrap().etag;
        server.inject(fault.clone(), When::any().operation(Operation::Put).once());
        let replaced = bucket.replace("head", b"2", Labels::default(), &found).await.unwrap();
        assert!(matches!(replaced, Replaced::Done(_)), "{fault:?}: {replaced:?}");
        assert_eq!(puts(&server), if done { 1 } else { 2 }, "{fault:?}");
        assert_eq!(server.get("head").unwrap(), "2");
    }
}

#[tokio::test]
async fn a_swap_that_failed_is_not_repeated_over_somebody_elses() {
    for (fault, _) in unclear() {
        let server = S3Server::start();
        let bucket = bucket(&server).await;
        server.put("head", "1");
        let found = bucket.get("head", LIMIT).await.unwrap().unwrap().etag;
        let put = || When::any().operation(Operation::Put).once();
        server.inject(fault.clone(), put());
        // Between the answer and the look at what is there.
        server.inject(Fault::ReplaceAfter("theirs".into()), put());
        if matches!(fault, Fault::LostRequest | Fault::Refuse(_)) {
            server.put("head", "theirs");
        }
        let replaced = bucket.replace("head", b"2", Labels::default(), &found).await.unwrap();
        assert!(matches!(replaced, Replaced::Lost { .. }), "{fault:?}: {replaced:?}");
        assert_eq!(server.get("head").unwrap(), "theirs", "{fault:?}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_any_more_leaves_it_unknown() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    server.put("head", "1");
    let found = bucket.get("head", LIMIT).await.unwrap().unwrap().etag;
    server.inject(Fault::LostReply, When::any().operation(Operation::Put));
    server.inject(Fault::Refuse(Refusal::AccessDenied), When::any().reading());
    let replaced = bucket.replace("head", b"2", Labels::default(), &found).await.unwrap();
    let Replaced::Unknown(error) = replaced else { panic!("{replaced:?}") };
    assert_eq!(error.kind(), Kind::Denied);
    server.clear();
    server.inject(Fault::LostReply, When::any().operation(Operation::Put));
    server.inject(Fault::Refuse(Refusal::AccessDenied), When::any().reading().from(2));
    let created = bucket.create("new", Content::Bytes(b"x"), Labels::default()).await.unwrap();
    assert!(matches!(created, Created::Unknown(_)), "{created:?}");
}

#[tokio::test]
async fn a_store_that_fails_for_ever_is_given_up() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    server.put("head", "1");
    let found = bucket.get("head", LIMIT).await.unwrap().unwrap().etag;
    server.inject(Fault::Refuse(Refusal::InternalError), When::any().operation(Operation::Put));
    let replaced = bucket.replace("head", b"2", Labels::default(), &found).await.unwrap();
    assert!(matches!(replaced, Replaced::Unknown(_)), "{replaced:?}");
    assert!((2..=6).contains(&puts(&server)), "{}", puts(&server));
    assert_eq!(server.get("head").unwrap(), "1");
    // An answer that says no is no reason to ask again.
    server.clear();
    server.clear_requests();
    server.inject(Fault::Refuse(Refusal::AccessDenied), When::any().operation(Operation::Put));
    let error = bucket.replace("head", b"2", Labels::default(), &found).await.unwrap_err();
    assert_eq!((error.kind(), puts(&server)), (Kind::Denied, 1));
}

#[tokio::test]
async fn entity_tags_without_quotes_are_learned() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    server.inject(Fault::EtagsUnquoted, When::any());
    server.put("head", "0");
    for round in 1..=3_u8 {
        let found = bucket.get("head", LIMIT).await.unwrap().unwrap().etag;
        let bytes = [b'0' + round];
        let replaced = bucket.replace("head", &bytes, Labels::default(), &found).await.unwrap();
        assert!(matches!(replaced, Replaced::Done(_)), "{replaced:?}");
        // The first one is refused once, and after that it is known.
        assert_eq!(puts(&server), usize::from(round) + 1);
    }
    let stale = bucket.get("head", LIMIT).await.unwrap().unwrap().etag;
    server.put("head", "theirs");
    let lost = bucket.replace("head", b"9", Labels::default(), &stale).await.unwrap();
    assert!(matches!(lost, Replaced::Lost { .. }), "{lost:?}");
}

#[tokio::test]
async fn a_store_that_never_matches_is_said_so() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    server.put("head", "1");
    let found = bucket.get("head", LIMIT).await.unwrap().unwrap().etag;
    server.inject(Fault::Refuse(Refusal::PreconditionFailed), When::any().operation(Operation::Put));
    let error = bucket.replace("head", b"2", Labels::default(), &found).await.unwrap_err();
    assert!(error.to_string().contains("the store cannot compare"), "{error}");
    assert_eq!(puts(&server), 2);
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_not_believed() {
    let server = S3Server::start();
    let bucket = bucket(&server).await;
    server.inject(Fault::ConditionsIgnored, When::any());
    server.put("app", "theirs");
    let refused = bucket.create("app", Content::Bytes(b"ours"), Labels::default()).await.unwrap();
    assert!(matches!(refused, Created::Other), "{refused:?}");
    assert_eq!(server.get("app").unwrap(), "theirs");
    // Confirmed, and overwritten in the same moment: nobody said no.
    server.put("head", "1");
    let found = bucket.get("head", LIMIT).await.unwrap().unwrap().etag;
    server.inject(Fault::ReplaceAfter("theirs".into()), When::any().operation(Operation::Put).once());
    bucket.replace("head", b"2", Labels::default(), &found).await.unwrap();
    assert_eq!(bucket.read_back("head", b"2").await.unwrap(), Compared::Other);
    assert_eq!(bucket.read_back("head", b"theirs").await.unwrap(), Compared::Same);
}

#[tokio::test]
async fn versions_are_told() {
    let server = S3Server::start();
    let bucket = opened(&server, &server.source_in(VERSIONED, ""), &[]).await;
    let created = bucket.create("app", Content::Bytes(b"1"), Labels::default()).await.unwrap();
    let Created::New(first) = created else { panic!("{created:?}") };
    let object = bucket.get("app", LIMIT).await.unwrap().unwrap();
    assert!(object.version.is_some());
    assert_eq!(object.version, first.version);
    bucket.replace("app", b"2", Labels::default(), &object.etag).await.unwrap();
    assert_ne!(bucket.head("app").await.unwrap().unwrap().version, first.version);
    assert_eq!(server.bucket(VERSIONED).versions("app").len(), 2);
    // What is deleted can be created again.
    server.bucket(VERSIONED).remove("app");
    assert!(matches!(bucket.create("app", Content::Bytes(b"3"), Labels::default()).await.unwrap(), Created::New(_)));
}

#[tokio::test]
async fn no_increment_is_lost_among_racing_writers() {
    for quirk in [None, Some(Fault::EtagsUnquoted)] {
        let server = S3Server::start();
        server.put("count", "0");
        if let Some(quirk) = &quirk {
            server.inject(quirk.clone(), When::any());
        }
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let bucket = bucket(&server).await;
            writers.spawn(async move {
                for _ in 0..5 {
                    loop {
                        let object = bucket.get("count", LIMIT).await.unwrap().unwrap();
                        let text = String::from_utf8(object.bytes.to_vec()).unwrap();
                        let count: u64 = text.split(' ').next().unwrap().parse().unwrap();
                        // The writer's own mark, as every writer needs one.
                        let next = format!("{} {writer}", count + 1);
                        match bucket.replace("count", next.as_bytes(), Labels::default(), &object.etag).await.unwrap() {
                            Replaced::Done(_) => break,
                            Replaced::Lost { .. } => {}
                            Replaced::Unknown(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
        while let Some(writer) = writers.join_next().await {
            writer.unwrap();
        }
        let text = String::from_utf8(server.get("count").unwrap().to_vec()).unwrap();
        let count: u64 = text.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(count, 40, "{quirk:?}");
    }
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_bucket_are_told_apart() {
    let server = S3Server::start();
    let wrong = opened(&server, &server.source(""), &[("secret_access_key", "wrong")]).await;
    let error = wrong.create("app", Content::Bytes(b"x"), Labels::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(!format!("{error:?} {wrong:?}").contains("wrong"), "{error:?} {wrong:?}");
    let nowhere = opened(&server, &server.source_in("nowhere", ""), &[]).await;
    let error = nowhere.get("app", LIMIT).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("no bucket `nowhere`")), (Kind::NotFound, true), "{error}");
    let error = nowhere.create("app", Content::Bytes(b"x"), Labels::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}
