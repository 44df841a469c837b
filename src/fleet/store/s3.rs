//! A bucket that an S3 server keeps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fetchd_fetchers::s3::settings::Settings;
use fetchd_fetchers::s3::{Bucket, ETag, Labels, Made, Read, Removed, Replaced};
use fetchd_fetchers::{DOCUMENT_LIMIT, FetchError, Options, Retry};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::{PAGE, Reply, Request, Store, Tag, Trouble, What};
use crate::clock::Timestamp;
use crate::failure::Exit;
use crate::fleet::evidence::Evidence;
use crate::fleet::names::Names;
use crate::trust::Refused;

/// The longest a request takes with everything that is asked to be sure of its outcome.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What is written where an object cannot be removed under a condition: it stands for none.
const TOMBSTONE: &[u8] = b"{\"fetchd\":\"there is nothing here\"}\n";

/// Asked for each time: what is kept in between would hide a halt.
const FRESH: Labels<'_> = Labels { content_type: Some("application/json"), cache_control: Some("no-cache") };

/// How an object is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deletes {
    /// With `DELETE` and the tag it must have.
    #[default]
    Conditional,
    /// By bytes that stand for no object: the store does not look at the condition of a `DELETE`. They are still
    /// listed.
    Tombstone,
}

/// Carries requests to a bucket, on whatever runtime it is awaited.
///
/// A write whose answer is lost is looked for and compared before anything is said about it. Proved by
/// `tests/fleet_store`.
#[derive(Debug)]
pub struct Carrier {
    bucket: Bucket,
    names: Names,
    deletes: Deletes,
}

/// A [`Carrier`] with a runtime of its own in the calling thread, which must not be one of another tokio runtime.
#[derive(Debug)]
pub struct BucketStore {
    runtime: Runtime,
    carrier: Carrier,
}

impl Carrier {
    /// Finds credentials for `s3://bucket/prefix?option=value`. The options are those of an S3 source, and come
    /// from the URL's query and from `options` alike. The bucket is not asked yet.
    ///
    /// Fails with `fleet.store` (64) if the URL makes no sense, and with a `source.` code (30) if there are no
    /// credentials or no region.
    pub async fn open(url: &Url, options: &Options, deletes: Deletes) -> Result<Carrier, Refused> {
        let wrong = |message: String, hint: Option<String>| {
            let refused = Refused::new("fleet.store", Exit::Usage, message);
            match hint {
                Some(hint) => refused.hint(hint),
                None => refused,
            }
        };
        let settings = Settings::read(url, options).map_err(|error| wrong(error.message, error.hint))?;
        if options.contains_key("version_id") || url.query_pairs().any(|(name, _)| name == "version_id") {
            let hint = "leave out `version_id`".to_owned();
            return Err(wrong("a fleet cannot live in one version of an object".to_owned(), Some(hint)));
        }
        // Keys of evidence need the prefix alone.
        let names = Names::new(settings.key(), "any", "any").ok_or_else(|| {
            let hint = "leave out empty parts, `.` and `..`".to_owned();
            wrong(format!("`{}` is not the prefix of a fleet's keys", settings.key()), Some(hint))
        })?;
        let opened = Bucket::open(settings).await;
        let bucket = opened.map_err(|error| Refused::new(error.kind().code(), Exit::Unreachable, error.to_string()))?;
        Ok(Carrier { bucket, names, deletes })
    }

    /// What its keys begin with, without a slash at its end.
    pub fn prefix(&self) -> String {
        self.names.rollouts().strip_suffix("ro/").unwrap_or_default().trim_end_matches('/').to_owned()
    }

    /// Its keys; of which product and channel they are is made up.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The bucket itself.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// How objects are removed from now on.
    pub fn set_deletes(&mut self, deletes: Deletes) {
        self.deletes = deletes;
    }

    /// Carries out one request, within [`DEADLINE`]. A failure says that nothing is known of what was to be written.
    pub async fn carry(&self, request: Request) -> Reply {
        self.bucket.take_date();
        let what = match tokio::time::timeout(DEADLINE, self.answer(request)).await {
            Ok(Ok(what)) => what,
            Ok(Err(error)) => What::Failed(trouble(&error)),
            Err(_) => {
                let message = format!("the request was not settled within {} s", DEADLINE.as_secs());
                let code = "source.unreachable".to_owned();
                What::Failed(Trouble { code, message, retry_after_s: None, passes: true })
            }
        };
        Reply { what, date: self.bucket.take_date().map(timestamp) }
    }

