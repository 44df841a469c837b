//! `If-Match`, `If-None-Match` and their kin.

use std::time::{Duration, SystemTime};

use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Error, S3Result, s3_error};

use super::store::Object;

/// What a read asks for.
pub(super) struct Wanted<'a> {
    pub(super) if_match: Option<&'a ETagCondition>,
    pub(super) if_none_match: Option<&'a ETagCondition>,
    pub(super) if_modified_since: Option<&'a Timestamp>,
    pub(super) if_unmodified_since: Option<&'a Timestamp>,
}

/// How a read that finds its object goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Send,
    NotModified,
}

impl Wanted<'_> {
    /// In the order of RFC 9110: an ETag, where one is given, decides alone.
    pub(super) fn of(&self, object: &Object) -> S3Result<Found> {
        let modified = Timestamp::from(seconds(object.modified));
        let precondition = match (self.if_match, self.if_unmodified_since) {
            (Some(condition), _) => matches(condition, object),
            (None, Some(time)) => modified <= *time,
            (None, None) => true,
        };
        if !precondition {
            return Err(failed());
        }
        let new = match (self.if_none_match, self.if_modified_since) {
            (Some(condition), _) => !matches(condition, object),
            (None, Some(time)) => modified > *time,
            (None, None) => true,
        };
        Ok(if new { Found::Send } else { Found::NotModified })
    }
}

/// What a write demands of the object it would replace.
#[derive(Debug, Clone, Default)]
pub(super) struct Demand {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl Demand {
    pub(super) fn is_none(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    pub(super) fn check(&self, current: Option<&Object>) -> S3Result<()> {
        match &self.if_none_match {
            Some(ETagCondition::Any) if current.is_some() => return Err(failed()),
            Some(ETagCondition::ETag(_)) => {
                return Err(s3_error!(
                    NotImplemented,
                    "A header you provided implies functionality that is not implemented"
                ));
            }
            _ => {}
        }
        match (&self.if_match, current) {
            (Some(_), None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            (Some(condition), Some(object)) if !matches(condition, object) => Err(failed()),
            _ => Ok(()),
        }
    }
}

pub(super) fn failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

fn matches(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.strong_cmp(&object.etag()),
    }
}

/// Without the fraction, as HTTP's dates.
fn seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
