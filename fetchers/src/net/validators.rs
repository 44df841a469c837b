//! What tells one state of an object from another: ETag, modification time, and for a document
//! that has been read its digest. All three travel in one opaque revision.

use std::time::Duration;

use reqwest::header::{
    DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use sha2::{Digest, Sha256};
use url::form_urlencoded::{Serializer, parse};

use crate::fetcher::Revision;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    etag: Option<String>,
    modified: Option<String>,
    /// The object was modified at least a second before it was served. Until then it may be
    /// replaced once more within the same second and keep its `Last-Modified`, which therefore is
    /// no ground to call it unchanged.
    settled: bool,
    digest: Option<String>,
}

impl Validators {
    /// Those an answer carries. An ETag outside of ASCII is as good as none.
    pub(crate) fn of(headers: &HeaderMap) -> Validators {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let modified = text(LAST_MODIFIED);
        let time = |text: &str| httpdate::parse_http_date(text).ok();
        let settled = match (modified.as_deref().and_then(time), text(DATE).as_deref().and_then(time)) {
            (Some(modified), Some(served)) => {
                served.duration_since(modified).is_ok_and(|age| age >= Duration::from_secs(1))
            }
            _ => false,
        };
        Validators { etag: text(ETAG), modified, settled, digest: None }
    }

    /// Adds the digest of a document that has been read whole.
    pub(crate) fn add_digest(&mut self, document: &[u8]) {
        let digest: String = Sha256::digest(document).iter().map(|byte| format!("{byte:02x}")).collect();
        self.digest = Some(digest);
    }

    pub(crate) fn revision(&self) -> Revision {
        let mut text = Serializer::new(String::new());
        if let Some(etag) = &self.etag {
            text.append_pair("etag", etag);
        }
        if let Some(modified) = &self.modified {
            text.append_pair(if self.settled { "modified" } else { "modified-just-now" }, modified);
        }
        if let Some(digest) = &self.digest {
            text.append_pair("sha256", digest);
        }
        Revision(text.finish())
    }

    /// The inverse of [`Validators::revision`]; a revision of another fetcher holds none.
    pub(crate) fn parse(revision: &Revision) -> Validators {
        let mut found = Validators::default();
        for (name, value) in parse(revision.0.as_bytes()) {
            let value = Some(value.into_owned());
            match name.as_ref() {
                "etag" => found.etag = value,
                "modified" => (found.modified, found.settled) = (value, true),
                "modified-just-now" => found.modified = value,
                "sha256" => found.digest = value,
                _ => {}
            }
        }
        found
    }

    /// The headers that ask for the object only if it is another.
    pub(crate) fn conditions(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(etag) = &self.etag {
            add(IF_NONE_MATCH, etag);
        }
        if let Some(modified) = self.modified.as_ref().filter(|_| self.settled) {
            add(IF_MODIFIED_SINCE, modified);
        }
        headers
    }

    /// Whether both stand for the same bytes, as far as either can tell. Without a validator that
    /// is good enough: no.
    pub(crate) fn same(&self, other: &Validators) -> bool {
        match (&self.etag, &other.etag, &self.digest, &other.digest) {
            (.., Some(one), Some(two)) => one == two,
            (Some(one), Some(two), ..) => one == two,
            _ => self.settled && other.settled && self.modified.is_some() && self.modified == other.modified,
        }
    }

    /// Whether `self` is certainly another state than `before`. A validator that is missing on
    /// either side proves nothing; a weak ETag is compared by its text.
    pub(crate) fn moved_from(&self, before: &Validators) -> bool {
        let text = |etag: &String| etag.trim_start_matches("W/").to_owned();
        match (&self.etag, &before.etag) {
            (Some(now), Some(then)) => text(now) != text(then),
            _ => matches!((&self.modified, &before.modified), (Some(now), Some(then)) if now != then),
        }
    }

    /// Whether an interrupted body can be continued later: byte for byte the same or not at all.
    pub(crate) fn resumable(&self) -> bool {
        self.if_range().is_some()
    }

    pub(crate) fn if_range(&self) -> Option<HeaderValue> {
        let strong = match &self.etag {
            Some(etag) => Some(etag).filter(|etag| !etag.starts_with("W/")),
            None => self.modified.as_ref().filter(|_| self.settled),
        };
        HeaderValue::from_str(strong?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn of(pairs: &[(&'static str, &str)]) -> Validators {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Validators::of(&headers)
    }

    #[test]
    fn a_revision_keeps_every_validator() {
        let mut validators = of(&[("etag", "\"a;b=c&d\""), ("last-modified", EARLY), ("date", LATER)]);
        validators.add_digest(b"x");
        assert_eq!(Validators::parse(&validators.revision()), validators);
    }

    #[test]
    fn a_revision_of_another_fetcher_holds_nothing() {
        assert_eq!(Validators::parse(&Revision("dev=1 ino=2".to_owned())), Validators::default());
    }

    #[test]
    fn an_object_modified_in_the_second_it_was_served_is_not_compared_by_time() {
        let fresh = of(&[("last-modified", EARLY), ("date", EARLY)]);
        assert!(fresh.conditions().is_empty() && !fresh.same(&fresh) && !fresh.resumable());
        let settled = of(&[("last-modified", EARLY), ("date", LATER)]);
        assert!(!settled.conditions().is_empty() && settled.same(&settled) && settled.resumable());
    }

    #[test]
    fn a_weak_etag_is_good_for_a_poll_and_not_for_a_resume() {
        let weak = of(&[("etag", "W/\"1\""), ("last-modified", EARLY), ("date", LATER)]);
        assert!(weak.same(&weak) && !weak.resumable());
        assert!(!weak.moved_from(&of(&[("etag", "\"1\"")])) && weak.moved_from(&of(&[("etag", "\"2\"")])));
    }

    #[test]
    fn without_validators_nothing_is_the_same_and_nothing_has_moved() {
        let none = Validators::default();
        assert!(!none.same(&none) && !none.moved_from(&none) && none.conditions().is_empty());
    }

    #[test]
    fn a_document_is_compared_by_its_bytes() {
        let (mut one, mut two) = (of(&[("etag", "\"1\"")]), of(&[("etag", "\"2\"")]));
        one.add_digest(b"same");
        two.add_digest(b"same");
        assert!(one.same(&two));
        two.add_digest(b"other");
        assert!(!one.same(&two));
    }
}
