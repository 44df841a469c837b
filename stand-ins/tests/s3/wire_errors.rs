//! What each answer is called: statuses, codes and headers of S3, and what is not said.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, SystemTime};

use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Step};
use fetchd_fetchers::{FetchError, Kind, Retry};

use crate::support::{open, options, run, unsigned, whole_text};

/// The error of a document whose request is answered like this.
fn refused(status: u16, code: &str, headers: &[(&str, &str)], more: &str) -> FetchError {
    let body = match code {
        "" => String::new(),
        code => format!(
            "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>It is hunter2.</Message>{more}\
             <Token-0>hunter2</Token-0><RequestId>1</RequestId></Error>"
        ),
    };
    answered("web/stable.fetchd", status, headers, &body)
}

/// The error of a `HEAD`, whose answer has no body to explain itself.
fn unexplained(status: u16, headers: &[(&str, &str)]) -> FetchError {
    answered("web/app", status, headers, "")
}

fn answered(key: &str, status: u16, headers: &[(&str, &str)], body: &str) -> FetchError {
    let origin = ScriptedOrigin::start();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let answer = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    origin.script_every(&format!("/releases/{key}"), vec![Step::Raw(answer.into_bytes())]);
    let error = run(unsigned(&origin, key, &[]).poll(None)).unwrap_err();
    assert_eq!(origin.requests().len(), 1, "a refusal is asked for again: {error}");
    let text = whole_text(&error);
    assert!(!text.contains("hunter2") && !error.to_string().contains('\n'), "{text}");
    error
}

#[test]
fn codes_are_named_for_what_a_caller_can_do() {
    for (status, code, kind, words) in [
        (404, "NoSuchKey", Kind::NotFound, "does not exist (yet)"),
        (404, "NoSuchBucket", Kind::NotFound, "there is no bucket `releases`"),
        (404, "NoSuchVersion", Kind::NotFound, "does not exist in this version"),
        (403, "AccessDenied", Kind::Denied, "is refused to us"),
        (403, "AllAccessDisabled", Kind::Denied, "is refused to us"),
        (403, "InvalidAccessKeyId", Kind::Denied, "the access key is unknown to the server"),
        (403, "SignatureDoesNotMatch", Kind::Denied, "the secret access key is not the one of this access key"),
        (400, "ExpiredToken", Kind::Denied, "the session token has expired"),
        (400, "InvalidToken", Kind::Denied, "the session token is not valid"),
        (403, "InvalidObjectState", Kind::Other, "lies in an archive"),
        (503, "SlowDown", Kind::Throttled, "the source asks for fewer requests"),
        (400, "RequestTimeout", Kind::Unreachable, "the source is not working"),
        (500, "InternalError", Kind::Unreachable, "the source is not working"),
        (503, "ServiceUnavailable", Kind::Unreachable, "the source is not working"),
        (400, "InvalidRequest", Kind::Other, "answers what was not asked for"),
        (400, "<b>hunter2</b>", Kind::Denied, "is refused without a reason"),
    ] {
        let error = refused(status, code, &[], "");
        assert_eq!(error.kind(), kind, "{code}: {error}");
        let start = format!("`s3://releases/web/stable.fetchd`: {words}");
        assert!(error.to_string().starts_with(&start), "{code}: {error}");
        assert_ne!(error.retry(), Retry::Never, "no answer may stop the polls for good: {code}");
    }
}

#[test]
fn statuses_without_a_code_are_named_too() {
    for (status, kind, words) in [
        (404, Kind::NotFound, "does not exist (yet), or there is no such bucket: status 404"),
        (403, Kind::Denied, "is refused to us: status 403"),
        (401, Kind::Denied, "is refused to us: status 401"),
        (400, Kind::Denied, "is refused without a reason: an expired token, another region"),
        (412, Kind::Changed, "was replaced since the poll"),
        (429, Kind::Throttled, "the source asks for fewer requests: status 429"),
        (500, Kind::Unreachable, "the source is not working: status 500"),
        (503, Kind::Unreachable, "the source is not working: status 503"),
        (418, Kind::Other, "answers what was not asked for: status 418"),
        (301, Kind::Other, "answers what was not asked for: status 301"),
    ] {
        let error = unexplained(status, &[]);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(&format!("`s3://releases/web/app`: {words}")), "{error}");
    }
}

