//! ListObjectsV2 and ListObjectVersions.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::dto::{
    CommonPrefix, DeleteMarkerEntry, ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectVersion, Timestamp,
};
use s3s::{S3Response, S3Result, s3_error};

use super::service::Service;

/// The most entries of one page.
const PAGE: i32 = 1000;

impl Service {
    pub(super) fn list(&self, input: ListObjectsV2Input) -> S3Result<S3Response<ListObjectsV2Output>> {
        let prefix = input.prefix.clone().unwrap_or_default();
        let page = input.continuation_token.as_deref().map(after_token).transpose()?;
        let start = input.start_after.as_deref().filter(|_| page.is_none());
        let most = input.max_keys.unwrap_or(PAGE).clamp(0, PAGE) as usize;
        let mut contents = Vec::new();
        let mut prefixes: Vec<String> = Vec::new();
        let mut last = None;
        let mut truncated = false;
        let state = self.store.lock();
        for (key, object) in state.objects(&input.bucket)? {
            let Some(rest) = key.strip_prefix(&prefix) else { continue };
            let delimiter = input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
            let common =
                delimiter.and_then(|delimiter| Some(&key[..prefix.len() + rest.find(delimiter)? + delimiter.len()]));
            // A common prefix stands for all of its keys, also as the place where the next page begins.
            let entry = common.unwrap_or(key);
            let before =
                page.as_deref().is_some_and(|page| entry <= page) || start.is_some_and(|start| key.as_str() <= start);
            if before || last.as_deref() == Some(entry) {
                continue;
            }
            if contents.len() + prefixes.len() == most {
                truncated = most > 0;
                break;
            }
            last = Some(entry.to_owned());
            match common {
                Some(common) => prefixes.push(common.to_owned()),
                None => contents.push(Object {
                    e_tag: Some(object.etag()),
                    key: Some(key.clone()),
                    last_modified: Some(Timestamp::from(object.modified)),
                    size: Some(object.bytes.len() as i64),
                    ..Object::default()
                }),
            }
        }
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            max_keys: Some(most as i32),
            key_count: Some((contents.len() + prefixes.len()) as i32),
            is_truncated: Some(truncated),
            next_continuation_token: last.filter(|_| truncated).map(|last| BASE64_URL_SAFE_NO_PAD.encode(last)),
            contents: Some(contents),
            common_prefixes: Some(prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect()),
            prefix: input.prefix,
            delimiter: input.delimiter,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            ..ListObjectsV2Output::default()
        }))
    }

    /// All on one page: no test has a thousand versions.
    pub(super) fn list_versions(
        &self,
        input: ListObjectVersionsInput,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let prefix = input.prefix.clone().unwrap_or_default();
        let mut versions = Vec::new();
        let mut markers = Vec::new();
        let state = self.store.lock();
        for (key, version, latest) in state.versions(&input.bucket)? {
            if !key.starts_with(&prefix) {
                continue;
            }
            let version_id = Some(version.id.clone().unwrap_or_else(|| "null".to_owned()));
            match &version.object {
                Some(object) => versions.push(ObjectVersion {
                    e_tag: Some(object.etag()),
                    is_latest: Some(latest),
                    key: Some(key.clone()),
                    last_modified: Some(Timestamp::from(object.modified)),
                    size: Some(object.bytes.len() as i64),
                    version_id,
                    ..ObjectVersion::default()
                }),
                None => markers.push(DeleteMarkerEntry {
                    is_latest: Some(latest),
                    key: Some(key.clone()),
                    version_id,
                    ..DeleteMarkerEntry::default()
                }),
            }
        }
        Ok(S3Response::new(ListObjectVersionsOutput {
            name: Some(input.bucket),
            prefix: input.prefix,
            is_truncated: Some(false),
            versions: Some(versions),
            delete_markers: Some(markers),
            ..ListObjectVersionsOutput::default()
        }))
    }
}

fn after_token(token: &str) -> S3Result<String> {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}
