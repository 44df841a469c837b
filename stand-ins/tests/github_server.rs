//! The GitHub that stands in for GitHub: what it answers, fault by fault.

// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use fetchd_stand_ins::github::{Fault, GitHub, On, Side, hostile};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

const REPOSITORY: &str = "fetchd/app";
const TOKEN: &str = "ghp_of_a_member";
const LATEST: &str = "/repos/fetchd/app/releases/latest";

/// A client that follows nothing, and what it says besides.
struct Caller<'a> {
    github: &'a GitHub,
    client: Client,
    headers: HeaderMap,
}

impl<'a> Caller<'a> {
    fn of(github: &'a GitHub) -> Caller<'a> {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().user_agent("test");
        Caller { github, client: client.build().unwrap(), headers: HeaderMap::new() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Caller<'a> {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    fn member(github: &'a GitHub) -> Caller<'a> {
        github.token(TOKEN);
        Caller::of(github).with("authorization", &format!("Bearer {TOKEN}"))
    }

    async fn send(&self, method: Method, url: &str, body: Option<Vec<u8>>) -> Result<Response, reqwest::Error> {
        let url = if url.starts_with('/') {
            format!("{}{url}", self.github.api().as_str().trim_end_matches('/'))
        } else {
            url.to_owned()
        };
        let request = self.client.request(method, url).headers(self.headers.clone());
        body.into_iter().fold(request, |request, body| request.body(body)).send().await
    }

    async fn get(&self, url: &str) -> Response {
        self.send(Method::GET, url, None).await.unwrap()
    }

    async fn json(&self, url: &str) -> Value {
        let answer = self.get(url).await;
        assert_eq!(answer.status(), StatusCode::OK, "{url}");
        json_of(answer).await
    }
}

async fn json_of(answer: Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

fn two_releases() -> GitHub {
    let github = GitHub::start();
    github.release(REPOSITORY, "v1.0.0").asset("app", b"one").publish();
    github.release(REPOSITORY, "v1.1.0").asset("app", b"eleven").asset("app.minisig", b"signature").publish();
    github
}

/// Where the storage has the bytes of the latest release's asset `index`.
async fn signed(caller: &Caller<'_>, index: usize) -> String {
    let latest = caller.json(LATEST).await;
    let url = latest["assets"][index]["url"].as_str().unwrap().to_owned();
    let binary = Caller { headers: caller.headers.clone(), client: caller.client.clone(), github: caller.github };
    let answer = binary.with("accept", "application/octet-stream").get(&url).await;
    assert_eq!(answer.status(), StatusCode::FOUND);
    header(&answer, "location")
}

#[tokio::test]
async fn the_latest_release_is_the_newest_that_is_neither_draft_nor_prerelease() {
    let github = two_releases();
    github.release(REPOSITORY, "v2.0.0-rc.1").prerelease().publish();
    github.release(REPOSITORY, "v2.0.0").draft().publish();
    let caller = Caller::of(&github);
    let latest = caller.json(LATEST).await;
    assert_eq!(latest["tag_name"], "v1.1.0");
    assert_eq!(latest["assets"][0]["size"], 6);
    let digest = latest["assets"][0]["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
    let tags = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|release| release["tag_name"].as_str().unwrap().to_owned()).collect()
    };
    let list = caller.json("/repos/fetchd/app/releases").await;
    assert_eq!(tags(&list), ["v2.0.0-rc.1", "v1.1.0", "v1.0.0"], "a draft is not shown to everybody");
    let list = Caller::member(&github).json("/repos/fetchd/app/releases").await;
    assert_eq!(tags(&list), ["v2.0.0", "v2.0.0-rc.1", "v1.1.0", "v1.0.0"]);
    assert_eq!(caller.json("/repos/fetchd/app/releases/tags/v1.0.0").await["tag_name"], "v1.0.0");
    let draft = Caller::member(&github).get("/repos/fetchd/app/releases/tags/v2.0.0").await;
    assert_eq!(draft.status(), StatusCode::NOT_FOUND, "a draft has no tag yet");
}

#[tokio::test]
async fn an_asset_is_json_or_a_redirect_to_its_bytes() {
    let github = two_releases();
    let caller = Caller::of(&github);
    let latest = caller.json(LATEST).await;
    let url = latest["assets"][0]["url"].as_str().unwrap();
    assert_eq!(caller.json(url).await["name"], "app");
    let link = signed(&caller, 0).await;
    assert!(link.starts_with(github.storage().as_str()), "{link}");
    let answer = caller.get(&link).await;
    let etag = header(&answer, "etag");
    assert_eq!(answer.bytes().await.unwrap(), "eleven");
    let tail = Caller::of(&github).with("range", "bytes=3-").with("if-range", &etag).get(&link).await;
    assert_eq!((tail.status().as_u16(), header(&tail, "content-range").as_str()), (206, "bytes 3-5/6"));
    assert_eq!(tail.bytes().await.unwrap(), "ven");
    let other = Caller::of(&github).with("range", "bytes=3-").with("if-range", "\"other\"").get(&link).await;
    assert_eq!(other.status(), StatusCode::OK);
    let past = Caller::of(&github).with("range", "bytes=6-").get(&link).await;
    assert_eq!((past.status().as_u16(), header(&past, "content-range").as_str()), (416, "bytes */6"));
}

#[tokio::test]
async fn the_storage_serves_a_signed_link_and_nothing_else() {
    let github = two_releases();
    let caller = Caller::of(&github);
    let link = signed(&caller, 0).await;
    let forged = link.replace("sig=", "sig=0");
    assert_eq!(caller.get(&forged).await.status(), StatusCode::FORBIDDEN);
    let leaking = Caller::member(&github).get(&link).await;
    assert_eq!(leaking.status(), StatusCode::BAD_REQUEST, "a token sent to the storage must be seen");
    github.delete_asset(REPOSITORY, "v1.1.0", "app");
    assert_eq!(caller.get(&link).await.status(), StatusCode::NOT_FOUND);
    let seen = github.requests().into_iter().find(|request| request.header("authorization").is_some()).unwrap();
    assert_eq!((seen.side, seen.method.as_str(), seen.status), (Side::Storage, "GET", 400));
    assert!(seen.path.starts_with("/github-production-release-asset/") && seen.query.contains("sig="), "{seen:?}");
}

#[tokio::test]
async fn what_has_not_changed_is_free_with_a_token_only() {
    let github = two_releases();
    let anonymous = Caller::of(&github);
    let first = anonymous.get(LATEST).await;
    let etag = header(&first, "etag");
    assert!(etag.starts_with("W/\""), "{etag}");
    assert_eq!(
        (header(&first, "x-ratelimit-limit"), header(&first, "x-ratelimit-remaining")),
        ("60".into(), "59".into())
    );
    let again = Caller::of(&github).with("if-none-match", &etag).get(LATEST).await;
    assert_eq!((again.status().as_u16(), header(&again, "x-ratelimit-remaining").as_str()), (304, "58"));
    let member = Caller::member(&github);
    assert_eq!(header(&member.get(LATEST).await, "x-ratelimit-remaining"), "4999");
    let again = Caller::member(&github).with("if-none-match", &etag).get(LATEST).await;
    assert_eq!((again.status().as_u16(), header(&again, "x-ratelimit-remaining").as_str()), (304, "4999"));
    assert_eq!((github.used(None), github.used(Some(TOKEN))), (2, 1));
    signed(&anonymous, 0).await;
    let counted = Caller::of(&github).with("if-none-match", &etag).get(LATEST).await;
    assert_eq!(counted.status(), StatusCode::OK, "a download changes `download_count` and so the ETag");
}

#[tokio::test]
async fn an_hour_ends_with_403() {
    let github = two_releases();
    github.limit(1);
    let caller = Caller::of(&github);
    assert_eq!(caller.get(LATEST).await.status(), StatusCode::OK);
    let answer = caller.get(LATEST).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "x-ratelimit-remaining").as_str()), (403, "0"));
    assert!(header(&answer, "x-ratelimit-reset").parse::<u64>().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn a_private_repository_is_not_found_without_the_right_token() {
    let github = two_releases();
    github.make_private(REPOSITORY);
    github.strangers_token("ghp_of_a_stranger");
    assert_eq!(Caller::of(&github).get(LATEST).await.status(), StatusCode::NOT_FOUND);
    let with = |token: &str| Caller::of(&github).with("authorization", &format!("Bearer {token}"));
    assert_eq!(with("ghp_of_a_stranger").get(LATEST).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(with("ghp_of_nobody").get(LATEST).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(Caller::member(&github).get(LATEST).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_old_name_is_redirected_to_the_repositorys_number() {
    let github = two_releases();
    github.rename(REPOSITORY, "fetchd/other");
    let caller = Caller::of(&github);
    let answer = caller.get(LATEST).await;
    assert_eq!(answer.status(), StatusCode::MOVED_PERMANENTLY);
    let to = header(&answer, "location");
    assert!(to.starts_with(&format!("{}repositories/", github.api())) && to.ends_with("/releases/latest"), "{to}");
    assert_eq!(caller.json(&to).await["tag_name"], "v1.1.0");
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let github = GitHub::start_enterprise();
    for minor in 0..5 {
        github.release(REPOSITORY, &format!("v1.{minor}.0")).publish();
    }
    let caller = Caller::of(&github);
    let first = caller.get("/repos/fetchd/app/releases?per_page=2&page=2").await;
    let links = header(&first, "link");
    let root = github.api();
    assert!(root.path().ends_with("/api/v3"), "{root}");
    for (rel, page) in [("prev", 1), ("next", 3), ("last", 3), ("first", 1)] {
        assert!(links.contains(&format!("per_page=2&page={page}>; rel=\"{rel}\"")), "{links}");
    }
    assert_eq!(json_of(first).await[0]["tag_name"], "v1.2.0");
    let next = links.split('<').find(|link| link.contains("next")).unwrap().split('>').next().unwrap();
    assert_eq!(caller.json(next).await[0]["tag_name"], "v1.0.0");
}

#[tokio::test]
async fn a_release_is_made_filled_and_published() {
    for github in [GitHub::start(), GitHub::start_enterprise()] {
        github.repository(REPOSITORY);
        let member = Caller::member(&github);
        let releases = "/repos/fetchd/app/releases";
        let fields = json!({"tag_name": "v1.0.0", "draft": true}).to_string().into_bytes();
        let refused = Caller::of(&github).send(Method::POST, releases, Some(fields.clone())).await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        let made = member.send(Method::POST, releases, Some(fields)).await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
        let made = json_of(made).await;
        let (url, upload) = (made["url"].as_str().unwrap(), made["upload_url"].as_str().unwrap());
        let upload = upload.replace("{?name,label}", "?name=app%201");
        let sent = member.send(Method::POST, &upload, Some(b"bytes".to_vec())).await.unwrap();
        assert_eq!(sent.status(), StatusCode::CREATED);
        let sent = json_of(sent).await;
        assert_eq!((&sent["name"], &sent["state"]), (&json!("app.1"), &json!("uploaded")), "names are made plain");
        let twice = json_of(member.send(Method::POST, &upload, Some(b"bytes".to_vec())).await.unwrap()).await;
        assert_eq!(twice["errors"][0]["code"], "already_exists");
        assert_eq!(Caller::of(&github).get(LATEST).await.status(), StatusCode::NOT_FOUND, "a draft is not public");
        let public = json!({"draft": false}).to_string().into_bytes();
        assert_eq!(member.send(Method::PATCH, url, Some(public)).await.unwrap().status(), StatusCode::OK);
        assert_eq!(Caller::of(&github).json(LATEST).await["tag_name"], "v1.0.0");
        let asset = sent["url"].as_str().unwrap();
        assert_eq!(member.send(Method::DELETE, asset, None).await.unwrap().status(), StatusCode::NO_CONTENT);
        assert_eq!(github.releases(REPOSITORY)[0].assets, []);
    }
}

#[tokio::test]
async fn what_happens_to_a_write_that_is_not_answered() {
    let github = GitHub::start();
    let id = github.release(REPOSITORY, "v1.0.0").draft().publish();
    let member = Caller::member(&github);
    let upload = |name: &str| format!("/repos/fetchd/app/releases/{id}/assets?name={name}");
    let faults = [("lost", Fault::LostReply), ("dropped", Fault::Dropped), ("broken", Fault::UploadBroken)];
    for (name, fault) in faults {
        github.inject(On::writes().once(), fault);
        member.send(Method::POST, &upload(name), Some(vec![7; 100_000])).await.expect_err("there is no answer");
    }
    let assets = github.releases(REPOSITORY).remove(0).assets;
    let states: Vec<_> =
        assets.iter().map(|asset| (asset.name.as_str(), asset.state.as_str(), asset.bytes.len())).collect();
    assert_eq!(states, [("lost", "uploaded", 100_000), ("broken", "starter", 0)]);
}

#[tokio::test]
async fn limits_and_failures_look_as_documented() {
    let github = two_releases();
    let caller = Caller::of(&github);
    let minute = Duration::from_secs(60);
    let table = [
        (Fault::Status(401), 401, "", "Bad credentials"),
        (Fault::Status(503), 503, "", "Service unavailable"),
        (Fault::PrimaryLimit(minute), 403, "", "API rate limit exceeded"),
        (Fault::TooMany(Some(minute)), 429, "60", "rate limit"),
        (Fault::SecondaryLimit(Some(minute)), 403, "60", "secondary rate limit"),
        (Fault::SecondaryLimit(None), 403, "", "secondary rate limit"),
    ];
    for (fault, status, wait, message) in table {
        github.inject(On::api("*/releases/latest").once(), fault.clone());
        let answer = caller.get(LATEST).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "retry-after").as_str()), (status, wait), "{fault:?}");
        let body = json_of(answer).await;
        assert!(body["message"].as_str().unwrap().contains(message), "{fault:?}: {body}");
        assert_eq!(caller.get(LATEST).await.status(), StatusCode::OK, "{fault:?} was for one request");
    }
}

#[tokio::test]
async fn hostile_answers_arrive_as_they_are() {
    let github = two_releases();
    let caller = Caller::of(&github);
    github.inject(On::api("*").once(), Fault::Redirect(302, b"http://127.0.0.1/\xff".to_vec()));
    assert_eq!(caller.get(LATEST).await.headers()["location"].as_bytes(), b"http://127.0.0.1/\xff");
    github.inject(On::api("*").once(), Fault::Loop);
    let answer = caller.get(LATEST).await;
    assert!(header(&answer, "location").ends_with(LATEST));
    for (bytes, size) in [(hostile::huge(), 20_000_000), (hostile::deep(), 200_000)] {
        github.inject(On::api("*").once(), Fault::Answer(200, bytes));
        assert_eq!(caller.get(LATEST).await.bytes().await.unwrap().len(), size);
    }
    for bytes in [hostile::wrong_types(), hostile::clipped()] {
        github.inject(On::api("*").once(), Fault::Answer(200, bytes.clone()));
        assert_eq!(caller.get(LATEST).await.bytes().await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn bodies_break_off_end_and_stall_at_their_half() {
    let github = GitHub::start();
    github.release(REPOSITORY, "v1.0.0").asset("app", vec![7; 300_000]).publish();
    let caller = Caller::of(&github);
    for fault in [Fault::Short, Fault::Reset, Fault::Stall] {
        let link = signed(&caller, 0).await;
        github.inject(On::storage(), fault.clone());
        let mut answer = caller.get(&link).await;
        assert_eq!(answer.content_length(), Some(300_000));
        let mut got = 0;
        let end = loop {
            match tokio::time::timeout(Duration::from_millis(500), answer.chunk()).await {
                Ok(Ok(Some(chunk))) => got += chunk.len(),
                Ok(Ok(None)) => panic!("{fault:?} is taken for the end"),
                Ok(Err(error)) => break format!("{error:?}"),
                Err(_) => break "stalled".to_owned(),
            }
        };
        assert_eq!(got, 150_000, "{fault:?}");
        assert_eq!(end.contains("ConnectionReset"), fault == Fault::Reset, "{end}");
        assert_eq!(end == "stalled", fault == Fault::Stall, "{end}");
        assert_eq!(github.open_bodies(), usize::from(fault == Fault::Stall));
        github.clear();
    }
}

#[tokio::test]
async fn the_storage_lies_when_told_to() {
    let github = two_releases();
    let caller = Caller::of(&github);
    let link = signed(&caller, 0).await;
    let resumed = || Caller::of(&github).with("range", "bytes=3-");
    github.inject(On::storage().once(), Fault::WrongRange);
    assert_eq!(header(&resumed().get(&link).await, "content-range"), "bytes 4-5/6");
    github.inject(On::storage().once(), Fault::RangeIgnored);
    assert_eq!(resumed().get(&link).await.status(), StatusCode::OK);
    github.inject(On::storage().once(), Fault::OtherEtag);
    assert_eq!(header(&resumed().get(&link).await, "etag"), "\"0xother\"");
    github.inject(On::storage().once(), Fault::Header("content-encoding", "gzip"));
    assert_eq!(header(&caller.get(&link).await, "content-encoding"), "gzip");
    github.inject(On::storage().once(), Fault::NoValidators);
    assert_eq!(header(&caller.get(&link).await, "etag"), "");
}

#[tokio::test]
async fn releases_change_as_a_test_wants() {
    let github = two_releases();
    let caller = Caller::of(&github);
    let before = caller.json(LATEST).await["assets"][0]["id"].clone();
    github.swap_bytes(REPOSITORY, "v1.1.0", "app", b"swapped");
    let swapped = caller.json(LATEST).await;
    assert_eq!((&swapped["assets"][0]["id"], &swapped["assets"][0]["size"]), (&before, &json!(7)));
    github.replace_asset(REPOSITORY, "v1.1.0", "app", b"another");
    let assets = caller.json(LATEST).await["assets"].clone();
    assert!(assets.as_array().unwrap().iter().all(|asset| asset["id"] != before), "{assets}");
    github.move_tag(REPOSITORY, "v1.0.0", "v1.1.0");
    let moved = caller.json("/repos/fetchd/app/releases/tags/v1.1.0").await;
    assert_eq!((&moved["assets"][0]["size"], github.releases(REPOSITORY).len()), (&json!(3), 1));
    github.without_digests();
    github.release(REPOSITORY, "v2.0.0").open_asset("app").starter_asset("other").publish();
    let latest = caller.json(LATEST).await;
    assert_eq!((&latest["assets"][0]["state"], &latest["assets"][1]["state"]), (&json!("open"), &json!("starter")));
    assert_eq!(latest["assets"][0]["digest"], Value::Null);
    github.delete_release(REPOSITORY, "v2.0.0");
    assert_eq!(caller.json(LATEST).await["tag_name"], "v1.1.0");
}

// The API at the root of an origin is in `tests/conformance.rs` beside the other fetchers.
fetchd_fetchers::conformance_tests!(enterprise, fetchd_stand_ins::github::GitHubOrigin::start_enterprise);
