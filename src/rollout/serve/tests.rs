use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode};

use super::*;
use crate::failure::{Exit, Reported};
use crate::rollout::View;
use crate::rollout::view::tests::{halted, view};

/// A site whose look returns what `next` holds, and how often it was asked.
fn site(every: Duration, next: Result<View, Reported>) -> (Site, Arc<Mutex<Result<View, Reported>>>, Arc<AtomicU32>) {
    let (next, looks) = (Arc::new(Mutex::new(next)), Arc::new(AtomicU32::new(0)));
    let (shown, counted) = (Arc::clone(&next), Arc::clone(&looks));
    let feed = Feed::start(every, move || {
        counted.fetch_add(1, Ordering::SeqCst);
        shown.lock().unwrap().clone()
    });
    (Site { feed: feed.unwrap(), hosts: vec!["127.0.0.1:8088".to_owned()] }, next, looks)
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
    let (parts, body) = site.answer(&request.body(()).unwrap()).await.into_parts();
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
            let reply = site.answer(&request.body(()).unwrap()).await;
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
