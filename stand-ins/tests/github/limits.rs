//! Rate limits and refusals.

use std::time::{Duration, Instant};

use fetchd_fetchers::{FetchError, Kind, Retry};
use fetchd_stand_ins::github::{Fault, On};

use super::{fetcher, github, offered, open, poll, token_file};

fn refused(fault: Fault) -> FetchError {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    github.inject(On::api("*"), fault);
    let began = Instant::now();
    let polled = poll(&*fetcher, None).unwrap_err();
    let opened = open(&*fetcher, &release, "app", &Default::default()).unwrap_err();
    assert_eq!(polled.kind(), opened.kind());
    assert!(began.elapsed() < Duration::from_secs(30), "a fetcher slept");
    assert_eq!(github.requests().len(), 3, "a fetcher tried again");
    polled
}

#[test]
fn r63_an_exhausted_quota_is_throttled_until_it_starts_anew() {
    let error = refused(Fault::PrimaryLimit(Duration::from_secs(2400)));
    assert_eq!(error.kind(), Kind::Throttled);
    match error.retry() {
        Retry::After(wait) => assert!((2390..=2400).contains(&wait.as_secs()), "{wait:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secondary_limit_is_throttled_for_as_long_as_it_says() {
    for fault in [Fault::SecondaryLimit, Fault::TooMany] {
        let error = refused(fault(Some(Duration::from_secs(77))));
        assert_eq!((error.kind(), error.retry()), (Kind::Throttled, Retry::After(Duration::from_secs(77))));
    }
}

#[test]
fn r64_a_limit_that_says_nothing_is_throttled_for_a_minute() {
    for fault in [Fault::SecondaryLimit(None), Fault::TooMany(None), Fault::Status(429)] {
        let error = refused(fault);
        assert_eq!((error.kind(), error.retry()), (Kind::Throttled, Retry::After(Duration::from_secs(60))));
    }
}

#[test]
fn a_limit_of_the_hour_is_reached_by_asking() {
    let github = github();
    github.limit(2);
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    offered(&*fetcher);
    let error = poll(&*fetcher, Some(&release.revision)).unwrap_err();
    assert_eq!(error.kind(), Kind::Throttled);
    assert!(matches!(error.retry(), Retry::After(wait) if wait > Duration::from_secs(60)), "{:?}", error.retry());
}

#[test]
fn a_refusal_is_denied_and_says_why() {
    let error = refused(Fault::Status(403));
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("is refused to us without a token: status 403"), "{error}");
    let error = refused(Fault::Status(401));
    assert!(error.to_string().contains("a token is asked for: status 401"), "{error}");
}

#[test]
fn a_token_that_is_not_valid_is_named() {
    let github = github();
    let (_directory, token) = token_file("hunter2");
    let fetcher = fetcher(&github, &[("token_file", &token)]);
    let error = poll(&*fetcher, None).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().ends_with("the token is refused: status 401"), "{error}");
    assert!(!format!("{error:?} {fetcher:?}").contains("hunter2"));
    // One that is renewed in place is used from the next request on.
    github.token("hunter3");
    std::fs::write(&token, "hunter3").unwrap();
    offered(&*fetcher);
}

#[test]
fn a_server_that_is_not_working_is_unreachable() {
    for status in [500, 502, 503] {
        assert_eq!(refused(Fault::Status(status)).kind(), Kind::Unreachable, "{status}");
    }
}
