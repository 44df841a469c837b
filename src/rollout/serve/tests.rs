use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode};

use super::*;
use crate::failure::{Exit, Reported};
use crate::rollout::View;
use crate::rollout::view::tests::{halted, view};

/// A source whose looks return what `next` holds.
struct Told {
    next: Arc<Mutex<Result<View, Reported>>>,
    looks: Arc<AtomicU32>,
    proposed: Option<Order>,
}

impl Source for Told {
    fn look(&mut self) -> Result<View, Reported> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.next.lock().unwrap().clone()
    }

    fn propose(&mut self, order: &Order) -> Result<(String, Vec<String>), Reported> {
        self.proposed = Some(order.clone());
        Ok(("id-1".to_owned(), vec!["state running → paused".to_owned()]))
    }

    fn confirm(&mut self, id: &str) -> Result<String, Reported> {
        match self.proposed.take() {
            Some(order) if id == "id-1" => Ok(format!("{order:?}")),
            _ => Err(trouble()),
        }
    }
}

/// What the next look of a site returns.
type Next = Arc<Mutex<Result<View, Reported>>>;

/// A site whose look returns what `next` holds, and how often it was asked.
fn site(every: Duration, next: Result<View, Reported>) -> (Site, Next, Arc<AtomicU32>) {
    let (next, looks) = (Arc::new(Mutex::new(next)), Arc::new(AtomicU32::new(0)));
    let source = Told { next: Arc::clone(&next), looks: Arc::clone(&looks), proposed: None };
    let feed = Feed::start(every, source).unwrap();
    (Site { feed, hosts: vec!["127.0.0.1:8088".to_owned()], token: None }, next, looks)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn get(site: &Site, path: &str, headers: &[(&str, &str)]) -> (Response<()>, String) {
    let mut request = Request::get(path);
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request = request.header("Host", "127.0.0.1:8088");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, body) = site.answer(request.body(Full::<Bytes>::default()).unwrap()).await.into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8(text.to_vec()).unwrap())
}

fn trouble() -> Reported {
    Reported {
        code: "source.unreachable".to_owned(),
        exit: Exit::Unreachable,
        message: "the bucket does not answer".to_owned(),
        hint: None,
    }
}

#[test]
fn a_name_that_is_made_to_point_here_reads_nothing() {
    run(async {
        let (site, _, looks) = site(Duration::ZERO, Ok(view()));
        for host in ["evil.example:8088", "127.0.0.1", "127.0.0.1:80", "localhost:8088", ""] {
            for path in ["/", "/part", "/view.json", "/metrics", "/page.js"] {
                let (reply, text) = get(&site, path, &[("Host", host)]).await;
                assert_eq!(reply.status(), StatusCode::MISDIRECTED_REQUEST, "{host} {path}");
                assert!(!text.contains("app"), "{text}");
            }
        }
        assert_eq!(looks.load(Ordering::SeqCst), 0);
        assert_eq!(get(&site, "/", &[]).await.0.status(), StatusCode::OK);
    });
}

#[test]
fn it_can_only_be_read() {
    run(async {
        let (site, _, _) = site(Duration::ZERO, Ok(view()));
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let request = Request::builder().method(method).uri("/").header("Host", "127.0.0.1:8088");
            let reply = site.answer(request.body(Full::<Bytes>::default()).unwrap()).await;
            assert_eq!(reply.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(reply.headers()["allow"], "GET, HEAD");
        }
    });
}

#[test]
fn every_answer_forbids_what_a_page_of_somebody_else_would_need() {
    run(async {
        let (site, _, _) = site(Duration::ZERO, Ok(halted()));
        for path in ["/", "/part", "/view.json", "/metrics", "/page.js", "/page.css", "/nothing"] {
            let (reply, _) = get(&site, path, &[]).await;
            let headers = reply.headers();
            assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'; "), "{path}");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
            assert!(!headers.contains_key("access-control-allow-origin"));
        }
    });
}