    async fn answer(&self, request: Request) -> Result<What, FetchError> {
        match request {
            Request::Get { key, unless, limit } => self.get(&key, unless.as_ref(), limit).await,
            Request::Head { key } => self.head(&key).await,
            Request::Create { key, body } => self.create(&key, &body).await,
            Request::Replace { key, body, tag } => self.replace(&key, &body, &tag).await,
            Request::Put { key, body } => {
                let written = self.bucket.overwrite(&key, &body, FRESH).await?;
                Ok(What::Written(written.etag.as_ref().map(tag_of)))
            }
            Request::Delete { key, tag } => self.delete(&key, &tag).await,
            Request::List { prefix, after, limit } => {
                let page = self.bucket.list(&prefix, after.as_deref(), limit).await?;
                let keys = page.keys.into_iter().map(|listed| (listed.key, timestamp(listed.modified))).collect();
                Ok(What::Keys { keys, next: page.next })
            }
            Request::Report { rollout, shard, host, report, body } => {
                let key = self.names.evidence(&rollout, &shard, host, &report);
                // Whose it is does not matter: its key says everything, and the host may not be allowed to read it.
                Ok(match self.bucket.make(&key, &body, FRESH).await? {
                    Made::New(written) => What::Written(written.etag.as_ref().map(tag_of)),
                    Made::There { .. } => What::Conflict,
                })
            }
            Request::Evidence { rollout, shard, after } => self.evidence(&rollout, &shard, after.as_deref()).await,
        }
    }

    async fn get(&self, key: &str, unless: Option<&Tag>, limit: u64) -> Result<What, FetchError> {
        let known = unless.map(|tag| ETag::new(&*tag.0));
        Ok(match self.bucket.get_unless(key, limit, known.as_ref()).await? {
            Read::Object(object) if self.is_tombstone(key, &object.bytes) => What::Absent,
            Read::Object(object) => What::Object { tag: tag_of(&object.etag), body: object.bytes.into() },
            Read::Unchanged { .. } => What::Unchanged,
            Read::Absent => What::Absent,
        })
    }

    async fn head(&self, key: &str) -> Result<What, FetchError> {
        let Some(stat) = self.bucket.head(key).await? else { return Ok(What::Absent) };
        if self.buries(key) && stat.size == TOMBSTONE.len() as u64 {
            let there = self.bucket.get(key, stat.size).await?;
            return Ok(there.filter(|there| there.bytes != TOMBSTONE).map_or(What::Absent, |_| What::Unchanged));
        }
        Ok(What::Unchanged)
    }

    async fn create(&self, key: &str, body: &[u8]) -> Result<What, FetchError> {
        let perhaps_ours = match self.bucket.make(key, body, FRESH).await? {
            Made::New(written) => return Ok(What::Written(written.etag.as_ref().map(tag_of))),
            Made::There { perhaps_ours } => perhaps_ours,
        };
        if !perhaps_ours && self.deletes == Deletes::Conditional {
            return Ok(What::Conflict);
        }
        let limit = DOCUMENT_LIMIT.max(body.len() as u64);
        let there = self.bucket.patiently(async |bucket| bucket.get(key, limit).await).await?;
        match there {
            Some(object) if perhaps_ours && object.bytes == body => Ok(What::Written(Some(tag_of(&object.etag)))),
            Some(object) if self.is_tombstone(key, &object.bytes) => {
                match self.bucket.replace(key, body, FRESH, &object.etag).await? {
                    Replaced::Done(written) => Ok(What::Written(written.etag.as_ref().map(tag_of))),
                    Replaced::Lost { .. } => Ok(What::Conflict),
                    Replaced::Unknown(error) => Err(error),
                }
            }
            _ => Ok(What::Conflict),
        }
    }

    async fn replace(&self, key: &str, body: &[u8], tag: &Tag) -> Result<What, FetchError> {
        match self.bucket.replace(key, body, FRESH, &ETag::new(&*tag.0)).await? {
            Replaced::Done(written) => Ok(What::Written(written.etag.as_ref().map(tag_of))),
            Replaced::Unknown(error) => Err(error),
            Replaced::Lost { absent } => self.lost(key, absent).await,
        }
    }

