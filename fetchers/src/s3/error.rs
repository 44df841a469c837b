//! What an answer other than the one expected means.
//!
//! No error of the SDK's is kept: some print the answer with its body, and S3 quotes session tokens
//! and signatures in it.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use url::Url;

use crate::error::{FetchError, Kind};
use crate::headers::wait;
use crate::options::grouped;

/// Signatures are refused if they are further off than this.
const SKEW_LIMIT: Duration = Duration::from_secs(15 * 60);

/// The error that a failed request for `at` (`s3://bucket/key`) stands for.
///
/// It is never [`Kind::Misconfigured`]: no server's answer may stop the polls for good.
pub fn refusal<E>(at: &Url, error: &SdkError<E, HttpResponse>) -> FetchError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(error) => unanswered(at, error),
            None => FetchError::new(Kind::Unreachable, at, "the request was not answered"),
        },
        SdkError::TimeoutError(_) => FetchError::new(Kind::Unreachable, at, "the request took too long"),
        SdkError::ConstructionFailure(_) => not_made(at, error),
        _ => match error.raw_response() {
            Some(answer) => refused(at, answer, code(error)),
            None => not_made(at, error),
        },
    }
}

/// The code of an error, such as `NoSuchKey`; none where it is no plain word.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    let plain = |code: &&str| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    error.code().filter(plain).filter(|code| !code.is_empty())
}

/// The status of the answer, if there was one.
pub(crate) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// The last error of a chain, which says what happened rather than where.
pub(super) fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string().chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn not_made<E: Error + 'static>(at: &Url, error: &SdkError<E, HttpResponse>) -> FetchError {
    let mut link: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = link {
        if error.is::<CredentialsError>() {
            return FetchError::new(Kind::Denied, at, "the credentials could not be renewed");
        }
        link = error.source();
    }
    FetchError::new(Kind::Other, at, "the request cannot be made").because(deepest(error))
}

fn unanswered(at: &Url, error: &ConnectorError) -> FetchError {
    let mut chain = String::new();
    let mut link: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = link {
        if error.is::<CredentialsError>() {
            return FetchError::new(Kind::Denied, at, "the credentials could not be renewed");
        }
        chain.push_str(&error.to_string());
        link = error.source();
    }
    let connecting = chain.contains("HTTP connect") || chain.contains("(Connect)") || chain.contains("dns error");
    let detail = match (connecting, error.is_timeout()) {
        (true, true) => "no connection could be made in time",
        (true, false) => "no connection could be made",
        (false, true) => "the request was not answered in time",
        (false, false) => "the request was not answered",
    };
    FetchError::new(Kind::Unreachable, at, detail).because(deepest(error))
}

