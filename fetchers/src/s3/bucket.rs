//! A bucket to write to: what a channel, and whatever else several writers share, is kept in.
//!
//! Every write is conditional, and its outcome a value that says what is there now. An answer that leaves
//! the outcome open (a lost connection, a time-out, `409`, `412`, `5xx`) is never followed by another
//! attempt before the object has been read again and compared.

mod attempt;
mod copy;
mod create;
mod list;
mod once;
mod remove;
mod replace;
mod upload;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use sha2::Digest;
use url::Url;

use self::attempt::{Patience, nothing_there};
use super::error::{refusal, status};
use super::secrets::{CustomerKey, CustomerKeyHeaders};
use super::settings::Settings;
use crate::error::{FetchError, Kind};
use crate::options::grouped;

pub use self::create::Created;
pub use self::list::{Listed, PAGE, Page};
pub use self::once::Made;
pub use self::remove::Removed;
pub use self::replace::Replaced;
pub use self::upload::{Content, Labels, UPLOAD_LIMIT};

/// How long a question is asked again.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bucket with credentials that have been found. Its keys are whole: the key of the settings is no prefix.
pub struct Bucket {
    client: Client,
    settings: Settings,
    /// Whether this store matches only entity tags without their quotes, as some versions of Ceph do.
    unquoted: AtomicBool,
    /// The time of the store in its last answer.
    seen: Dated,
}

/// What a store says about the state of an object: opaque, and different whenever the bytes are.
#[derive(Clone)]
pub struct ETag(String);

impl ETag {
    /// A state that was read earlier.
    pub fn new(text: impl Into<String>) -> ETag {
        ETag(text.into())
    }

    /// As a header shows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn bare(&self) -> &str {
        self.0.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&self.0)
    }
}

/// Quotes are no part of it: stores add and drop them.
impl PartialEq for ETag {
    fn eq(&self, other: &ETag) -> bool {
        self.bare() == other.bare()
    }
}

impl Eq for ETag {}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An object that has been read.
#[derive(Debug, Clone)]
pub struct Object {
    /// All of its bytes.
    pub bytes: Bytes,
    /// Its state: what [`Bucket::replace`] takes.
    pub etag: ETag,
    /// Its version, in a bucket that keeps versions.
    pub version: Option<String>,
    /// The time of the store when it answered.
    pub date: Option<SystemTime>,
}

/// The answer to [`Bucket::get_unless`].
#[derive(Debug, Clone)]
pub enum Read {
    /// The object.
    Object(Object),
    /// It is still in the state that was known.
    Unchanged {
        /// Whether the store sent it all the same: it does not know this condition.
        sent: bool,
    },
    /// There is none.
    Absent,
}

/// An answer whose body has not been read.
enum Opened {
    Body(Box<aws_sdk_s3::operation::get_object::GetObjectOutput>),
    Unchanged,
    Absent,
}

/// What a store tells about an object without sending it.
#[derive(Debug, Clone)]
pub struct Stat {
    /// Its size in bytes.
    pub size: u64,
    /// Its state, where the store tells.
    pub etag: Option<ETag>,
    /// Its version, in a bucket that keeps versions.
    pub version: Option<String>,
    /// The digest of all of its bytes, where the store has kept one.
    pub sha256: Option<[u8; 32]>,
    /// The time of the store when it answered.
    pub date: Option<SystemTime>,
}

/// What is known about an object right after it was written.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its state, where the store tells.
    pub etag: Option<ETag>,
    /// Its version, in a bucket that keeps versions.
    pub version: Option<String>,
}

/// What every request for an object of a bucket carries, beside its key.
struct Address<'a> {
    settings: &'a Settings,
    customer: Option<CustomerKeyHeaders>,
}

/// Puts an address into a request: the requests of the SDK have these names in common, and no trait.
macro_rules! addressed {
    ($address:expr, $key:expr, $request:expr) => {{
        let $crate::s3::bucket::Address { settings, customer } = $address;
        let (algorithm, key, md5) = match customer {
            Some(customer) => (Some(customer.algorithm.to_owned()), Some(customer.key), Some(customer.md5)),
            None => (None, None, None),
        };
        let payer = settings.request_payer.then_some(aws_sdk_s3::types::RequestPayer::Requester);
        $request
            .bucket(&settings.bucket)
            .key($key)
            .set_expected_bucket_owner(settings.expected_bucket_owner.clone())
            .set_request_payer(payer)
            .set_sse_customer_algorithm(algorithm)
            .set_sse_customer_key(key)
            .set_sse_customer_key_md5(md5)
    }};
}
use addressed;

