//! Conditional requests, and what the answers mean.

use std::error::Error;
use std::time::{Duration, Instant};

use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Serve, Step};
use fetchd_fetchers::{DOCUMENT_LIMIT, Kind, Polled, Retry};

use super::{fetcher, name, offered, poll, unchanged};

#[test]
fn an_artifact_is_polled_with_head_and_a_document_with_get() {
    let origin = ScriptedOrigin::start();
    for path in ["/app", "/stable.fetchd", "/latest.json?v=1"] {
        origin.put(path.split('?').next().unwrap(), "{}");
    }
    let release = offered(&*fetcher(&origin, "/app", &[]));
    assert_eq!((release.document.as_deref(), release.assets[0].size), (None, Some(2)));
    let release = offered(&*fetcher(&origin, "/stable.fetchd", &[]));
    assert_eq!((release.document.as_deref(), release.assets[0].size), (Some(&b"{}"[..]), Some(2)));
    assert_eq!(offered(&*fetcher(&origin, "/latest.json?v=1", &[])).assets[0].name, name("latest.json"));
    let asked: Vec<String> = origin.requests().iter().map(|r| format!("{} {}", r.method, r.path)).collect();
    assert_eq!(asked, ["HEAD /app", "GET /stable.fetchd", "GET /latest.json?v=1"]);
}

#[test]
fn the_method_can_be_configured() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", "small");
    origin.put("/stable.fetchd", "{}");
    assert_eq!(offered(&*fetcher(&origin, "/app", &[("method", "get")])).document.as_deref(), Some(&b"small"[..]));
    assert_eq!(offered(&*fetcher(&origin, "/stable.fetchd", &[("method", "head")])).document, None);
}

#[test]
fn a_request_asks_for_plain_bytes_and_says_who_asks() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", "");
    offered(&*fetcher(&origin, "/app", &[]));
    offered(&*fetcher(&origin, "/app", &[("user_agent", "site/1")]));
    let requests = origin.requests();
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
    assert!(requests[0].header("user-agent").unwrap().starts_with("fetchd/"));
    assert_eq!(requests[1].header("user-agent"), Some("site/1"));
    assert_eq!((requests[0].header("referer"), requests[0].header("cookie")), (None, None));
}

#[test]
fn a_poll_is_conditional_on_both_validators() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", "one");
    let fetcher = fetcher(&origin, "/app", &[]);
    let release = offered(&*fetcher);
    assert!(unchanged(&*fetcher, &release));
    let request = &origin.requests()[1];
    assert_eq!(request.header("if-none-match"), Some("\"v1\""));
    assert!(request.header("if-modified-since").is_some());
}

#[test]
fn a_server_that_ignores_conditions_is_compared_by_its_revision() {
    let origin = ScriptedOrigin::start();
    origin.script_every("/app", vec![Step::Raw(head(200, "ETag: \"a\"\r\n"))]);
    let fetcher = fetcher(&origin, "/app", &[]);
    let release = offered(&*fetcher);
    assert!(unchanged(&*fetcher, &release));
}

#[test]
fn a_modification_time_alone_is_enough_once_it_is_old() {
    let origin = ScriptedOrigin::start();
    origin.put_with("/app", "one", Serve { etag: false, ..Serve::default() });
    let fetcher = fetcher(&origin, "/app", &[]);
    let release = offered(&*fetcher);
    assert!(unchanged(&*fetcher, &release));
}

#[test]
fn a_second_release_within_one_second_is_not_missed() {
    let origin = ScriptedOrigin::start();
    let same = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    origin.script_every("/app", vec![Step::Raw(head(200, same))]);
    let fetcher = fetcher(&origin, "/app", &[]);
    let release = offered(&*fetcher);
    assert!(!unchanged(&*fetcher, &release));
    assert_eq!(origin.requests()[1].header("if-modified-since"), None);
}

#[test]
fn a_document_without_validators_is_known_by_its_bytes() {
    let origin = ScriptedOrigin::start();
    let bare = Serve { etag: false, last_modified: false, ..Serve::default() };
    origin.put_with("/stable.fetchd", "one", bare);
    let fetcher = fetcher(&origin, "/stable.fetchd", &[]);
    let release = offered(&*fetcher);
    assert!(unchanged(&*fetcher, &release));
    origin.put_with("/stable.fetchd", "two", bare);
    assert!(!unchanged(&*fetcher, &release));
}

#[test]
fn head_refused_is_asked_again_with_get_without_reading_the_body() {
    for status in [405, 501] {
        let origin = ScriptedOrigin::start();
        origin.put("/app", vec![7; 16 * 1024 * 1024]);
        origin.script("/app", vec![Step::Status(status)]);
        let release = offered(&*fetcher(&origin, "/app", &[]));
        assert_eq!((release.document, release.assets[0].size), (None, Some(16 * 1024 * 1024)));
        assert_eq!(origin.requests()[1].method, "GET");
        assert!(origin.wait_for_connections(0, Duration::from_secs(10)));
    }
}

