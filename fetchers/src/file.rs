//! `file:`: a file of this machine, or of a file system mounted on it.
//!
//! A poll is one `stat`, which follows symlinks anew each time, so a re-pointed `current` is seen.
//! The revision is device, inode, size and modification time.

mod read;

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use url::Url;

use crate::error::{FetchError, Kind};
use crate::fetcher::{Asset, AssetName, Body, Fetcher, Polled, Release, Revision, Start};
use crate::options::{ConfigError, Known, Options};
use crate::redact::redact;

/// The options a `file:` source takes.
const OPTIONS: [&str; 1] = ["settle"];

/// Opens a `file:` source. Options come from the URL's query and from `options` alike.
pub fn make(url: &Url, options: &Options) -> Result<Box<dyn Fetcher>, ConfigError> {
    let mut options = options.clone();
    for (name, value) in url.query_pairs() {
        options.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    // A bundle is renamed into place by whoever publishes it, and one that is torn fails its own signature.
    let usual = if crate::is_document(url.path()) { Duration::ZERO } else { Duration::from_secs(1) };
    let settle = Known::check(&options, &OPTIONS)?.duration("settle", usual)?;
    if url.fragment().is_some() {
        return Err(ConfigError::new("the source has a `#`").hint("write `%23` for a `#` in a file's name"));
    }
    let path = url.to_file_path().map_err(|()| {
        ConfigError::new(format!("`{}` names no file of this machine", redact(url)))
            .hint("write `file:/srv/app` or `file:///srv/app`")
    })?;
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| AssetName::new(name).ok());
    let name = name.ok_or_else(|| {
        ConfigError::new(format!("`{}` does not end in the name of a file", redact(url)))
            .hint("a source points at one file, and its name is UTF-8")
    })?;
    let mut url = url.clone();
    url.set_query(None);
    Ok(Box::new(FileFetcher { url, path, name, settle }))
}

#[derive(Debug, Clone)]
struct FileFetcher {
    url: Url,
    path: PathBuf,
    name: AssetName,
    settle: Duration,
}

#[async_trait]
impl Fetcher for FileFetcher {
    async fn poll(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        let (this, since) = (self.clone(), since.cloned());
        blocking(&self.url, move || this.poll_now(since.as_ref())).await
    }

    async fn open(&self, release: &Release, asset: &AssetName, start: &Start) -> Result<Body, FetchError> {
        let place = self.locate(asset);
        // Only the object that was polled has a revision to keep to; a sibling is what it is now.
        let expected = (*asset == self.name).then(|| release.revision.clone());
        let start = start.clone();
        let url = place.url.clone();
        blocking(&url, move || read::body(place, expected.as_ref(), &start)).await
    }
}

impl FileFetcher {
    fn poll_now(&self, since: Option<&Revision>) -> Result<Polled, FetchError> {
        let place = self.locate(&self.name);
        let seen = std::fs::metadata(&self.path).map_err(|error| place.failed(error))?;
        place.must_be_file(&seen)?;
        let revision = revision_of(&seen);
        if since == Some(&revision) {
            return Ok(Polled::Unchanged);
        }
        self.must_be_settled(&seen, SystemTime::now())?;
        let document = match crate::is_document(self.name.as_str()) {
            true => Some(read::document(&place, &revision)?),
            false => None,
        };
        Ok(Polled::Offers(Release {
            revision,
            label: None,
            assets: vec![Asset { name: self.name.clone(), size: Some(seen.len()), digest: None, handle: None }],
            document,
        }))
    }

    /// One `stat` cannot tell whether a writer is done, but a file that was written to just now
    /// may have one. A time in the future tells nothing, and to wait for it could take for ever.
    fn must_be_settled(&self, seen: &Metadata, now: SystemTime) -> Result<(), FetchError> {
        let age = seen.modified().ok().and_then(|modified| now.duration_since(modified).ok());
        match age {
            Some(age) if age < self.settle => Err(FetchError::new(
                Kind::Incomplete,
                &self.url,
                format!(
                    "may still be being written: it changed {} ms ago, less than `settle` = {} ms",
                    age.as_millis(),
                    self.settle.as_millis()
                ),
            )
            .retry_after(Some(self.settle))),
            _ => Ok(()),
        }
    }

    fn locate(&self, asset: &AssetName) -> Place {
        if *asset == self.name {
            return Place { url: self.url.clone(), path: self.path.clone() };
        }
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let path = directory.join(asset.as_str());
        let url = Url::from_file_path(&path).unwrap_or_else(|()| self.url.clone());
        Place { url, path }
    }
}

/// A file, and how errors call it.
#[derive(Debug, Clone)]
struct Place {
    url: Url,
    path: PathBuf,
}

impl Place {
    fn error(&self, kind: Kind, detail: impl Into<String>) -> FetchError {
        FetchError::new(kind, &self.url, detail)
    }

    fn failed(&self, error: io::Error) -> FetchError {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => self.error(Kind::NotFound, "does not exist yet"),
            io::ErrorKind::PermissionDenied => self.error(Kind::Denied, "may not be read by this user"),
            _ => self.error(Kind::Other, "cannot be read").because(error),
        }
    }

    fn must_be_file(&self, seen: &Metadata) -> Result<(), FetchError> {
        if seen.is_file() {
            return Ok(());
        }
        if !seen.is_dir() {
            return Err(self.error(Kind::Misconfigured, "is a device, a socket or a pipe, not a file"));
        }
        let bundles = self.bundles();
        let fix = match bundles.as_slice() {
            [] => "point the source at one file in it".to_owned(),
            found => format!("point the source at one of {}", found.join(", ")),
        };
        Err(self.error(Kind::Misconfigured, format!("is a directory, not a file; {fix}")))
    }

    /// The first few `*.fetchd` files of the directory that was taken for a file.
    fn bundles(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return Vec::new() };
        let mut found: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.ends_with(".fetchd"))
            .map(|name| format!("`{}`", crate::options::plain(&name)))
            .collect();
        found.sort();
        found.truncate(5);
        found
    }
}

fn revision_of(seen: &Metadata) -> Revision {
    Revision(format!(
        "dev={} ino={} size={} mtime={}.{:09}",
        seen.dev(),
        seen.ino(),
        seen.len(),
        seen.mtime(),
        seen.mtime_nsec()
    ))
}

/// Runs `work` where a slow disk holds up nobody else.
async fn blocking<T: Send + 'static>(
    url: &Url,
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(FetchError::new(Kind::Other, url, "reading was cut off").because(error)),
    }
}
