//! The fetcher against a server that keeps S3's promises, signatures included, until a fault is injected.

use std::time::Duration;

use fetchd_fetchers::{FetchError, Fetcher, Kind, Polled, Registry, Retry, Start};
use fetchd_stand_ins::s3::{ACCESS_KEY, Fault, PUBLIC, Refusal, S3Server, SECRET_KEY, VERSIONED, When};
use url::Url;

use crate::support::{body, bytes, name, offered, options, pattern, read, run};

const PART: usize = 64 * 1024;
const SIZE: usize = 5 * PART + 17;

fn fetcher(server: &S3Server, source: &Url, more: &[(&str, &str)]) -> Box<dyn Fetcher> {
    let mut all = server.options();
    all.extend(options(&[("part_size", "64KiB"), ("proxy", "none"), ("read_timeout", "5s")]));
    all.extend(options(more));
    Registry::builtin().open(source, &all).unwrap()
}

fn app(server: &S3Server) -> Box<dyn Fetcher> {
    fetcher(server, &server.source("web/app"), &[])
}

fn refused(server: &S3Server, source: &Url, more: &[(&str, &str)]) -> FetchError {
    run(fetcher(server, source, more).poll(None)).unwrap_err()
}

#[test]
fn a_signed_release_is_polled_and_downloaded() {
    let server = S3Server::start();
    let (bytes_of_app, signature) = (pattern(SIZE, 1), pattern(300, 2));
    server.put("web/app", bytes_of_app.clone());
    server.put("web/app.minisig", signature.clone());
    server.put("web/stable.fetchd", "{}");
    run(async {
        let app = app(&server);
        let release = offered(&*app).await;
        assert!(matches!(app.poll(Some(&release.revision)).await, Ok(Polled::Unchanged)));
        assert!(bytes(&*app, &release).await.unwrap() == bytes_of_app);
        let sibling = app.open(&release, &name("app.minisig"), &Start::default()).await.unwrap();
        assert!(read(sibling).await.unwrap() == signature);

        let document = fetcher(&server, &server.source("web/stable.fetchd"), &[]);
        let release = offered(&*document).await;
        assert_eq!(release.document.as_deref(), Some(&b"{}"[..]));
        let again = document.poll(Some(&release.revision)).await;
        assert!(matches!(again, Ok(Polled::Unchanged)), "{again:?} {:?}", server.requests().last());
        server.put("web/stable.fetchd", "[]");
        assert!(matches!(document.poll(Some(&release.revision)).await, Ok(Polled::Offers(_))));
    });
    assert!(server.requests().iter().all(|request| request.header("authorization").is_some()));
    assert!(server.requests().iter().all(|request| !request.key.is_empty()), "a bucket is listed");
}

#[test]
fn an_upload_in_parts_is_downloaded_like_any_other() {
    let server = S3Server::start();
    let parts = pattern(SIZE, 1);
    assert!(server.put_multipart("web/app", parts.clone()).contains("-2"));
    run(async {
        let app = app(&server);
        let release = offered(&*app).await;
        assert_eq!(release.assets[0].digest, None);
        assert!(bytes(&*app, &release).await.unwrap() == parts);
    });
}

#[test]
fn a_checksum_that_was_uploaded_is_the_digest() {
    let server = S3Server::start();
    server.put_with_sha256("web/app", "");
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    run(async { assert_eq!(offered(&*app(&server)).await.assets[0].digest.as_deref(), Some(digest)) });
}

#[test]
fn keys_with_every_kind_of_character_are_found() {
    let server = S3Server::start();
    for key in ["a b/c+d", "ä/ö", "100%/x", "(1)/*'!", "a&b=c/d;e", "~/$@,:"] {
        server.put(key, "the artifact");
        let mut source = server.source("x");
        let encoded: String =
            key.bytes().map(|b| if b == b'/' { "/".to_owned() } else { format!("%{b:02X}") }).collect();
        source.set_path(&encoded);
        run(async {
            let fetcher = fetcher(&server, &source, &[]);
            let release = offered(&*fetcher).await;
            assert_eq!(bytes(&*fetcher, &release).await.unwrap(), b"the artifact", "{key}");
        });
    }
}

