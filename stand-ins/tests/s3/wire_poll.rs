//! Polls, byte by byte: a scripted server without signatures plays S3.

use std::time::{Duration, Instant};

use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Serve, Step};
use fetchd_fetchers::{Kind, Polled};

use crate::support::{bytes, offered, open, options, run, unsigned, whole_text};

const APP: &str = "/releases/web/app";
const DOCUMENT: &str = "/releases/web/stable.fetchd";

fn raw(text: &str) -> Vec<Step> {
    vec![Step::Raw(text.as_bytes().to_vec())]
}

#[test]
fn a_poll_of_an_object_is_one_conditional_head() {
    let origin = ScriptedOrigin::start();
    origin.put(APP, b"the artifact");
    run(async {
        let fetcher = unsigned(&origin, "web/app", &[]);
        let release = offered(&*fetcher).await;
        assert_eq!((release.assets.len(), release.assets[0].size), (1, Some(12)));
        assert!(matches!(fetcher.poll(Some(&release.revision)).await, Ok(Polled::Unchanged)));
    });
    let requests = origin.requests();
    assert_eq!(requests.iter().map(|request| request.method.as_str()).collect::<Vec<_>>(), ["HEAD", "HEAD"]);
    assert_eq!((requests[0].header("if-none-match"), requests[1].header("if-none-match")), (None, Some("\"v1\"")));
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
    assert!(requests[0].header("user-agent").unwrap().contains("app/fetchd-"), "{:?}", requests[0]);
}

#[test]
fn a_poll_of_a_document_is_one_conditional_get_that_reads_it() {
    let origin = ScriptedOrigin::start();
    origin.put(DOCUMENT, b"{}");
    run(async {
        let fetcher = unsigned(&origin, "web/stable.fetchd", &[]);
        let release = offered(&*fetcher).await;
        assert_eq!(release.document.as_deref(), Some(&b"{}"[..]));
        assert!(release.revision.0.contains("sha256="), "{:?}", release.revision);
        assert!(matches!(fetcher.poll(Some(&release.revision)).await, Ok(Polled::Unchanged)));
        // Rewritten with the same bytes it is the same document.
        origin.put(DOCUMENT, b"{}");
        assert!(matches!(fetcher.poll(Some(&release.revision)).await, Ok(Polled::Unchanged)));
        origin.put(DOCUMENT, b"[]");
        assert!(matches!(fetcher.poll(Some(&release.revision)).await, Ok(Polled::Offers(_))));
    });
    assert!(origin.requests().iter().all(|request| request.method == "GET" && request.header("range").is_none()));
    assert_eq!(origin.requests().len(), 4);
}

#[test]
fn not_modified_is_seen_with_and_without_an_etag() {
    for key in ["web/app", "web/stable.fetchd"] {
        let origin = ScriptedOrigin::start();
        let path = format!("/releases/{key}");
        origin.put(&path, b"{}");
        run(async {
            let fetcher = unsigned(&origin, key, &[]);
            let release = offered(&*fetcher).await;
            for answer in ["HTTP/1.1 304 X\r\n\r\n", "HTTP/1.1 304 X\r\nETag: \"v1\"\r\nx-amz-request-id: 1\r\n\r\n"] {
                origin.script(&path, raw(answer));
                assert!(matches!(fetcher.poll(Some(&release.revision)).await, Ok(Polled::Unchanged)), "{key}");
            }
            origin.script(&path, raw("HTTP/1.1 304 X\r\n\r\n"));
            let error = fetcher.poll(None).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Other);
            assert!(error.to_string().contains("`not modified` to a request without a condition"), "{error}");
        });
    }
}

#[test]
fn a_server_that_ignores_the_condition_is_compared_with() {
    let origin = ScriptedOrigin::start();
    origin.put(APP, b"the artifact");
    run(async {
        let fetcher = unsigned(&origin, "web/app", &[]);
        let release = offered(&*fetcher).await;
        origin.script(APP, raw("HTTP/1.1 200 X\r\nETag: \"v1\"\r\nContent-Length: 12\r\n\r\n"));
        assert!(matches!(fetcher.poll(Some(&release.revision)).await, Ok(Polled::Unchanged)));
        origin.script(APP, raw("HTTP/1.1 200 X\r\nETag: \"v2\"\r\nContent-Length: 12\r\n\r\n"));
        assert!(matches!(fetcher.poll(Some(&release.revision)).await, Ok(Polled::Offers(_))));
    });
}

