//! Connections: straight to the server, or through the proxy that is meant.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedAsyncSleep, SharedHttpClient};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use url::{Host, Url};

use super::settings::Proxy;
use crate::options::ConfigError;

/// How long a connection is kept between two parts of a download.
const IDLE: Duration = Duration::from_secs(20);

/// A refusal explains itself within so many bytes.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// A client that shares no connection with any other.
pub(super) fn client(proxy: Option<&Proxy>) -> Result<SharedHttpClient, ConfigError> {
    let proxy = match proxy {
        None => ProxyConfig::from_env(),
        Some(Proxy::Direct) => ProxyConfig::disabled(),
        Some(Proxy::Through(url)) => through(url)?,
    };
    Ok(SharedHttpClient::new(Transport { proxy, connectors: Mutex::default() }))
}

fn through(url: &Url) -> Result<ProxyConfig, ConfigError> {
    let mut bare = url.clone();
    // Both fail only for URLs without a host, and a proxy has one.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    let proxy = ProxyConfig::all(bare.as_str())
        .map_err(|_| ConfigError::new("the option `proxy` is not the URL of a proxy"))?;
    if url.username().is_empty() && url.password().is_none() {
        return Ok(proxy);
    }
    // As they stand in the URL: they are put into one again, and decoded from that.
    Ok(proxy.with_basic_auth(url.username(), url.password().unwrap_or_default()))
}

/// The time limits that a connector is built with: to connect, and to answer.
type Limits = (Option<Duration>, Option<Duration>);

struct Transport {
    proxy: ProxyConfig,
    /// The metadata services have limits of their own.
    connectors: Mutex<Vec<(Limits, SharedHttpConnector)>>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl HttpClient for Transport {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let limits = (settings.connect_timeout(), settings.read_timeout());
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connector)) = connectors.iter().find(|(known, _)| *known == limits) {
            return connector.clone();
        }
        let connector = SharedHttpConnector::new(Routes {
            settings: settings.clone(),
            sleep: components.sleep_impl(),
            proxy: self.proxy.clone(),
            usual: OnceLock::new(),
            local: OnceLock::new(),
        });
        connectors.push((limits, connector.clone()));
        connector
    }
}

/// Two ways to send a request. Each is made when it is first needed: that reads every authority
/// of the system.
struct Routes {
    settings: HttpConnectorSettings,
    sleep: Option<SharedAsyncSleep>,
    proxy: ProxyConfig,
    usual: OnceLock<Connector>,
    local: OnceLock<Connector>,
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routes")
    }
}

impl HttpConnector for Routes {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = if is_link_local(request.uri()) {
            self.local.get_or_init(|| self.connector(ProxyConfig::disabled())).call(request)
        } else {
            self.usual.get_or_init(|| self.connector(self.proxy.clone())).call(request)
        };
        let silence = self.settings.read_timeout().unwrap_or(IDLE);
        HttpConnectorFuture::new(async move { Ok(short_refusal(answer.await?, silence).await) })
    }
}

/// Reads the body of a refusal here, where it can be bounded: the SDK would read it to its end.
async fn short_refusal(mut answer: HttpResponse, silence: Duration) -> HttpResponse {
    if answer.status().is_success() {
        return answer;
    }
    let mut body = ByteStream::new(std::mem::replace(answer.body_mut(), SdkBody::empty()));
    let mut kept = Vec::new();
    let read = async {
        while let Some(Ok(chunk)) = body.next().await {
            kept.extend_from_slice(&chunk);
            if kept.len() >= REFUSAL_LIMIT {
                kept.truncate(REFUSAL_LIMIT);
                break;
            }
        }
    };
    // What has come by then has to do: the status says enough.
    let _ = tokio::time::timeout(silence, read).await;
    *answer.body_mut() = SdkBody::from(kept);
    answer
}

impl Routes {
    fn connector(&self, proxy: ProxyConfig) -> Connector {
        let mut builder =
            Connector::builder().connector_settings(self.settings.clone()).pool_idle_timeout(IDLE).proxy_config(proxy);
        builder.set_sleep_impl(self.sleep.clone());
        builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
    }
}

/// Whether a request is for the metadata of this machine or container, which no proxy can know.
fn is_link_local(uri: &str) -> bool {
    match Url::parse(uri).ok().as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        // The addresses of the metadata services, fd00:ec2::/32.
        Some(Host::Ipv6(address)) => address.segments()[..2] == [0xfd00, 0x0ec2],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_this_machine_is_asked_for_without_a_proxy() {
        for uri in ["http://169.254.169.254/latest/api/token", "http://169.254.170.2/v2", "http://[fd00:ec2::254]/"] {
            assert!(is_link_local(uri), "{uri}");
        }
        for uri in ["http://127.0.0.1:9000/bucket/key", "https://s3.amazonaws.com/", "http://[::1]/", "not a uri"] {
            assert!(!is_link_local(uri), "{uri}");
        }
    }
}