impl Bucket {
    /// Finds credentials for `settings`. Fails as [`Settings::client`] does; the store is not asked yet.
    pub async fn open(settings: Settings) -> Result<Bucket, FetchError> {
        let seen = Dated::default();
        let client = settings.client().await?;
        let client = Client::from_conf(client.config().to_builder().interceptor(seen.clone()).build());
        Ok(Bucket { client, settings, unquoted: AtomicBool::new(false), seen })
    }

    /// What the store's clock showed in the last answer to any request, whatever the answer was; told once.
    pub fn take_date(&self) -> Option<SystemTime> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the store was found to compare only entity tags without their quotes.
    pub fn compares_unquoted(&self) -> bool {
        self.unquoted.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// `s3://bucket/key`, for a message.
    pub fn url_of(&self, key: &str) -> Url {
        self.settings.url_of(key)
    }

    /// The object at `key`, `None` if there is none. One of more than `limit` bytes is an error.
    pub async fn get(&self, key: &str, limit: u64) -> Result<Option<Object>, FetchError> {
        match self.get_unless(key, limit, None).await? {
            Read::Object(object) => Ok(Some(object)),
            Read::Unchanged { .. } | Read::Absent => Ok(None),
        }
    }

    /// The object at `key`, unless it is still in the state `known`. One of more than `limit` bytes is an error.
    pub async fn get_unless(&self, key: &str, limit: u64, known: Option<&ETag>) -> Result<Read, FetchError> {
        let read = async {
            let date = Dated::default();
            let at = self.url_of(key);
            let mut output = match self.open_object(key, &date, known).await? {
                Opened::Body(output) => output,
                Opened::Absent => return Ok(Read::Absent),
                Opened::Unchanged => return Ok(Read::Unchanged { sent: false }),
            };
            let etag = output.e_tag.take().map(ETag);
            let etag = etag.ok_or_else(|| FetchError::new(Kind::Other, &at, "comes without an entity tag"))?;
            // Servers that ignore conditions exist.
            if known == Some(&etag) {
                return Ok(Read::Unchanged { sent: true });
            }
            let too_large = || FetchError::new(Kind::TooLarge, &at, format!("has more than {} bytes", grouped(limit)));
            if output.content_length.is_some_and(|length| u64::try_from(length).is_ok_and(|length| length > limit)) {
                return Err(too_large());
            }
            let mut bytes = BytesMut::new();
            while let Some(piece) = output.body.next().await {
                bytes.extend_from_slice(&piece.map_err(|_| cut_short(&at))?);
                if bytes.len() as u64 > limit {
                    return Err(too_large());
                }
            }
            let (bytes, version) = (bytes.freeze(), output.version_id.take());
            Ok(Read::Object(Object { bytes, etag, version, date: date.get() }))
        };
        self.in_time(key, read).await
    }

    /// What the store tells about the object at `key`, `None` if there is none.
    pub async fn head(&self, key: &str) -> Result<Option<Stat>, FetchError> {
        let ask = async {
            let date = Dated::default();
            let mut request = addressed!(self.address()?, key, self.client.head_object());
            if self.settings.validates {
                request = request.checksum_mode(ChecksumMode::Enabled);
            }
            let output = match request.customize().interceptor(date.clone()).send().await {
                Ok(output) => output,
                Err(error) if nothing_there(&error) => return Ok(None),
                Err(error) => return Err(refusal(&self.url_of(key), &error)),
            };
            // The checksum of parts is none of the bytes.
            let whole = !matches!(output.checksum_type, Some(ChecksumType::Composite));
            let sha256 = output.checksum_sha256().filter(|_| whole).and_then(|text| STANDARD.decode(text).ok());
            let size = output.content_length().and_then(|length| u64::try_from(length).ok());
            let size = size.ok_or_else(|| FetchError::new(Kind::Other, &self.url_of(key), "comes without its size"))?;
            Ok(Some(Stat {
                size,
                sha256: sha256.and_then(|digest| digest.try_into().ok()),
                etag: output.e_tag.map(ETag),
                version: output.version_id,
                date: date.get(),
            }))
        };
        self.in_time(key, ask).await
    }

    /// Whether the object at `key` is these bytes. Reads them only where the store tells no digest.
    pub async fn compare(&self, key: &str, size: u64, sha256: [u8; 32]) -> Result<Compared, FetchError> {
        let Some(stat) = self.head(key).await? else { return Ok(Compared::Absent) };
        if stat.size != size {
            return Ok(Compared::Other);
        }
        let verdict = |same: bool| if same { Compared::Same } else { Compared::Other };
        if let Some(there) = stat.sha256 {
            return Ok(verdict(there == sha256));
        }
        let opened = self.in_time(key, self.open_object(key, &Dated::default(), None)).await?;
        let Opened::Body(mut output) = opened else { return Ok(Compared::Absent) };
        let (at, mut hash) = (self.url_of(key), sha2::Sha256::new());
        let mut left = size;
        // Not limited in time as a whole, since it may be large: the read time-out ends a silence.
        while let Some(piece) = self.in_time(key, async { Ok(output.body.next().await) }).await? {
            let piece = piece.map_err(|_| cut_short(&at))?;
            let Some(rest) = left.checked_sub(piece.len() as u64) else { return Ok(Compared::Other) };
            left = rest;
            hash.update(piece);
        }
        let there: [u8; 32] = hash.finalize().into();
        Ok(verdict(there == sha256))
    }

    /// The answer to a question that changes nothing, asked again for a while if the store is only out of breath.
    pub async fn patiently<T>(&self, ask: impl AsyncFn(&Bucket) -> Result<T, FetchError>) -> Result<T, FetchError> {
        let mut patience = Patience::new(PATIENCE);
        loop {
            if let Some(answer) = patience.passed(ask(self).await).await? {
                return Ok(answer);
            }
        }
    }

    /// The answer to a `GET`, its body not yet read.
    async fn open_object(&self, key: &str, date: &Dated, known: Option<&ETag>) -> Result<Opened, FetchError> {
        let request = addressed!(self.address()?, key, self.client.get_object());
        let request = request.set_if_none_match(known.map(|etag| etag.0.clone()));
        match request.customize().interceptor(date.clone()).send().await {
            Ok(output) => Ok(Opened::Body(Box::new(output))),
            Err(error) if nothing_there(&error) => Ok(Opened::Absent),
            // An error to the SDK, with an entity tag in it or without.
            Err(error) if known.is_some() && status(&error) == Some(304) => Ok(Opened::Unchanged),
            Err(error) => Err(refusal(&self.url_of(key), &error)),
        }
    }

    /// The outcome of `request`, or that it took longer than one request may.
    async fn in_time<T>(
        &self,
        key: &str,
        request: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        match tokio::time::timeout(self.settings.timeout, request).await {
            Ok(outcome) => outcome,
            Err(_) => Err(took_too_long(&self.url_of(key), self.settings.timeout)),
        }
    }

    fn address(&self) -> Result<Address<'_>, FetchError> {
        let customer = self.settings.customer_key.as_ref().map(CustomerKey::headers).transpose();
        let customer = customer.map_err(|why| FetchError::new(Kind::Denied, self.settings.url(), why.message))?;
        Ok(Address { settings: &self.settings, customer })
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What an object is, beside certain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// There is none.
    Absent,
    /// It is these bytes.
    Same,
    /// It is others.
    Other,
}

fn cut_short(at: &Url) -> FetchError {
    FetchError::new(Kind::Incomplete, at, "ended early, or is not what its checksum says")
}

fn took_too_long(at: &Url, limit: Duration) -> FetchError {
    FetchError::new(
        Kind::Unreachable,
        at,
        format!("the request was not answered within {}", humantime::format_duration(limit)),
    )
}

/// Keeps the time of the store from its answer: the SDK does not pass it on.
#[derive(Debug, Clone, Default)]
struct Dated(Arc<Mutex<Option<SystemTime>>>);

impl Dated {
    fn get(&self) -> Option<SystemTime> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Dated {
    fn name(&self) -> &'static str {
        "Dated"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_s3::error::BoxError> {
        let date = context.response().headers().get("date").and_then(|date| httpdate::parse_http_date(date).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_no_part_of_an_entity_tag() {
        let quoted = ETag("\"abc-2\"".to_owned());
        assert_eq!(quoted, ETag("abc-2".to_owned()));
        assert_eq!((quoted.as_str(), quoted.bare()), ("\"abc-2\"", "abc-2"));
        assert_ne!(quoted, ETag("abc".to_owned()));
    }
}
