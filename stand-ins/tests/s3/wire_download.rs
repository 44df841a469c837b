//! Downloads, byte by byte: a scripted server without signatures plays S3, and lies.

use std::time::{Duration, Instant};

use fetchd_fetchers::conformance::scripted::{Request, ScriptedOrigin, Serve, Step};
use fetchd_fetchers::{Fetcher, Kind, Release, Retry, Start};
use futures_util::StreamExt;

use crate::support::{body, bytes, name, offered, pattern, read, read_up_to_error, run, unsigned};

mod ahead;

const APP: &str = "/releases/web/app";
const PART: usize = 64 * 1024;
/// Five parts and a bit.
const SIZE: usize = 5 * PART + 17;

/// A server with an object of six parts of 64 KiB, which are asked for one after the other.
fn one_by_one() -> (ScriptedOrigin, Box<dyn Fetcher>, Vec<u8>) {
    started("1")
}

/// The same, four at a time.
fn side_by_side() -> (ScriptedOrigin, Box<dyn Fetcher>, Vec<u8>) {
    started("4")
}

fn started(connections: &str) -> (ScriptedOrigin, Box<dyn Fetcher>, Vec<u8>) {
    let origin = ScriptedOrigin::start();
    let app = pattern(SIZE, 1);
    origin.put(APP, &app);
    let more = [("part_size", "64KiB"), ("connections", connections), ("read_timeout", "5s")];
    let fetcher = unsigned(&origin, "web/app", &more);
    (origin, fetcher, app)
}

/// The release, with nothing of the poll left in the server's log.
async fn polled(origin: &ScriptedOrigin, fetcher: &dyn Fetcher) -> Release {
    let release = offered(fetcher).await;
    origin.clear_requests();
    release
}

fn ranges(origin: &ScriptedOrigin) -> Vec<String> {
    let range = |request: &Request| request.header("range").unwrap_or("none").to_owned();
    let mut ranges: Vec<String> = origin.requests().iter().map(range).collect();
    ranges.sort_by_key(|range| range.trim_start_matches("bytes=").split('-').next().unwrap().parse::<usize>().ok());
    ranges
}

fn every_range() -> Vec<String> {
    (0..6).map(|part| format!("bytes={}-{}", part * PART, (part + 1) * PART - 1)).collect()
}

#[test]
fn parts_are_asked_for_by_range_and_arrive_in_order() {
    for (origin, fetcher, app) in [one_by_one(), side_by_side()] {
        run(async {
            let release = polled(&origin, &*fetcher).await;
            let body = body(&*fetcher, &release, &Start::default()).await.unwrap();
            assert_eq!((body.start, body.total), (0, Some(SIZE as u64)));
            assert!(body.validator.is_some());
            assert!(read(body).await.unwrap() == app);
        });
        assert_eq!(ranges(&origin), every_range());
        assert!(origin.requests().iter().all(|request| request.header("if-match") == Some("\"v1\"")));
        assert!(origin.requests().iter().all(|request| request.header("x-amz-checksum-mode").is_none()));
    }
}

#[test]
fn a_first_part_that_comes_late_does_not_change_the_order() {
    let (origin, fetcher, app) = side_by_side();
    run(async {
        let release = polled(&origin, &*fetcher).await;
        origin.script(APP, vec![Step::Send(10), Step::Stall(Duration::from_millis(300))]);
        assert!(bytes(&*fetcher, &release).await.unwrap() == app);
    });
    assert_eq!(ranges(&origin), every_range());
}

#[test]
fn no_more_parts_are_under_way_than_connections() {
    let (origin, fetcher, app) = side_by_side();
    run(async {
        let release = polled(&origin, &*fetcher).await;
        let mut body = body(&*fetcher, &release, &Start::default()).await.unwrap();
        assert_eq!(origin.requests().len(), 1, "parts are asked for before anyone reads");
        // The first part stays unread but for its first chunk, so nothing after the fourth is asked for.
        let first = body.stream.next().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(origin.requests().len() <= 4, "{} requests", origin.requests().len());
        let rest = read(body).await.unwrap();
        assert!([first.to_vec(), rest].concat() == app);
    });
    assert_eq!(origin.requests().len(), 6);
}