#[test]
fn a_document_too_large_is_an_error_that_names_the_limit() {
    for length in [true, false] {
        let origin = ScriptedOrigin::start();
        let bytes = vec![b' '; DOCUMENT_LIMIT as usize + 1];
        origin.put_with("/stable.fetchd", bytes, Serve { length, ..Serve::default() });
        let error = poll(&*fetcher(&origin, "/stable.fetchd", &[]), None).unwrap_err();
        assert!(error.to_string().contains("524,288 bytes"), "{error}");
    }
}

#[test]
fn a_large_artifact_polled_with_get_is_offered_without_its_bytes() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", vec![0; DOCUMENT_LIMIT as usize + 1]);
    let release = offered(&*fetcher(&origin, "/app", &[("method", "get")]));
    assert_eq!((release.document, release.assets[0].size), (None, Some(DOCUMENT_LIMIT + 1)));
}

#[test]
fn r60_not_modified_without_a_condition_is_an_error() {
    let origin = ScriptedOrigin::start();
    origin.script_every("/app", vec![Step::Status(304)]);
    let error = poll(&*fetcher(&origin, "/app", &[]), None).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Kind::Other, Retry::Soon));
}

#[test]
fn r54_an_encoded_body_is_refused() {
    let origin = ScriptedOrigin::start();
    origin.put("/stable.fetchd", "{}");
    origin.script("/stable.fetchd", vec![Step::header("Content-Encoding", "gzip")]);
    let error = poll(&*fetcher(&origin, "/stable.fetchd", &[]), None).unwrap_err();
    assert!(error.to_string().contains("encoded as `gzip`"), "{error}");
}

#[test]
fn r59_an_error_page_is_not_a_document() {
    let origin = ScriptedOrigin::start();
    let page = vec![Step::Status(404), Step::Instead(b"{\"message\":\"Not Found\"}".to_vec())];
    origin.script("/stable.fetchd", page);
    assert_eq!(poll(&*fetcher(&origin, "/stable.fetchd", &[]), None).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_short_document_is_incomplete() {
    let origin = ScriptedOrigin::start();
    origin.put("/stable.fetchd", "0123456789");
    origin.script("/stable.fetchd", vec![Step::Send(4), Step::Close]);
    assert_eq!(poll(&*fetcher(&origin, "/stable.fetchd", &[]), None).unwrap_err().kind(), Kind::Incomplete);
}

#[test]
fn a_trickling_document_ends_with_the_poll() {
    let origin = ScriptedOrigin::start();
    origin.put("/stable.fetchd", vec![b' '; 10_000]);
    origin.script("/stable.fetchd", vec![Step::Trickle(10_000, Duration::from_millis(20))]);
    let began = Instant::now();
    let error = poll(&*fetcher(&origin, "/stable.fetchd", &[("timeout", "300ms")]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().ends_with("the poll took longer than 300ms"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn silence_before_the_answer_ends_after_the_read_timeout() {
    let origin = ScriptedOrigin::start();
    origin.script("/app", vec![Step::Stall(Duration::from_secs(3600))]);
    let error = poll(&*fetcher(&origin, "/app", &[("read_timeout", "200ms")]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().ends_with("nothing was received for 200ms"), "{error}");
}

#[test]
fn a_port_nobody_listens_on_is_unreachable() {
    let origin = ScriptedOrigin::start();
    let fetcher = fetcher(&origin, "/app?sig=hunter2", &[]);
    drop(origin);
    let error = poll(&*fetcher, None).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    // The client's own error would show the whole URL.
    assert!(error.source().is_some() && !format!("{error} {error:?} {:?}", error.source()).contains("hunter2"));
}

#[test]
fn an_answer_that_is_not_http_is_unreachable() {
    let origin = ScriptedOrigin::start();
    origin.script("/app", vec![Step::Raw(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec())]);
    assert_eq!(poll(&*fetcher(&origin, "/app", &[]), None).unwrap_err().kind(), Kind::Unreachable);
}

#[test]
fn a_validator_of_hostile_bytes_is_as_good_as_none() {
    let origin = ScriptedOrigin::start();
    let bytes = b"HTTP/1.1 200 OK\r\nETag: \"\xff\xfe\"\r\nContent-Length: 0\r\n\r\n".to_vec();
    origin.script_every("/app", vec![Step::Raw(bytes)]);
    let fetcher = fetcher(&origin, "/app", &[]);
    let release = offered(&*fetcher);
    assert!(matches!(poll(&*fetcher, Some(&release.revision)).unwrap(), Polled::Offers(_)));
}

fn head(status: u16, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}
