//! An HTTP source as configured.

use reqwest::Method;
use url::Url;

use super::HttpFetcher;
use super::secrets::Secrets;
use crate::fetcher::AssetName;
use crate::is_document;
use crate::net::{Client, Settings, positive};
use crate::options::{ConfigError, Known, Options};
use crate::redact::redact;

/// The options an HTTP source takes.
const OPTIONS: [&str; 14] = [
    "basic_file",
    "bearer_file",
    "ca_file",
    "connect_timeout",
    "connections",
    "header",
    "header_file",
    "method",
    "parallel_from",
    "part_size",
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
    let client = Client::build(Settings::read(options)?, url)?;
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
