//! Large objects over several connections: the same bytes, never of two states, and no more requests than are allowed.

use fetchd_fetchers::{Body, Fetcher, Kind, Registry, Release, Start};
use futures_util::StreamExt;

use crate::capped::{Capped, Manner};
use crate::{broken, open, options, run};

const PART: usize = 64 * 1024;

fn object() -> Vec<u8> {
    let mut state = 1_u32;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..16 * PART + 1234).map(byte).collect()
}

fn read_by(origin: &Capped, connections: &str) -> (Box<dyn Fetcher>, Release) {
    let more = [("connections", connections), ("part_size", "64KiB"), ("parallel_from", "256KiB")];
    let fetcher = Registry::builtin().open(&origin.url(), &options(&more)).unwrap();
    let release = unpolled();
    (fetcher, release)
}

/// As for a file beside the one that is polled: nothing is known of it.
fn unpolled() -> Release {
    Release { revision: fetchd_fetchers::Revision(String::new()), label: None, assets: Vec::new(), document: None }
}

fn bytes(origin: &Capped, connections: &str) -> Vec<u8> {
    let (fetcher, release) = read_by(origin, connections);
    open(&*fetcher, &release, "app", &Start::default()).unwrap().1.unwrap()
}

#[test]
fn a_large_object_comes_over_several_connections_and_never_more_than_configured() {
    for connections in [2, 4] {
        let origin = Capped::start(&object(), Manner::default());
        assert!(bytes(&origin, &connections.to_string()) == object());
        assert!(origin.connections_of_parts() >= 2, "{:?}", origin.told());
        assert!(origin.most_at_once() <= connections, "{} at once", origin.most_at_once());
        assert!(origin.most_at_once() >= 2);
        // What is asked for twice is at most what the first connection had on its way when it was cut.
        let asked: usize = origin.told().iter().skip(1).map(|told| told.sent).sum();
        assert!(asked <= object().len() - PART, "{asked} bytes of parts");
    }
}

#[test]
fn one_connection_is_one_request() {
    let origin = Capped::start(&object(), Manner { accept_ranges: false, ..Manner::default() });
    assert!(bytes(&origin, "1") == object());
    assert_eq!(origin.told().len(), 1);
}

#[test]
fn without_ranges_or_a_strong_validator_there_is_one_stream() {
    for manner in [
        Manner { accept_ranges: false, ..Manner::default() },
        // Only so that nothing waits for a second request.
        Manner { accept_ranges: false, etag: "W/\"v1\"", ..Manner::default() },
    ] {
        let origin = Capped::start(&object(), manner);
        assert!(bytes(&origin, "4") == object());
        assert_eq!(origin.told().len(), 1);
    }
}

#[test]
fn a_range_that_is_ignored_leaves_one_stream() {
    let origin = Capped::start(&object(), Manner { ignores_ranges: true, ..Manner::default() });
    assert!(bytes(&origin, "4") == object());
    let told = origin.told();
    assert_eq!(told[0].sent, object().len());
    assert!(told.len() <= 4 && origin.connections_of_parts() == 0, "{told:?}");
}

#[test]
fn another_object_in_between_is_changed_and_never_a_mix() {
    for changes_at in [1, 3, 6] {
        let origin = Capped::start(&object(), Manner { changes_at, ..Manner::default() });
        let (fetcher, release) = read_by(&origin, "4");
        let error = broken(&*fetcher, &release, "app");
        assert_eq!(error.kind(), Kind::Changed, "{changes_at}: {error}");
    }
}

#[test]
fn a_connection_that_breaks_off_is_carried_on_from_where_it_was() {
    for number in 0..6 {
        let origin = Capped::start(&object(), Manner { breaks: Some((number, 24 * 1024)), ..Manner::default() });
        assert!(bytes(&origin, "4") == object(), "{number}");
        assert!(origin.most_at_once() <= 4, "{} at once", origin.most_at_once());
        let told = origin.told();
        assert_eq!(told[number].sent, 24 * 1024);
        let rest = told[number].from.unwrap_or(0) + 24 * 1024;
        assert!(told.iter().any(|told| told.from == Some(rest)), "{number}: {told:?}");
    }
}

#[test]
fn a_source_that_asks_for_fewer_requests_gets_fewer() {
    let origin = Capped::start(&object(), Manner { most_at_once: 2, ..Manner::default() });
    assert!(bytes(&origin, "4") == object());
    let refused = origin.told().iter().filter(|told| told.status == 429).count();
    assert!((1..=3).contains(&refused), "{:?}", origin.told());
}

#[test]
fn the_last_connection_is_not_given_up_silently() {
    let origin =
        Capped::start(&object(), Manner { breaks: Some((0, 24 * 1024)), accept_ranges: false, ..Manner::default() });
    let (fetcher, release) = read_by(&origin, "4");
    assert_eq!(broken(&*fetcher, &release, "app").kind(), Kind::Incomplete);
}

#[test]
fn what_was_received_is_not_asked_for_again() {
    let origin = Capped::start(&object(), Manner::default());
    let (fetcher, release) = read_by(&origin, "4");
    // Read in part, and given up: what the caller has got is what it keeps.
    let (kept, validator) = run(async {
        let mut body: Body = fetcher.open(&release, &crate::name("app"), &Start::default()).await.unwrap();
        let mut kept = Vec::new();
        while kept.len() < 6 * PART {
            kept.extend_from_slice(&body.stream.next().await.unwrap().unwrap());
        }
        (kept, body.validator)
    });
    let before = origin.told().len();
    let start = Start { byte: kept.len() as u64, validator };
    let (body, rest) = open(&*fetcher, &release, "app", &start).unwrap();
    assert_eq!(body.start, start.byte);
    assert!([kept.clone(), rest.unwrap()].concat() == object());
    let told = origin.told().split_off(before);
    assert!(told.iter().all(|told| told.from.is_some_and(|from| from >= kept.len())), "{told:?}");
    let missing = object().len() - kept.len();
    let parts: usize = told.iter().skip(1).map(|told| told.sent).sum();
    assert!(parts <= missing, "{parts} of {missing} bytes");
    assert!(origin.most_at_once() <= 4, "{} at once", origin.most_at_once());
}

#[test]
fn parts_go_where_the_redirect_led_for_as_long_as_that_is_good() {
    let origin = Capped::start(&object(), Manner { redirects: Some(5), ..Manner::default() });
    assert!(bytes(&origin, "3") == object());
    let told = origin.told();
    let redirected = told.iter().filter(|told| told.status == 302).count();
    // On a machine that is busy the first connection may have brought the rest before a part went back to the source.
    assert!((1..=8).contains(&redirected), "{redirected} of {}", told.len());
    assert!(origin.most_at_once() <= 3, "{} at once", origin.most_at_once());
}
