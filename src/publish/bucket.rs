//! A prefix of an S3 bucket, as a place.

use std::fs::File;

use fetchd_fetchers::s3::settings::Settings;
use fetchd_fetchers::s3::{Bucket, Compared, Content, Created, ETag, Labels, Replaced};
use fetchd_fetchers::{DOCUMENT_LIMIT, Options};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::PublishError;
use super::place::{Artifact, Begun, Looked, Place};
use crate::trust::Format;

/// What hosts need to know of the options that a channel was published with. What is not here is about the
/// publisher: its profile, its keys.
const OF_HOSTS: [&str; 6] = ["checksums", "endpoint", "expected_bucket_owner", "path_style", "region", "request_payer"];

/// Asked for each time: what is kept in between would hide a release, or a withdrawal.
const POINTER: Labels<'_> = Labels { content_type: Some("application/json"), cache_control: Some("no-cache") };

/// A prefix of a bucket that an S3 server keeps.
///
/// Nothing locks it: the pointer is replaced by a compare-and-swap, and whoever comes second gets
/// [`PublishError::Conflict`]. Proved by `of_32_publishers_each_succeeds_or_says_so`. It does its work on a
/// runtime of its own in the calling thread, which must not be one of another tokio runtime.
#[derive(Debug)]
pub struct BucketPlace {
    runtime: Runtime,
    bucket: Bucket,
    /// Empty, or ends in `/`.
    prefix: String,
    query: Vec<(String, String)>,
}

/// The state of a pointer in a bucket.
#[derive(Debug)]
pub struct PointerState {
    name: String,
    etag: Option<ETag>,
}

impl BucketPlace {
    /// Finds credentials for `s3://bucket/prefix?option=value`. The options are those of an S3 source, and
    /// come from the URL's query and from `options` alike.
    ///
    /// Fails with [`PublishError::Destination`] if the URL makes no sense, and with [`PublishError::Store`]
    /// if there are no credentials or no region. The bucket is not asked yet.
    pub fn open(url: &Url, options: &Options) -> Result<BucketPlace, PublishError> {
        let refused = |message: String, hint: &str| PublishError::Destination { message, hint: Some(hint.to_owned()) };
        let settings = Settings::read(url, options)
            .map_err(|error| PublishError::Destination { message: error.message, hint: error.hint })?;
        let mut prefix = settings.key().to_owned();
        if prefix.ends_with(".fetchd") {
            let message = format!("`{}` is a channel's pointer, not a place for channels", settings.url());
            return Err(refused(message, "leave out its name: the channel gives it"));
        }
        if options.contains_key("version_id") || url.query_pairs().any(|(name, _)| name == "version_id") {
            let message = "nothing can be published to one version of a bucket".to_owned();
            return Err(refused(message, "leave out `version_id`"));
        }
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(4).build();
        let runtime = runtime.map_err(PublishError::io("make a runtime for", std::path::Path::new("the network")))?;
        let bucket = runtime.block_on(Bucket::open(settings))?;
        let query = url.query_pairs().into_owned().filter(|(name, _)| OF_HOSTS.contains(&name.as_str())).collect();
        Ok(BucketPlace { runtime, bucket, prefix, query })
    }

    /// The source URL of a pointer, with the options that hosts need.
    pub fn source(&self, pointer: &str) -> Url {
        let mut url = self.locate(pointer);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn read(&self, pointer: &str) -> Result<Option<fetchd_fetchers::s3::Object>, PublishError> {
        Ok(self
            .runtime
            .block_on(self.bucket.patiently(async |bucket| bucket.get(&self.key(pointer), DOCUMENT_LIMIT).await))?)
    }

    /// Whether the pointer has moved on already: some stores would not say so.
    async fn moved(&self, key: &str, etag: &ETag) -> Result<bool, PublishError> {
        let there = self.bucket.patiently(async |bucket| bucket.head(key).await).await?;
        Ok(there.is_none_or(|stat| stat.etag.is_some_and(|there| there != *etag)))
    }
}

impl Place for BucketPlace {
    type Location = Url;
    type Tag = PointerState;

    fn locate(&self, name: &str) -> Url {
        self.bucket.url_of(&self.key(name))
    }

    fn show(&self, name: &str) -> String {
        self.locate(name).into()
    }

    fn peek(&self, pointer: &str) -> Result<Option<Vec<u8>>, PublishError> {
        Ok(self.read(pointer)?.map(|object| object.bytes.into()))
    }