#[test]
fn a_sibling_lies_under_the_same_prefix() {
    let (origin, fetcher, _) = side_by_side();
    let signature = pattern(PART + 1, 2);
    origin.put("/releases/web/app.minisig", &signature);
    origin.put("/releases/web/1.2.0/app", b"deeper");
    run(async {
        let release = polled(&origin, &*fetcher).await;
        let sibling = |asset: &'static str| fetcher.open(&release, leak(asset), &BEGINNING);
        assert!(read(sibling("app.minisig").await.unwrap()).await.unwrap() == signature);
        assert_eq!(read(sibling("1.2.0/app").await.unwrap()).await.unwrap(), b"deeper");
        let error = sibling("no such").await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().starts_with("`s3://releases/web/no%20such`: does not exist (yet)"), "{error}");
    });
    let requests = origin.requests();
    // Nothing is known of it before its first part; the second is pinned to what that showed.
    assert_eq!((requests[0].header("if-match"), requests[1].header("if-match")), (None, Some("\"v2\"")));
}

const BEGINNING: Start = Start { byte: 0, validator: None };

fn leak(asset: &str) -> &'static fetchd_fetchers::AssetName {
    Box::leak(Box::new(name(asset)))
}

#[test]
fn parts_are_pinned_to_the_version_that_the_first_one_showed() {
    let (origin, fetcher, app) = one_by_one();
    run(async {
        let release = polled(&origin, &*fetcher).await;
        origin.script_every(APP, vec![Step::header("x-amz-version-id", "abc.1")]);
        assert!(bytes(&*fetcher, &release).await.unwrap() == app);
    });
    let versions: Vec<bool> =
        origin.requests().iter().map(|request| request.path.contains("versionId=abc.1")).collect();
    assert_eq!(versions, [false, true, true, true, true, true]);
}

#[test]
fn the_version_that_the_poll_showed_is_the_one_downloaded() {
    let (origin, fetcher, app) = one_by_one();
    origin.script_every(APP, vec![Step::header("x-amz-version-id", "abc.1")]);
    run(async {
        let release = polled(&origin, &*fetcher).await;
        assert!(bytes(&*fetcher, &release).await.unwrap() == app);
    });
    assert!(origin.requests().iter().all(|request| request.path.contains("versionId=abc.1")));
}

