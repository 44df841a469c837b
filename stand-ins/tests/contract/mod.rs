//! What a server must keep to be called S3 here, as functions for any such server.

pub(crate) mod races;
pub(crate) mod reads;
pub(crate) mod uploads;
pub(crate) mod writes;

use std::fmt::Debug;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;

/// A server, and how it differs from S3.
pub(crate) struct Subject {
    pub(crate) endpoint: String,
    pub(crate) access_key: &'static str,
    pub(crate) secret_key: &'static str,
    /// Unversioned, and readable by nobody else.
    pub(crate) bucket: &'static str,
    /// Keeps every version.
    pub(crate) versioned: &'static str,
    pub(crate) differs: Differences,
}

/// Where a server differs from S3 without harm. S3 itself has none of these.
#[derive(Default)]
pub(crate) struct Differences {
    /// `PUT` with `If-Match` of a missing key is 412, not 404.
    pub missing_is_412: bool,
}

impl Subject {
    pub(crate) fn client(&self) -> Client {
        self.client_with(Some((self.access_key, self.secret_key)))
    }

    /// With other credentials, or without any.
    pub(crate) fn client_with(&self, keys: Option<(&str, &str)>) -> Client {
        client(&self.endpoint, keys)
    }

    pub(crate) async fn put(&self, key: &str, bytes: &[u8]) -> String {
        let body = ByteStream::from(bytes.to_vec());
        let put = self.client().put_object().bucket(self.bucket).key(key).body(body).send().await;
        put.expect("the object is stored").e_tag.expect("it has an ETag")
    }
}

/// A client that tries everything once.
pub(crate) fn client(endpoint: &str, keys: Option<(&str, &str)>) -> Client {
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::new("us-east-1"))
        .retry_config(RetryConfig::disabled());
    config = match keys {
        Some((id, secret)) => config.credentials_provider(Credentials::new(id, secret, None, None, "test")),
        None => config.allow_no_auth(),
    };
    Client::from_conf(config.build())
}

/// The status and the code of a refusal.
pub(crate) fn refusal<T: Debug, E: ProvideErrorMetadata + Debug>(result: Result<T, SdkError<E>>) -> (u16, String) {
    let error = result.expect_err("it is refused");
    let status = error.raw_response().map(|response| response.status().as_u16());
    let status = status.unwrap_or_else(|| panic!("it is refused without an answer: {error:?}"));
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    (status, code.to_owned())
}

pub(crate) fn status<T: Debug, E: ProvideErrorMetadata + Debug>(result: Result<T, SdkError<E>>) -> u16 {
    refusal(result).0
}

/// Bytes without a period that a buffer's size could hide.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}