    fn begin(&self, pointer: &str) -> Result<Begun<PointerState>, PublishError> {
        let (bytes, etag) = match self.read(pointer)? {
            Some(object) => (Some(object.bytes.into()), Some(object.etag)),
            None => (None, None),
        };
        Ok(Begun { bytes, tag: PointerState { name: pointer.to_owned(), etag } })
    }

    fn look(&self, artifact: &Artifact<'_>) -> Result<Looked, PublishError> {
        let key = self.key(artifact.name);
        let compare = async |bucket: &Bucket| bucket.compare(&key, artifact.size, artifact.sha256.0).await;
        match self.runtime.block_on(self.bucket.patiently(compare))? {
            Compared::Absent => Ok(Looked::Nothing),
            Compared::Same => Ok(Looked::Same),
            Compared::Other => Err(PublishError::Exists(self.show(artifact.name))),
        }
    }

    fn put(&self, _: &PointerState, artifact: &Artifact<'_>) -> Result<(), PublishError> {
        let Artifact { path, size, sha256, sent, .. } = *artifact;
        let content = Content::File { path, size, sha256: sha256.0, sent };
        let labels = Labels {
            content_type: Some(content_type(artifact.format)),
            cache_control: Some("public, max-age=31536000, immutable"),
        };
        let created = self.runtime.block_on(self.bucket.create(&self.key(artifact.name), content, labels))?;
        match created {
            Created::New(_) | Created::Same => Ok(()),
            Created::Other => Err(PublishError::Exists(self.show(artifact.name))),
            Created::SourceChanged => Err(PublishError::Changed(path.to_owned())),
            Created::Unknown(source) => Err(PublishError::Unconfirmed(source)),
        }
    }

    fn fetch(&self, name: &str, limit: u64, to: &mut File) -> Result<bool, PublishError> {
        Ok(self.runtime.block_on(self.bucket.copy(&self.key(name), limit, to))?)
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Looked, PublishError> {
        let key = self.key(name);
        let exists = || PublishError::Exists(self.show(name));
        self.runtime.block_on(async {
            let created = match self.bucket.create(&key, Content::Bytes(bytes), POINTER).await? {
                Created::New(_) => Looked::Nothing,
                Created::Same => Looked::Same,
                Created::Other | Created::SourceChanged => return Err(exists()),
                Created::Unknown(error) => return Err(PublishError::Unconfirmed(error)),
            };
            // Some stores answer that they created what they did not.
            match self.bucket.read_back(&key, bytes).await {
                Ok(Compared::Same) => Ok(created),
                Ok(Compared::Other | Compared::Absent) => Err(exists()),
                Err(error) => Err(PublishError::Unconfirmed(error)),
            }
        })
    }

    fn identity(&self) -> String {
        let place = self.locate("");
        match self.query.iter().find(|(name, _)| name == "endpoint") {
            Some((_, endpoint)) => format!("{place} at {endpoint}"),
            None => place.into(),
        }
    }

    fn replace(&self, tag: PointerState, bytes: &[u8]) -> Result<(), PublishError> {
        let key = self.key(&tag.name);
        let conflict = || PublishError::Conflict(self.show(&tag.name));
        self.runtime.block_on(async {
            match &tag.etag {
                Some(etag) if self.moved(&key, etag).await? => return Err(conflict()),
                Some(etag) => match self.bucket.replace(&key, bytes, POINTER, etag).await? {
                    Replaced::Done(_) => {}
                    Replaced::Lost { .. } => return Err(conflict()),
                    Replaced::Unknown(error) => return Err(PublishError::Unconfirmed(error)),
                },
                None => match self.bucket.create(&key, Content::Bytes(bytes), POINTER).await? {
                    Created::New(_) | Created::Same => {}
                    Created::Other | Created::SourceChanged => return Err(conflict()),
                    Created::Unknown(error) => return Err(PublishError::Unconfirmed(error)),
                },
            }
            match self.bucket.read_back(&key, bytes).await {
                Ok(Compared::Same) => Ok(()),
                Ok(Compared::Other | Compared::Absent) => Err(conflict()),
                Err(error) => Err(PublishError::Unconfirmed(error)),
            }
        })
    }
}

/// Never a `Content-Encoding`: what is hashed must be the bytes as they are stored.
fn content_type(format: Option<Format>) -> &'static str {
    match format {
        Some(Format::TarGz | Format::Gz) => "application/gzip",
        Some(Format::TarXz | Format::Xz) => "application/x-xz",
        Some(Format::TarZst | Format::Zst) => "application/zstd",
        Some(Format::Zip) => "application/zip",
        _ => "application/octet-stream",
    }
}