#[test]
fn a_deleted_version_is_not_found() {
    let error = unexplained(405, &[("x-amz-delete-marker", "true")]);
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

#[test]
fn another_region_is_named_with_the_option_to_set() {
    let header = [("x-amz-bucket-region", "eu-west-1")];
    let body = "<Region>eu-west-1</Region>";
    for error in [
        refused(301, "PermanentRedirect", &header, ""),
        refused(400, "AuthorizationHeaderMalformed", &[], body),
        refused(400, "AuthorizationHeaderMalformed", &header, ""),
        refused(307, "TemporaryRedirect", &header, ""),
        unexplained(301, &header),
        unexplained(400, &header),
    ] {
        assert!(
            error.to_string().ends_with("the bucket is in the region `eu-west-1`: set the option `region`"),
            "{error}"
        );
        assert_eq!((error.kind(), error.retry()), (Kind::Other, Retry::Soon));
    }
    let hostile = refused(301, "PermanentRedirect", &[("x-amz-bucket-region", "`; hunter2")], "");
    assert_eq!(hostile.kind(), Kind::Other);
}

#[test]
fn a_clock_that_is_wrong_is_told_by_how_much() {
    let date = |ahead: u64| httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(ahead));
    let behind = refused(403, "RequestTimeTooSkewed", &[("Date", &date(1800))], "");
    assert_eq!(behind.kind(), Kind::Denied);
    let text = behind.to_string();
    assert!(text.contains("the clock of this machine is 1,79") || text.contains("is 1,800 s behind"), "{text}");
    assert!(text.contains(" s behind the server's"), "{text}");

    let date = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(7200));
    let ahead = unexplained(403, &[("Date", &date)]);
    assert!(ahead.to_string().contains("the clock of this machine is 7,20"), "{ahead}");
    assert!(ahead.to_string().contains(" s ahead of the server's"), "{ahead}");

    let no_date = refused(403, "RequestTimeTooSkewed", &[], "");
    assert!(no_date.to_string().contains("the clocks of this machine and of the server differ"), "{no_date}");
}

#[test]
fn a_wait_that_is_asked_for_reaches_the_caller() {
    for (status, code) in [(503, "SlowDown"), (503, "ServiceUnavailable"), (429, ""), (403, "AccessDenied")] {
        let error = refused(status, code, &[("Retry-After", "77")], "");
        assert_eq!((error.kind(), error.retry()), (Kind::Throttled, Retry::After(Duration::from_secs(77))), "{error}");
    }
    let error = refused(503, "SlowDown", &[("Retry-After", "99999999")], "");
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(24 * 60 * 60)));
    assert_eq!(refused(503, "SlowDown", &[], "").retry(), Retry::Soon);
}

#[test]
fn a_refusal_is_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 500 X\r\n\r\n<Error><Code>InternalError</Code>").unwrap();
        let mut sent = 0;
        while sent < 200_000_000 && stream.write_all(&[b' '; 64 * 1024]).is_ok() {
            sent += 64 * 1024;
        }
        sent
    });
    let all = options(&[("endpoint", &endpoint), ("unsigned", "true"), ("proxy", "none")]);
    let error = run(open("s3://releases/stable.fetchd", &all).poll(None)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    let sent = server.join().unwrap();
    assert!(sent < 50_000_000, "{sent} bytes of a refusal are read");
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let all = options(&[("endpoint", &endpoint), ("unsigned", "true"), ("proxy", "none")]);
    let error = run(open("s3://releases/app", &all).poll(None)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert_eq!(error.to_string(), "`s3://releases/app`: no connection could be made");
}

#[test]
fn a_server_that_does_not_answer_is_unreachable() {
    let origin = ScriptedOrigin::start();
    for step in [Step::Stall(Duration::from_secs(3600)), Step::Reset, Step::Close] {
        let words = match &step {
            Step::Stall(_) => "the request was not answered in time",
            _ => "the request was not answered",
        };
        origin.script_every("/releases/app", vec![step]);
        let error = run(unsigned(&origin, "app", &[("read_timeout", "300ms")]).poll(None)).unwrap_err();
        assert_eq!(error.to_string(), format!("`s3://releases/app`: {words}"));
        assert_eq!(error.kind(), Kind::Unreachable);
    }
    assert_eq!(origin.requests().len(), 3, "nothing is tried again");
}
