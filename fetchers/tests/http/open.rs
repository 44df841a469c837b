//! Bodies: whole, resumed, replaced, broken.

use std::time::Duration;

use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Serve, Step};
use fetchd_fetchers::{Kind, Release, Revision, Start};

use super::{broken, fetcher, offered, open, run};

const APP: &str = "0123456789abcdefghij";

fn validator(etag: &str) -> Option<Revision> {
    Some(Revision(format!("etag=%22{etag}%22")))
}

fn later() -> Start {
    Start { byte: 8, validator: validator("v1") }
}

#[test]
fn the_rest_is_asked_for_with_a_validator() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", APP);
    let fetcher = fetcher(&origin, "/app", &[]);
    let (body, bytes) = open(&*fetcher, &offered(&*fetcher), "app", &later()).unwrap();
    assert_eq!((body.start, body.total, bytes.unwrap()), (8, Some(20), APP.as_bytes()[8..].to_vec()));
    let request = &origin.requests()[1];
    assert_eq!((request.header("range"), request.header("if-range")), (Some("bytes=8-"), Some("\"v1\"")));
}

#[test]
fn a_modification_time_resumes_too_and_a_weak_etag_does_not() {
    let origin = ScriptedOrigin::start();
    origin.put_with("/app", APP, Serve { etag: false, ..Serve::default() });
    let fetcher = fetcher(&origin, "/app", &[]);
    let release = offered(&*fetcher);
    let (whole, _) = open(&*fetcher, &release, "app", &Start::default()).unwrap();
    let (body, _) = open(&*fetcher, &release, "app", &Start { byte: 8, validator: whole.validator }).unwrap();
    assert_eq!(body.start, 8);
    let weak = Start { byte: 8, validator: Some(Revision("etag=W%2F%22v1%22".to_owned())) };
    let (body, bytes) = open(&*fetcher, &release, "app", &weak).unwrap();
    assert_eq!((body.start, bytes.unwrap()), (0, APP.as_bytes().to_vec()));
    assert_eq!(origin.requests().last().unwrap().header("range"), None);
}

#[test]
fn r61_a_part_that_is_not_the_rest_is_started_over() {
    let range = |text: &str| vec![Step::header("Content-Range", text)];
    let scripts = [
        ("another start", range("bytes 7-18/*")),
        ("another total", range("bytes 8-19/21")),
        ("an end before the end", range("bytes 8-18/20")),
        ("a length of its own", range("bytes 8-19/*").into_iter().chain([Step::Instead(b"x".to_vec())]).collect()),
        ("no range", vec![Step::WithoutHeader("Content-Range".to_owned())]),
        ("nonsense", range("bytes */20")),
        ("another ETag", vec![Step::header("ETag", "\"v9\"")]),
        ("past the end", vec![Step::Status(416)]),
    ];
    for (what, script) in scripts {
        let origin = ScriptedOrigin::start();
        origin.put("/app", APP);
        let fetcher = fetcher(&origin, "/app", &[]);
        let release = offered(&*fetcher);
        origin.script("/app", script);
        let (body, bytes) = open(&*fetcher, &release, "app", &later()).unwrap();
        assert_eq!((body.start, bytes.unwrap()), (0, APP.as_bytes().to_vec()), "{what}");
        assert_eq!(origin.requests().len(), 3, "{what}");
        assert_eq!(origin.requests()[2].header("range"), None, "{what}");
    }
}

#[test]
fn without_ranges_the_body_begins_at_0() {
    let origin = ScriptedOrigin::start();
    origin.put_with("/app", APP, Serve { ranges: false, ..Serve::default() });
    let fetcher = fetcher(&origin, "/app", &[]);
    let (body, bytes) = open(&*fetcher, &offered(&*fetcher), "app", &later()).unwrap();
    assert_eq!((body.start, bytes.unwrap().len()), (0, 20));
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_part_nobody_asked_for_is_refused() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", APP);
    let fetcher = fetcher(&origin, "/app", &[]);
    let release = offered(&*fetcher);
    origin.script("/app", vec![Step::Status(206), Step::header("Content-Range", "bytes 0-19/40")]);
    assert_eq!(broken(&*fetcher, &release, "app").kind(), Kind::Incomplete);
}

#[test]
fn an_object_replaced_since_the_poll_is_changed() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", APP);
    let fetcher = fetcher(&origin, "/app", &[]);
    origin.script("/app", vec![Step::Swap(APP.to_uppercase().into_bytes())]);
    let release = offered(&*fetcher);
    assert_eq!(broken(&*fetcher, &release, "app").kind(), Kind::Changed);
    let resumed = open(&*fetcher, &release, "app", &later()).unwrap_err();
    assert_eq!(resumed.kind(), Kind::Changed);
    // It is asked for plainly: a failed precondition would say less than the validators do.
    assert_eq!(origin.requests()[1].header("if-match"), None);
}