#[test]
fn without_permission_for_versions_the_etag_pins() {
    let (origin, fetcher, app) = one_by_one();
    let version = vec![Step::header("x-amz-version-id", "abc.1")];
    run(async {
        origin.script(APP, version.clone());
        let release = polled(&origin, &*fetcher).await;
        origin.script(APP, vec![Step::Status(403)]);
        origin.script_every(APP, version);
        assert!(bytes(&*fetcher, &release).await.unwrap() == app);
    });
    let requests = origin.requests();
    assert_eq!(requests.len(), 7, "it is found out once");
    assert!(requests[0].path.contains("versionId=abc.1"));
    assert!(requests[1..].iter().all(|request| !request.path.contains("versionId")));
    assert!(requests[1..].iter().all(|request| request.header("if-match") == Some("\"v1\"")));
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_changed_and_never_mixed() {
    let other = pattern(SIZE, 2);
    let replaced: [Vec<Step>; 4] = [
        vec![Step::Swap(other.clone())],
        vec![Step::Status(412)],
        vec![Step::header("Content-Range", &format!("bytes {}-{}/{}", 2 * PART, 3 * PART - 1, SIZE + 1))],
        vec![Step::Status(416)],
    ];
    for (index, third) in replaced.into_iter().enumerate() {
        let (origin, fetcher, app) = one_by_one();
        let (got, end) = run(async {
            let release = polled(&origin, &*fetcher).await;
            origin.script(APP, vec![]);
            origin.script(APP, if index == 0 { third.clone() } else { vec![] });
            origin.script(APP, if index == 0 { vec![] } else { third });
            read_up_to_error(body(&*fetcher, &release, &Start::default()).await.unwrap()).await
        });
        let error = end.unwrap_err();
        assert_eq!(error.kind(), Kind::Changed, "{error}");
        assert!(got == app[..2 * PART], "{} bytes, of which some are another object's", got.len());
        assert_eq!(origin.requests().len(), 3, "after the change nothing more is asked for");
    }
}

#[test]
fn another_version_with_the_same_etag_is_changed() {
    let (origin, fetcher, app) = one_by_one();
    let (got, end) = run(async {
        let release = polled(&origin, &*fetcher).await;
        origin.script(APP, vec![Step::header("x-amz-version-id", "abc.1")]);
        origin.script(APP, vec![Step::header("x-amz-version-id", "abc.2")]);
        read_up_to_error(body(&*fetcher, &release, &Start::default()).await.unwrap()).await
    });
    assert_eq!(end.unwrap_err().kind(), Kind::Changed);
    assert!(got == app[..PART]);
}

#[test]
fn what_was_polled_is_what_is_opened() {
    let (origin, fetcher, _) = side_by_side();
    run(async {
        let release = polled(&origin, &*fetcher).await;
        // This server ignores `If-Match`.
        origin.put(APP, pattern(SIZE, 2));
        let error = body(&*fetcher, &release, &Start::default()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Changed);
        assert_eq!(error.to_string(), "`s3://releases/web/app`: was replaced since the poll");
        // Without an ETag the size is all there is to tell by.
        origin.put_with(APP, pattern(SIZE + 1, 2), Serve { etag: false, ..Serve::default() });
        assert_eq!(body(&*fetcher, &release, &Start::default()).await.unwrap_err().kind(), Kind::Changed);
        // A server that does not ignore it.
        origin.script(APP, vec![Step::Status(412)]);
        assert_eq!(body(&*fetcher, &release, &Start::default()).await.unwrap_err().kind(), Kind::Changed);
    });
}

#[test]
fn a_part_that_is_not_the_one_asked_for_is_incomplete() {
    let range = |text: String| Step::header("Content-Range", &text);
    for step in [
        range(format!("bytes {}-{}/{SIZE}", PART + 1, 2 * PART)),
        range(format!("bytes {}-{}/{SIZE}", PART, 2 * PART - 2)),
        range(format!("bytes {}-{}/{SIZE}", PART, 2 * PART)),
        range(format!("bytes 0-{}/{SIZE}", PART - 1)),
        range("bytes -5--1/-7".to_owned()),
        range("bytes 18446744073709551615-18446744073709551615/*".to_owned()),
        range("everything".to_owned()),
        Step::WithoutHeader("Content-Range".to_owned()),
        Step::Instead(vec![0; PART + 1]),
        Step::Instead(vec![0; PART - 1]),
        Step::Instead(Vec::new()),
    ] {
        let (origin, fetcher, app) = one_by_one();
        let (got, end) = run(async {
            let release = polled(&origin, &*fetcher).await;
            origin.script(APP, vec![]);
            origin.script(APP, vec![step.clone()]);
            read_up_to_error(body(&*fetcher, &release, &Start::default()).await.unwrap()).await
        });
        let error = end.unwrap_err();
        assert_eq!(error.kind(), Kind::Incomplete, "{step:.100?}: {error}");
        assert!(got == app[..PART], "{step:.100?}: {} bytes are passed on", got.len());
    }
}

#[test]
fn a_first_part_that_makes_no_sense_is_incomplete() {
    let range = |text: String| Step::header("Content-Range", &text);
    for step in [
        range(format!("bytes 1-{PART}/{SIZE}")),
        range(format!("bytes 0-{}/*", PART - 1)),
        range(format!("bytes 0-{}/{SIZE}", PART)),
        range("bytes 0-0/-1".to_owned()),
        Step::Instead(vec![0; PART + 1]),
    ] {
        let (origin, fetcher, _) = one_by_one();
        let error = run(async {
            let release = polled(&origin, &*fetcher).await;
            origin.script(APP, vec![step.clone()]);
            body(&*fetcher, &release, &Start::default()).await.unwrap_err()
        });
        assert_eq!(error.kind(), Kind::Incomplete, "{step:.100?}: {error}");
    }
}

#[test]
fn a_part_that_ends_early_is_incomplete_and_what_came_is_kept() {
    for end in [Step::Close, Step::Reset] {
        let (origin, fetcher, app) = one_by_one();
        let (got, error) = run(async {
            let release = polled(&origin, &*fetcher).await;
            origin.script(APP, vec![]);
            let pause = Step::Stall(Duration::from_millis(100));
            origin.script(APP, vec![Step::Send(1000), pause, end.clone()]);
            read_up_to_error(body(&*fetcher, &release, &Start::default()).await.unwrap()).await
        });
        let error = error.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (Kind::Incomplete, Retry::Soon), "{error}");
        assert!(got == app[..PART + 1000], "{} bytes", got.len());
    }
}