/// What the answer says, by its code if it has one. The answer to a `HEAD` has none.
fn refused(at: &Url, answer: &HttpResponse, code: Option<&str>) -> FetchError {
    let status = answer.status().as_u16();
    let header = |name: &str| answer.headers().get(name);
    // The SDK makes this one up for a 404 without a body.
    let code = code.filter(|code| *code != "NotFound");
    let wait = wait(header, SystemTime::now());
    let skew = skew(header("date"), SystemTime::now());
    let error = |kind, detail: String| FetchError::new(kind, at, detail);

    if let Some(region) = other_region(answer, status, code) {
        return error(Kind::Other, format!("the bucket is in the region `{region}`: set the option `region`"));
    }
    let said = match code {
        Some(code) => format!("status {status}, `{code}`"),
        None => format!("status {status}"),
    };
    let bucket = at.host_str().unwrap_or_default();
    let denied = |why: &str| error(Kind::Denied, format!("{why}: {said}"));
    match (status, code) {
        (_, Some("NoSuchBucket")) => error(Kind::NotFound, format!("there is no bucket `{bucket}`")),
        (_, Some("NoSuchVersion")) => error(Kind::NotFound, "does not exist in this version".to_owned()),
        (_, Some("NoSuchKey")) => error(Kind::NotFound, format!("does not exist (yet): {said}")),
        (404, None) => error(Kind::NotFound, format!("does not exist (yet), or there is no such bucket: {said}")),
        (404 | 410, _) => error(Kind::NotFound, format!("does not exist (yet): {said}")),
        (405, _) if header("x-amz-delete-marker").is_some() => {
            error(Kind::NotFound, format!("is deleted in this version: {said}"))
        }
        (_, Some("RequestTimeTooSkewed")) => denied(&clocks(skew)),
        (_, Some("InvalidAccessKeyId")) => denied("the access key is unknown to the server"),
        (_, Some("SignatureDoesNotMatch")) => denied("the secret access key is not the one of this access key"),
        (_, Some("ExpiredToken" | "TokenRefreshRequired")) => denied("the session token has expired"),
        (_, Some("InvalidToken")) => denied("the session token is not valid"),
        (_, Some("InvalidObjectState")) => error(Kind::Other, format!("lies in an archive: {said}")),
        (429, _) | (403 | 503, _) if status == 429 || wait.is_some() => throttled(at, &said, wait),
        (_, Some(code)) if is_throttle(code) => throttled(at, &said, wait),
        (401 | 403, None) if skew.is_some_and(|(_, off)| off >= SKEW_LIMIT) => denied(&clocks(skew)),
        (403, Some("AccessDenied")) => {
            denied("is refused to us; an object that is missing too, to those who may not list the bucket")
        }
        (401 | 403 | 407, _) => denied("is refused to us"),
        // With a body this would be told apart.
        (400, None) => {
            denied("is refused without a reason: an expired token, another region, or a customer's key that is missing")
        }
        (412, _) => error(Kind::Changed, "was replaced since the poll".to_owned()),
        (409, _) => error(Kind::Changed, format!("is being changed by someone else: {said}")),
        (408 | 500..=599, _) | (_, Some("RequestTimeout")) => {
            error(Kind::Unreachable, format!("the source is not working: {said}"))
        }
        _ => error(Kind::Other, format!("answers what was not asked for: {said}")),
    }
}

fn throttled(at: &Url, said: &str, wait: Option<Duration>) -> FetchError {
    FetchError::new(Kind::Throttled, at, format!("the source asks for fewer requests: {said}")).retry_after(wait)
}

fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "SlowDown"
            | "SlowDownRead"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "TooManyRequests"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "BandwidthLimitExceeded"
    )
}

/// The region that a server says the bucket is in, when that is why it does not answer.
fn other_region(answer: &HttpResponse, status: u16, code: Option<&str>) -> Option<String> {
    let elsewhere = matches!(status, 301 | 307 | 400)
        && matches!(
            code,
            None | Some(
                "PermanentRedirect"
                    | "TemporaryRedirect"
                    | "AuthorizationHeaderMalformed"
                    | "IllegalLocationConstraintException"
            )
        );
    if !elsewhere {
        return None;
    }
    let body = || {
        let body = String::from_utf8_lossy(answer.body().bytes().unwrap_or_default()).into_owned();
        let (_, rest) = body.split_once("<Region>")?;
        rest.split_once("</Region>").map(|(region, _)| region.to_owned())
    };
    let region = answer.headers().get("x-amz-bucket-region").map(str::to_owned).or_else(body)?;
    let plain =
        !region.is_empty() && region.len() <= 32 && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain.then_some(region)
}

/// Whether this machine is ahead of the server, and by how much.
fn skew(date: Option<&str>, now: SystemTime) -> Option<(bool, Duration)> {
    let served = httpdate::parse_http_date(date?).ok()?;
    Some(match now.duration_since(served) {
        Ok(ahead) => (true, ahead),
        Err(behind) => (false, behind.duration()),
    })
}

fn clocks(skew: Option<(bool, Duration)>) -> String {
    match skew {
        Some((_, off)) if off < Duration::from_secs(60) => {
            "the server calls the time of the request wrong, though the clocks agree".to_owned()
        }
        Some((ahead, off)) => {
            let which = if ahead { "ahead of" } else { "behind" };
            format!("the clock of this machine is {} s {which} the server's", grouped(off.as_secs()))
        }
        None => "the clocks of this machine and of the server differ".to_owned(),
    }
}
