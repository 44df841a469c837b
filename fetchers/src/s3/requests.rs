//! Requests as the settings say.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::operation::head_object::builders::HeadObjectFluentBuilder;
use aws_sdk_s3::types::{ChecksumMode, RequestPayer};

use super::secrets::CustomerKeyHeaders;
use super::settings::Settings;
use crate::error::{FetchError, Kind};

/// A client, and what each of its requests carries.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) client: Client,
    customer_key: Option<CustomerKeyHeaders>,
}

impl Requests {
    /// Finds credentials and reads the customer's key.
    pub(super) async fn prepare(settings: &Settings) -> Result<Requests, FetchError> {
        let customer_key = match &settings.customer_key {
            // A file that is being renewed may be missing for a moment, which is no reason to give up.
            Some(key) => Some(key.headers().map_err(|why| FetchError::new(Kind::Denied, settings.url(), why.message))?),
            None => None,
        };
        Ok(Requests { client: settings.client().await?, customer_key })
    }

    /// A `GET` of `key`.
    pub(super) fn get(&self, settings: &Settings, key: &str) -> GetObjectFluentBuilder {
        let request = self
            .client
            .get_object()
            .bucket(settings.bucket())
            .key(key)
            .set_expected_bucket_owner(settings.expected_bucket_owner.clone())
            .set_request_payer(settings.request_payer.then_some(RequestPayer::Requester));
        match &self.customer_key {
            Some(customer) => request
                .sse_customer_algorithm(customer.algorithm)
                .sse_customer_key(&customer.key)
                .sse_customer_key_md5(&customer.md5),
            None => request,
        }
    }

    /// A `HEAD` of the object itself, that asks for its checksum too.
    pub(super) fn head(&self, settings: &Settings) -> HeadObjectFluentBuilder {
        let request = self
            .client
            .head_object()
            .bucket(settings.bucket())
            .key(settings.key())
            .set_version_id(settings.version_id.clone())
            .set_checksum_mode(settings.validates.then_some(ChecksumMode::Enabled))
            .set_expected_bucket_owner(settings.expected_bucket_owner.clone())
            .set_request_payer(settings.request_payer.then_some(RequestPayer::Requester));
        match &self.customer_key {
            Some(customer) => request
                .sse_customer_algorithm(customer.algorithm)
                .sse_customer_key(&customer.key)
                .sse_customer_key_md5(&customer.md5),
            None => request,
        }
    }
}
