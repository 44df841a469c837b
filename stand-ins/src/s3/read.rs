//! GetObject and HeadObject.

use std::ops::Range;
use std::sync::Arc;

use s3s::dto::{
    AcceptRanges, Checksum, ChecksumMode, ETag, GetObjectInput, GetObjectOutput, HeadObjectOutput, Metadata,
    RequestCharged, StreamingBlob, Timestamp,
};
use s3s::{Body, S3Request, S3Response, S3Result, s3_error};

use hyper::StatusCode;

use super::conditions::{Found, Wanted};
use super::quirks::Quirks;
use super::service::Service;
use super::store::Object;
use super::sums;

impl Service {
    pub(super) fn get(&self, request: &S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let read = self.read(request)?;
        let Some(range) = read.range.clone() else {
            let unchanged = GetObjectOutput {
                e_tag: Some(read.object.etag()),
                last_modified: Some(Timestamp::from(read.object.modified)),
                version_id: read.object.version.clone(),
                ..GetObjectOutput::default()
            };
            return Ok(S3Response::with_status(unchanged, StatusCode::NOT_MODIFIED));
        };
        let head = read.head();
        let bytes = read.object.bytes.slice(range);
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
        let read = self.read(request)?;
        let status = match (&read.range, read.partial) {
            (None, _) => StatusCode::NOT_MODIFIED,
            (Some(_), true) => StatusCode::PARTIAL_CONTENT,
            (Some(_), false) => StatusCode::OK,
        };
        let mut head = read.head();
        if read.range.is_none() {
            head.content_length = None;
        }
        Ok(S3Response::with_status(head, status))
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
        let found = if quirks.read_conditions_ignored { Found::Send } else { wanted.of(&object)? };
        let range = match (found, input.range.filter(|_| !quirks.range_ignored)) {
            (Found::NotModified, _) => None,
            (Found::Send, None) => Some(0..object.bytes.len()),
            (Found::Send, Some(range)) => {
                let range = range.check(object.bytes.len() as u64)?;
                Some(range.start as usize..range.end as usize)
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
    /// The bytes to send; none if the reader has them already.
    range: Option<Range<usize>>,
    /// Whether the reader asked for a range.
    partial: bool,
    /// Whether checksums are shown.
    sums: bool,
    charged: bool,
}

impl Read {
    fn head(&self) -> HeadObjectOutput {
        let object = &self.object;
        let range = self.range.clone().unwrap_or_default();
        let sums = self.sums.then(|| object.sums());
        let checksum = sums.map_or_else(Checksum::default, |sums| sums.sums.clone());
        let content_range =
            self.partial.then(|| format!("bytes {}-{}/{}", range.start, range.end.max(1) - 1, object.bytes.len()));
        HeadObjectOutput {
            accept_ranges: Some(AcceptRanges::from("bytes")),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            checksum_type: sums.map(sums::Sums::kind),
            content_length: Some(range.len() as i64),
            content_range: content_range.filter(|_| self.range.is_some()),
            content_type: object.about.content_type.clone(),
            e_tag: Some::<ETag>(object.etag()),
            last_modified: Some(Timestamp::from(object.modified)),
            metadata: object.about.metadata.clone().filter(|metadata: &Metadata| !metadata.is_empty()),
            request_charged: self.charged.then(|| RequestCharged::from_static(RequestCharged::REQUESTER)),
            sse_customer_key_md5: object.about.key_md5.clone(),
            version_id: object.version.clone(),
            ..HeadObjectOutput::default()
        }
    }
}
