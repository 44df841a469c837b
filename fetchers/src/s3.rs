//! `s3:`: an object of a bucket, and its siblings.

mod bucket;
mod client;
pub mod error;
mod secrets;
pub mod settings;
mod transport;

use url::Url;

use crate::fetcher::Fetcher;
use crate::options::{ConfigError, Options};

pub use bucket::{Bucket, Compared, Content, Created, ETag, Labels, Object, Replaced, Stat, UPLOAD_LIMIT, Written};

/// The variables that the credential chain reads.
pub(crate) const VARIABLES: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "HOME",
];

/// Opens an `s3:` source. Options come from the URL's query and from `options` alike.
pub fn make(_: &Url, _: &Options) -> Result<Box<dyn Fetcher>, ConfigError> {
    Err(ConfigError::new("not written yet"))
}