#[test]
fn a_part_of_no_announced_length_is_counted() {
    let unannounced = || Step::WithoutHeader("Content-Length".to_owned());
    for (script, sound) in
        [(vec![unannounced()], true), (vec![unannounced(), Step::Send(PART - 1), Step::Close], false)]
    {
        let (origin, fetcher, app) = one_by_one();
        let (got, end) = run(async {
            let release = polled(&origin, &*fetcher).await;
            origin.script(APP, vec![]);
            origin.script(APP, script);
            read_up_to_error(body(&*fetcher, &release, &Start::default()).await.unwrap()).await
        });
        assert_eq!(end.map_err(|error| error.kind()).err(), (!sound).then_some(Kind::Incomplete));
        assert!(got == app[..if sound { SIZE } else { 2 * PART - 1 }], "{} bytes", got.len());
    }
}

#[test]
fn parts_without_an_etag_are_not_put_together() {
    let (origin, fetcher, _) = side_by_side();
    origin.put_with(APP, pattern(SIZE, 1), Serve { etag: false, ..Serve::default() });
    let error = run(async {
        let release = polled(&origin, &*fetcher).await;
        body(&*fetcher, &release, &Start::default()).await.unwrap_err()
    });
    assert_eq!(error.kind(), Kind::Incomplete);
    assert!(error.to_string().contains("shows no ETag that holds them together"), "{error}");
}

