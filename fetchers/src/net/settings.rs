//! How connections are made, and the options that say so.

use std::time::Duration;

use reqwest::{Certificate, Proxy};
use url::Url;

use crate::options::{ConfigError, Known};
use crate::parts::{self, Plan};

/// How connections are made.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Time for name, connection and TLS.
    pub(crate) connect_timeout: Duration,
    /// The longest silence while an answer or its body is awaited.
    pub(crate) read_timeout: Duration,
    /// The `User-Agent`.
    pub(crate) user_agent: String,
    /// Authorities trusted beside those of the system.
    pub(crate) authorities: Vec<Certificate>,
    /// Which proxy; `None` as the environment says.
    pub(crate) proxy: Option<ProxyChoice>,
    /// How a large object is read.
    pub(crate) plan: Plan,
    /// From how many bytes on it is read in parts.
    pub(crate) parallel_from: u64,
}

/// A proxy that is configured, against what the environment says.
#[derive(Clone)]
pub(crate) enum ProxyChoice {
    /// Connect directly.
    Direct,
    /// Through this one, for every scheme.
    Through(Box<Proxy>),
}

impl Settings {
    /// Takes them from `options`.
    pub(crate) fn read(options: Known<'_>) -> Result<Settings, ConfigError> {
        let user_agent = options.one("user_agent")?.unwrap_or(concat!("fetchd/", env!("CARGO_PKG_VERSION")));
        Ok(Settings {
            connect_timeout: positive(options, "connect_timeout", 10)?,
            read_timeout: positive(options, "read_timeout", 30)?,
            user_agent: user_agent.to_owned(),
            authorities: authorities(options)?,
            proxy: proxy(options)?,
            plan: Plan::read(options, PART_SIZE)?,
            parallel_from: parts::size(options, "parallel_from")?.unwrap_or(PARALLEL_FROM),
        })
    }

    /// Whether a connection for an `http:` URL is certainly not encrypted: one to a proxy may be. Where authorities are
    /// configured they are read all the same, so that bad ones are found before they are needed.
    pub(super) fn are_plain(&self) -> bool {
        let direct = match &self.proxy {
            Some(ProxyChoice::Direct) => true,
            Some(ProxyChoice::Through(_)) => false,
            None => PROXIES.iter().all(|name| std::env::var_os(name).is_none()),
        };
        direct && self.authorities.is_empty()
    }
}

/// The variables that name a proxy for `http:`.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// What a part is where nothing is configured. Those of three connections that wait for their turn come to 12 MiB.
const PART_SIZE: u64 = 4 * 1024 * 1024;

/// Below, one connection has it all before others are of any use.
const PARALLEL_FROM: u64 = 16 * 1024 * 1024;

/// A time longer than none.
pub(crate) fn positive(options: Known<'_>, name: &str, default: u64) -> Result<Duration, ConfigError> {
    let time = options.duration(name, Duration::from_secs(default))?;
    if time.is_zero() { Err(ConfigError::new(format!("the option `{name}` is zero"))) } else { Ok(time) }
}

fn authorities(options: Known<'_>) -> Result<Vec<Certificate>, ConfigError> {
    let mut found = Vec::new();
    for file in options.paths("ca_file")? {
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
