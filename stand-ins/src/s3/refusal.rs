//! Refusals of S3, as they look on the wire.

use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use s3s::Body;

/// A refusal of S3: a status and an error document.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// 409 `ConditionalRequestConflict`: another write to the key was under way.
    Conflict,
    /// 412 `PreconditionFailed`.
    PreconditionFailed,
    /// 500 `InternalError`.
    InternalError,
    /// 503 `ServiceUnavailable`.
    ServiceUnavailable,
    /// 503 `SlowDown`, with a `Retry-After` if a time is given.
    SlowDown(Option<Duration>),
    /// 403 `AccessDenied`.
    AccessDenied,
    /// 403 `RequestTimeTooSkewed`: the client's clock is wrong.
    RequestTimeTooSkewed,
    /// 400 `ExpiredToken`: temporary credentials are over.
    ExpiredToken,
    /// 301 `PermanentRedirect`: the bucket is in that region.
    PermanentRedirect(String),
    /// 400 `AuthorizationHeaderMalformed`: the signature should be for that region.
    WrongRegion(String),
    /// 404 `NoSuchBucket`.
    NoSuchBucket,
    /// 404 `NoSuchKey`.
    NoSuchKey,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::PermanentRedirect(_) => 301,
            Refusal::ExpiredToken | Refusal::WrongRegion(_) => 400,
            Refusal::AccessDenied | Refusal::RequestTimeTooSkewed => 403,
            Refusal::NoSuchBucket | Refusal::NoSuchKey => 404,
            Refusal::Conflict => 409,
            Refusal::PreconditionFailed => 412,
            Refusal::InternalError => 500,
            Refusal::ServiceUnavailable | Refusal::SlowDown(_) => 503,
        }
    }

    /// The code in the error document, and its sentence.
    fn texts(&self) -> (&'static str, &'static str) {
        match self {
            Refusal::Conflict => ("ConditionalRequestConflict", "A conflicting operation is in progress."),
            Refusal::PreconditionFailed => {
                ("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
            }
            Refusal::InternalError => ("InternalError", "We encountered an internal error. Please try again."),
            Refusal::ServiceUnavailable => ("ServiceUnavailable", "Service is unable to handle request."),
            Refusal::SlowDown(_) => ("SlowDown", "Please reduce your request rate."),
            Refusal::AccessDenied => ("AccessDenied", "Access Denied"),
            Refusal::RequestTimeTooSkewed => {
                ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
            }
            Refusal::ExpiredToken => ("ExpiredToken", "The provided token has expired."),
            Refusal::PermanentRedirect(_) => (
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
            ),
            Refusal::WrongRegion(_) => ("AuthorizationHeaderMalformed", "The authorization header is malformed"),
            Refusal::NoSuchBucket => ("NoSuchBucket", "The specified bucket does not exist"),
            Refusal::NoSuchKey => ("NoSuchKey", "The specified key does not exist."),
        }
    }

    pub(super) fn response(&self) -> Response<Body> {
        let (code, message) = self.texts();
        let region = match self {
            Refusal::PermanentRedirect(region) | Refusal::WrongRegion(region) => Some(region.as_str()),
            _ => None,
        };
        let place = match self {
            Refusal::WrongRegion(region) => format!("<Region>{region}</Region>"),
            Refusal::PermanentRedirect(region) => format!("<Endpoint>s3.{region}.amazonaws.com</Endpoint>"),
            _ => String::new(),
        };
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Error><Code>{code}</Code><Message>{message}</Message>{place}<RequestId>stand-in</RequestId></Error>"
        );
        let mut response = Response::new(Body::from(document));
        *response.status_mut() = StatusCode::from_u16(self.status()).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        if let Some(region) = region.and_then(|region| HeaderValue::from_str(region).ok()) {
            headers.insert("x-amz-bucket-region", region);
        }
        if let Refusal::SlowDown(Some(wait)) = self {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        response
    }
}