#[test]
fn without_validators_another_size_is_changed() {
    let bare = Serve { etag: false, last_modified: false, ..Serve::default() };
    let origin = ScriptedOrigin::start();
    origin.put_with("/app", APP, bare);
    let fetcher = fetcher(&origin, "/app", &[]);
    let release = offered(&*fetcher);
    origin.put_with("/app", "0123456789", bare);
    assert_eq!(broken(&*fetcher, &release, "app").kind(), Kind::Changed);
}

#[test]
fn r52_a_stall_after_the_head_ends_after_the_read_timeout() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", APP);
    let fetcher = fetcher(&origin, "/app", &[("read_timeout", "200ms")]);
    let release = offered(&*fetcher);
    origin.script("/app", vec![Step::Send(4), Step::Stall(Duration::from_secs(3600))]);
    let error = broken(&*fetcher, &release, "app");
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("nothing was received for 200ms"), "{error}");
    assert!(origin.wait_for_connections(0, Duration::from_secs(10)));
}

#[test]
fn r53_a_length_that_lies_is_noticed() {
    let origin = ScriptedOrigin::start();
    origin.put("/stable.fetchd", "{}");
    origin.put("/app", APP);
    let fetcher = fetcher(&origin, "/stable.fetchd", &[]);
    let release = offered(&*fetcher);
    origin.script("/app", vec![Step::header("Content-Length", "25")]);
    let error = broken(&*fetcher, &release, "app");
    assert_eq!(error.kind(), Kind::Incomplete);
    assert!(error.to_string().contains("got 20 of 25 bytes"), "{error}");
    // A body longer than announced ends where it was announced to end: never a byte more.
    origin.script("/app", vec![Step::header("Content-Length", "15")]);
    let (body, bytes) = open(&*fetcher, &release, "app", &Start::default()).unwrap();
    assert_eq!((body.total, bytes.unwrap()), (Some(15), APP.as_bytes()[..15].to_vec()));
}

#[test]
fn r54_an_encoded_body_is_refused() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", APP);
    let fetcher = fetcher(&origin, "/app", &[]);
    let release = offered(&*fetcher);
    for coding in ["gzip", "zstd", "identity, br"] {
        origin.script("/app", vec![Step::header("Content-Encoding", coding)]);
        let error = broken(&*fetcher, &release, "app");
        assert!(error.to_string().contains(&format!("encoded as `{coding}`")), "{error}");
    }
    origin.script("/app", vec![Step::header("Content-Encoding", "identity")]);
    assert!(open(&*fetcher, &release, "app", &Start::default()).unwrap().1.is_ok());
}

#[test]
fn a_sibling_is_in_the_same_directory_and_does_not_inherit_the_query() {
    let origin = ScriptedOrigin::start();
    origin.put("/dl/app", APP);
    origin.put("/dl/1.2.0/app%20%3Fx.minisig", "signature");
    let fetcher = fetcher(&origin, "/dl/app?token=hunter2", &[]);
    let release = offered(&*fetcher);
    open(&*fetcher, &release, "app", &Start::default()).unwrap().1.unwrap();
    let sibling = open(&*fetcher, &release, "1.2.0/app ?x.minisig", &Start::default()).unwrap();
    assert_eq!(sibling.1.unwrap(), b"signature");
    let asked: Vec<String> = origin.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(asked, ["/dl/app?token=hunter2", "/dl/app?token=hunter2", "/dl/1.2.0/app%20%3Fx.minisig"]);
}

#[test]
fn a_body_without_a_length_ends_with_its_connection() {
    let origin = ScriptedOrigin::start();
    origin.put_with("/app", APP, Serve { length: false, ..Serve::default() });
    let fetcher = fetcher(&origin, "/app", &[]);
    let (body, bytes) = open(&*fetcher, &offered(&*fetcher), "app", &Start::default()).unwrap();
    assert_eq!((body.total, bytes.unwrap().len()), (None, 20));
}

#[test]
fn a_connection_that_could_be_kept_is_closed_with_its_body() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", APP);
    let keeps = vec![
        Step::WithoutHeader("Connection".to_owned()),
        Step::Send(APP.len()),
        Step::Stall(Duration::from_secs(3600)),
    ];
    origin.script_every("/app", keeps);
    let fetcher = fetcher(&origin, "/app", &[("method", "get")]);
    run(async {
        fetcher.poll(None).await.unwrap();
        let closed = async {
            while origin.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), closed).await.expect("the connection is kept");
    });
}

#[test]
fn an_error_page_is_not_an_asset() {
    let origin = ScriptedOrigin::start();
    origin.put("/app", APP);
    let fetcher = fetcher(&origin, "/app", &[]);
    let release: Release = offered(&*fetcher);
    for (status, kind) in [(404, Kind::NotFound), (403, Kind::Denied), (429, Kind::Throttled), (502, Kind::Unreachable)]
    {
        origin.script("/app", vec![Step::Status(status), Step::Instead(b"{}".to_vec())]);
        assert_eq!(broken(&*fetcher, &release, "app").kind(), kind);
    }
}
