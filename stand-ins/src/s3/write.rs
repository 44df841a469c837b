//! PutObject, DeleteObject, and the one way in which anything is written.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper::header::IF_MATCH;
use hyper::{HeaderMap, StatusCode};
use md5::{Digest, Md5};
use s3s::dto::{
    Checksum, DeleteObjectInput, DeleteObjectOutput, PutObjectInput, PutObjectOutput, RequestCharged, StreamingBlob,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders, s3_error};

use super::conditions::{Demand, failed};
use super::quirks::{Quirks, Writes};
use super::service::Service;
use super::store::{About, New, State};
use super::sums;

/// How long a server that does not write at once takes between its look and its write.
const BETWEEN: Duration = Duration::from_millis(10);

/// The condition of a write, and what the server makes of it.
pub(super) struct Guard {
    demand: Demand,
    writes: Writes,
    /// Whether the `If-Match` has no quotes.
    bare: bool,
}

impl Guard {
    pub(super) fn new(demand: Demand, quirks: Quirks, headers: &HeaderMap) -> Guard {
        let bare = headers.get(IF_MATCH).is_none_or(|value| !value.as_bytes().starts_with(b"\""));
        Guard { demand, writes: quirks.writes, bare }
    }

    fn check(&self, state: &State, bucket: &str, key: &str) -> S3Result<Option<u64>> {
        let current = state.current(bucket, key)?;
        if self.writes == Writes::Unquoted && self.demand.if_match.is_some() && !self.bare {
            return Err(failed());
        }
        if self.writes != Writes::Ignored {
            self.demand.check(current.as_deref())?;
        }
        Ok(current.map(|object| object.serial))
    }
}

/// The body of an upload, received and checked.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) md5: [u8; 16],
    pub(super) sums: Checksum,
}

impl Service {
    /// Runs `write` if the guard lets it. Look and write are one step, unless the server is made to
    /// be one of those where they are two.
    pub(super) async fn commit<T>(
        &self,
        guard: &Guard,
        bucket: &str,
        key: &str,
        write: impl FnOnce(&mut State) -> S3Result<T>,
    ) -> S3Result<T> {
        let seen = {
            let mut state = self.store.lock();
            let seen = guard.check(&state, bucket, key)?;
            let at_once = matches!(guard.writes, Writes::Strict | Writes::Ignored) || guard.demand.is_none();
            if at_once {
                return write(&mut state);
            }
            seen
        };
        tokio::time::sleep(BETWEEN).await;
        let mut state = self.store.lock();
        let now = state.current(bucket, key)?.map(|object| object.serial);
        if guard.writes == Writes::Unquoted && now != seen {
            return Err(s3_error!(InternalError, "We encountered an internal error. Please try again."));
        }
        write(&mut state)
    }

    pub(super) async fn put(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let S3Request { input, headers, extensions, trailing_headers, .. } = request;
        self.store.lock().check_bucket(&input.bucket)?;
        let announced = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            ..Checksum::default()
        };
        let received = receive(input.body, input.content_md5, announced, trailing_headers.as_ref()).await?;
        let about = About {
            content_type: input.content_type,
            metadata: input.metadata,
            key_md5: input.sse_customer_key_md5.clone(),
        };
        let sums = Some(received.sums.clone()).filter(|sums| !sums::is_empty(sums));
        let new = New::whole(received.bytes, about, sums);
        let demand = Demand { if_match: input.if_match, if_none_match: input.if_none_match };
        let guard = Guard::new(demand, Quirks::of(&extensions), &headers);
        let (bucket, key) = (&input.bucket, &input.key);
        let object = self.commit(&guard, bucket, key, |state| state.put(bucket, key, new)).await?;
        Ok(S3Response::new(PutObjectOutput {
            checksum_crc32: received.sums.checksum_crc32,
            checksum_crc32c: received.sums.checksum_crc32c,
            checksum_crc64nvme: received.sums.checksum_crc64nvme,
            checksum_sha1: received.sums.checksum_sha1,
            checksum_sha256: received.sums.checksum_sha256,
            e_tag: Some(object.etag()),
            request_charged: input.request_payer.map(|_| RequestCharged::from_static(RequestCharged::REQUESTER)),
            sse_customer_key_md5: input.sse_customer_key_md5,
            version_id: object.version.clone(),
            ..PutObjectOutput::default()
        }))
    }

    pub(super) async fn delete(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let S3Request { input, headers, extensions, .. } = request;
        let mut quirks = Quirks::of(&extensions);
        if quirks.writes != Writes::Strict {
            // None of those servers has conditional deletes.
            quirks.writes = Writes::Ignored;
        }
        let guard = Guard::new(Demand { if_match: input.if_match, if_none_match: None }, quirks, &headers);
        let (bucket, key, version) = (&input.bucket, &input.key, input.version_id.as_deref());
        let (version_id, marker) = self.commit(&guard, bucket, key, |state| state.delete(bucket, key, version)).await?;
        Ok(S3Response::new(DeleteObjectOutput {
            delete_marker: marker.then_some(true),
            version_id,
            ..DeleteObjectOutput::default()
        }))
    }
}

/// Reads a body to its end and compares it with what was announced before or after it.
pub(super) async fn receive(
    body: Option<StreamingBlob>,
    content_md5: Option<String>,
    mut announced: Checksum,
    trailers: Option<&TrailingHeaders>,
) -> S3Result<Received> {
    let mut bytes = BytesMut::new();
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| broken(&error.to_string()))?);
        }
    }
    let bytes = bytes.freeze();
    sums::add_trailers(&mut announced, trailers);
    sums::check(&announced, &bytes)?;
    let md5: [u8; 16] = Md5::digest(&bytes).into();
    match content_md5.map(|text| BASE64_STANDARD.decode(text)) {
        Some(Err(_)) => return Err(s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid.")),
        Some(Ok(given)) if given != md5 => {
            return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
        }
        _ => {}
    }
    Ok(Received { bytes, md5, sums: announced })
}

/// Why a body could not be read. Its errors are of types that s3s does not let others name.
fn broken(error: &str) -> S3Error {
    if error.contains("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let mut refusal =
            S3Error::with_message(code, "The provided 'x-amz-content-sha256' header is not that of the body.");
        refusal.set_status_code(StatusCode::BAD_REQUEST);
        return refusal;
    }
    if error.contains("SignatureMismatch") {
        return s3_error!(SignatureDoesNotMatch, "The signature of a chunk does not match.");
    }
    s3_error!(IncompleteBody, "The request body terminated unexpectedly")
}