#[test]
fn a_replaced_object_is_changed_where_there_are_no_versions() {
    let server = S3Server::start();
    let old = pattern(SIZE, 1);
    run(async {
        let app = app(&server);
        for conditions_ignored in [false, true] {
            server.put("web/app", old.clone());
            let release = offered(&*app).await;
            if conditions_ignored {
                server.inject(Fault::ReadConditionsIgnored, When::any());
            }
            server.put("web/app", pattern(SIZE, 2));
            assert_eq!(bytes(&*app, &release).await.map(|bytes| bytes.len()).unwrap_err().kind(), Kind::Changed);
            server.clear();

            // In the middle of the download.
            server.put("web/app", old.clone());
            let release = offered(&*app).await;
            if conditions_ignored {
                server.inject(Fault::ReadConditionsIgnored, When::any());
            }
            server.inject(Fault::ReplaceAfter(pattern(SIZE, 2).into()), When::any().key("web/app").once());
            assert_eq!(bytes(&*app, &release).await.map(|bytes| bytes.len()).unwrap_err().kind(), Kind::Changed);
            server.clear();
        }
    });
}

#[test]
fn with_versions_what_was_polled_is_downloaded_to_its_end() {
    let server = S3Server::start();
    let (old, new) = (pattern(SIZE, 1), pattern(SIZE, 2));
    server.bucket(VERSIONED).put("web/app", old.clone());
    run(async {
        let app = fetcher(&server, &server.source_in(VERSIONED, "web/app"), &[]);
        let release = offered(&*app).await;
        server.bucket(VERSIONED).put("web/app", new.clone());
        assert!(bytes(&*app, &release).await.unwrap() == old);
        let Ok(Polled::Offers(newer)) = app.poll(Some(&release.revision)).await else { panic!("not offered") };
        server.inject(Fault::ReplaceAfter(old.clone().into()), When::any().key("web/app").once());
        assert!(bytes(&*app, &newer).await.unwrap() == new);
    });
}

#[test]
fn an_interrupted_download_is_resumed_or_starts_over() {
    let server = S3Server::start();
    let old = pattern(SIZE, 1);
    server.put("web/app", old.clone());
    run(async {
        let app = app(&server);
        let release = offered(&*app).await;
        let validator = body(&*app, &release, &Start::default()).await.unwrap().validator;
        let rest = body(&*app, &release, &Start { byte: 100_000, validator: validator.clone() }).await.unwrap();
        assert_eq!(rest.start, 100_000);
        assert!(read(rest).await.unwrap() == old[100_000..]);
        let new = pattern(SIZE, 2);
        server.put("web/app", new.clone());
        let newer = offered(&*app).await;
        let again = body(&*app, &newer, &Start { byte: 100_000, validator }).await.unwrap();
        assert_eq!(again.start, 0);
        assert!(read(again).await.unwrap() == new);
    });
}

#[test]
fn odd_servers_are_read_all_the_same() {
    let server = S3Server::start();
    let old = pattern(SIZE, 1);
    server.put_with_sha256("web/app", old.clone());
    run(async {
        let app = app(&server);
        for fault in [
            Fault::NotModifiedWithoutEtag,
            Fault::ReadConditionsIgnored,
            Fault::RangeIgnored,
            Fault::ChecksumOnRange,
            Fault::NoChecksums,
            Fault::Rate(2_000_000),
        ] {
            server.inject(fault.clone(), When::any());
            let release = offered(&*app).await;
            assert!(matches!(app.poll(Some(&release.revision)).await, Ok(Polled::Unchanged)), "{fault:?}");
            assert!(bytes(&*app, &release).await.unwrap() == old, "{fault:?}");
            server.clear();
        }
    });
}