#[test]
fn without_an_etag_nothing_is_unchanged() {
    let origin = ScriptedOrigin::start();
    origin.put_with(APP, b"one", Serve { etag: false, ..Serve::default() });
    run(async {
        let fetcher = unsigned(&origin, "web/app", &[]);
        let release = offered(&*fetcher).await;
        assert!(matches!(fetcher.poll(Some(&release.revision)).await, Ok(Polled::Offers(_))));
        assert_eq!(bytes(&*fetcher, &release).await.unwrap(), b"one");
    });
}

#[test]
fn a_version_is_part_of_the_revision_and_the_null_version_is_not() {
    let origin = ScriptedOrigin::start();
    origin.put(APP, b"the artifact");
    run(async {
        let fetcher = unsigned(&origin, "web/app", &[]);
        origin.script(APP, vec![Step::header("x-amz-version-id", "abc.1")]);
        let one = offered(&*fetcher).await;
        assert!(one.revision.0.contains("abc.1"), "{:?}", one.revision);
        // The same bytes and the same ETag, put again.
        origin.script(APP, raw("HTTP/1.1 200 X\r\nETag: \"v1\"\r\nx-amz-version-id: abc.2\r\n\r\n"));
        assert!(matches!(fetcher.poll(Some(&one.revision)).await, Ok(Polled::Offers(_))));
        origin.script(APP, vec![Step::header("x-amz-version-id", "null")]);
        assert!(!offered(&*fetcher).await.revision.0.contains("null"));
    });
}

#[test]
fn a_full_object_checksum_becomes_the_digest() {
    const OF_NOTHING: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let origin = ScriptedOrigin::start();
    origin.put(APP, b"");
    run(async {
        let fetcher = unsigned(&origin, "web/app", &[]);
        origin.script(APP, vec![Step::header("x-amz-checksum-sha256", OF_NOTHING)]);
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(offered(&*fetcher).await.assets[0].digest.as_deref(), Some(digest));
        origin.script(APP, vec![Step::header("x-amz-checksum-sha256", &format!("{OF_NOTHING}-2"))]);
        assert_eq!(offered(&*fetcher).await.assets[0].digest, None);
        let composite = Step::header("x-amz-checksum-type", "COMPOSITE");
        origin.script(APP, vec![Step::header("x-amz-checksum-sha256", OF_NOTHING), composite]);
        assert_eq!(offered(&*fetcher).await.assets[0].digest, None);
    });
    assert!(origin.requests().iter().all(|request| request.header("x-amz-checksum-mode") == Some("ENABLED")));
    origin.clear_requests();
    run(async { offered(&*unsigned(&origin, "web/app", &[("checksums", "when_required")])).await });
    assert_eq!(origin.requests()[0].header("x-amz-checksum-mode"), None);
}

#[test]
fn a_document_that_does_not_fit_its_checksum_is_refused_unless_that_is_off() {
    let origin = ScriptedOrigin::start();
    origin.put(DOCUMENT, b"{}");
    origin.script_every(DOCUMENT, vec![Step::header("x-amz-checksum-crc32", "AAAAAA==")]);
    run(async {
        let error = unsigned(&origin, "web/stable.fetchd", &[]).poll(None).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Incomplete, "{error}");
        assert!(whole_text(&error).contains("checksum"), "{}", whole_text(&error));
        let fetcher = unsigned(&origin, "web/stable.fetchd", &[("checksums", "when_required")]);
        assert_eq!(offered(&*fetcher).await.document.as_deref(), Some(&b"{}"[..]));
    });
}

#[test]
fn a_document_is_never_read_beyond_its_limit() {
    let origin = ScriptedOrigin::start();
    let large = vec![b' '; 512 * 1024 + 1];
    run(async {
        for serve in [Serve::default(), Serve { length: false, ..Serve::default() }] {
            origin.put_with(DOCUMENT, &large, serve);
            let error = unsigned(&origin, "web/stable.fetchd", &[]).poll(None).await.unwrap_err();
            assert_eq!(error.kind(), Kind::TooLarge);
            assert!(
                error.to_string().ends_with("is larger than 524,288 bytes, the most a document may have"),
                "{error}"
            );
        }
        origin.put(DOCUMENT, &large[1..]);
        assert_eq!(offered(&*unsigned(&origin, "web/stable.fetchd", &[])).await.assets[0].size, Some(512 * 1024));
    });
}

#[test]
fn a_document_that_ends_early_is_incomplete() {
    let origin = ScriptedOrigin::start();
    origin.put(DOCUMENT, b"{\"a\": 1}");
    origin.script(DOCUMENT, vec![Step::Send(3), Step::Close]);
    let error = run(unsigned(&origin, "web/stable.fetchd", &[]).poll(None)).unwrap_err();
    assert_eq!(error.kind(), Kind::Incomplete, "{error}");
}

