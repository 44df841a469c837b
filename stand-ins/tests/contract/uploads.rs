//! Uploads in parts.

use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use super::{Subject, pattern, refusal, status};

const PART: usize = 5 * 1024 * 1024;

/// Starts an upload, sends its parts, and returns the request that completes it.
async fn sent(subject: &Subject, key: &str, bytes: &[u8]) -> CompleteMultipartUploadFluentBuilder {
    let (client, bucket) = (subject.client(), subject.bucket);
    let created = client.create_multipart_upload().bucket(bucket).key(key).send().await.unwrap();
    let id = created.upload_id().unwrap();
    let mut parts = CompletedMultipartUpload::builder();
    for (index, part) in bytes.chunks(PART).enumerate() {
        let number = index as i32 + 1;
        let upload = client.upload_part().bucket(bucket).key(key).upload_id(id).part_number(number);
        let uploaded = upload.body(part.to_vec().into()).send().await.unwrap();
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(uploaded.e_tag)
            .set_checksum_crc32(uploaded.checksum_crc32)
            .build();
        parts = parts.parts(part);
    }
    client.complete_multipart_upload().bucket(bucket).key(key).upload_id(id).multipart_upload(parts.build())
}

/// Nothing shows until the upload is complete; then all of it, with an ETag that says how many parts.
pub(crate) async fn parts_make_an_object(subject: &Subject) {
    let (client, bucket, key) = (subject.client(), subject.bucket, "parts/app");
    let bytes = pattern(PART + 1000);
    let complete = sent(subject, key, &bytes).await;
    assert_eq!(status(client.head_object().bucket(bucket).key(key).send().await), 404);
    let etag = complete.send().await.unwrap().e_tag.unwrap();
    assert!(etag.trim_matches('"').ends_with("-2"), "{etag}");
    let get = client.get_object().bucket(bucket).key(key).send().await.unwrap();
    assert_eq!(get.e_tag(), Some(etag.as_str()));
    assert!(get.body.collect().await.unwrap().to_vec() == bytes, "the object is not its parts");
    let range = format!("bytes={}-{}", PART - 10, PART + 9);
    let get = client.get_object().bucket(bucket).key(key).range(range).send().await.unwrap();
    assert!(get.body.collect().await.unwrap().to_vec() == bytes[PART - 10..PART + 10], "a range over parts is off");
}

/// An upload can be completed on the condition that nobody else was first, or given up.
pub(crate) async fn an_upload_may_come_too_late(subject: &Subject) {
    let (client, bucket, key) = (subject.client(), subject.bucket, "parts/late");
    let late = sent(subject, key, b"late").await;
    subject.put(key, b"first").await;
    let refused = late.clone().if_none_match("*").send().await;
    assert_eq!(refusal(refused), (412, "PreconditionFailed".to_owned()));
    let id = late.get_upload_id().clone().unwrap();
    let get = client.get_object().bucket(bucket).key(key).send().await.unwrap();
    assert_eq!(get.body.collect().await.unwrap().to_vec(), b"first");
    client.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send().await.unwrap();
    assert_eq!(refusal(late.send().await), (404, "NoSuchUpload".to_owned()));
}