#[test]
fn a_body_that_breaks_is_incomplete_and_never_short() {
    let server = S3Server::start();
    let old = pattern(SIZE, 1);
    server.put("web/app", old.clone());
    run(async {
        // One after the other, so that it is certain which request is which.
        let app = fetcher(&server, &server.source("web/app"), &[("connections", "1")]);
        let release = offered(&*app).await;
        for fault in [Fault::Truncate(1000), Fault::Reset(1000), Fault::WrongRangeStart] {
            for nth in [1, 2, 5] {
                server.inject(fault.clone(), When::any().reading().nth(nth));
                let error = bytes(&*app, &release).await.map(|bytes| bytes.len()).unwrap_err();
                assert!(matches!(error.kind(), Kind::Incomplete | Kind::Unreachable), "{fault:?} {nth}: {error}");
                server.clear();
            }
        }
        server.inject(Fault::WrongRangeTotal, When::any().reading().nth(2));
        assert_eq!(bytes(&*app, &release).await.map(|bytes| bytes.len()).unwrap_err().kind(), Kind::Changed);
        server.clear();
        server.inject(Fault::LostReply, When::any().reading().nth(3));
        assert_eq!(bytes(&*app, &release).await.map(|bytes| bytes.len()).unwrap_err().kind(), Kind::Unreachable);
    });
}

#[test]
fn a_document_with_a_flipped_bit_does_not_fit_its_checksum() {
    let server = S3Server::start();
    server.put_with_sha256("web/stable.fetchd", "{\"a\": 1}");
    server.inject(Fault::FlipBit(3), When::any());
    assert_eq!(refused(&server, &server.source("web/stable.fetchd"), &[]).kind(), Kind::Incomplete);
}

#[test]
fn wrong_credentials_are_told_apart() {
    let server = S3Server::start();
    server.put("web/app", "x");
    server.put("web/stable.fetchd", "{}");
    let document = server.source("web/stable.fetchd");
    let secret = [("secret_access_key", "hunter2hunter2hunter2hunter2hunter2hunt")];
    for (more, words) in [
        (&secret[..], "the secret access key is not the one of this access key"),
        (&[("access_key_id", "AKIANOBODY0000000000")], "the access key is unknown to the server"),
    ] {
        let error = refused(&server, &document, more);
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("hunter2") && !error.to_string().contains(SECRET_KEY), "{error}");
        // The answer to a HEAD cannot explain itself.
        assert_eq!(refused(&server, &server.source("web/app"), more).kind(), Kind::Denied);
    }
    server.inject(Fault::Refuse(Refusal::ExpiredToken), When::any());
    assert!(refused(&server, &document, &[]).to_string().contains("the session token has expired"));
    let head = refused(&server, &server.source("web/app"), &[]);
    assert_eq!(head.kind(), Kind::Denied, "{head}");
}

#[test]
fn a_public_bucket_is_read_without_a_signature_and_no_other_is() {
    let server = S3Server::start();
    server.bucket(PUBLIC).put("web/app", "the artifact");
    server.put("web/app", "the artifact");
    let unsigned = options(&[("unsigned", "true"), ("proxy", "none")]);
    run(async {
        let fetcher = Registry::builtin().open(&server.source_in(PUBLIC, "web/app"), &unsigned).unwrap();
        let release = offered(&*fetcher).await;
        assert_eq!(bytes(&*fetcher, &release).await.unwrap(), b"the artifact");
        let other = Registry::builtin().open(&server.source("web/app"), &unsigned).unwrap();
        assert_eq!(other.poll(None).await.unwrap_err().kind(), Kind::Denied);
    });
}