#[test]
fn a_poll_ends_within_its_timeout_wherever_the_server_is_silent() {
    let origin = ScriptedOrigin::start();
    origin.put(DOCUMENT, b"{\"a\": 1}");
    for silence in [vec![], vec![Step::Send(0)], vec![Step::Send(3)]] {
        let script = [silence, vec![Step::Stall(Duration::from_secs(3600))]].concat();
        origin.script(DOCUMENT, script);
        let began = Instant::now();
        let error = run(unsigned(&origin, "web/stable.fetchd", &[("timeout", "300ms")]).poll(None)).unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(error.to_string().ends_with("the poll took longer than 300ms"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        assert!(origin.wait_for_connections(0, Duration::from_secs(10)), "a connection is left");
    }
}

#[test]
fn options_travel_with_the_request() {
    let origin = ScriptedOrigin::start();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), [7; 32]).unwrap();
    for object in ["web/app", "web/stable.fetchd"] {
        let path = format!("/releases/{object}");
        origin.put(&path, b"{}");
        let more = [
            ("version_id", "abc.1"),
            ("expected_bucket_owner", "123456789012"),
            ("request_payer", "true"),
            ("sse_customer_key_file", key.path().to_str().unwrap()),
        ];
        run(async {
            let fetcher = unsigned(&origin, object, &more);
            let release = offered(&*fetcher).await;
            bytes(&*fetcher, &release).await.unwrap();
        });
    }
    assert_eq!(origin.requests().len(), 4);
    for request in origin.requests() {
        assert!(request.path.contains("versionId=abc.1"), "{request:?}");
        for (name, value) in [
            ("x-amz-expected-bucket-owner", "123456789012"),
            ("x-amz-request-payer", "requester"),
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-server-side-encryption-customer-key", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
            ("x-amz-server-side-encryption-customer-key-md5", "y4HAEFCYWuvAXWFTtA1Qpg=="),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
    }
}

#[test]
fn whatever_a_server_sends_is_an_error_and_no_panic() {
    let origin = ScriptedOrigin::start();
    let many: String = (0..20_000).map(|index| format!("x-{index}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(2_000_000));
    for object in ["web/app", "web/stable.fetchd"] {
        let path = format!("/releases/{object}");
        for answer in [
            format!("HTTP/1.1 200 X\r\n{many}\r\n"),
            format!("HTTP/1.1 200 X\r\n{long}\r\n"),
            "HTTP/1.1 200 X\r\nContent-Length: -5\r\n\r\n{}".to_owned(),
            "HTTP/1.1 200 X\r\nContent-Length: 99999999999999999999999\r\n\r\n{}".to_owned(),
            "HTTP/1.1 200 X\r\nLast-Modified: yesterday\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
            "HTTP/1.1 999 X\r\n\r\n".to_owned(),
            "HTTP/1.1 500 X\r\nContent-Length: 999999999\r\n\r\n<Error><Code>".to_owned(),
            "not http at all".to_owned(),
            String::new(),
        ] {
            origin.script(&path, raw(&answer));
            let error = match run(unsigned(&origin, object, &[]).poll(None)) {
                Err(error) => error,
                // The head of an object may be long, and may tell nothing.
                Ok(Polled::Offers(release)) if object == "web/app" && release.assets[0].size.is_none() => continue,
                Ok(other) => panic!("{other:?}: {answer:.60}"),
            };
            assert!(!error.to_string().contains('\n'), "{error}");
            assert!(
                matches!(error.kind(), Kind::Other | Kind::Unreachable | Kind::Incomplete),
                "{error}: {answer:.60}"
            );
        }
    }
}

#[test]
fn an_etag_that_no_header_can_carry_back_is_as_good_as_none() {
    let origin = ScriptedOrigin::start();
    origin.script_every(APP, raw("HTTP/1.1 200 X\r\nETag: \"\u{e4}\"\r\nContent-Length: 2\r\n\r\n"));
    run(async {
        let fetcher = unsigned(&origin, "web/app", &[]);
        if let Ok(Polled::Offers(release)) = fetcher.poll(None).await {
            assert!(matches!(fetcher.poll(Some(&release.revision)).await, Ok(Polled::Offers(_)) | Err(_)));
        }
    });
}

#[test]
fn a_proxy_that_is_configured_is_used_with_its_password() {
    let proxy = ScriptedOrigin::start();
    proxy.put("http://s3.example.com/releases/web/app", b"the artifact");
    let through = format!("http://ann:pass%20word@{}", proxy.address());
    let all = options(&[("endpoint", "http://s3.example.com"), ("unsigned", "true"), ("proxy", &through)]);
    run(async { offered(&*open("s3://releases/web/app", &all)).await });
    assert_eq!(proxy.requests()[0].header("proxy-authorization"), Some("Basic YW5uOnBhc3Mgd29yZA=="));
}
