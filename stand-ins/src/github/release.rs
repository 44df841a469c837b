//! Releases made by a test, without a request.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;

use super::GitHub;
use super::state::{Asset, Release};

/// A release that is not there yet.
#[must_use = "a release is there once it is published"]
pub struct NewRelease<'a> {
    github: &'a GitHub,
    repository: String,
    tag: String,
    draft: bool,
    prerelease: bool,
    assets: Vec<(String, &'static str, Bytes)>,
}

/// A release as it stands, for a test to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub id: u64,
    /// Its tag.
    pub tag: String,
    /// Whether only those who may write see it.
    pub draft: bool,
    /// Whether it is never the latest.
    pub prerelease: bool,
    /// Its assets.
    pub assets: Vec<SeenAsset>,
}

/// An asset as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenAsset {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `uploaded`, `open` or `starter`.
    pub state: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl<'a> NewRelease<'a> {
    pub(super) fn new(github: &'a GitHub, repository: &str, tag: &str) -> NewRelease<'a> {
        let (repository, tag) = (repository.to_owned(), tag.to_owned());
        NewRelease { github, repository, tag, draft: false, prerelease: false, assets: Vec::new() }
    }

    /// Seen only by those who may write.
    pub fn draft(self) -> NewRelease<'a> {
        NewRelease { draft: true, ..self }
    }

    /// Never the latest.
    pub fn prerelease(self) -> NewRelease<'a> {
        NewRelease { prerelease: true, ..self }
    }

    /// With these bytes under this name.
    pub fn asset(self, name: &str, bytes: impl AsRef<[u8]>) -> NewRelease<'a> {
        self.with(name, "uploaded", Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// With an asset that is still being uploaded.
    pub fn open_asset(self, name: &str) -> NewRelease<'a> {
        self.with(name, "open", Bytes::new())
    }

    /// With an asset whose upload broke off.
    pub fn starter_asset(self, name: &str) -> NewRelease<'a> {
        self.with(name, "starter", Bytes::new())
    }

    fn with(mut self, name: &str, state: &'static str, bytes: Bytes) -> NewRelease<'a> {
        self.assets.push((name.to_owned(), state, bytes));
        self
    }

    /// Makes it, newer than all before, and gives its number.
    pub fn publish(self) -> u64 {
        let mut state = self.github.shared.state();
        let id = state.id();
        let mut assets = Vec::new();
        for (name, upload, bytes) in self.assets {
            let mut asset = Asset::new(state.id(), &name);
            asset.state = upload;
            asset.fill(bytes);
            assets.push(asset);
        }
        let release = Release {
            id,
            name: Some(self.tag.clone()),
            tag: self.tag,
            body: Some("Description of the release".to_owned()),
            target: "main".to_owned(),
            draft: self.draft,
            prerelease: self.prerelease,
            created: SystemTime::now(),
            published: (!self.draft).then(|| (SystemTime::now(), id)),
            assets,
        };
        state.repository(&self.repository).releases.push(release);
        id
    }
}

impl fmt::Debug for NewRelease<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRelease")
            .field("repository", &self.repository)
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

/// What a test does to releases that are there. All of them panic if what they name is not.
impl GitHub {
    /// The releases of a repository in the order of a list, drafts first.
    pub fn releases(&self, repository: &str) -> Vec<Seen> {
        let mut state = self.shared.state();
        let listed = state.repository(repository).listed();
        let asset = |asset: &Asset| SeenAsset {
            id: asset.id,
            name: asset.name.clone(),
            state: asset.state.to_owned(),
            bytes: asset.bytes.to_vec(),
        };
        let seen = |release: &&Release| Seen {
            id: release.id,
            tag: release.tag.clone(),
            draft: release.draft,
            prerelease: release.prerelease,
            assets: release.assets.iter().map(asset).collect(),
        };
        listed.iter().map(seen).collect()
    }

    /// Puts other bytes in place of an asset the way GitHub does: the old one is deleted, the new
    /// one has a number of its own. An asset that is not there yet is added.
    pub fn replace_asset(&self, repository: &str, tag: &str, name: &str, bytes: impl AsRef<[u8]>) {
        let mut state = self.shared.state();
        let mut asset = Asset::new(state.id(), name);
        asset.state = "uploaded";
        asset.fill(Bytes::copy_from_slice(bytes.as_ref()));
        let assets = &mut state.release(repository, tag).assets;
        assets.retain(|known| known.name != name);
        assets.push(asset);
    }

    /// Puts other bytes in an asset that keeps its number, as GitHub never does.
    pub fn swap_bytes(&self, repository: &str, tag: &str, name: &str, bytes: impl AsRef<[u8]>) {
        let mut state = self.shared.state();
        let assets = &mut state.release(repository, tag).assets;
        let asset = assets.iter_mut().find(|asset| asset.name == name);
        asset.expect("the asset is there").fill(Bytes::copy_from_slice(bytes.as_ref()));
    }

    /// Deletes an asset.
    pub fn delete_asset(&self, repository: &str, tag: &str, name: &str) {
        self.shared.state().release(repository, tag).assets.retain(|asset| asset.name != name);
    }

    /// Deletes a release with its assets.
    pub fn delete_release(&self, repository: &str, tag: &str) {
        let mut state = self.shared.state();
        let id = state.release(repository, tag).id;
        state.repository(repository).releases.retain(|release| release.id != id);
    }

    /// Gives a release another tag; one that has this tag already is deleted.
    pub fn move_tag(&self, repository: &str, tag: &str, to: &str) {
        let mut state = self.shared.state();
        state.repository(repository).releases.retain(|release| release.tag != to);
        state.release(repository, tag).tag = to.to_owned();
    }

    /// Makes a draft public.
    pub fn publish_draft(&self, repository: &str, tag: &str) {
        let mut state = self.shared.state();
        let order = state.id();
        let release = state.release(repository, tag);
        release.draft = false;
        release.published = Some((SystemTime::now(), order));
    }
}
