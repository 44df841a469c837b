//! The bytes of a write: in memory, or a file that must still be what was measured.

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::super::error::refusal;
use super::attempt::{Failed, Meaning, meaning};
use super::{Bucket, ETag, Written, addressed, took_too_long};
use crate::error::{FetchError, Kind};
use crate::options::grouped;

/// The largest object that one request can write, in bytes.
pub const UPLOAD_LIMIT: u64 = 5 << 30;

/// How much of a file is read at once, in bytes.
const PIECE: usize = 256 * 1024;

/// How long no byte may be taken from us before the request is given up.
const STALL: Duration = Duration::from_secs(60);

/// How long the answer may take after the last byte: the store may copy and hash all of it.
const COMMIT: Duration = Duration::from_secs(300);

/// How often progress is told.
const GLANCE: Duration = Duration::from_millis(100);

/// What is to be written.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A file that has been measured. If it is no longer what it was, nothing is written.
    File {
        /// Its path.
        path: &'a Path,
        /// Its size in bytes, at most [`UPLOAD_LIMIT`].
        size: u64,
        /// Its digest.
        sha256: [u8; 32],
        /// Told about ten times a second how many bytes have been sent.
        sent: &'a (dyn Fn(u64) + Sync),
    },
}

impl Content<'_> {
    pub(super) fn measured(&self) -> (u64, [u8; 32]) {
        match self {
            Content::Bytes(bytes) => (bytes.len() as u64, Sha256::digest(bytes).into()),
            Content::File { size, sha256, .. } => (*size, *sha256),
        }
    }
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Content::File { path, size, .. } => write!(f, "{size} bytes of {}", path.display()),
        }
    }
}

/// What an object says about itself when it is read over HTTP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Labels<'a> {
    /// Its `Content-Type`.
    pub content_type: Option<&'a str>,
    /// Its `Cache-Control`.
    pub cache_control: Option<&'a str>,
}

/// When a write may happen.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// At any time.
    None,
    /// If nothing is there.
    Absent,
    /// If the object is in this state, written this way.
    State(String),
}

impl Bucket {
    /// Sends one `PUT`.
    pub(super) async fn put(
        &self,
        key: &str,
        content: Content<'_>,
        labels: Labels<'_>,
        condition: &Condition,
    ) -> Result<Written, Failed> {
        let at = self.url_of(key);
        let refused = |error| Failed { meaning: Meaning::Refused, error };
        let (size, sha256) = content.measured();
        let length = i64::try_from(size).ok().filter(|_| size <= UPLOAD_LIMIT).ok_or_else(|| {
            let why = format!("{} bytes cannot be written: 5 GiB is the largest upload", grouped(size));
            refused(FetchError::new(Kind::Misconfigured, &at, why))
        })?;
        let watch = Arc::new(Watch::default());
        let body = match content {
            Content::Bytes(bytes) => ByteStream::from(bytes.to_vec()),
            Content::File { path, .. } => {
                let file = File::open(path).await.map_err(|_| changed(&at))?;
                let body = Measured { file, left: size, expected: sha256, hash: Sha256::new(), watch: watch.clone() };
                ByteStream::new(SdkBody::from_body_1_x(body))
            }
        };
        let address = self.address().map_err(refused)?;
        let request = addressed!(address, key, self.client.put_object());
        let request = match condition {
            Condition::None => request,
            Condition::Absent => request.if_none_match("*"),
            Condition::State(etag) => request.if_match(etag),
        };
        let request = request
            .body(body)
            .content_length(length)
            .set_checksum_sha256(self.settings.validates.then(|| STANDARD.encode(sha256)))
            .set_content_type(labels.content_type.map(str::to_owned))
            .set_cache_control(labels.cache_control.map(str::to_owned));
        // The SDK's would count from the first byte that is sent to the answer.
        let no_limit = TimeoutConfig::builder().disable_read_timeout().build();
        let request = request.customize().config_override(aws_sdk_s3::Config::builder().timeout_config(no_limit));
        let sent = match content {
            Content::Bytes(_) => {
                let limit = self.settings.timeout;
                tokio::time::timeout(limit, request.send()).await.map_err(|_| limit)
            }
            Content::File { sent, .. } => watch.over(request.send(), size, sent).await,
        };
        match sent {
            Ok(Ok(output)) => Ok(Written { etag: output.e_tag.map(ETag), version: output.version_id }),
            Ok(Err(_)) if watch.changed.load(Ordering::Acquire) => Err(changed(&at)),
            Ok(Err(error)) => Err(Failed { meaning: meaning(&error), error: refusal(&at, &error) }),
            Err(limit) => Err(Failed { meaning: Meaning::Unclear, error: took_too_long(&at, limit) }),
        }
    }
}

fn changed(at: &url::Url) -> Failed {
    let error = FetchError::new(Kind::Misconfigured, at, "the file to be written changed");
    Failed { meaning: Meaning::SourceChanged, error }
}

/// What the body of a request tells about itself.
#[derive(Debug, Default)]
struct Watch {
    sent: AtomicU64,
    changed: AtomicBool,
}

impl Watch {
    /// Waits for `request` as long as bytes are taken, and tells about them.
    async fn over<T>(
        &self,
        request: impl Future<Output = T>,
        size: u64,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<T, Duration> {
        let mut request = std::pin::pin!(request);
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let answer = tokio::time::timeout(GLANCE, &mut request).await;
            let sent = self.sent.load(Ordering::Acquire);
            if sent != last {
                (last, since) = (sent, Instant::now());
                tell(sent);
            }
            if let Ok(answer) = answer {
                return Ok(answer);
            }
            let limit = if sent == size { COMMIT } else { STALL };
            if since.elapsed() > limit {
                return Err(limit);
            }
        }
    }
}

/// A file as the body of a request. The last piece is sent only if all of them are what was measured, so
/// that no store can have kept anything else.
struct Measured {
    file: File,
    left: u64,
    expected: [u8; 32],
    hash: Sha256,
    watch: Arc<Watch>,
}

impl Body for Measured {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let body = self.get_mut();
        if body.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; PIECE.min(usize::try_from(body.left).unwrap_or(PIECE))];
        let mut buffer = ReadBuf::new(&mut piece);
        match Pin::new(&mut body.file).poll_read(context, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => {
                body.watch.changed.store(true, Ordering::Release);
                return Poll::Ready(Some(Err(error)));
            }
        }
        let read = buffer.filled().len();
        piece.truncate(read);
        body.hash.update(&piece);
        body.left -= read as u64;
        let whole = || <[u8; 32]>::from(body.hash.clone().finalize()) == body.expected;
        if read == 0 || body.left == 0 && !whole() {
            body.watch.changed.store(true, Ordering::Release);
            return Poll::Ready(Some(Err(std::io::Error::other("the file changed"))));
        }
        body.watch.sent.fetch_add(read as u64, Ordering::AcqRel);
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
