//! A place for one release: its manifest is written once, and stands beside its artifacts.

use std::fs::File;

use super::PublishError;
use super::place::{Artifact, Begun, Looked, Place};

/// The name of the manifest in a release's directory.
const MANIFEST: &str = "manifest.json";

/// A directory of one release in another place.
///
/// What it is built on is the newest manifest of the product, which lies in another directory: so its number rises,
/// and what was revoked stays revoked. It is never replaced ([`PublishError::Exists`]).
#[derive(Debug)]
pub struct OneRelease<'a, P: ?Sized> {
    /// The directory.
    pub place: &'a P,
    /// The place of all releases: another directory's artifact is `DIRECTORY/NAME` there.
    pub all: &'a P,
    /// The bundle with the newest manifest; `None` = this is the first.
    pub newest: Option<Vec<u8>>,
    /// What tells the product's releases from all others for as long as they exist.
    pub identity: String,
}

impl<P: Place + ?Sized> Place for OneRelease<'_, P> {
    type Location = P::Location;
    type Tag = P::Tag;

    fn locate(&self, name: &str) -> P::Location {
        self.place.locate(name_of(name))
    }

    fn show(&self, name: &str) -> String {
        self.place.show(name_of(name))
    }

    fn peek(&self, _: &str) -> Result<Option<Vec<u8>>, PublishError> {
        match self.place.peek(MANIFEST)? {
            Some(_) => Err(PublishError::Exists(self.place.show(MANIFEST))),
            None => Ok(self.newest.clone()),
        }
    }

    fn begin(&self, _: &str) -> Result<Begun<P::Tag>, PublishError> {
        match self.place.begin(MANIFEST)? {
            Begun { bytes: Some(_), .. } => Err(PublishError::Exists(self.place.show(MANIFEST))),
            Begun { bytes: None, tag } => Ok(Begun { bytes: self.newest.clone(), tag }),
        }
    }

    fn look(&self, artifact: &Artifact<'_>) -> Result<Looked, PublishError> {
        self.place.look(artifact)
    }

    fn put(&self, tag: &P::Tag, artifact: &Artifact<'_>) -> Result<(), PublishError> {
        self.place.put(tag, artifact)
    }

    fn fetch(&self, name: &str, limit: u64, to: &mut File) -> Result<bool, PublishError> {
        if name.contains('/') { self.all.fetch(name, limit, to) } else { self.place.fetch(name, limit, to) }
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Looked, PublishError> {
        self.place.create(name, bytes)
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    /// The tag says that nothing was there, so nothing is replaced.
    fn replace(&self, tag: P::Tag, bytes: &[u8]) -> Result<(), PublishError> {
        self.place.replace(tag, bytes)
    }
}

/// A channel's pointer is the manifest here.
fn name_of(name: &str) -> &str {
    if name.ends_with(".fetchd") { MANIFEST } else { name }
}
