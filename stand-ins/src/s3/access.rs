//! Who may do what.

use async_trait::async_trait;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::header::X_AMZ_EXPECTED_BUCKET_OWNER;
use s3s::{S3Result, s3_error};

use super::{ACCESS_KEY, OWNER, PUBLIC, SECRET_KEY};

/// One access key, whose owner may do everything; anybody may read the public bucket.
pub(super) struct Access;

#[async_trait]
impl S3Auth for Access {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == ACCESS_KEY {
            return Ok(SecretKey::from(SECRET_KEY));
        }
        Err(s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records."))
    }
}

#[async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let reads = matches!(context.s3_op().name(), "GetObject" | "HeadObject" | "ListObjectsV2");
        let public = context.s3_path().get_bucket_name() == Some(PUBLIC);
        if context.credentials().is_none() && !(reads && public) {
            return Err(s3_error!(AccessDenied, "Access Denied"));
        }
        match context.headers().get(X_AMZ_EXPECTED_BUCKET_OWNER) {
            Some(owner) if owner != OWNER => Err(s3_error!(AccessDenied, "Access Denied")),
            _ => Ok(()),
        }
    }
}
