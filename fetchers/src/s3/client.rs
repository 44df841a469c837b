//! The SDK's client: credentials, region, connections.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Credentials, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};

use super::error::deepest;
use super::settings::Settings;
use super::transport;
use crate::error::{FetchError, Kind};
use crate::options::ConfigError;

/// Time for the whole chain of credentials, whatever it asks on the way.
const CREDENTIALS_LIMIT: Duration = Duration::from_secs(10);

/// Time for one question to the instance metadata, which is next door or not there at all.
const METADATA_LIMIT: Duration = Duration::from_secs(2);

/// The name of the program within the `User-Agent` that the SDK sends.
const APP_NAME: &str = concat!("fetchd-", env!("CARGO_PKG_VERSION"));

/// Where endpoints have no region of their own, this one is what signatures are made with.
const REGION_OF_ENDPOINTS: &str = "us-east-1";

impl Settings {
    /// A client for these settings, with credentials that have been found.
    ///
    /// It makes each request once: no retries, no time limit on a body. Its connections are its own
    /// and end with it and with its bodies. Fails with [`Kind::Denied`] if there are no credentials,
    /// and with [`Kind::Misconfigured`] if there is no region.
    pub async fn client(&self) -> Result<Client, FetchError> {
        let http = transport::client(self.proxy.as_ref()).map_err(|why| self.misconfigured(why))?;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(self.connect_timeout).read_timeout(self.read_timeout).build();
        let providers = ProviderConfig::without_region()
            .with_http_client(http.clone())
            .with_retry_config(RetryConfig::disabled())
            .with_timeout_config(timeouts.clone());
        // Not retried, and asked for two seconds at most: away from EC2 nothing answers there.
        let metadata = imds::Client::builder()
            .configure(&providers)
            .max_attempts(1)
            .connect_timeout(METADATA_LIMIT / 2)
            .read_timeout(METADATA_LIMIT / 2)
            .operation_timeout(METADATA_LIMIT)
            .operation_attempt_timeout(METADATA_LIMIT)
            .build();
        let region = self.region(&providers, &metadata).await?;
        let credentials = self.credentials(&providers, metadata, &region).await?;
        let found = self.load(http, timeouts, region, credentials).await;
        Ok(Client::from_conf(self.config(&found)))
    }

    async fn region(&self, providers: &ProviderConfig, metadata: &imds::Client) -> Result<Region, FetchError> {
        let mut profile = ProfileFileRegionProvider::builder().configure(providers);
        if let Some(name) = &self.profile {
            profile = profile.profile_name(name);
        }
        let mut chain = RegionProviderChain::first_try(self.region.clone())
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(profile.build());
        chain = if self.has_endpoint() {
            chain.or_else(Region::from_static(REGION_OF_ENDPOINTS))
        } else {
            chain.or_else(
                imds::region::ImdsRegionProvider::builder().configure(providers).imds_client(metadata.clone()).build(),
            )
        };
        let found = tokio::time::timeout(CREDENTIALS_LIMIT, chain.region()).await.ok().flatten();
        found.ok_or_else(|| {
            FetchError::new(
                Kind::Misconfigured,
                &self.url,
                "no region is configured: set the option `region`, or `AWS_REGION`",
            )
        })
    }

    /// Whether another server than Amazon's is meant.
    fn has_endpoint(&self) -> bool {
        let named = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        self.endpoint.is_some() || named("AWS_ENDPOINT_URL_S3") || named("AWS_ENDPOINT_URL")
    }

    /// Credentials that have been loaded once already; none where requests go unsigned.
    async fn credentials(
        &self,
        providers: &ProviderConfig,
        metadata: imds::Client,
        region: &Region,
    ) -> Result<Option<SharedCredentialsProvider>, FetchError> {
        if self.unsigned {
            return Ok(None);
        }
        if let Some(keys) = &self.keys {
            // A file that is being renewed may be missing for a moment, which is no reason to give up.
            let keys = keys.credentials().map_err(|why| FetchError::new(Kind::Denied, &self.url, why.message))?;
            return Ok(Some(SharedCredentialsProvider::new(keys)));
        }
        let mut chain = DefaultCredentialsChain::builder()
            .configure(providers.clone().with_region(Some(region.clone())))
            .region(region.clone())
            .imds_client(metadata);
        if let Some(name) = &self.profile {
            chain = chain.profile_name(name);
        }
        let load = async {
            let chain = chain.build().await;
            chain.provide_credentials().await.map(|first| Loaded { first: Mutex::new(Some(first)), chain })
        };
        match tokio::time::timeout(CREDENTIALS_LIMIT, load).await {
            Ok(Ok(loaded)) => Ok(Some(SharedCredentialsProvider::new(loaded))),
            Ok(Err(error)) => Err(self.no_credentials(&error)),
            Err(_) => {
                let limit = humantime::format_duration(CREDENTIALS_LIMIT);
                Err(FetchError::new(Kind::Denied, &self.url, format!("no credentials were found within {limit}")))
            }
        }
    }

    fn no_credentials(&self, error: &CredentialsError) -> FetchError {
        let detail = match error {
            CredentialsError::CredentialsNotLoaded(_) => {
                "no credentials found: neither options, environment, profile, web identity, container nor \
                 instance metadata hold any; for a public bucket set `unsigned`"
                    .to_owned()
            }
            CredentialsError::InvalidConfiguration(_) => {
                format!("the credentials are configured wrongly: {}", deepest(error))
            }
            _ => "credentials are configured and could not be loaded".to_owned(),
        };
        FetchError::new(Kind::Denied, &self.url, detail)
    }

    async fn load(
        &self,
        http: SharedHttpClient,
        timeouts: TimeoutConfig,
        region: Region,
        credentials: Option<SharedCredentialsProvider>,
    ) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // It would end a body that is slow for a while; how slow is too slow is the caller's to say.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS_LIMIT).build())
            .region(region);
        if let Some(name) = &self.profile {
            loader = loader.profile_name(name);
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint.as_str().trim_end_matches('/'));
        }
        if let Ok(name) = AppName::new(APP_NAME) {
            loader = loader.app_name(name);
        }
        match credentials {
            Some(credentials) => loader.credentials_provider(credentials),
            None => loader.no_credentials(),
        }
        .load()
        .await
    }

    fn config(&self, found: &SdkConfig) -> aws_sdk_s3::Config {
        let path_style = self.path_style.unwrap_or_else(|| self.has_endpoint() || found.endpoint_url().is_some());
        let mut config = aws_sdk_s3::config::Builder::from(found)
            .force_path_style(path_style)
            // Other servers than Amazon's refuse uploads with checksums that nobody asked for.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(if self.validates {
                ResponseChecksumValidation::WhenSupported
            } else {
                ResponseChecksumValidation::WhenRequired
            });
        if self.unsigned {
            config = config.allow_no_auth();
        }
        config.build()
    }

    fn misconfigured(&self, why: ConfigError) -> FetchError {
        FetchError::new(Kind::Misconfigured, &self.url, why.message)
    }
}

/// A chain whose first answer has been awaited already, so that its failure could be named.
#[derive(Debug)]
struct Loaded {
    first: Mutex<Option<Credentials>>,
    chain: DefaultCredentialsChain,
}

impl ProvideCredentials for Loaded {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(first) => future::ProvideCredentials::ready(Ok(first)),
            None => self.chain.provide_credentials(),
        }
    }
}
