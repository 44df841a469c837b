//! A request as received.

use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

/// What a request asks of S3, as its method and query tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// GetObject.
    Get,
    /// HeadObject.
    Head,
    /// PutObject.
    Put,
    /// DeleteObject.
    Delete,
    /// ListObjectsV2.
    List,
    /// CreateMultipartUpload.
    CreateUpload,
    /// UploadPart.
    UploadPart,
    /// CompleteMultipartUpload.
    CompleteUpload,
    /// AbortMultipartUpload.
    AbortUpload,
    /// Any other.
    Other,
}

/// A request as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub operation: Operation,
    /// `GET`, `HEAD`, `PUT`.
    pub method: String,
    /// The first component of the path.
    pub bucket: String,
    /// The rest of the path, decoded; empty where the request is about the bucket.
    pub key: String,
    /// The query as sent, without `?`.
    pub query: String,
    /// Headers in the order received, names in lower case. Bytes outside of UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The status it was answered with; none while it is not answered, and if the reply was lost.
    pub status: Option<u16>,
}

impl Request {
    pub(super) fn new(parts: &Parts) -> Request {
        let path = parts.uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let query = parts.uri.query().unwrap_or_default();
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let operation = match (parts.method.as_str(), !key.is_empty()) {
            ("GET", true) => Operation::Get,
            ("GET", false) if has("list-type") => Operation::List,
            ("HEAD", true) => Operation::Head,
            ("PUT", true) if has("uploadId") => Operation::UploadPart,
            ("PUT", true) => Operation::Put,
            ("POST", true) if has("uploads") => Operation::CreateUpload,
            ("POST", true) if has("uploadId") => Operation::CompleteUpload,
            ("DELETE", true) if has("uploadId") => Operation::AbortUpload,
            ("DELETE", true) => Operation::Delete,
            _ => Operation::Other,
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Request {
            operation,
            method: parts.method.to_string(),
            bucket: decoded(bucket),
            key: decoded(key),
            query: query.to_owned(),
            headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            status: None,
        }
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}