#[test]
fn a_server_that_ignores_ranges_is_streamed_as_it_is() {
    let (origin, fetcher, app) = side_by_side();
    origin.put_with(APP, &app, Serve { ranges: false, ..Serve::default() });
    run(async {
        let release = polled(&origin, &*fetcher).await;
        let whole = body(&*fetcher, &release, &Start::default()).await.unwrap();
        assert_eq!((whole.start, whole.total), (0, Some(SIZE as u64)));
        let start = Start { byte: 1000, validator: whole.validator.clone() };
        assert!(read(whole).await.unwrap() == app);
        let again = body(&*fetcher, &release, &start).await.unwrap();
        assert_eq!(again.start, 0);
        assert!(read(again).await.unwrap() == app);
    });
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn an_object_without_bytes_is_downloaded() {
    let (origin, fetcher, _) = side_by_side();
    origin.put(APP, b"");
    run(async {
        let release = polled(&origin, &*fetcher).await;
        let empty = body(&*fetcher, &release, &Start::default()).await.unwrap();
        assert_eq!(empty.total, Some(0));
        assert_eq!(read(empty).await.unwrap(), b"");
        // One of which the size is not known before.
        origin.put("/releases/web/empty", b"");
        let sibling = fetcher.open(&release, &name("empty"), &Start::default()).await.unwrap();
        assert_eq!(read(sibling).await.unwrap(), b"");
    });
}

#[test]
fn a_download_is_resumed_by_its_etag() {
    let (origin, fetcher, app) = side_by_side();
    run(async {
        let release = polled(&origin, &*fetcher).await;
        let validator = body(&*fetcher, &release, &Start::default()).await.unwrap().validator;
        origin.clear_requests();
        for byte in [1, PART as u64, 70_000, SIZE as u64 - 1] {
            let rest = body(&*fetcher, &release, &Start { byte, validator: validator.clone() }).await.unwrap();
            assert_eq!((rest.start, rest.total), (byte, Some(SIZE as u64)));
            assert!(read(rest).await.unwrap() == app[byte as usize..]);
        }
    });
    assert!(origin.requests().iter().all(|request| request.header("if-match") == Some("\"v1\"")));
    assert_eq!(origin.requests()[0].header("range"), Some(format!("bytes=1-{PART}").as_str()));
}

#[test]
fn what_cannot_be_resumed_starts_over() {
    let (origin, fetcher, app) = one_by_one();
    run(async {
        let release = polled(&origin, &*fetcher).await;
        let validator = body(&*fetcher, &release, &Start::default()).await.unwrap().validator;
        let scripts: [Vec<Step>; 5] = [
            vec![Step::Status(412)],
            vec![Step::Status(416)],
            vec![Step::Status(404)],
            vec![Step::header("Content-Range", &format!("bytes 0-{}/{SIZE}", PART - 1))],
            vec![Step::header("ETag", "\"another\"")],
        ];
        for script in scripts {
            origin.clear_requests();
            origin.script(APP, script.clone());
            let again = body(&*fetcher, &release, &Start { byte: 1000, validator: validator.clone() }).await.unwrap();
            assert_eq!(again.start, 0, "{script:?}");
            assert!(read(again).await.unwrap() == app);
            let first: Vec<_> = origin.requests()[..2].iter().map(|r| r.header("range").unwrap().to_owned()).collect();
            assert_eq!(first, ["bytes=1000-66535", "bytes=0-65535"]);
        }
        // Nothing to resume by, or the remains of another object: from the beginning at once.
        let other = fetchd_fetchers::Revision("etag=%22other%22".to_owned());
        let weak = fetchd_fetchers::Revision("etag=W%2F%22v1%22".to_owned());
        for validator in [None, Some(other), Some(weak)] {
            origin.clear_requests();
            let again = body(&*fetcher, &release, &Start { byte: 1000, validator }).await.unwrap();
            assert_eq!((again.start, origin.requests().len()), (0, 1));
            assert_eq!(origin.requests()[0].header("range"), Some("bytes=0-65535"));
        }
    });
}

#[test]
fn dropping_a_body_ends_every_request_of_it() {
    let (origin, fetcher, _) = side_by_side();
    run(async {
        let release = polled(&origin, &*fetcher).await;
        assert!(origin.wait_for_connections(0, Duration::from_secs(10)), "a poll leaves a connection");
        origin.script_every(APP, vec![Step::Send(10), Step::Stall(Duration::from_secs(3600))]);
        let mut body = body(&*fetcher, &release, &Start::default()).await.unwrap();
        assert_eq!(body.stream.next().await.unwrap().unwrap().len(), 10);
        let until = Instant::now() + Duration::from_secs(10);
        while origin.requests().len() < 4 && Instant::now() < until {
            let _ = tokio::time::timeout(Duration::from_millis(10), body.stream.next()).await;
        }
        assert_eq!((origin.requests().len(), origin.connections()), (4, 4), "parts are not asked for side by side");
        drop(body);
        // The connections are tasks of this runtime, which has to run for them to end.
        while origin.connections() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(origin.connections(), 0, "requests go on without their body");
    });
    assert_eq!(origin.requests().len(), 4);
}

#[test]
fn a_body_that_falls_silent_is_given_up() {
    let origin = ScriptedOrigin::start();
    let app = pattern(SIZE, 1);
    origin.put(APP, &app);
    for silent in 0..2 {
        let more = [("part_size", "64KiB"), ("connections", "1"), ("read_timeout", "300ms")];
        let fetcher = unsigned(&origin, "web/app", &more);
        let (got, end) = run(async {
            let release = polled(&origin, &*fetcher).await;
            for _ in 0..silent {
                origin.script(APP, vec![]);
            }
            origin.script(APP, vec![Step::Send(10), Step::Stall(Duration::from_secs(3600))]);
            read_up_to_error(body(&*fetcher, &release, &Start::default()).await.unwrap()).await
        });
        let error = end.unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(error.to_string().ends_with("nothing was received for 300ms"), "{error}");
        assert!(got == app[..silent * PART + 10]);
    }
}

#[test]
fn a_slow_body_is_not_a_silent_one() {
    let origin = ScriptedOrigin::start();
    origin.put(APP, b"0123456789");
    let fetcher = unsigned(&origin, "web/app", &[("read_timeout", "1s")]);
    run(async {
        let release = polled(&origin, &*fetcher).await;
        origin.script(APP, vec![Step::Trickle(10, Duration::from_millis(200))]);
        assert_eq!(bytes(&*fetcher, &release).await.unwrap(), b"0123456789");
    });
}

#[test]
fn the_checksum_of_the_whole_beside_a_part_is_not_compared() {
    let (origin, fetcher, app) = side_by_side();
    run(async {
        let release = polled(&origin, &*fetcher).await;
        origin.script_every(APP, vec![Step::header("x-amz-checksum-crc32", "AAAAAA==")]);
        assert!(bytes(&*fetcher, &release).await.unwrap() == app);
    });
}
