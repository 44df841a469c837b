//! Bodies of assets: whole, resumed, replaced, broken.

use std::time::Duration;

use fetchd_fetchers::{Kind, Start};
use fetchd_stand_ins::github::{Fault, On, Side};

use super::{APP, broken, fetcher, github, name, offered, open, read, run, token_file};

const ASSETS: &str = "*/releases/assets/*";

#[test]
fn an_asset_is_asked_for_by_its_id_and_the_token_stays_at_the_api() {
    let github = github();
    github.token("hunter2");
    let (_directory, token) = token_file("hunter2");
    let fetcher = fetcher(&github, &[("token_file", &token)]);
    let release = offered(&*fetcher);
    assert_eq!(read(&*fetcher, &release, "app"), APP.as_bytes());
    assert_eq!(read(&*fetcher, &release, "app.minisig"), b"signature");
    let requests = github.requests();
    let (api, storage) = (&requests[1], &requests[2]);
    let id = release.assets[0].handle.as_ref().unwrap().split('@').next().unwrap().to_owned();
    assert_eq!((api.side, &api.path), (Side::Api, &format!("/repos/fetchd/app/releases/assets/{id}")));
    assert_eq!(api.header("accept"), Some("application/octet-stream"));
    assert_eq!(api.header("authorization"), Some("Bearer hunter2"));
    assert_eq!((storage.side, storage.header("authorization")), (Side::Storage, None));
    assert!(!requests.iter().any(|one| one.side == Side::Storage && format!("{one:?}").contains("hunter2")));
    assert!(requests.iter().all(|request| request.header("accept-encoding") == Some("identity")));
}

#[test]
fn an_interrupted_asset_is_resumed_with_the_validator_of_the_storage() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    github.inject(On::storage().once(), Fault::Reset);
    let (whole, bytes) = open(&*fetcher, &release, "app", &Start::default()).unwrap();
    assert_eq!(bytes.unwrap_err().kind(), Kind::Incomplete);
    let start = Start { byte: 8, validator: whole.validator };
    let (rest, bytes) = open(&*fetcher, &release, "app", &start).unwrap();
    assert_eq!((rest.start, rest.total, bytes.unwrap()), (8, Some(20), APP.as_bytes()[8..].to_vec()));
    let last = github.requests().pop().unwrap();
    assert_eq!((last.header("range"), last.status), (Some("bytes=8-"), 206));
    assert!(last.header("if-range").unwrap().starts_with("\"0x"));
}

#[test]
fn r61_a_part_that_is_not_the_rest_is_started_over() {
    for fault in [Fault::WrongRange, Fault::RangeIgnored, Fault::OtherEtag, Fault::Status(416)] {
        let github = github();
        let fetcher = fetcher(&github, &[]);
        let release = offered(&*fetcher);
        let validator = open(&*fetcher, &release, "app", &Start::default()).unwrap().0.validator;
        github.inject(On::storage().once(), fault.clone());
        let (body, bytes) = open(&*fetcher, &release, "app", &Start { byte: 8, validator }).unwrap();
        assert_eq!((body.start, bytes.unwrap()), (0, APP.as_bytes().to_vec()), "{fault:?}");
    }
}

#[test]
fn an_asset_replaced_or_removed_since_the_poll_is_changed() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    github.replace_asset("fetchd/app", "v1.0.0", "app", APP.to_uppercase());
    github.delete_asset("fetchd/app", "v1.0.0", "app.minisig");
    for asset in ["app", "app.minisig"] {
        let error = broken(&*fetcher, &release, asset);
        assert_eq!(error.kind(), Kind::Changed);
        assert!(error.to_string().contains(&format!("`{asset}` was replaced or removed")), "{error}");
    }
}

#[test]
fn bytes_of_another_size_than_polled_are_changed() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    github.swap_bytes("fetchd/app", "v1.0.0", "app", "0123456789");
    assert_eq!(broken(&*fetcher, &release, "app").kind(), Kind::Changed);
}

