//! The clients underneath: one that can speak TLS, and one that need not.
//!
//! To speak TLS means to know whom to trust, and reading the machine's certificates costs more than everything else about a
//! poll. A worker is started for one poll; one of an `http:` source reads none (test
//! `certificates_are_not_read_where_nothing_is_encrypted`).

use std::sync::OnceLock;

use url::Url;

use super::settings::{ProxyChoice, Settings};
use crate::options::ConfigError;

/// Clients that are made when they are first needed.
pub(super) struct Connections {
    /// How many unused connections are kept for each host.
    idle: usize,
    /// Trusts nobody: for what is not encrypted.
    plain: OnceLock<reqwest::Client>,
    /// Trusts the authorities of the system, and those that are configured.
    secure: OnceLock<reqwest::Client>,
}

impl Connections {
    pub(super) fn new(idle: usize) -> Connections {
        Connections { idle, plain: OnceLock::new(), secure: OnceLock::new() }
    }

    /// The one for `url`. Should the plain one ever be asked for something encrypted, no certificate satisfies it.
    pub(super) fn to(&self, url: &Url, settings: &Settings) -> Result<reqwest::Client, ConfigError> {
        let plain = url.scheme() == "http" && settings.are_plain();
        let place = if plain { &self.plain } else { &self.secure };
        match place.get() {
            Some(client) => Ok(client.clone()),
            None => {
                let client = make(settings, self.idle, plain)?;
                Ok(place.get_or_init(|| client).clone())
            }
        }
    }
}

fn make(settings: &Settings, idle: usize, plain: bool) -> Result<reqwest::Client, ConfigError> {
    let mut builder = reqwest::Client::builder()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.read_timeout)
        .user_agent(&settings.user_agent)
        .pool_max_idle_per_host(idle);
    if plain {
        builder = builder.tls_certs_only([]);
    } else if !settings.authorities.is_empty() {
        builder = builder.tls_certs_merge(settings.authorities.clone());
    }
    builder = match &settings.proxy {
        None => builder,
        Some(ProxyChoice::Direct) => builder.no_proxy(),
        Some(ProxyChoice::Through(proxy)) => builder.proxy((**proxy).clone()),
    };
    let failed = |error: reqwest::Error| {
        ConfigError::new(format!("the HTTP client cannot be made: {}", deepest(&error.without_url())))
    };
    builder.build().map_err(failed)
}

/// The last error of a chain, which says what happened rather than where.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
