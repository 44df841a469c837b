//! What a revision of this source holds.

use octocrab::models::repos::Release;
use sha2::{Digest, Sha256};
use url::form_urlencoded::{Serializer, parse};

use crate::fetcher::Revision;

/// The ETag of an answer, the question it answers, and a fingerprint of what matters in it.
///
/// GitHub's ETag changes with every download that is counted, so by itself it would offer the same
/// release again and again. It serves to be told `not modified`, and the fingerprint decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) etag: Option<String>,
    /// What was asked, the URL and which release of it: the ETag says nothing to another question.
    pub(super) asked: String,
    pub(super) seen: String,
}

impl Mark {
    pub(super) fn revision(&self) -> Revision {
        let mut text = Serializer::new(String::new());
        if let Some(etag) = &self.etag {
            text.append_pair("etag", etag).append_pair("of", &self.asked);
        }
        text.append_pair("seen", &self.seen);
        Revision(text.finish())
    }

    /// The inverse of [`Mark::revision`]; a revision of another fetcher holds nothing.
    pub(super) fn parse(revision: &Revision) -> Mark {
        let mut found = Mark::default();
        for (name, value) in parse(revision.0.as_bytes()) {
            match name.as_ref() {
                "etag" => found.etag = Some(value.into_owned()),
                "of" => found.asked = value.into_owned(),
                "seen" => found.seen = value.into_owned(),
                _ => {}
            }
        }
        found
    }
}

/// A digest of what makes a release another one: its id and tag, and of each asset everything
/// but how often it was downloaded.
pub(super) fn fingerprint(release: &Release) -> String {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    };
    add(&release.id.to_string());
    add(&release.tag_name);
    for asset in &release.assets {
        add(&asset.id.to_string());
        add(&asset.name);
        add(&asset.size.to_string());
        add(&asset.state);
        add(asset.digest.as_deref().unwrap_or_default());
        add(&asset.updated_at.to_string());
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
