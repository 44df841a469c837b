//! GetObject and HeadObject.

use std::ops::Range;
use std::sync::Arc;

use hyper::header::{ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};
use s3s::dto::{
    AcceptRanges, Checksum, ChecksumMode, GetObjectInput, GetObjectOutput, HeadObjectOutput, Metadata, RequestCharged,
    StreamingBlob, Timestamp,
};
use s3s::header::X_AMZ_VERSION_ID;
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::conditions::{Found, Wanted};
use super::quirks::Quirks;
use super::service::Service;
use super::store::Object;
use super::sums;

impl Service {
    pub(super) fn get(&self, request: &S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let read = self.read(request)?;
        let head = read.head();
        let bytes = read.object.bytes.slice(read.range.clone());
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: head.accept_ranges,
            body: Some(StreamingBlob::from(Body::from(bytes))),
            checksum_crc32: head.checksum_crc32,
            checksum_crc32c: head.checksum_crc32c,
            checksum_crc64nvme: head.checksum_crc64nvme,
            checksum_sha1: head.checksum_sha1,
            checksum_sha256: head.checksum_sha256,
            checksum_type: head.checksum_type,
            content_length: head.content_length,
            content_range: head.content_range,
            content_type: head.content_type,
            e_tag: head.e_tag,
            last_modified: head.last_modified,
            metadata: head.metadata,
            request_charged: head.request_charged,
            sse_customer_key_md5: head.sse_customer_key_md5,
            version_id: head.version_id,
            ..GetObjectOutput::default()
        }))
    }

    pub(super) fn head(&self, request: &S3Request<GetObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        Ok(S3Response::new(self.read(request)?.head()))
    }

    fn read(&self, request: &S3Request<GetObjectInput>) -> S3Result<Read> {
        let input = &request.input;
        let quirks = Quirks::of(&request.extensions);
        if input.part_number.is_some() {
            return Err(s3_error!(NotImplemented, "reading a part by its number is not implemented"));
        }
        let object = self.store.lock().find(&input.bucket, &input.key, input.version_id.as_deref())?;
        if object.about.key_md5 != input.sse_customer_key_md5 {
            return Err(s3_error!(InvalidRequest, "The object was stored using another form of encryption."));
        }
        let wanted = Wanted {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        };
        if !quirks.read_conditions_ignored && wanted.of(&object)? == Found::NotModified {
            return Err(not_modified(&object));
        }
        let range = match input.range.filter(|_| !quirks.range_ignored) {
            None => 0..object.bytes.len(),
            Some(range) => {
                let range = range.check(object.bytes.len() as u64)?;
                if range.is_empty() {
                    return Err(s3_error!(InvalidRange, "The requested range is not satisfiable"));
                }
                range.start as usize..range.end as usize
            }
        };
        let partial = input.range.is_some() && !quirks.range_ignored;
        let asked = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        Ok(Read {
            sums: asked && (!partial || quirks.checksum_on_range),
            charged: input.request_payer.is_some(),
            object,
            range,
            partial,
        })
    }
}

/// An object that may be read.
struct Read {
    object: Arc<Object>,
    /// The bytes to send.
    range: Range<usize>,
    /// Whether the reader asked for a range.
    partial: bool,
    /// Whether checksums are shown.
    sums: bool,
    charged: bool,
}

impl Read {
    fn head(&self) -> HeadObjectOutput {
        let object = &self.object;
        let range = &self.range;
        let sums = self.sums.then(|| object.sums());
        let checksum = sums.map_or_else(Checksum::default, |sums| sums.sums.clone());
        let content_range =
            self.partial.then(|| format!("bytes {}-{}/{}", range.start, range.end - 1, object.bytes.len()));
        HeadObjectOutput {
            accept_ranges: Some(AcceptRanges::from("bytes")),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            checksum_type: sums.map(sums::Sums::kind),
            content_length: Some(range.len() as i64),
            content_range,
            content_type: object.about.content_type.clone(),
            e_tag: Some(object.etag()),
            last_modified: Some(Timestamp::from(object.modified)),
            metadata: object.about.metadata.clone().filter(|metadata: &Metadata| !metadata.is_empty()),
            request_charged: self.charged.then(|| RequestCharged::from_static(RequestCharged::REQUESTER)),
            sse_customer_key_md5: object.about.key_md5.clone(),
            version_id: object.version.clone(),
            ..HeadObjectOutput::default()
        }
    }
}

/// s3s shows a status other than 200 and 206 only for an error.
fn not_modified(object: &Object) -> S3Error {
    let mut answer = S3Error::new(S3ErrorCode::NotModified);
    let mut headers = HeaderMap::new();
    let modified = httpdate::fmt_http_date(object.modified);
    let version = object.version.clone();
    for (name, value) in
        [(ETAG, Some(format!("\"{}\"", object.etag))), (LAST_MODIFIED, Some(modified)), (X_AMZ_VERSION_ID, version)]
    {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    answer.set_headers(headers);
    answer
}
