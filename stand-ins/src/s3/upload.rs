//! Multipart uploads.

use md5::{Digest, Md5};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Checksum, ChecksumType, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag,
    UploadPartInput, UploadPartOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::conditions::Demand;
use super::quirks::{Quirks, Writes};
use super::service::Service;
use super::store::{About, New, Part, State, Upload, hex};
use super::sums::{self, Sums};
use super::write::{Guard, receive};

/// Every part but the last has at least this many bytes.
const SMALLEST_PART: usize = 5 * 1024 * 1024;

impl Service {
    pub(super) fn create_upload(
        &self,
        input: CreateMultipartUploadInput,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let mut state = self.store.lock();
        state.check_bucket(&input.bucket)?;
        let algorithm = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str().to_owned());
        let whole = match &input.checksum_type {
            Some(kind) => kind.as_str() == ChecksumType::FULL_OBJECT,
            None => algorithm.as_deref().is_none_or(|algorithm| algorithm == "CRC64NVME"),
        };
        if whole && matches!(algorithm.as_deref(), Some("SHA1" | "SHA256")) {
            return Err(s3_error!(InvalidRequest, "The algorithm has no checksum of the full object."));
        }
        let upload = Upload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            about: About {
                content_type: input.content_type,
                metadata: input.metadata,
                key_md5: input.sse_customer_key_md5,
            },
            algorithm,
            whole,
            parts: Default::default(),
        };
        let id = format!("upload-{}", state.next_serial());
        state.uploads.insert(id.clone(), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let S3Request { input, trailing_headers, .. } = request;
        let announced = Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            ..Checksum::default()
        };
        find(&mut self.store.lock(), &input.bucket, &input.key, &input.upload_id)?;
        if !(1..=10_000).contains(&input.part_number) {
            return Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"));
        }
        let received = receive(input.body, input.content_md5, announced, trailing_headers.as_ref()).await?;
        let sums = received.sums.clone();
        let part = Part { bytes: received.bytes, md5: received.md5, sums: received.sums };
        let mut state = self.store.lock();
        find(&mut state, &input.bucket, &input.key, &input.upload_id)?.parts.insert(input.part_number, part);
        Ok(S3Response::new(UploadPartOutput {
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            e_tag: Some(ETag::Strong(hex(&received.md5))),
            ..UploadPartOutput::default()
        }))
    }

    pub(super) async fn complete_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let S3Request { input, headers, extensions, .. } = request;
        let demand = Demand { if_match: input.if_match, if_none_match: input.if_none_match };
        let mut quirks = Quirks::of(&extensions);
        if quirks.writes == Writes::Unquoted {
            // That server looks at no condition here.
            quirks.writes = Writes::Ignored;
        }
        let guard = Guard::new(demand, quirks, &headers);
        let listed = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let (bucket, key, id) = (&input.bucket, &input.key, &input.upload_id);
        let write = |state: &mut State| {
            let new = assemble(find(state, bucket, key, id)?, &listed)?;
            let object = state.put(bucket, key, new)?;
            state.uploads.remove(id);
            Ok(object)
        };
        let object = self.commit(&guard, bucket, key, write).await?;
        let sums = object.sums();
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            checksum_crc32: sums.sums.checksum_crc32.clone(),
            checksum_crc32c: sums.sums.checksum_crc32c.clone(),
            checksum_crc64nvme: sums.sums.checksum_crc64nvme.clone(),
            checksum_sha1: sums.sums.checksum_sha1.clone(),
            checksum_sha256: sums.sums.checksum_sha256.clone(),
            checksum_type: Some(sums.kind()),
            e_tag: Some(object.etag()),
            version_id: object.version.clone(),
            bucket: Some(input.bucket),
            key: Some(input.key),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    pub(super) fn abort_upload(
        &self,
        input: &AbortMultipartUploadInput,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let mut state = self.store.lock();
        find(&mut state, &input.bucket, &input.key, &input.upload_id)?;
        state.uploads.remove(&input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

fn find<'a>(state: &'a mut State, bucket: &str, key: &str, id: &str) -> S3Result<&'a mut Upload> {
    state.check_bucket(bucket)?;
    let upload = state.uploads.get_mut(id).filter(|upload| upload.bucket == bucket && upload.key == key);
    upload.ok_or_else(|| s3_error!(NoSuchUpload, "The specified multipart upload does not exist."))
}

/// The object that the listed parts make.
fn assemble(upload: &Upload, listed: &[CompletedPart]) -> S3Result<New> {
    let numbers: Vec<i32> = listed.iter().filter_map(|part| part.part_number).collect();
    if numbers.is_empty() || numbers.len() != listed.len() {
        return Err(s3_error!(MalformedXML, "The XML you provided was not well-formed"));
    }
    if !numbers.is_sorted_by(|one, next| one < next) {
        return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order."));
    }
    let mut parts = Vec::new();
    for wanted in listed {
        let part = wanted.part_number.and_then(|number| upload.parts.get(&number)).ok_or_else(no_such_part)?;
        let etag_is_right = wanted.e_tag.as_ref().is_none_or(|etag| etag.value() == hex(&part.md5));
        let shown = [
            (&wanted.checksum_crc32, &part.sums.checksum_crc32),
            (&wanted.checksum_sha256, &part.sums.checksum_sha256),
            (&wanted.checksum_crc64nvme, &part.sums.checksum_crc64nvme),
        ];
        if !etag_is_right || shown.iter().any(|(wanted, had)| wanted.is_some() && wanted != had) {
            return Err(no_such_part());
        }
        parts.push(part);
    }
    if parts.iter().rev().skip(1).any(|part| part.bytes.len() < SMALLEST_PART) {
        return Err(s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"));
    }
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes.iter().copied()).collect();
    let digests: Vec<u8> = parts.iter().flat_map(|part| part.md5).collect();
    let sums = match (&upload.algorithm, upload.whole) {
        (None, _) => None,
        (Some(name), true) => Some(Sums::whole(sums::compute(&sums::of_algorithm(name), &bytes))),
        (Some(name), false) => {
            let parts: Vec<&Checksum> = parts.iter().map(|part| &part.sums).collect();
            Some(Sums { sums: sums::composite(name, &parts), whole: false })
        }
    };
    Ok(New {
        bytes: bytes.into(),
        etag: format!("{}-{}", hex(&Md5::digest(&digests)), parts.len()),
        about: upload.about.clone(),
        sums,
    })
}

fn no_such_part() -> S3Error {
    s3_error!(InvalidPart, "One or more of the specified parts could not be found.")
}
