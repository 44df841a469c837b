//! What the answer to a write says about what was written, and how long to go on.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use tokio::time::Instant;

use super::super::error::{code, status};
use crate::error::{FetchError, Retry};

/// How often a write is sent at most.
const ROUNDS: u32 = 6;

/// The first pause; each one after it is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// A write that was not confirmed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) meaning: Meaning,
    pub(super) error: FetchError,
}

/// What is known about the object after a failed write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The store compared, and the object is not in the state that was named.
    Condition,
    /// It may have been written, or will be.
    Unclear,
    /// It was not written, and the same request will not be either.
    Refused,
    /// The file that was to be sent is not the one that was measured: the request was broken off before its end.
    SourceChanged,
}

/// What a failed `PUT` with a condition says.
pub(super) fn meaning<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Meaning {
    match (error, status(error)) {
        (SdkError::ConstructionFailure(_), _) => Meaning::Refused,
        // `404` is how a missing object fails to match.
        (_, Some(412)) => Meaning::Condition,
        (_, Some(404)) if code(error) != Some("NoSuchBucket") => Meaning::Condition,
        // Not implemented: the store says that it would never.
        (_, Some(501)) => Meaning::Refused,
        (_, Some(408 | 409 | 429 | 500..=599)) => Meaning::Unclear,
        (_, Some(400)) if matches!(code(error), Some("RequestTimeout" | "IncompleteBody")) => Meaning::Unclear,
        (_, Some(300..=499)) => Meaning::Refused,
        _ => Meaning::Unclear,
    }
}

/// Whether a failed `GET` or `HEAD` says that there is no object.
pub(super) fn nothing_there<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(404) && code(error) != Some("NoSuchBucket")
}

/// How often and until when something is tried again.
#[derive(Debug)]
pub(super) struct Patience {
    rounds: u32,
    until: Instant,
    pause: Duration,
}

impl Patience {
    /// Six rounds, none of which begins after `limit`.
    pub(super) fn new(limit: Duration) -> Patience {
        Patience { rounds: ROUNDS, until: Instant::now() + limit, pause: PAUSE }
    }

    /// Waits before another round, as long as the store asks for; gives `error` back if there is to be none.
    pub(super) async fn after(&mut self, error: FetchError) -> Result<(), FetchError> {
        self.rounds -= 1;
        let asked = match error.retry() {
            Retry::After(wait) => wait,
            Retry::Soon => Duration::ZERO,
            Retry::Never => return Err(error),
        };
        // Writers that failed together are not to come back together.
        let wait = asked.max(self.pause.mul_f64(0.5 + spread()));
        self.pause *= 2;
        if self.rounds == 0 || Instant::now() + wait >= self.until {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// The answer to a question that changes nothing; `None` after a wait if the store is only out of breath.
    pub(super) async fn passed<T>(&mut self, answer: Result<T, FetchError>) -> Result<Option<T>, FetchError> {
        match answer {
            Err(error) if error.kind().passes() => self.after(error).await.map(|()| None),
            answer => answer.map(Some),
        }
    }
}

/// A number from 0 to 1 that differs from process to process and call to call.
fn spread() -> f64 {
    f64::from(u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn patience_ends_after_six_rounds_or_at_its_limit() {
        let error = || FetchError::new(Kind::Unreachable, &Url::parse("s3://b/k").unwrap(), "is away");
        let mut patience = Patience { pause: Duration::from_micros(10), ..Patience::new(Duration::from_secs(60)) };
        for _ in 1..ROUNDS {
            patience.after(error()).await.unwrap();
        }
        assert!(patience.after(error()).await.is_err());
        let mut patience = Patience::new(Duration::from_secs(1));
        assert!(patience.after(error().retry_after(Some(Duration::from_secs(5)))).await.is_err());
        assert!(Patience::new(Duration::from_millis(1)).after(error()).await.is_err());
    }

    #[test]
    fn pauses_are_spread() {
        let pauses: Vec<f64> = (0..20).map(|_| spread()).collect();
        assert!(pauses.iter().all(|pause| (0.0..=1.0).contains(pause)));
        assert!(pauses.iter().any(|pause| (pause - pauses[0]).abs() > 0.01));
    }
}
