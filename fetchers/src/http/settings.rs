//! An HTTP source as configured.

use std::time::Duration;

use reqwest::{Certificate, Method, Proxy};
use url::Url;

use super::HttpFetcher;
use super::secrets::Secrets;
use crate::fetcher::AssetName;
use crate::is_document;
use crate::net::{Client, ProxyChoice, Settings};
use crate::options::{ConfigError, Known, Options};
use crate::redact::redact;

/// The options an HTTP source takes.
const OPTIONS: [&str; 11] = [
    "basic_file",
    "bearer_file",
    "ca_file",
    "connect_timeout",
    "header",
    "header_file",
    "method",
    "proxy",
    "read_timeout",
    "timeout",
    "user_agent",
];

pub(super) fn read(url: &Url, options: &Options) -> Result<HttpFetcher, ConfigError> {
    let options = Known::check(options, &OPTIONS)?;
    let name = name_of(url)?;
    let method = match options.one("method")? {
        None if is_document(url.path()) => Method::GET,
        None => Method::HEAD,
        Some(method) if method.eq_ignore_ascii_case("get") => Method::GET,
        Some(method) if method.eq_ignore_ascii_case("head") => Method::HEAD,
        Some(_) => return Err(ConfigError::new("the option `method` is neither `get` nor `head`")),
    };
    let secrets = Secrets::read(url, options)?;
    if secrets.exist() && url.scheme() == "http" {
        tracing::warn!(source = redact(url), "secrets for this source travel unencrypted; use https");
    }
    let user_agent = options.one("user_agent")?.unwrap_or(concat!("fetchd/", env!("CARGO_PKG_VERSION")));
    let client = Client::build(Settings {
        connect_timeout: positive(options, "connect_timeout", 10)?,
        read_timeout: positive(options, "read_timeout", 30)?,
        user_agent: user_agent.to_owned(),
        authorities: authorities(options)?,
        proxy: proxy(options)?,
    })?;
    let mut url = url.clone();
    // Both fail only for URLs without a host, and http has one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    Ok(HttpFetcher { url, name, method, timeout: positive(options, "timeout", 30)?, secrets, client })
}

/// The last part of the URL's path, decoded.
fn name_of(url: &Url) -> Result<AssetName, ConfigError> {
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let name = percent_encoding::percent_decode_str(last).decode_utf8().ok();
    name.and_then(|name| AssetName::new(name).ok()).ok_or_else(|| {
        ConfigError::new(format!("`{}` does not end in the name of a file", redact(url)))
            .hint("a source points at one file, such as `https://dl.example.com/app/stable.fetchd`")
    })
}

fn positive(options: Known<'_>, name: &str, default: u64) -> Result<Duration, ConfigError> {
    let time = options.duration(name, Duration::from_secs(default))?;
    if time.is_zero() { Err(ConfigError::new(format!("the option `{name}` is zero"))) } else { Ok(time) }
}

fn authorities(options: Known<'_>) -> Result<Vec<Certificate>, ConfigError> {
    let mut found = Vec::new();
    for file in options.all("ca_file") {
        let pem =
            std::fs::read(file).map_err(|error| ConfigError::new(format!("the `ca_file` cannot be read: {error}")))?;
        let certificates = Certificate::from_pem_bundle(&pem).ok().filter(|found| !found.is_empty());
        found.extend(certificates.ok_or_else(|| ConfigError::new("the `ca_file` holds no certificate in PEM form"))?);
    }
    Ok(found)
}

fn proxy(options: Known<'_>) -> Result<Option<ProxyChoice>, ConfigError> {
    let Some(proxy) = options.one("proxy")? else { return Ok(None) };
    if proxy == "none" {
        return Ok(Some(ProxyChoice::Direct));
    }
    let refused = || {
        ConfigError::new("the option `proxy` is not the URL of a proxy")
            .hint("write `http://proxy.example.com:3128`, or `none` to ignore the environment")
    };
    let url = Url::parse(proxy).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let proxy = Proxy::all(url.ok_or_else(refused)?).map_err(|_| refused())?;
    Ok(Some(ProxyChoice::Through(Box::new(proxy))))
}
