//! The GitHub that stands in for GitHub: what it answers, fault by fault.

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
