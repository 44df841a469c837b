//! Answers that GitHub would not give: addresses that lead away, headers of organisations.

use std::time::Duration;

use fetchd_fetchers::conformance::scripted::{ScriptedOrigin, Serve, Step};
use fetchd_fetchers::github::Repository;
use fetchd_fetchers::{Fetcher, Kind, Registry, Retry, Start};
use serde_json::{Value, json};
use url::Url;

use super::{APP, broken, offered, open, options, poll, read, run, token_file, unchanged};

const LATEST: &str = "/repos/fetchd/app/releases/latest";
const ASSET: &str = "/repos/fetchd/app/releases/assets/7";

fn source(api: &ScriptedOrigin) -> Url {
    Url::parse(&format!("github://fetchd/app?api={}", api.url("/"))).unwrap()
}

fn fetcher(api: &ScriptedOrigin, more: &[(&str, &str)]) -> Box<dyn Fetcher> {
    Registry::builtin().open(&source(api), &options(more)).unwrap()
}

/// A release with one asset, with every address at `at`.
fn release(at: &ScriptedOrigin) -> Value {
    let url = at.url("/away");
    let time = "2026-01-02T03:04:05Z";
    json!({
        "url": url, "html_url": url, "assets_url": url, "upload_url": format!("{url}{{?name,label}}"),
        "tarball_url": null, "zipball_url": null, "id": 1, "node_id": "", "tag_name": "v1.0.0",
        "target_commitish": "main", "name": null, "body": null, "draft": false, "prerelease": false,
        "created_at": time, "published_at": time, "author": null,
        "assets": [{
            "url": url, "browser_download_url": url, "id": 7, "node_id": "", "name": "app", "label": null,
            "state": "uploaded", "content_type": "application/octet-stream", "size": APP.len(), "digest": null,
            "download_count": 0, "created_at": time, "updated_at": time, "uploader": null,
        }],
    })
}

fn published() -> (ScriptedOrigin, ScriptedOrigin) {
    let (api, away) = (ScriptedOrigin::start(), ScriptedOrigin::start());
    api.put(LATEST, release(&away).to_string());
    (api, away)
}

#[test]
fn no_address_in_an_answer_is_followed() {
    let (api, away) = published();
    api.put(ASSET, APP);
    let fetcher = fetcher(&api, &[]);
    let release = offered(&*fetcher);
    assert_eq!(read(&*fetcher, &release, "app"), APP.as_bytes());
    assert!(away.requests().is_empty());
}

#[test]
fn nothing_is_uploaded_to_a_foreign_address() {
    let (api, away) = published();
    api.put("/repos/fetchd/app/releases/tags/v1.0.0", release(&away).to_string());
    let (directory, token) = token_file("hunter2");
    let repository = Repository::open(&source(&api), &options(&[("token_file", &token)])).unwrap();
    let error = run(async {
        let found = repository.release_by_tag("v1.0.0").await.unwrap().unwrap();
        let file = tokio::fs::File::open(directory.path().join("token")).await.unwrap();
        repository.upload(&found, "app", "text/plain", 3, file).await.unwrap_err()
    });
    assert!(error.to_string().ends_with("shows an address for uploads that is not its own"), "{error}");
    assert!(away.requests().is_empty());
    assert_eq!(api.requests().len(), 1);
}

#[test]
fn a_release_that_stays_a_draft_is_not_called_published() {
    let (api, away) = published();
    api.put("/repos/fetchd/app/releases/tags/v1.0.0", release(&away).to_string());
    let mut draft = release(&away);
    draft["draft"] = true.into();
    api.script("/repos/fetchd/app/releases/1", vec![Step::Status(200), Step::Instead(draft.to_string().into_bytes())]);
    let (_directory, token) = token_file("hunter2");
    let repository = Repository::open(&source(&api), &options(&[("token_file", &token)])).unwrap();
    let error = run(async {
        let found = repository.release_by_tag("v1.0.0").await.unwrap().unwrap();
        repository.publish(&found).await.unwrap_err()
    });
    assert_eq!(error.kind(), Kind::Incomplete, "{error}");
    assert!(error.to_string().ends_with("the release is a draft still"), "{error}");
}

