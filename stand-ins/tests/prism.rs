//! GitHub's own description of its API decides: whether the fetcher reads what GitHub answers, and
//! whether the stand-in answers what GitHub would. `tests/all` installs what is needed.

// A test may stop at anything unexpected, its helpers too.
#![allow(clippy::unwrap_used)]

use fetchd_fetchers::conformance::Origin as _;
use fetchd_fetchers::github::{Draft, Repository};
use fetchd_fetchers::{FetchError, Kind, Options, Polled, Registry};
use fetchd_stand_ins::github::{Fault, GitHub, GitHubOrigin, On, hostile};
use fetchd_stand_ins::prism::Prism;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use url::Url;

const TOKEN: &str = "ghp_of_a_member";

/// The repository of GitHub's examples, on a server that answers with them.
fn source(prism: &Prism, query: &str) -> Url {
    Url::parse(&format!("github://octocat/Hello-World?api={}{query}", prism.url())).unwrap()
}

async fn poll(source: &Url, options: &Options) -> Result<fetchd_fetchers::Release, FetchError> {
    let fetcher = Registry::builtin().open(source, options).unwrap();
    match fetcher.poll(None).await? {
        Polled::Offers(release) => Ok(release),
        Polled::Unchanged | Polled::Renewed(_) => panic!("a poll without a revision is unchanged"),
    }
}

async fn call(method: Method, url: &str, headers: &[(&str, &str)], body: Option<Value>) -> Response {
    let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).user_agent("test");
    let request = client.build().unwrap().request(method, url);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let json = |request: reqwest::RequestBuilder, body: Value| {
        request.header("content-type", "application/json").body(body.to_string())
    };
    body.into_iter().fold(request, json).send().await.unwrap()
}

/// What GitHub describes as the body of this status.
async fn documented(prism: &Prism, method: Method, path: &str, status: u16) -> Vec<u8> {
    let url = prism.url().join(path).unwrap();
    let prefer = format!("code={status}");
    let body = (method == Method::POST).then(|| json!({"tag_name": "v1.0.0"}));
    let answer = call(method, url.as_str(), &[("prefer", &prefer)], body).await;
    assert_eq!(answer.status().as_u16(), status);
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn the_fetcher_reads_githubs_examples() {
    let prism = Prism::mock();
    let options = GitHub::start().options();
    // The latest, the one of a tag, and the newest of the list.
    for query in ["", "&tag=v1.0.0", "&tag=v1.*"] {
        let release = poll(&source(&prism, query), &options).await.unwrap();
        assert_eq!(release.label.as_deref(), Some("v1.0.0"), "{query}");
        let asset = &release.assets[0];
        assert_eq!((asset.name.as_str(), asset.size), ("example.zip", Some(1024)), "{query}");
        let digest = asset.digest.as_deref().unwrap_or_default();
        assert!(digest.starts_with("sha256:") && digest.len() == 71, "{query}: `{digest}`");
        assert!(
            asset.handle.is_some(),
            "{query}: an asset with `\"state\": \"uploaded\"` is taken for one that is not"
        );
    }
}

#[tokio::test]
async fn requests_that_make_a_release_are_as_described() {
    let prism = Prism::mock();
    let github = GitHub::start();
    // Prism answers 422 to a request that is not as described.
    let repository = Repository::open(&source(&prism, ""), &github.options_with(TOKEN)).unwrap();
    let draft = Draft { tag: "v1.0.0", name: "1.0.0", target_commitish: Some("main"), ..Draft::default() };
    let made = repository.create_draft(&draft).await.unwrap();
    assert_eq!(made.tag, "v1.0.0");
    assert_eq!(repository.assets(&made).await.unwrap()[0].name, "example.zip");
    let asset = &made.assets[0];
    repository.delete_asset(asset).await.unwrap();
    repository.publish(&made).await.unwrap();
    let known = repository.release_by_tag("v1.0.0").await.unwrap().unwrap();
    assert_eq!((known.id, known.draft), (1, false));
}

#[tokio::test]
async fn refusals_as_described_are_understood() {
    let prism = Prism::mock();
    let mut origin = GitHubOrigin::start();
    origin.publish(&[("app", b"one")]);
    let github = origin.github();
    let body = documented(&prism, Method::GET, "/repos/o/r/releases/latest", 404).await;
    github.inject(On::api("*").once(), Fault::Answer(404, body));
    let error = poll(&origin.source(), &origin.options()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    github.token(TOKEN);
    let repository = Repository::open(&origin.source(), &github.options_with(TOKEN)).unwrap();
    let body = documented(&prism, Method::POST, "/repos/o/r/releases", 422).await;
    github.inject(On::api("*").once(), Fault::Answer(422, body));
    let error = repository.create_draft(&Draft { tag: "v9.0.0", ..Draft::default() }).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Other, "{error}");
}

#[tokio::test]
async fn the_stand_in_answers_as_described() {
    let github = GitHub::start();
    github.token(TOKEN);
    let id = github.release("o/r", "v1.0.0").asset("app", b"one").open_asset("later").publish();
    github.release("o/r", "v2.0.0").draft().asset("app", b"two").publish();
    let prism = Prism::proxy(&github.api());
    let through = async |method: Method, path: &str, body: Option<Value>, status: u16| {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", token.as_str()), ("accept", "application/vnd.github+json")];
        let answer = call(method.clone(), prism.url().join(path).unwrap().as_str(), &headers, body).await;
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        answer.headers().get("sl-violations").map(|found| format!("{found:?}"))
    };
    let releases = "/repos/o/r/releases";
    let at = |rest: &str| format!("{releases}/{rest}");
    let asset = github.releases("o/r")[1].assets[0].id;
    let draft = Some(json!({"tag_name": "v3.0.0", "draft": true}));
    let table = [
        (Method::GET, releases.to_owned(), None, 200),
        (Method::GET, at("latest"), None, 200),
        (Method::GET, at("tags/v1.0.0"), None, 200),
        (Method::GET, at(&id.to_string()), None, 200),
        (Method::GET, at(&format!("{id}/assets")), None, 200),
        (Method::GET, at(&format!("assets/{asset}")), None, 200),
        (Method::GET, at("assets/1"), None, 404),
        (Method::GET, at("tags/v9.0.0"), None, 404),
        (Method::POST, releases.to_owned(), draft, 201),
        (Method::POST, releases.to_owned(), Some(json!({"tag_name": "v1.0.0"})), 422),
        (Method::PATCH, at(&id.to_string()), Some(json!({"prerelease": true})), 200),
        (Method::DELETE, at(&format!("assets/{asset}")), None, 204),
        (Method::DELETE, at(&format!("assets/{asset}")), None, 404),
    ];
    for (method, path, body, status) in table {
        let violations = through(method.clone(), &path, body, status).await;
        assert_eq!(violations, None, "{method} {path}");
    }
    github.inject(On::api("*"), Fault::Answer(200, hostile::wrong_types()));
    let violations = through(Method::GET, &at("latest"), None, 200).await;
    assert!(violations.is_some(), "what GitHub does not describe must be seen");
}
