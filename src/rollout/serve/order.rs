//! What the page changes, for whoever has its token: shown first, confirmed, written.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Bytes};
use hyper::header;
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Site, plain, reply};
use crate::digest::Sha256;
use crate::failure::Reported;

/// A change that the page offers. Everything else needs the command line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase", deny_unknown_fields)]
pub enum Order {
    /// Nobody starts until it is resumed.
    Pause,
    /// It goes on.
    Resume {
        /// The halt that was seen, by its digest.
        #[serde(default)]
        ack: Option<String>,
    },
    /// Nobody starts, ever.
    Abort,
}

/// What is confirmed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    id: String,
}

/// The longest body that is read, in bytes.
const LONGEST: usize = 4096;

/// The header with the token. No form and no page elsewhere can send it.
const TOKEN: &str = "x-fetchd-token";

/// The answer to a POST.
pub(super) async fn answer<B: Body>(site: &Site, token: &str, request: Request<B>) -> Response<Full<Bytes>>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Some(why) = refused(site, token, &request) {
        return plain(StatusCode::FORBIDDEN, why);
    }
    let path = request.uri().path().to_owned();
    let Ok(body) = Limited::new(request.into_body(), LONGEST).collect().await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is cut short or too long\n");
    };
    let body = body.to_bytes();
    let done = match path.as_str() {
        "/propose" => match serde_json::from_slice::<Order>(&body) {
            Ok(order) => site.feed.propose(order).await.map(|(id, lines)| json!({ "id": id, "lines": lines })),
            Err(error) => return plain(StatusCode::BAD_REQUEST, format!("this is no change: {error}\n")),
        },
        "/confirm" => match serde_json::from_slice::<Confirmed>(&body) {
            Ok(Confirmed { id }) => site.feed.confirm(id).await.map(|wrote| json!({ "wrote": wrote })),
            Err(error) => return plain(StatusCode::BAD_REQUEST, format!("this confirms nothing: {error}\n")),
        },
        _ => return plain(StatusCode::NOT_FOUND, "there is nothing here\n"),
    };
    match done {
        Ok(done) => reply(StatusCode::OK, "application/json", done.to_string()),
        Err(trouble) => reply(StatusCode::CONFLICT, "application/json", error(&trouble).to_string()),
    }
}

/// Why a request is not from the operator's own page.
fn refused<B>(site: &Site, token: &str, request: &Request<B>) -> Option<&'static str> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    // Digests are compared, so that the time it takes says nothing of the token.
    if header(TOKEN).map(|given| Sha256::of(given.as_bytes())) != Some(Sha256::of(token.as_bytes())) {
        return Some(
            "the token is missing or wrong: `fetchd fleet serve` has printed it behind the `#` of its address\n",
        );
    }
    let origin = header(header::ORIGIN.as_str()).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    if !origin.is_some_and(|origin| site.hosts.iter().any(|host| host.eq_ignore_ascii_case(origin))) {
        return Some("the request is not from this page\n");
    }
    let kind = header(header::CONTENT_TYPE.as_str());
    (kind != Some("application/json")).then_some("the request is not JSON\n")
}

fn error(trouble: &Reported) -> Value {
    let Reported { code, message, hint, .. } = trouble;
    json!({ "error": { "code": code, "message": message, "hint": hint } })
}
