//! What the stand-in knows: repositories, tokens, faults and the requests so far.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::fault::{Fault, Rule};
use super::{Request, Side};

#[derive(Debug)]
pub(super) struct State {
    pub(super) repositories: Vec<Repository>,
    /// The tokens that are valid, and whether they may see and write the repositories.
    pub(super) tokens: HashMap<String, bool>,
    pub(super) rules: Vec<Rule>,
    pub(super) requests: Vec<Request>,
    /// By token; `None` is everybody without one.
    pub(super) quotas: HashMap<Option<String>, Quota>,
    /// Requests in an hour for a token, where a test says so.
    pub(super) limit: Option<u64>,
    pub(super) digests: bool,
    last_id: u64,
}

#[derive(Debug)]
pub(super) struct Repository {
    pub(super) id: u64,
    /// `owner/name`.
    pub(super) name: String,
    pub(super) former: Vec<String>,
    pub(super) private: bool,
    pub(super) releases: Vec<Release>,
}

#[derive(Debug)]
pub(super) struct Release {
    pub(super) id: u64,
    pub(super) tag: String,
    pub(super) name: Option<String>,
    pub(super) body: Option<String>,
    pub(super) target: String,
    pub(super) draft: bool,
    pub(super) prerelease: bool,
    pub(super) created: SystemTime,
    /// When, and after how many others; not for a draft.
    pub(super) published: Option<(SystemTime, u64)>,
    pub(super) assets: Vec<Asset>,
}

#[derive(Debug)]
pub(super) struct Asset {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) content_type: String,
    /// `uploaded`, `open` while it is being uploaded, `starter` if that broke off.
    pub(super) state: &'static str,
    pub(super) bytes: Bytes,
    pub(super) sha256: String,
    pub(super) downloads: u64,
    pub(super) created: SystemTime,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    pub(super) limit: u64,
    pub(super) used: u64,
    pub(super) reset: SystemTime,
}

impl State {
    pub(super) fn new() -> State {
        State {
            repositories: Vec::new(),
            tokens: HashMap::new(),
            rules: Vec::new(),
            requests: Vec::new(),
            quotas: HashMap::new(),
            limit: None,
            digests: true,
            last_id: 1000,
        }
    }

    pub(super) fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The repository with this name, made if there is none.
    pub(super) fn repository(&mut self, name: &str) -> &mut Repository {
        if let Some(index) = self.repositories.iter().position(|repository| repository.name == name) {
            return &mut self.repositories[index];
        }
        let id = self.id();
        let name = name.to_owned();
        self.repositories.push(Repository { id, name, former: Vec::new(), private: false, releases: Vec::new() });
        self.repositories.last_mut().expect("one was added just now")
    }

    /// The release with this tag, drafts too.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn release(&mut self, repository: &str, tag: &str) -> &mut Release {
        let releases = &mut self.repository(repository).releases;
        let found = releases.iter_mut().find(|release| release.tag == tag);
        found.unwrap_or_else(|| panic!("`{repository}` has no release `{tag}`"))
    }

    /// The fault for a request, if there is one; it counts as used.
    pub(super) fn fault(&mut self, side: Side, method: &str, path: &str) -> Option<Fault> {
        let rule = self.rules.iter_mut().find_map(|rule| rule.applies(side, method, path).then(|| rule.fault.clone()));
        self.rules.retain(|rule| !rule.is_used_up());
        rule
    }

    /// Where `token` stands with its hour.
    pub(super) fn quota(&mut self, token: Option<&str>) -> &mut Quota {
        let limit = self.limit.unwrap_or(if token.is_some() { 5000 } else { 60 });
        let reset = SystemTime::now() + Duration::from_secs(3600);
        self.quotas.entry(token.map(str::to_owned)).or_insert(Quota { limit, used: 0, reset })
    }
}

impl Repository {
    /// The releases in the order of a list: drafts first, then the newest first.
    pub(super) fn listed(&self) -> Vec<&Release> {
        let mut releases: Vec<_> = self.releases.iter().collect();
        releases.sort_by_key(|release| std::cmp::Reverse((release.draft, release.order(), release.id)));
        releases
    }

    /// The newest that is neither a draft nor a prerelease.
    pub(super) fn latest(&self) -> Option<&Release> {
        self.listed().into_iter().find(|release| !release.draft && !release.prerelease)
    }

    pub(super) fn release_by_id(&mut self, id: u64) -> Option<&mut Release> {
        self.releases.iter_mut().find(|release| release.id == id)
    }

    /// An asset and the release it belongs to.
    pub(super) fn asset_by_id(&self, id: u64) -> Option<(&Release, &Asset)> {
        let assets = self.releases.iter().flat_map(|release| release.assets.iter().map(move |asset| (release, asset)));
        assets.into_iter().find(|(_, asset)| asset.id == id)
    }

    pub(super) fn asset_by_id_mut(&mut self, id: u64) -> Option<&mut Asset> {
        self.releases.iter_mut().flat_map(|release| release.assets.iter_mut()).find(|asset| asset.id == id)
    }
}

impl Release {
    fn order(&self) -> u64 {
        self.published.map_or(0, |(_, order)| order)
    }
}

impl Asset {
    pub(super) fn new(id: u64, name: &str) -> Asset {
        let mut asset = Asset {
            id,
            name: name.to_owned(),
            content_type: "application/octet-stream".to_owned(),
            state: "open",
            bytes: Bytes::new(),
            sha256: String::new(),
            downloads: 0,
            created: SystemTime::now(),
        };
        asset.fill(Bytes::new());
        asset
    }

    /// Puts these bytes in, without a word about the state.
    pub(super) fn fill(&mut self, bytes: Bytes) {
        self.sha256 = hex(&Sha256::digest(&bytes));
        self.bytes = bytes;
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A writer into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