    async fn delete(&self, key: &str, tag: &Tag) -> Result<What, FetchError> {
        let etag = ETag::new(&*tag.0);
        if self.deletes == Deletes::Tombstone {
            return match self.bucket.replace(key, TOMBSTONE, FRESH, &etag).await? {
                Replaced::Done(_) => Ok(What::Gone),
                Replaced::Unknown(error) => Err(error),
                Replaced::Lost { absent } => self.lost(key, absent).await,
            };
        }
        Ok(match self.bucket.remove(key, &etag).await? {
            Removed::Gone => What::Gone,
            Removed::Absent => What::Absent,
            Removed::Lost => What::Conflict,
        })
    }

    /// What is there instead of what was to be replaced.
    async fn lost(&self, key: &str, absent: bool) -> Result<What, FetchError> {
        let absent = absent || self.deletes == Deletes::Tombstone && self.head(key).await? == What::Absent;
        Ok(if absent { What::Absent } else { What::Conflict })
    }

    async fn evidence(&self, rollout: &str, shard: &str, after: Option<&str>) -> Result<What, FetchError> {
        let below = self.names.evidence_of(rollout, shard);
        let after = after.map(|after| format!("{below}{after}"));
        #[allow(clippy::cast_possible_truncation, reason = "1000")]
        let page = self.bucket.list(&below, after.as_deref(), PAGE as u16).await?;
        let rest = |key: &str| key.strip_prefix(&below).map(str::to_owned);
        let one = |listed: fetchd_fetchers::s3::Listed| {
            let (host, report) = Names::read_evidence(listed.key.strip_prefix(&below)?)?;
            Some(Evidence { host, report, at: timestamp(listed.modified) })
        };
        let next = page.next.as_deref().and_then(rest);
        // Keys that are no evidence are nobody's: whoever may write here can make some.
        Ok(What::Evidence { found: page.keys.into_iter().filter_map(one).collect(), next })
    }

    fn is_tombstone(&self, key: &str, bytes: &[u8]) -> bool {
        self.buries(key) && bytes == TOMBSTONE
    }

    /// Whether bytes can stand for no object here. Never in the place of a latch: whoever may create one could otherwise
    /// create it as one that is not there, and no halt could be written any more
    /// (`a_latch_is_there_whatever_its_bytes`).
    fn buries(&self, key: &str) -> bool {
        self.deletes == Deletes::Tombstone && !key.starts_with(&self.names.latches())
    }
}

impl BucketStore {
    /// [`Carrier::open`] on a runtime of its own. Fails as that does, and with `fleet.runtime` (40) if there can be
    /// no runtime.
    pub fn open(url: &Url, options: &Options, deletes: Deletes) -> Result<BucketStore, Refused> {
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(4).build().map_err(|error| {
            Refused::new("fleet.runtime", Exit::Install, format!("no runtime can be made for the network: {error}"))
        })?;
        let carrier = runtime.block_on(Carrier::open(url, options, deletes))?;
        Ok(BucketStore { runtime, carrier })
    }

    /// What carries its requests.
    pub fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    /// How objects are removed from now on.
    pub fn set_deletes(&mut self, deletes: Deletes) {
        self.carrier.set_deletes(deletes);
    }

    /// The result of `work` with the carrier, on this store's runtime.
    pub fn run<T>(&self, work: impl AsyncFnOnce(&Carrier) -> T) -> T {
        self.runtime.block_on(work(&self.carrier))
    }
}

impl Store for BucketStore {
    fn ask(&mut self, request: Request) -> Reply {
        self.runtime.block_on(self.carrier.carry(request))
    }
}

fn tag_of(etag: &ETag) -> Tag {
    Tag(etag.as_str().to_owned())
}

/// What went wrong, for whoever asked.
pub(crate) fn trouble(error: &FetchError) -> Trouble {
    let retry_after_s = match error.retry() {
        Retry::After(wait) => Some(wait.as_secs()),
        Retry::Soon | Retry::Never => None,
    };
    Trouble {
        code: error.kind().code().to_owned(),
        message: error.to_string(),
        retry_after_s,
        passes: error.kind().passes(),
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
