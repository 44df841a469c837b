//! What tells one state of an object from another: its ETag, its version, and for a document that
//! has been read its digest. All of it travels in one opaque revision.

use sha2::{Digest, Sha256};
use url::form_urlencoded::{Serializer, parse};

use crate::fetcher::Revision;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// As the server wrote it, with its quotes. No digest of anything: servers differ in what it is.
    pub(super) etag: Option<String>,
    /// Of a bucket that keeps versions. The one called `null` is overwritten in place and is none.
    pub(super) version: Option<String>,
    pub(super) digest: Option<String>,
}

impl Mark {
    /// The one of an answer.
    pub(super) fn of(etag: Option<&str>, version: Option<&str>) -> Mark {
        let usable = |text: &&str| !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b));
        let version = version.filter(usable).filter(|version| *version != "null");
        Mark { etag: etag.filter(usable).map(str::to_owned), version: version.map(str::to_owned), digest: None }
    }

    /// Adds the digest of a document that has been read whole.
    pub(super) fn add_digest(&mut self, document: &[u8]) {
        let digest: String = Sha256::digest(document).iter().map(|byte| format!("{byte:02x}")).collect();
        self.digest = Some(digest);
    }

    pub(super) fn revision(&self) -> Revision {
        let mut text = Serializer::new(String::new());
        for (name, value) in [("etag", &self.etag), ("version", &self.version), ("sha256", &self.digest)] {
            if let Some(value) = value {
                text.append_pair(name, value);
            }
        }
        Revision(text.finish())
    }

    /// The inverse of [`Mark::revision`]; a revision of another fetcher holds none.
    pub(super) fn parse(revision: &Revision) -> Mark {
        let (mut etag, mut version, mut digest) = (None, None, None);
        for (name, value) in parse(revision.0.as_bytes()) {
            match name.as_ref() {
                "etag" => etag = Some(value.into_owned()),
                "version" => version = Some(value.into_owned()),
                "sha256" => digest = Some(value.into_owned()),
                _ => {}
            }
        }
        Mark { digest, ..Mark::of(etag.as_deref(), version.as_deref()) }
    }

    /// Whether both stand for the same bytes, as far as either can tell. Without anything to
    /// compare: no.
    pub(super) fn same(&self, other: &Mark) -> bool {
        match (self, other) {
            (Mark { digest: Some(one), .. }, Mark { digest: Some(two), .. }) => one == two,
            (Mark { version: Some(one), .. }, Mark { version: Some(two), .. }) => one == two,
            (Mark { etag: Some(one), .. }, Mark { etag: Some(two), .. }) => opaque(one) == opaque(two),
            _ => false,
        }
    }

    /// Whether `self` is certainly another state than `before`. What is missing on either side
    /// proves nothing.
    pub(super) fn moved_from(&self, before: &Mark) -> bool {
        let differ = |one: &Option<String>, two: &Option<String>| match (one, two) {
            (Some(one), Some(two)) => opaque(one) != opaque(two),
            _ => false,
        };
        differ(&self.version, &before.version) || differ(&self.etag, &before.etag)
    }

    /// What `If-Match` can carry: a weak ETag matches nothing there.
    pub(super) fn strong(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
    }

    /// Whether parts asked for later are certainly parts of the same bytes.
    pub(super) fn pins(&self) -> bool {
        self.strong().is_some() || self.version.is_some()
    }
}

/// An ETag without its weakness and quotes, which not every server writes alike in every answer.
fn opaque(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_keeps_everything() {
        let mut mark = Mark::of(Some("\"a;b=c&d-2\""), Some("v+1/x"));
        mark.add_digest(b"x");
        assert_eq!(Mark::parse(&mark.revision()), mark);
    }

    #[test]
    fn a_revision_of_another_fetcher_holds_nothing() {
        assert_eq!(Mark::parse(&Revision("dev=1 ino=2".to_owned())), Mark::default());
    }

    #[test]
    fn the_null_version_is_no_version() {
        assert_eq!(Mark::of(Some("\"1\""), Some("null")).version, None);
    }

    #[test]
    fn with_nothing_to_compare_nothing_is_the_same_and_nothing_has_moved() {
        let none = Mark::default();
        assert!(!none.same(&none) && !none.moved_from(&none) && !none.pins());
        let etag = Mark::of(Some("\"1\""), None);
        assert!(!none.same(&etag) && !none.moved_from(&etag) && etag.pins());
    }

    #[test]
    fn the_same_etag_in_another_version_has_moved() {
        let (one, two) = (Mark::of(Some("\"1\""), Some("a")), Mark::of(Some("\"1\""), Some("b")));
        assert!(!one.same(&two) && one.moved_from(&two));
    }

    #[test]
    fn a_document_is_compared_by_its_bytes() {
        let (mut one, mut two) = (Mark::of(Some("\"1\""), Some("a")), Mark::of(Some("\"2\""), Some("b")));
        one.add_digest(b"same");
        two.add_digest(b"same");
        assert!(one.same(&two));
        two.add_digest(b"other");
        assert!(!one.same(&two));
    }

    #[test]
    fn quotes_and_weakness_do_not_make_another_etag() {
        let (quoted, bare, weak) =
            (Mark::of(Some("\"1\""), None), Mark::of(Some("1"), None), Mark::of(Some("W/\"1\""), None));
        assert!(quoted.same(&bare) && quoted.same(&weak) && !weak.moved_from(&quoted));
        assert_eq!((weak.strong(), weak.pins()), (None, false));
    }

    #[test]
    fn bytes_that_no_header_can_carry_are_no_mark() {
        assert_eq!(Mark::of(Some("\"1\n\""), Some("a\u{e4}")), Mark::default());
    }
}