#[test]
fn a_key_from_a_file_signs() {
    let server = S3Server::start();
    server.put("web/app", "the artifact");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{SECRET_KEY}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let all = options(&[("access_key_id", ACCESS_KEY), ("secret_access_key_file", path), ("proxy", "none")]);
    run(async {
        let fetcher = Registry::builtin().open(&server.source("web/app"), &all).unwrap();
        offered(&*fetcher).await;
        // Renewed in place, and gone for a moment.
        std::fs::write(file.path(), "another").unwrap();
        assert_eq!(fetcher.poll(None).await.unwrap_err().kind(), Kind::Denied);
        std::fs::remove_file(file.path()).unwrap();
        let gone = fetcher.poll(None).await.unwrap_err();
        assert_eq!((gone.kind(), gone.retry()), (Kind::Denied, Retry::Soon));
        std::fs::write(file.path(), SECRET_KEY).unwrap();
        offered(&*fetcher).await;
    });
}

#[test]
fn refusals_of_s3_are_named() {
    let server = S3Server::start();
    server.put("web/stable.fetchd", "{}");
    let source = server.source("web/stable.fetchd");
    let eu = || "eu-west-1".to_owned();
    for (refusal, kind, words) in [
        (Refusal::NoSuchBucket, Kind::NotFound, "there is no bucket `releases`"),
        (Refusal::NoSuchKey, Kind::NotFound, "does not exist (yet)"),
        (Refusal::AccessDenied, Kind::Denied, "is refused to us"),
        (Refusal::InternalError, Kind::Unreachable, "the source is not working"),
        (
            Refusal::PermanentRedirect(eu()),
            Kind::Other,
            "the bucket is in the region `eu-west-1`: set the option `region`",
        ),
        (Refusal::WrongRegion(eu()), Kind::Other, "the bucket is in the region `eu-west-1`: set the option `region`"),
    ] {
        server.inject(Fault::Refuse(refusal.clone()), When::any());
        let error = refused(&server, &source, &[]);
        assert_eq!(error.kind(), kind, "{refusal:?}: {error}");
        assert!(error.to_string().contains(words), "{refusal:?}: {error}");
        server.clear();
    }
    server.inject(Fault::Refuse(Refusal::SlowDown(Some(Duration::from_secs(77)))), When::any());
    let error = refused(&server, &source, &[]);
    assert_eq!((error.kind(), error.retry()), (Kind::Throttled, Retry::After(Duration::from_secs(77))));
    server.clear();
    assert_eq!(refused(&server, &server.source("web/nothing.json"), &[]).kind(), Kind::NotFound);
    assert_eq!(refused(&server, &server.source("web/nothing"), &[]).kind(), Kind::NotFound);
    let nowhere = refused(&server, &server.source_in("no-such-bucket", "a.json"), &[]);
    assert!(nowhere.to_string().contains("there is no bucket `no-such-bucket`"), "{nowhere}");
}

#[test]
fn a_clock_that_differs_from_the_servers_is_told() {
    let server = S3Server::start();
    server.put("web/stable.fetchd", "{}");
    server.inject(Fault::Refuse(Refusal::RequestTimeTooSkewed), When::any());
    server.inject(Fault::Date(-3600), When::any());
    let error = refused(&server, &server.source("web/stable.fetchd"), &[]);
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("the clock of this machine is 3,60"), "{error}");
    assert!(error.to_string().contains(" s ahead of the server's"), "{error}");
}

#[test]
fn nothing_is_left_open_after_a_body_is_dropped() {
    let server = S3Server::start();
    server.put("web/app", pattern(SIZE, 1));
    run(async {
        let app = app(&server);
        let release = offered(&*app).await;
        server.inject(Fault::Stall(1000), When::any().reading());
        let mut body = body(&*app, &release, &Start::default()).await.unwrap();
        futures_util::StreamExt::next(&mut body.stream).await.unwrap().unwrap();
        let reading = futures_util::StreamExt::next(&mut body.stream);
        assert!(tokio::time::timeout(Duration::from_millis(300), reading).await.is_err());
        assert_eq!(server.bodies(), 4);
        drop(body);
        let gone = async {
            while server.bodies() + server.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("every connection ends");
    });
}