#[test]
fn an_organisation_that_asks_for_single_sign_on_is_named() {
    let (api, _away) = published();
    let sso = Step::header("X-GitHub-SSO", "required; url=https://github.com/orgs/x/sso?authorization_request=hunter3");
    api.script_every(LATEST, vec![Step::Status(403), sso]);
    let (_directory, token) = token_file("hunter2");
    let error = poll(&*fetcher(&api, &[("token_file", &token)]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("`x-github-sso`"), "{error}");
    assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
}

#[test]
fn an_asset_without_a_length_has_the_size_that_was_polled() {
    let (api, _away) = published();
    let fetcher = fetcher(&api, &[]);
    let release = offered(&*fetcher);
    let bare = Serve { length: false, ..Serve::default() };
    api.put_with(ASSET, APP, bare);
    let (body, bytes) = open(&*fetcher, &release, "app", &Start::default()).unwrap();
    assert_eq!((body.total, bytes.unwrap()), (Some(20), APP.as_bytes().to_vec()));
    for other in ["0123456789", "0123456789abcdefghijk"] {
        api.put_with(ASSET, other, bare);
        assert_eq!(broken(&*fetcher, &release, "app").kind(), Kind::Incomplete);
    }
}

#[test]
fn a_header_of_hostile_bytes_is_survived() {
    let (api, away) = published();
    let body = release(&away).to_string();
    let headers = b"ETag: \"\xff\"\r\nX-RateLimit-Remaining: \xff\r\nX-GitHub-SSO: \xff\r\nRetry-After: \xff\r\n";
    for status in ["200 OK", "403 Forbidden", "429 Too Many", "301 Moved"] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
        let answer = [head.as_bytes(), headers, b"\r\n", body.as_bytes()].concat();
        api.script_every(LATEST, vec![Step::Raw(answer)]);
        let fetcher = fetcher(&api, &[]);
        match poll(&*fetcher, None) {
            Ok(_) => assert_eq!(status, "200 OK"),
            Err(error) => assert_ne!(status, "200 OK", "{error}"),
        }
    }
}

#[test]
fn a_draft_in_place_of_the_latest_is_not_offered() {
    let (api, away) = published();
    let mut draft = release(&away);
    draft["draft"] = json!(true);
    api.put(LATEST, draft.to_string());
    let error = poll(&*fetcher(&api, &[]), None).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().ends_with("shows a draft, which is not released (yet)"), "{error}");
}

#[test]
fn a_limit_told_in_any_of_its_ways_is_throttled_for_a_minute() {
    let (api, _away) = published();
    let fetcher = fetcher(&api, &[]);
    let text = |text: &str| Step::Instead(json!({ "message": text }).to_string().into_bytes());
    let limits = [
        vec![Step::header("X-RateLimit-Remaining", "0")],
        vec![text("You have exceeded a secondary rate limit.")],
        vec![text("You have triggered an abuse detection mechanism.")],
    ];
    for limit in limits {
        api.script(LATEST, [vec![Step::Status(403)], limit.clone()].concat());
        let error = poll(&*fetcher, None).unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (Kind::Throttled, Retry::After(Duration::from_secs(60))),
            "{limit:?}"
        );
    }
    // What else a refusal says is neither understood nor shown.
    for other in [text("hunter2"), Step::Instead(b"hunter2".to_vec()), Step::Instead(vec![b' '; 100_000])] {
        api.script(LATEST, vec![Step::Status(403), other]);
        let error = poll(&*fetcher, None).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn every_mark_of_a_release_makes_another_one_and_a_count_does_not() {
    let (api, away) = published();
    let fetcher = fetcher(&api, &[]);
    let before = offered(&*fetcher);
    let time = "2026-01-02T03:04:06Z";
    let marks = [("id", json!(2)), ("tag_name", json!("v1.0.1"))];
    let asset = [
        ("id", json!(8)),
        ("name", json!("app2")),
        ("size", json!(21)),
        ("state", json!("open")),
        ("digest", json!("sha256:00")),
        ("updated_at", json!(time)),
    ];
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut release = release(&away);
        change(&mut release);
        api.put(LATEST, release.to_string());
        !unchanged(&*fetcher, &before)
    };
    for (field, value) in marks {
        assert!(changed(&|release| release[field] = value.clone()), "{field}");
    }
    for (field, value) in asset {
        assert!(changed(&|release| release["assets"][0][field] = value.clone()), "{field}");
    }
    for (field, value) in [("download_count", json!(9)), ("label", json!("x")), ("content_type", json!("x"))] {
        assert!(!changed(&|release| release["assets"][0][field] = value.clone()), "{field}");
    }
    for (field, value) in [("body", json!("x")), ("name", json!("x")), ("author", Value::Null)] {
        assert!(!changed(&|release| release[field] = value.clone()), "{field}");
    }
}