#[test]
fn the_store_is_asked_once_however_many_look() {
    run(async {
        let (site, _, looks) = site(Duration::from_secs(3600), Ok(view()));
        for path in ["/", "/part", "/view.json", "/metrics", "/"] {
            assert_eq!(get(&site, path, &[]).await.0.status(), StatusCode::OK);
        }
        assert_eq!(looks.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    run(async {
        let (site, next, _) = site(Duration::ZERO, Ok(view()));
        let (reply, html) = get(&site, "/part", &[]).await;
        assert!(html.starts_with("<main id=\"view\""), "{html}");
        let tag = reply.headers()["etag"].to_str().unwrap().to_owned();
        // Time goes on, which the script knows by itself.
        let mut later = view();
        later.at = crate::clock::Timestamp(later.at.0 + 60);
        *next.lock().unwrap() = Ok(later);
        let (reply, html) = get(&site, "/part", &[("If-None-Match", &tag)]).await;
        assert_eq!((reply.status(), html.as_str()), (StatusCode::NOT_MODIFIED, ""));
        *next.lock().unwrap() = Ok(halted());
        let (reply, html) = get(&site, "/part", &[("If-None-Match", &tag)]).await;
        assert_eq!(reply.status(), StatusCode::OK);
        assert!(html.contains("id=\"halt\""), "{html}");
    });
}

#[test]
fn a_bucket_that_does_not_answer_is_said_beside_what_was_seen_last() {
    run(async {
        let (site, next, _) = site(Duration::ZERO, Err(trouble()));
        let (reply, html) = get(&site, "/", &[]).await;
        assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(html.contains("Nothing to see") && html.contains("the bucket does not answer"), "{html}");
        let (_, json) = get(&site, "/view.json", &[]).await;
        assert_eq!(
            json,
            "{\"schema\":1,\"error\":{\"code\":\"source.unreachable\",\"message\":\"the bucket does not answer\",\"hint\":null}}"
        );
        *next.lock().unwrap() = Ok(view());
        assert_eq!(get(&site, "/metrics", &[]).await.0.status(), StatusCode::OK);
        *next.lock().unwrap() = Err(trouble());
        let (reply, html) = get(&site, "/", &[]).await;
        assert_eq!(reply.status(), StatusCode::OK);
        assert!(html.contains("the bucket does not answer") && html.contains("id=\"steps\""), "{html}");
        assert_eq!(get(&site, "/metrics", &[]).await.0.status(), StatusCode::SERVICE_UNAVAILABLE);
        let (_, json) = get(&site, "/view.json", &[]).await;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (json["product"].as_str(), json["trouble"]["code"].as_str()),
            (Some("app"), Some("source.unreachable"))
        );
    });
}

#[test]
fn only_who_has_the_token_changes_anything_and_only_what_he_was_shown() {
    run(async {
        let (mut site, _, _) = site(Duration::ZERO, Ok(view()));
        site.token = Some("secret".to_owned());
        let right =
            [("x-fetchd-token", "secret"), ("origin", "http://127.0.0.1:8088"), ("content-type", "application/json")];
        let post = async |path: &str, headers: &[(&str, &str)], body: &str| {
            let mut request = Request::post(path).header("Host", "127.0.0.1:8088");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let reply = site.answer(request.body(Full::<Bytes>::from(body.to_owned())).unwrap()).await;
            let status = reply.status().as_u16();
            (status, String::from_utf8(reply.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
        };
        let pause = "{\"change\":\"pause\"}";
        for without in 0..right.len() {
            let mut headers = right.to_vec();
            headers.remove(without);
            assert_eq!(post("/propose", &headers, pause).await.0, 403, "without {}", right[without].0);
        }
        for (at, value) in [(0, "Secret"), (1, "http://evil.example"), (1, "null"), (2, "text/plain")] {
            let mut headers = right.to_vec();
            headers[at].1 = value;
            assert_eq!(post("/propose", &headers, pause).await.0, 403, "{value}");
        }
        assert_eq!(post("/propose", &right, "{\"change\":\"start\"}").await.0, 400);
        assert_eq!(post("/propose", &right, &" ".repeat(5000)).await.0, 413);
        assert_eq!(post("/elsewhere", &right, pause).await.0, 404);
        assert_eq!(post("/confirm", &right, "{\"id\":\"id-1\"}").await.0, 409, "nothing was shown");
        let (status, shown) = post("/propose", &right, pause).await;
        assert_eq!((status, shown.as_str()), (200, "{\"id\":\"id-1\",\"lines\":[\"state running → paused\"]}"));
        assert_eq!(post("/confirm", &right, "{\"id\":\"id-1\"}").await, (200, "{\"wrote\":\"Pause\"}".to_owned()));
        assert_eq!(post("/confirm", &right, "{\"id\":\"id-1\"}").await.0, 409, "it is written once");
        let (_, html) = get(&site, "/", &[]).await;
        assert!(html.contains("id=\"operate\" hidden") && !html.contains("secret"), "the page tells nobody the token");
    });
}

/// A source whose looks wait until somebody lets them go.
struct Slow(std::sync::mpsc::Receiver<()>);

impl Source for Slow {
    fn look(&mut self) -> Result<View, Reported> {
        let _ = self.0.recv_timeout(Duration::from_secs(30));
        Ok(view())
    }

    fn propose(&mut self, _: &Order) -> Result<(String, Vec<String>), Reported> {
        Ok(("id-1".to_owned(), Vec::new()))
    }

    fn confirm(&mut self, _: &str) -> Result<String, Reported> {
        Ok(String::new())
    }
}

#[test]
fn however_many_look_a_pause_is_taken() {
    run(async {
        let (go_on, slow) = std::sync::mpsc::channel();
        let feed = Feed::start(Duration::ZERO, Slow(slow)).unwrap();
        for _ in 0..30 {
            let _ = tokio::time::timeout(Duration::from_millis(2), feed.now()).await;
        }
        let mut pause = Box::pin(feed.propose(Order::Pause));
        let soon = tokio::time::timeout(Duration::from_millis(2), &mut pause).await;
        assert!(soon.is_err(), "it waits for the bucket, and is not refused: {soon:?}");
        drop(go_on);
        assert_eq!(pause.await.unwrap().0, "id-1");
    });
}

#[test]
#[allow(clippy::await_holding_lock, reason = "the source hangs for as long as it is held")]
fn a_bucket_that_hangs_lets_the_figures_grow_old() {
    run(async {
        let (site, next, _) = site(Duration::ZERO, Ok(view()));
        assert_eq!(get(&site, "/metrics", &[]).await.0.status(), StatusCode::OK);
        let hangs = next.lock().unwrap();
        let (reply, text) = get(&site, "/metrics", &[]).await;
        drop(hangs);
        assert_eq!(reply.status(), StatusCode::OK);
        let line = text.lines().find(|line| line.starts_with("fetchd_fleet_view_age_seconds{")).unwrap();
        let age: u64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert!(age >= 5, "whoever asked has waited for a new look in vain: {line}");
    });
}