#[test]
fn other_bytes_of_the_same_size_are_not_mixed_into_a_resume() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    let validator = open(&*fetcher, &release, "app", &Start::default()).unwrap().0.validator;
    github.swap_bytes("fetchd/app", "v1.0.0", "app", APP.to_uppercase());
    let (body, bytes) = open(&*fetcher, &release, "app", &Start { byte: 8, validator }).unwrap();
    assert_eq!((body.start, bytes.unwrap()), (0, APP.to_uppercase().into_bytes()));
}

#[test]
fn an_asset_that_is_not_in_the_release_is_not_found_without_a_request() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let mut release = offered(&*fetcher);
    let error = broken(&*fetcher, &release, "app.sha256");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().ends_with("the asset `app.sha256` is not in the release"), "{error}");
    for handle in ["", "@", "1", "../../user@", "-1@x", "99999999999999999999999@x", "1/../2@x"] {
        release.assets[0].handle = Some(handle.to_owned());
        assert_eq!(broken(&*fetcher, &release, "app").kind(), Kind::NotFound, "{handle}");
    }
    assert_eq!(github.requests().len(), 1);
}

#[test]
fn r59_an_error_page_is_not_an_asset() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    let table = [
        (404, Kind::Changed),
        (403, Kind::Denied),
        (401, Kind::Denied),
        (429, Kind::Throttled),
        (502, Kind::Unreachable),
    ];
    for (status, kind) in table {
        for on in [On::api(ASSETS), On::storage()] {
            github.inject(on.once(), Fault::Status(status));
            assert_eq!(broken(&*fetcher, &release, "app").kind(), kind, "{status}");
        }
    }
}

#[test]
fn json_in_place_of_an_asset_is_not_its_bytes() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    github.inject(On::api(ASSETS).once(), Fault::Answer(200, b"{\"message\":\"Moved\"}".to_vec()));
    assert_eq!(broken(&*fetcher, &release, "app").kind(), Kind::Changed);
    // An answer without a redirect is as good, if it has the size that was polled.
    github.inject(On::api(ASSETS).once(), Fault::Answer(200, APP.as_bytes().to_vec()));
    assert_eq!(read(&*fetcher, &release, "app"), APP.as_bytes());
}

#[test]
fn broken_bodies_are_incomplete() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    for fault in [Fault::Short, Fault::Reset] {
        github.inject(On::storage().once(), fault);
        assert_eq!(broken(&*fetcher, &release, "app").kind(), Kind::Incomplete);
    }
}

#[test]
fn r54_an_encoded_body_is_refused() {
    let github = github();
    let fetcher = fetcher(&github, &[]);
    let release = offered(&*fetcher);
    github.inject(On::storage(), Fault::Header("content-encoding", "gzip"));
    let error = broken(&*fetcher, &release, "app");
    assert!(error.to_string().contains("encoded as `gzip`"), "{error}");
}

#[test]
fn r52_a_stalled_body_ends_after_the_read_timeout_and_closes_its_connection() {
    let github = github();
    let fetcher = fetcher(&github, &[("read_timeout", "200ms")]);
    let release = offered(&*fetcher);
    github.inject(On::storage(), Fault::Stall);
    let error = broken(&*fetcher, &release, "app");
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("nothing was received for 200ms"), "{error}");
    run(async {
        let closed = async {
            while github.open_bodies() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), closed).await.expect("the body is still open");
    });
}

#[test]
fn a_token_that_vanished_is_denied_without_a_request() {
    let github = github();
    github.token("hunter2");
    let (directory, token) = token_file("hunter2");
    let fetcher = fetcher(&github, &[("token_file", &token)]);
    let release = offered(&*fetcher);
    drop(directory);
    let error = run(fetcher.open(&release, &name("app"), &Start::default())).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("the `token_file` cannot be read"), "{error}");
    assert_eq!(github.requests().len(), 1);
}
